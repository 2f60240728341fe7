"""What ``ingest`` and ``detect`` do when a real broker stops, freezes, or loses what it held."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.record import MemoryRecords

from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import BlocksAdded, Chain
from ingest.publish import load_cursor
from ingest.raw import RawBlock
from ingest.record import BlockRecorder
from ingest.simulate import Simulation, SimulationConfig
from store.lake import Lake
from store.ledger import AlertFilter, Ledger
from tests.bus.blocks import added, position
from tests.command import wait_for
from tests.conftest import ROOT
from tests.kafka_broker import BrokerMissing, KafkaNode, start_node
from tests.rigs.liar import Liar, Recording
from tests.rigs.receiver import SECRET, WebhookReceiver
from tests.rigs.warm import Command, WarmCommands

pytestmark = pytest.mark.broker

BLOCKS = 160
CHAIN = "told"
TIMEOUT = 3.0
"""Of one request to the broker, in seconds; 60 where it is not set, which no test has time for."""
ENV = {
    "CHAINWARDEN_CHAIN_ID": "1",
    "CHAINWARDEN_BUS_TIMEOUT_SECONDS": str(TIMEOUT),
    "CHAINWARDEN_BUS_PATIENCE_SECONDS": "120",
    "CHAINWARDEN_STORE_SNAPSHOT_MINUTES": "0.02",
}
DIGESTS = ("blocks", "transactions", "flows", "wallets", "alerts", "state_digest", "alerts_digest")


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmCommands]:
    """Commands that start at once."""
    with WarmCommands() as warm:
        yield warm


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A broker of these tests' own, which they may stop and freeze."""
    try:
        node = start_node(tmp_path_factory.mktemp("kafka"))
    except BrokerMissing as why:
        pytest.skip(f"no Kafka broker: {why}")
    yield node
    node.thaw()
    node.stop()


@dataclass(frozen=True)
class Told:
    """A simulated chain without its orphans, as a node tells it, and what a replay makes of it."""

    recording: Recording
    first: int
    last: int
    replayed: dict[str, Any]
    out: Path


def canonical(blocks: list[RawBlock]) -> list[RawBlock]:
    """The blocks that lead to the last one."""
    by_hash = {raw.block.hash: raw for raw in blocks}
    chain, at = [], blocks[-1].block.hash
    while at in by_hash:
        chain.append(by_hash[at])
        at = by_hash[at].block.parent_hash
    return chain[::-1]


