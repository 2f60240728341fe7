"""A consumer in a process of its own: what any bus promises, whatever happens to that process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import pytest

from chainwarden.bus import Consumer, Delivery, Producer
from chainwarden.errors import BusError, IncompleteBlock
from chainwarden.kafka_bus import ConsumerProcess, KafkaConfig
from chainwarden.schema import ETHEREUM
from tests.bus.blocks import added, finalized, story
from tests.bus.contracts import DurableBusContract, Rig, drain, told
from tests.bus.kafka_rig import KafkaRig, numbers, put
from tests.bus.test_kafka_foreign import spoil
from tests.rigs.children import ends_by_itself, ends_with_its_parent, is_running

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


class ProcessRig:
    """A chain of its own on the real broker, read by processes."""

    def __init__(self, kafka: KafkaRig) -> None:
        self.chain = kafka.chain
        self._kafka = kafka
        self._consumers: list[ConsumerProcess] = []

    def producer(self) -> Producer:
        """A new producer."""
        return self._kafka.producer()

    def consumer(self) -> Consumer:
        """A new process."""
        self._consumers.append(ConsumerProcess(self._kafka.config))
        return self._consumers[-1]

    def close(self) -> None:
        """End the processes."""
        for one in self._consumers:
            one.close()


class TestConsumerProcess(DurableBusContract):
    @pytest.fixture
    def rig(self, kafka_bootstrap: str) -> Iterator[Rig]:
        """A chain of its own on the real broker."""
        kafka = KafkaRig(kafka_bootstrap, timeout_seconds=20.0)
        rig = ProcessRig(kafka)
        yield rig
        rig.close()
        kafka.close()


@contextmanager
def started(config: KafkaConfig) -> Iterator[tuple[ConsumerProcess, BaseProcess]]:
    """A consumer at the beginning of the bus, and the process that it has now."""
    with closing(ConsumerProcess(config)) as consumer:
        consumer.seek({})
        yield consumer, process_of(consumer)


def process_of(consumer: ConsumerProcess) -> BaseProcess:
    """The process that it has now."""
    assert consumer._process is not None
    return consumer._process


def signalled(process: BaseProcess, number: signal.Signals) -> None:
    """Send a signal to it."""
    assert process.pid is not None
    os.kill(process.pid, number)


# --- reading ahead -------------------------------------------------------------------------------


def test_the_next_events_are_read_while_these_are_handled(rig: KafkaRig) -> None:
    """One poll is ahead of the caller, whose answer is there though its process does nothing now.

    And never two: what comes after it is not.
    """
    put(rig, added(1), added(2), added(3))
    with started(rig.config) as (consumer, process):
        assert numbers(consumer.poll(10.0)) == [1]
        assert consumer._pipe is not None
        assert consumer._pipe.poll(10.0)
        signalled(process, signal.SIGSTOP)
        assert numbers(consumer.poll(0.0)) == [2]
        assert not consumer._pipe.poll(0.5)
        signalled(process, signal.SIGCONT)
        assert numbers(drain(consumer, 1)) == [3]


def test_what_was_read_ahead_is_thrown_away_by_a_seek(rig: KafkaRig) -> None:
    """After a seek the events behind the offsets come, not those of before."""
    put(rig, added(1), added(2), added(3))
    with started(rig.config) as (consumer, _):
        (first,) = consumer.poll(10.0)
        consumer.poll(10.0)
        consumer.seek(first.offsets)
        assert numbers(drain(consumer, 2)) == [2, 3]


def test_what_was_read_ahead_is_kept_when_the_lag_is_asked(rig: KafkaRig) -> None:
    """The answer of the poll under way comes before that of the lag, and is not lost."""
    put(rig, added(1, 2, 3))
    with started(rig.config) as (consumer, _):
        assert numbers(consumer.poll(10.0)) == [1]
        for _ in range(2):
            assert consumer.lag() >= 0
        assert numbers(drain(consumer, 2)) == [2, 3]
        assert consumer.lag() == 0


def test_an_error_comes_after_what_was_before_it_and_again_until_a_seek(rig: KafkaRig) -> None:
    """What goes wrong ahead is raised, with all it carries, by the poll that would have met it."""
    spoil(rig, lambda values: values[:-1])
    with started(rig.config) as (consumer, _):
        assert numbers(consumer.poll(10.0)) == [1]
        for _ in range(2):
            with pytest.raises(IncompleteBlock, match="block 2") as caught:
                drain(consumer, 1)
        consumer.seek(caught.value.offsets)
        assert told(drain(consumer, 2)) == story([added(3), finalized(1)])


# --- what happens to the process -----------------------------------------------------------------


def test_processes_that_are_killed_lose_and_repeat_nothing(rig: KafkaRig) -> None:
    """Killed at any moment, while it reads, answers or waits: the next goes on where it was."""
    put(rig, *(added(number, transactions=9) for number in range(1, 61)))
    rng = random.Random(4)
    with started(rig.config) as (consumer, _):
        seen: list[int] = []
        while len(seen) < 60:
            if rng.random() < 0.15:
                seconds = rng.choice([0.0, 0.002, 0.02])
                killing = threading.Timer(seconds, process_of(consumer).kill)
                killing.start()
                seen += numbers(consumer.poll(0.2, 3))
                killing.join()
            seen += numbers(consumer.poll(0.2, 3))
        assert seen == list(range(1, 61))


def test_a_process_that_hangs_is_replaced(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer for longer than its requests to the broker may take: another goes on."""
    monkeypatch.setattr("chainwarden.kafka_bus.consumer_process._REQUESTS", 0.3)
    put(rig, added(1), added(2))
    with started(rig.config) as (consumer, process):
        signalled(process, signal.SIGSTOP)
        with caplog.at_level(logging.WARNING, "chainwarden.kafka_bus.consumer_process"):
            assert numbers(drain(consumer, 2)) == [1, 2]
        assert "no answer within 6 s" in caplog.text
        assert process.pid is not None
        assert not is_running(process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_for_its_parent(rig: KafkaRig, number: signal.Signals) -> None:
    """A terminal and a supervisor send them to every process: the parent has work to end."""
    put(rig, added(1))
    with started(rig.config) as (consumer, process):
        signalled(process, number)
        assert numbers(drain(consumer, 1)) == [1]
        assert process.is_alive()


def serve_nobody(*_: object) -> None:
    """A process that ends as soon as it has begun."""
    time.sleep(0.1)


def test_a_bus_that_no_process_stays_to_read_is_an_error(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start at once; later when others have not helped while patience lasts."""
    put(rig, added(1))
    with started(replace(rig.config, patience_seconds=2.0)) as (consumer, process):
        monkeypatch.setattr("chainwarden.kafka_bus.consumer_process._serve", serve_nobody)
        process.kill()
        began = time.monotonic()
        with pytest.raises(BusError, match="no process stays that reads the bus"):
            consumer.poll(0.2)
        assert 2 <= time.monotonic() - began < 60
        with pytest.raises(BusError, match="no process can be started"):
            ConsumerProcess(rig.config)


def test_a_bug_is_an_error_at_once(rig: KafkaRig, capfd: pytest.CaptureFixture[str]) -> None:
    """Another process would have it, too: where it is stands in the log, on one line."""
    put(rig, added(1))
    with started(replace(rig.config, buffer_bytes=cast(int, "many"))) as (consumer, process):
        with pytest.raises(BusError, match="TypeError: '<' not supported"):
            consumer.poll(0.2)
        assert process.is_alive()
    (line,) = [one for one in capfd.readouterr().err.splitlines() if "TypeError" in one]
    assert "ERROR chainwarden.kafka_bus.consumer_process: the bus cannot be read" in line
    assert "consumer.py" in line


def test_no_broker_is_the_same_error_as_in_one_process() -> None:
    """What the process raises at its start is raised here, and it ends."""
    before = set(multiprocessing.active_children())
    with pytest.raises(BusError, match=r"is a Kafka broker at 127\.0\.0\.1:1"):
        ConsumerProcess(KafkaConfig("127.0.0.1:1", ETHEREUM, timeout_seconds=1.0))
    assert set(multiprocessing.active_children()) == before


def test_dead_letters_are_logged_and_counted_on(
    rig: KafkaRig, capfd: pytest.CaptureFixture[str]
) -> None:
    """As one line each on standard error; a process that takes another's place adds its own."""
    producer = put(rig, added(1))
    with started(rig.config) as (consumer, process):
        for number, value in ((2, b"{"), (3, b"[")):
            rig.foreign(rig.config.blocks_topic, value)
            producer.publish(DurableBusContract.on(rig, added(number)))
        assert numbers(drain(consumer, 3)) == [1, 2, 3]
        assert consumer.dead_letters == 2
        process.kill()
        rig.foreign(rig.config.blocks_topic, b"null")
        producer.publish(DurableBusContract.on(rig, added(4)))
        assert numbers(drain(consumer, 1)) == [4]
        assert consumer.dead_letters == 3
    lines = capfd.readouterr().err.splitlines()
    assert sum("WARNING chainwarden.kafka_bus.consumer: dead letter" in one for one in lines) == 3


# --- its end -------------------------------------------------------------------------------------


def test_a_closed_consumer_leaves_no_process_and_the_last_commit(rig: KafkaRig) -> None:
    """Also in the middle of reading ahead: what it was told before is done, then it ends."""
    put(rig, *(added(number, transactions=40) for number in range(1, 41)))
    with started(rig.config) as (consumer, process):
        last: list[Delivery] = drain(consumer, 1)
        consumer.commit(last[-1].offsets)
        consumer.close()
        consumer.close()
        assert not process.is_alive()
        with pytest.raises(BusError, match="closed"):
            consumer.poll(0.2)
    assert process.exitcode == 0
    shown = rig.group_offsets()
    assert shown | last[-1].offsets == shown


_CARELESS = """
from chainwarden.kafka_bus import ConsumerProcess, KafkaConfig
from chainwarden.schema import Chain

if __name__ == "__main__":
    ConsumerProcess(KafkaConfig("{bootstrap}", Chain("{chain}", 1))).seek({{}})
"""


def test_nobody_waits_for_one_that_was_not_closed(rig: KafkaRig, tmp_path: Path) -> None:
    """Python ends though it waits for its children, and none of them ends by a signal."""
    rig.consumer()  # makes the topics
    assert ends_by_itself(_CARELESS.format(bootstrap=rig.bootstrap, chain=rig.chain.name), tmp_path)


_PARENT = """
import multiprocessing, sys
from chainwarden.kafka_bus import ConsumerProcess, KafkaConfig
from chainwarden.schema import Chain

if __name__ == "__main__":
    consumer = ConsumerProcess(KafkaConfig("{bootstrap}", Chain("{chain}", 1)))
    consumer.seek({{}})
    print(multiprocessing.active_children()[0].pid, flush=True)
    sys.stdin.read()
"""


def test_the_process_ends_with_a_parent_that_is_killed(rig: KafkaRig, tmp_path: Path) -> None:
    """Nothing is left running when the process that reads through it gets SIGKILL."""
    script = _PARENT.format(bootstrap=rig.bootstrap, chain=rig.chain.name)
    assert ends_with_its_parent(script, tmp_path)
