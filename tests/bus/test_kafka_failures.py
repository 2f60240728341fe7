"""Kafka when a client, a process or the broker fails."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import InvalidRequestError

from chainwarden.errors import BlocksLost, BusError
from chainwarden.kafka_bus import BlockProducer, BusWatch
from chainwarden.schema import ChainEvent
from tests.bus.blocks import added, reverted, story
from tests.bus.contracts import DurableBusContract, drain, told
from tests.bus.kafka_rig import KafkaRig, numbers, put
from tests.conftest import ROOT
from tests.kafka_broker import BrokerMissing, start_node

pytestmark = pytest.mark.broker


KILLED = """
import sys, time
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import Chain
from tests.bus.blocks import added
from tests.bus.contracts import BusContract

class Rig: pass
rig = Rig()
rig.chain = Chain(sys.argv[2], 1)
producer = BlockProducer(KafkaConfig(sys.argv[1], rig.chain, timeout_seconds=20.0))
producer.publish(BusContract.on(rig, added(1, transactions=40)))

def stop_before_the_commit(_):
    print("half", flush=True)
    time.sleep(60)

producer._in_time = stop_before_the_commit
producer.publish(BusContract.on(rig, added(2, transactions=40)))
"""


def test_a_block_whose_producer_was_killed_is_never_seen(rig: KafkaRig) -> None:
    """SIGKILL between the records and the commit: readers see nothing of it, then the rest."""
    consumer = rig.consumer()
    consumer.seek({})
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, rig.bootstrap, rig.chain.name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"half\n"
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    raw = rig.records(rig.config.blocks_topic, isolation_level="read_uncommitted")
    assert len(raw) == 2  # the records of the second block are on the broker
    assert numbers(drain(consumer, 1)) == [1]
    producer = rig.producer()
    for event in (added(2, fork=1, transactions=40), added(3, fork=1)):
        producer.publish(DurableBusContract.on(rig, event))
    rest = drain(consumer, 2)
    assert told(rest) == story([added(2, fork=1), added(3, fork=1)])
    late = rig.consumer()
    late.seek({})
    assert numbers(drain(late, 3)) == [1, 2, 3]


def test_a_second_producer_takes_over(rig: KafkaRig) -> None:
    """The producer that was fenced off says so, and says so again; nothing of it is committed."""
    first = put(rig, added(1))
    second = put(rig, added(2))
    for _ in range(2):
        with pytest.raises(BusError, match="fenced"):
            first.publish(DurableBusContract.on(rig, added(3, fork=1)))
    second.publish(DurableBusContract.on(rig, added(3)))
    consumer = rig.consumer()
    consumer.seek({})
    assert told(drain(consumer, 3)) == story([added(1), added(2), added(3)])


def test_a_producer_goes_on_after_a_failure(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish that failed raises BusError; publishing again works and is read once."""
    producer = rig.producer()

    def fail(*_: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(producer, "_in_time", fail)
    with pytest.raises(BusError, match="InvalidRequestError"):
        producer.publish(DurableBusContract.on(rig, added(1)))
    monkeypatch.undo()
    producer.publish(DurableBusContract.on(rig, added(1)))
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(drain(consumer, 1)) == [1]


def test_what_readers_do_not_see_is_not_published(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged, and never carried out: that is an error, and publishing again mends it."""
    producer = put(rig, added(1, transactions=40))
    monkeypatch.setattr(producer, "_in_time", lambda _: None)
    monkeypatch.setattr(f"{BlockProducer.__module__}._VISIBLE_SECONDS", 0.5)
    with pytest.raises(BusError, match=r"transaction is still open on .*transactions/0.*blocks/0"):
        producer.publish(DurableBusContract.on(rig, added(2, transactions=40)))
    monkeypatch.undo()
    for number in (2, 3):
        producer.publish(DurableBusContract.on(rig, added(number, transactions=40)))
    consumer = rig.consumer()
    consumer.seek({})
    events: list[ChainEvent] = [added(number, transactions=40) for number in (1, 2, 3)]
    assert told(drain(consumer, 3)) == story(events)


def test_while_another_client_has_a_transaction_open_nothing_is_published(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers would not see it: the error names the topic, and when that ended all goes on."""
    producer = put(rig, added(1))
    other = KafkaProducer(bootstrap_servers=[rig.bootstrap], transactional_id="another")
    try:
        other.init_transactions()
        other.begin_transaction()
        other.send(rig.config.blocks_topic, b"{}", partition=0).get(timeout=10)
        monkeypatch.setattr(f"{BlockProducer.__module__}._VISIBLE_SECONDS", 0.5)
        for words in ("did not take a block: .*still open", "cannot start: .*still open"):
            with pytest.raises(BusError, match=f"{words} on {rig.config.blocks_topic}/0"):
                producer.publish(DurableBusContract.on(rig, added(2)))
        other.abort_transaction()
    finally:
        other.close(timeout=5)
    producer.publish(DurableBusContract.on(rig, added(2)))
    consumer = rig.consumer()
    consumer.seek({})
    assert told(drain(consumer, 2)) == story([added(1), added(2)])


def test_a_topic_that_ends_earlier_than_it_did_is_an_error(rig: KafkaRig) -> None:
    """Blocks are gone that were committed long ago: this one cannot know which."""
    producer = put(rig, added(1, 2))
    producer._drop(timeout=0.0)
    producer.end += 1
    for _ in range(2):
        with pytest.raises(BlocksLost, match=r"ends at 3, not at 4.*start ingest again"):
            producer.publish(DurableBusContract.on(rig, added(3)))


def test_a_consumer_whose_client_raises_goes_on(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception out of the client's poll: it is built anew and nothing is lost or repeated."""
    producer = put(rig, added(1, 2))
    consumer = rig.consumer()
    consumer.seek({})
    seen = consumer.poll(10.0, 2)
    assert numbers(seen) == [1, 2]
    broken = consumer._consumer

    def fail(*_: Any, **__: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(broken, "poll", fail)
    producer.publish(DurableBusContract.on(rig, added(3, 4)))
    while len(numbers(seen)) < 4:
        seen += consumer.poll(5.0)
    assert numbers(seen) == [1, 2, 3, 4]
    assert consumer._consumer is not broken


def test_a_client_that_keeps_raising_is_an_error(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading does not try for ever, only for as long as its patience."""
    consumer = rig.consumer(patience_seconds=1.0)
    consumer.seek({})

    def fail(*_: Any, **__: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(KafkaConsumer, "poll", fail)
    started = time.monotonic()
    with pytest.raises(BusError, match="InvalidRequestError"):
        consumer.poll(20.0)
    assert 1.0 <= time.monotonic() - started < 10.0


NO_BROKER = """
from chainwarden.errors import BusError
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import Chain
try:
    BlockProducer(KafkaConfig("127.0.0.1:1", Chain("nowhere", 1), timeout_seconds=1.0))
except BusError as error:
    print(error)
"""


def test_no_broker_is_a_clear_error() -> None:
    """Without a broker the error names the address.

    In a process of its own: kafka-python leaves refused sockets to the garbage collector.
    """
    done = subprocess.run(
        [sys.executable, "-c", NO_BROKER], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "is a Kafka broker at 127.0.0.1:1?" in done.stdout


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_hangs_is_an_error_and_then_goes_on(tmp_path: Path) -> None:
    """A frozen broker: publishing raises in bounded time; once it is back nothing is repeated."""
    try:
        node = start_node(tmp_path)
    except BrokerMissing as why:
        pytest.skip(f"no Kafka broker: {why}")
    rig = KafkaRig(node.bootstrap, timeout_seconds=4.0)
    try:
        producer = put(rig, added(1))
        consumer = rig.consumer()
        consumer.seek({})
        assert numbers(drain(consumer, 1)) == [1]
        node.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(BusError):
            producer.publish(DurableBusContract.on(rig, added(2)))
        assert time.monotonic() - started < 15
        assert consumer.poll(0.5) == []
        node.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 30
        while True:
            try:
                producer.publish(DurableBusContract.on(rig, added(2, 3)))
            except BusError:
                assert time.monotonic() < deadline
            else:
                break
        assert numbers(drain(consumer, 2)) == [2, 3]
    finally:
        rig.close()
        node.stop()
        gc.collect()  # kafka-python leaves sockets that hung to the garbage collector


def test_a_broker_that_is_away_for_a_while_is_no_error(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting again may fail as well: reading goes on once it works."""
    producer = put(rig, added(1))
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(drain(consumer, 1)) == [1]
    connect, refusals = consumer._connect, [BusError("refused"), BusError("refused")]

    def connect_at_last() -> Any:
        if refusals:
            raise refusals.pop()
        return connect()

    def fail(*_: Any, **__: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(consumer, "_connect", connect_at_last)
    monkeypatch.setattr(consumer._consumer, "poll", fail)
    producer.publish(DurableBusContract.on(rig, added(2)))
    assert numbers(drain(consumer, 1)) == [2]
    assert not refusals


def test_the_lag_is_known_within_a_second_without_reading(rig: KafkaRig) -> None:
    """Who reads nothing for a while still knows the newest block, and how much lies before it."""
    producer = put(rig, added(1))
    consumer = rig.consumer()
    consumer.seek({})
    (first,) = drain(consumer, 1)
    with BusWatch(rig.config) as watch:
        for event in (added(2, 3), reverted(3), added(*range(4, 300))):
            producer.publish(DurableBusContract.on(rig, event))
        deadline = time.monotonic() + 1.0
        while watch.newest is None or watch.newest.number < 299:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert watch.newest.timestamp == added(299).batch.blocks["block_timestamp"][0].as_py()
        assert watch.behind(first.offsets) == consumer.lag() > 4 * 298
        assert not watch.reason()
        watch.check()