@pytest.fixture(scope="module")
def told(warm: WarmCommands, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The chain, and an undisturbed run of it."""
    folder = tmp_path_factory.mktemp("chain")
    config = SimulationConfig(seed=5, blocks=BLOCKS, transactions_per_block=5.0)
    chain = canonical(list(Simulation(config).blocks()))
    recording = Recording()
    with BlockRecorder(folder / "chain") as recorder:
        for raw in chain:
            recorder.write(raw)
            recording.add(msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts))
    replayed = warm.start(
        "replay", recorder.blocks_file, "--chain", CHAIN, "--json", "--out", folder / "out",
        folder=folder, name="replay", env=ENV,
    ).result()  # fmt: skip
    assert replayed["alerts"] > 0
    return Told(recording, recording.numbers[0], recording.numbers[-1], replayed, folder / "out")


@dataclass
class Deployment:
    """``ingest`` and ``detect`` with a broker between them, as processes, in one folder."""

    warm: WarmCommands
    broker: KafkaNode
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    starts: int = 0

    def ingest(self, node: Liar, start: int) -> Command:
        """Follow the node."""
        return self._start(
            "ingest", "--rpc", node.url, "--start", start, "--out", self.folder / "ingest"
        )

    def detect(self, *words: object) -> Command:
        """Score what is on the bus."""
        return self._start("detect", "--out", self.folder / "detect", *words)

    def _start(self, *words: object) -> Command:
        self.starts += 1
        common = "--bootstrap", self.broker.bootstrap, "--chain", CHAIN, "--port", 0, "--json"
        name = f"{words[0]}{self.starts}"
        env = {**ENV, **self.env}
        return self.warm.start(*words, *common, folder=self.folder, name=name, env=env)


@contextmanager
def admin(broker: KafkaNode) -> Iterator[Any]:
    """Kafka's administration."""
    client = KafkaAdminClient(bootstrap_servers=[broker.bootstrap])
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def deployment(warm: WarmCommands, broker: KafkaNode, tmp_path: Path) -> Deployment:
    """Nothing runs yet, and the chain has no topics."""
    with admin(broker) as client:
        delete_topics(client)
    return Deployment(warm, broker, tmp_path)


def delete_topics(client: Any) -> None:
    """Delete the chain's topics, and wait until they are gone."""

    def ours() -> list[str]:
        return [name for name in client.list_topics() if name.startswith(f"chainwarden.{CHAIN}.")]

    if topics := ours():
        client.delete_topics(topics)
        wait_for("the topics to go", lambda: not ours(), seconds=20)


def page(command: Command, path: str) -> str | None:
    """A page of a command that runs; None while it has none."""
    address = command.address()
    if address is None:
        return None
    try:
        with urllib.request.urlopen(f"{address}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return None  # a standby that takes over closes one server and opens another


def metric(command: Command, name: str, labels: str = "") -> float | None:
    """A sample, by the beginning of its line."""
    for line in (page(command, "/metrics") or "").splitlines():
        if line.startswith(name) and labels in line:
            return float(line.rsplit(" ", 1)[1])
    return None


def head_of(command: Command, stage: str) -> float | None:
    """The number of the newest block of a stage."""
    return metric(command, "chainwarden_head_block", f'stage="{stage}"')


def reaches(command: Command, stage: str, number: int) -> None:
    """Wait until a stage has come to a block."""
    wait_for(f"block {number}", lambda: head_of(command, stage) == number, seconds=60)


def says(command: Command, words: str) -> Callable[[], bool]:
    """Whether /readyz has these words."""
    return lambda: words in (page(command, "/readyz") or "")


def end(result: dict[str, Any]) -> dict[str, Any]:
    """What a run ended with."""
    return {name: result[name] for name in DIGESTS}


@pytest.mark.timeout(300)
def test_a_broker_that_stops_and_one_that_freezes_cost_nothing(
    deployment: Deployment, told: Told
) -> None:
    """Killed and restarted, then frozen for longer than every timeout of a client: both wait.

    They say why, the cursor of ingest stays behind what was committed, and the end is a replay's,
    whatever bytes somebody else wrote on the topics meanwhile.
    """
    with Liar(told.recording) as node:
        node.head = told.first + 40
        ingest, detect = deployment.ingest(node, told.first), deployment.detect()
        reaches(detect, "detect", node.head)

        deployment.broker.stop()
        node.head += 30
        wait_for("ingest to say so", says(ingest, "waiting for the bus"), seconds=30)
        wait_for("detect to say so", says(detect, "has not answered"), seconds=30)
        (path,) = (deployment.folder / "ingest").glob("*.cursor.json")
        cursor = load_cursor(path)
        assert cursor is not None
        assert cursor.recent[-1].number == told.first + 40
        assert (metric(ingest, "chainwarden_bus_away_seconds") or 0) > 0
        assert (metric(detect, "chainwarden_bus_away_seconds") or 0) > 0
        deployment.broker.start()
        reaches(detect, "detect", node.head)
        assert page(detect, "/readyz") == page(ingest, "/readyz") == "ready\n"

        deployment.broker.freeze()
        node.head += 30
        time.sleep(2 * TIMEOUT)
        wait_for("ingest to say so", says(ingest, "waiting for the bus"), seconds=30)
        wait_for("detect to say so", says(detect, "has not answered"), seconds=30)
        deployment.broker.thaw()
        reaches(detect, "detect", node.head)

        letters = poison(deployment.broker, 100)
        node.head = told.last
        reaches(detect, "detect", node.head)
        buried = partial(metric, detect, "chainwarden_dead_letters_total")
        wait_for("the dead letters", lambda: buried() == letters, seconds=20)
        for command in (ingest, detect):
            command.send(15)
        assert ingest.wait() == 0, ingest.errors()
        assert end(detect.result()) == end(told.replayed), detect.errors()


UNHEARD = """
import sys, threading, time
from dataclasses import replace
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.patience import Patience
from chainwarden.schema import Chain
from tests.bus.blocks import added

def publish(number):
    one = added(number)
    event = replace(one, batch=replace(one.batch, chain=config.chain))
    Patience(120.0, threading.Event()).until_taken(lambda: producer.publish(event))

config = KafkaConfig(sys.argv[1], Chain(sys.argv[2], 1), timeout_seconds=float(sys.argv[3]))
producer = BlockProducer(config)
publish(1)
print("ready", flush=True)
for line in sys.stdin:
    publish(int(line))
    print("taken", flush=True)
print(*[mark.position.number for mark in producer.since(0)], flush=True)
producer.close()
"""


@pytest.mark.timeout(300)
def test_what_the_broker_never_heard_of_is_not_taken_for_published(broker: KafkaNode) -> None:
    """Records that expire just before the broker is back are in no transaction, and the client then
    commits that all the same; and a broker that is killed within milliseconds of a commit may never
    carry it out. What counts as published is on the bus nevertheless.

    In a process of its own: kafka-python leaves sockets that hung to the garbage collector.
    """
    broker.stop()
    began = time.monotonic()
    broker.start()
    back = time.monotonic() - began
    words = broker.bootstrap, f"unheard-{time.time_ns()}", f"{back + 0.5:.1f}"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", UNHEARD, *words],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            for number in range(2, 5):
                broker.stop()
                child.stdin.write(f"{number}\n")
                child.stdin.flush()
                broker.start()
                assert child.stdout.readline() == "taken\n"
            child.stdin.close()
            numbers = dict.fromkeys(map(int, child.stdout.readline().split()))
            assert list(numbers) == list(range(1, 5))  # some perhaps twice
        finally:
            child.stdin.close()
    assert child.returncode == 0


def event(chain: Chain, number: int, fork: int = 0) -> BlocksAdded:
    """A block of that chain."""
    one = added(number, fork=fork)
    return replace(one, batch=replace(one.batch, chain=chain))


@pytest.mark.timeout(300)
def test_what_a_broker_left_open_for_ever_is_no_part_of_what_comes_next(broker: KafkaNode) -> None:
    """Killed between the acknowledgement of a commit and its mark, it takes the transaction for
    complete: the next commit would be one of those records, too. Here the mark is cut off.
    """
    config = KafkaConfig(broker.bootstrap, Chain(f"open-{time.time_ns()}", 1), timeout_seconds=30.0)
    with closing(BlockProducer(config)) as producer:
        producer.publish(event(config.chain, 1))
    BlockProducer(config).close()  # it starts when the coordinator has done with the transaction
    broker.stop()
    for log in (broker.folder / "data").glob(f"chainwarden.{config.chain.name}.*/*.log"):
        if data := log.read_bytes():
            records, marks = list(MemoryRecords(data)), []
            while records and records[-1].is_control_batch:
                marks.append(records.pop())
            assert len(marks) == 1
            log.write_bytes(data[: -marks[0].size_in_bytes])
    broker.start()
    with closing(BlockProducer(config)) as producer:
        assert producer.since(0) == []
        producer.publish(event(config.chain, 1, fork=1))
        assert [mark.position for mark in producer.since(0)] == [position(1, fork=1)]


@pytest.mark.timeout(300)
def test_a_broker_that_comes_back_with_an_older_disk_costs_nothing(
    deployment: Deployment, told: Told
) -> None:
    """Its power was cut before its disk had the last blocks: ingest publishes them again."""
    broker = deployment.broker
    disk, older = broker.folder / "data", deployment.folder / "older"
    with Liar(told.recording) as node:
        node.head = told.first + 40
        ingest, detect = deployment.ingest(node, told.first), deployment.detect()
        reaches(detect, "detect", node.head)
        # A transaction open on the older disk would be aborted there, which fences ingest off.
        wait_for("ingest to be idle", partial(is_idle, deployment), seconds=20)
        broker.stop()
        shutil.copytree(disk, older)
        broker.start()
        node.head += 30
        reaches(detect, "detect", node.head)
        broker.stop()
        shutil.rmtree(disk)
        shutil.copytree(older, disk)
        broker.start()
        node.head += 1
        assert ingest.wait(60) == 5
        assert "came back without blocks that it had taken" in ingest.errors()
        ingest = deployment.ingest(node, told.first)
        reaches(ingest, "ingest", node.head)
        assert "the bus lost blocks" in ingest.errors()
        node.head = told.last
        reaches(detect, "detect", node.head)
        detect.send(15)
        assert end(detect.result()) == end(told.replayed), detect.errors()
        ingest.send(15)


def is_idle(deployment: Deployment) -> bool:
    """Whether ingest publishes nothing for three seconds, what is final included."""
    (path,) = (deployment.folder / "ingest").glob("*.cursor.json")
    before = path.read_bytes()
    time.sleep(3.0)
    return path.read_bytes() == before


def poison(broker: KafkaNode, count: int) -> int:
    """Write bytes that are no records on both topics; returns how many values."""
    rng = random.Random(7)
    client = KafkaProducer(bootstrap_servers=[broker.bootstrap])
    halves = [b"{", b'{"version":1,', b"[" * 3000, b"null", b'{"version":1,"chain":"told"}', b""]
    for _ in range(count):
        for topic in ("blocks", "transactions"):
            value = rng.choice(halves) + rng.randbytes(rng.randrange(1, 300))
            client.send(f"chainwarden.{CHAIN}.{topic}", value, partition=0)
    client.close(timeout=10)
    return 2 * count


@pytest.mark.timeout(300)
def test_a_broker_that_stays_away_ends_both_with_exit_code_5(
    deployment: Deployment, told: Told
) -> None:
    """Patience ends with one line that says what to do, for whoever supervises them."""
    deployment.env = {"CHAINWARDEN_BUS_PATIENCE_SECONDS": "6"}
    with Liar(told.recording) as node:
        node.head = told.first + 5
        ingest, detect = deployment.ingest(node, told.first), deployment.detect()
        reaches(detect, "detect", node.head)
        deployment.broker.stop()
        try:
            node.head += 5
            assert (ingest.wait(60), detect.wait(60)) == (5, 5)
        finally:
            deployment.broker.start()
    assert "is the Kafka broker at" in ingest.errors() or "is a Kafka" in ingest.errors()
    assert "start the broker, then this process: it goes on where it was" in detect.errors()


@pytest.mark.timeout(300)
def test_what_the_broker_lost_is_fetched_from_a_node(deployment: Deployment, told: Told) -> None:
    """Records deleted before they were read, then topics made anew: the end is a replay's.

    Without a node the first is an error that says what to do, and nothing is skipped.
    """
    broker = deployment.broker
    with Liar(told.recording) as node:
        node.head = told.first + 40
        ingest, detect = deployment.ingest(node, told.first), deployment.detect()
        reaches(detect, "detect", node.head)
        detect.send(15)
        assert detect.wait() == 0
        node.head += 30
        reaches(ingest, "ingest", node.head)
        with admin(broker) as client:
            delete_records(client)
        halted = deployment.detect()
        node.head += 10
        assert halted.wait(60) == 5
        assert "what is between them is not on it (give --rpc" in halted.errors()

        detect = deployment.detect("--rpc", node.url)
        reaches(detect, "detect", node.head)
        fetched = partial(metric, detect, "chainwarden_backfilled_blocks_total")
        wait_for("the count", lambda: fetched() == 30, seconds=5)
        ingest.send(15)
        assert ingest.wait() == 0
        with admin(broker) as client:
            delete_topics(client)
        node.head += 30
        ingest = deployment.ingest(node, told.first)
        reaches(detect, "detect", node.head)
        node.head = told.last
        reaches(detect, "detect", node.head)
        assert fetched() == 30  # the new topics go on where the old ones ended
        detect.send(15)
        assert end(detect.result()) == end(told.replayed), detect.errors()
        ingest.send(15)


def delete_records(client: Any) -> None:
    """Delete everything that is on the chain's topics now, as retention would."""
    names = {f"chainwarden.{CHAIN}.blocks": 1, f"chainwarden.{CHAIN}.transactions": 4}
    every = [TopicPartition(name, n) for name, count in names.items() for n in range(count)]
    client.delete_records(dict.fromkeys(every, -1))


@pytest.mark.timeout(300)
def test_a_standby_takes_over_from_a_killed_process_and_nobody_is_told_twice(
    deployment: Deployment, told: Told
) -> None:
    """Killed in mid-stream: ledger, lake and receiver are those of an undisturbed run.

    While both live one delivers; the other says that it stands by, with the newest snapshot.
    """
    with Liar(told.recording) as node, WebhookReceiver() as receiver:
        deployment.env = {
            "CHAINWARDEN_WEBHOOK_URL": receiver.url,
            "CHAINWARDEN_WEBHOOK_SECRET": SECRET,
            "CHAINWARDEN_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "CHAINWARDEN_STORE_SNAPSHOT_MINUTES": "0.05",
        }
        node.head = told.first + 50
        ingest, leader = deployment.ingest(node, told.first), deployment.detect()
        reaches(leader, "detect", node.head)
        standby, needless = deployment.detect("--standby"), deployment.detect("--standby")
        by = f"standing by for process {leader.pid}\n"
        wait_for("the standby", lambda: page(standby, "/readyz") == by, seconds=60)
        wait_for("the other one", says(needless, "standing by"), seconds=60)
        needless.send(15)
        assert needless.result() == {"took_over": False}
        assert metric(standby, "chainwarden_standby") == 1
        assert metric(leader, "chainwarden_standby") == 0

        node.head = told.last
        wait_for("half", lambda: (head_of(leader, "detect") or 0) > told.first + 80, seconds=60)
        assert "chainwarden_deliveries_total{" not in (page(standby, "/metrics") or "")
        leader.send(9)
        killed = time.monotonic()
        wait_for("the takeover", lambda: "taking over" in standby.errors(), seconds=10)
        reaches(standby, "detect", node.head)
        print(f"at the head {time.monotonic() - killed:.1f} s after the kill")
        assert metric(standby, "chainwarden_standby") == 0
        expected = alert_ids(told.out)
        wait_for("the receiver", lambda: len(receiver.accepted()) >= len(expected), seconds=30)
        standby.send(15)
        assert end(standby.result()) == end(told.replayed), standby.errors()
        ingest.send(15)

        assert sorted(one.id for one in receiver.accepted()) == sorted(expected)
        assert len(receiver.received) <= len(expected) + 1  # what was under way when it was killed
    out = deployment.folder / "detect"
    assert alert_ids(out) == expected
    assert block_hashes(out) == block_hashes(told.out)


def alert_ids(out: Path) -> list[str]:
    """The ids of a ledger's alerts, retracted ones as well, in order of arrival."""
    with Ledger.open(out / "ledger.duckdb", Chain(CHAIN, 1), "replay") as ledger:
        wanted = AlertFilter(status="all", limit=10_000, oldest_first=True)
        return [record.alert.id for record in ledger.records(wanted)]


def block_hashes(out: Path) -> list[bytes]:
    """The blocks of a lake, as its manifest says, each file checked."""
    lake = Lake(out / "lake", Chain(CHAIN, 1))
    with Ledger.open(out / "ledger.duckdb", lake.chain, "replay") as ledger:
        assert lake.verify(ledger.files()) == ()
        table = lake.read(ledger.files("blocks")).sort_by("block_number")
    return [bytes(one) for one in table["block_hash"].to_pylist()]
