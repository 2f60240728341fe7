"""What nodes do beside lying about blocks: heads that nobody knows, silence, limits, monsters."""

from __future__ import annotations

import copy
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from websockets.sync.server import ServerConnection

from chainwarden.errors import EndpointError
from chainwarden.live import accept_blocks
from chainwarden.memory_bus import MemoryBus
from chainwarden.metrics import Metrics
from chainwarden.schema import ETHEREUM, BlocksAdded, Chain
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.labels import LabelBook, builtin_labels
from detect.rules import default_rules
from ingest.chain import ChainFollower
from ingest.codec import header_hash, logs_bloom
from ingest.decode import decode_blocks
from ingest.heads import HeadDoorbell
from ingest.live import LiveConfig, live
from ingest.raw import RawBlock, RpcBlock, RpcLog
from ingest.rpc import RpcSource, whole
from tests.ingest import test_heads
from tests.ingest.made_blocks import TRANSFER, receipt, reseal, seal, signed, worst_block
from tests.ingest.test_lies import SEVERAL, accept, raws, truth
from tests.rigs.course import QUICK, Accept, Course, Told, follow
from tests.rigs.liar import Answer, Json, Liar, Recording
from tests.rigs.lies import MODES, RETRY_AFTER_SECONDS

__all__ = ["accept", "raws", "truth"]  # fixtures

SYSTEM = "0xfffffffffffffffffffffffffffffffffffffffe"


def sibling(block: Json, receipts: list[Json]) -> tuple[Json, list[Json]]:
    """The same block with another word in its header, and all that follows from that."""
    made = msgspec.convert(block, RpcBlock)
    made.extra_data = "0x" + b"forged".hex()
    old, new = made.hash, "0x" + header_hash(made).hex()
    body = msgspec.json.encode((msgspec.to_builtins(made), receipts))
    twin, theirs = msgspec.json.decode(body.replace(old.encode(), new.encode()))
    return twin, theirs


# --- heads ----------------------------------------------------------------------------------------


def forges(node: Liar) -> None:
    """From now on its head, its blocks by number and what it calls final are its own inventions.

    They agree with themselves: every root and hash is right.
    """

    blocks: dict[str, Json] = {}
    receipts: dict[str, list[Json]] = {}

    def tamper(method: str, params: list[Json], truth: Json) -> Json:
        match method:
            case "eth_getBlockByNumber" if truth:
                twin, theirs = sibling(truth, node.recording.receipts[truth["hash"]])
                blocks[twin["hash"]], receipts[twin["hash"]] = twin, theirs
                return twin
            case "eth_getBlockByHash":
                return blocks.get(params[0], truth)
            case "eth_getBlockReceipts":
                return receipts.get(params[0], truth)
        return truth

    node.tamper = tamper


def test_what_one_of_three_forges_never_comes_out(
    raws: list[RawBlock], accept: Accept, truth: Told
) -> None:
    """Heads, ranges and finality that one endpoint of three invents: nothing of it is published.

    So no alert can come of it. It is asked first, and every invention is counted.
    """
    course = Course(raws)
    with ExitStack() as stack:
        nodes = [course.joined(stack.enter_context(Liar(course.recording))) for _ in range(3)]
        forges(nodes[0])
        source = RpcSource([each.url for each in nodes], ETHEREUM, SEVERAL)
        told = follow(course, stack.enter_context(source), accept)
    forged = [params[0] for _, method, params in nodes[0].lies if method == "eth_getBlockByNumber"]
    heads, stats = forged.count("latest"), source.stats
    numbers = sum(each.startswith("0x") for each in forged)
    print(f"#N18 {heads} heads, {numbers} blocks, {len(forged)} in all; {stats}")
    assert told.steps == truth.steps
    assert told.same_content(truth)
    assert {position.hash for position in told.final} <= {p.hash for p in truth.chain}
    assert heads > 50
    assert numbers > 100
    assert stats.unconfirmed_heads == heads
    assert stats.unconfirmed_blocks == numbers


def test_forks_between_any_two_calls_come_right(
    raws: list[RawBlock], accept: Accept, truth: Told
) -> None:
    """A head that flips to a sibling and back at any request ends on the chain of a replay."""
    course, rng = Course(raws), random.Random(8)
    with (
        Liar(course.recording) as liar,
        RpcSource([course.joined(liar).url], config=QUICK) as source,
    ):
        source.connect()
        twins: dict[str, str] = {}
        known = course.recording

        def flip(_: Json) -> None:
            number = liar.head
            current = known.by_number[number]
            canonical = "0x" + course.head.hash.hex()
            if canonical not in twins:
                block, receipts = sibling(known.by_hash[canonical], known.receipts[canonical])
                known.by_hash[block["hash"]] = block
                known.receipts[block["hash"]] = receipts
                twins[canonical] = block["hash"]
            if rng.random() < 0.3 and number == course.head.number:
                known.by_number[number] = canonical if current != canonical else twins[canonical]
            elif rng.random() < 0.5:
                known.by_number[number] = canonical

        liar.intercept = flip
        told = follow(course, source, accept)
    flips = told.reverted - truth.reverted
    print(f"#N8 forks: {flips} more reverted, {source.stats}")
    assert told.chain == truth.chain
    assert flips > 10


# --- the doorbell ---------------------------------------------------------------------------------


def silent(connection: ServerConnection) -> None:
    """Open, and nothing comes."""
    connection.recv(timeout=30)


def oversize(connection: ServerConnection) -> None:
    """A frame of 2 MB."""
    connection.send("x" * (2 << 20))
    connection.recv(timeout=30)


def closing(connection: ServerConnection) -> None:
    """Closed as soon as it is open."""
    connection.close()


def garbage(connection: ServerConnection) -> None:
    """Bytes that are no JSON, and heads of a chain that is not there."""
    for _ in range(200):
        connection.send(b"\xff\x00\x01")
        connection.send('{"method":"eth_subscription","params":{"result":{"number":"0xffff"}}}')


@pytest.mark.parametrize("behave", [silent, oversize, closing, garbage])
def test_no_doorbell_loses_a_block(
    raws: list[RawBlock],
    accept: Accept,
    truth: Told,
    behave: Callable[[ServerConnection], None],
) -> None:
    """Whatever the WebSocket does, a thousand blocks come as without it."""

    def quietly(connection: ServerConnection) -> None:
        with suppress(TimeoutError):
            behave(connection)

    course = Course(raws)
    with (
        test_heads.websocket(quietly) as url,
        Liar(course.recording) as node,
        RpcSource([course.joined(node).url], ETHEREUM, QUICK) as source,
    ):
        bell = HeadDoorbell(url, test_heads.HASTY)
        told = follow(course, source, accept, doorbell=bell)
        print(f"#N10/N11 {behave.__name__}: {bell.connections} connections, {bell.rings} rings")
        assert bell.connections >= 1
    assert told.steps == truth.steps
    assert told.same_content(truth)


def test_a_silent_websocket_costs_two_seconds_not_thirty() -> None:
    """With the usual pauses a head that nobody rings for is there after at most 2.5 s."""
    recording = Recording()
    recording.grow(3)
    stop, seen = threading.Event(), [0.0]
    with (
        test_heads.websocket(silent) as url,
        Liar(recording) as node,
        RpcSource([node.url], ETHEREUM) as source,
    ):
        events = live(
            source,
            ChainFollower(linked=True),
            Accept(ETHEREUM),
            start=100,
            stop=stop,
            doorbell=HeadDoorbell(url),
            config=LiveConfig(),
        )

        def mine() -> None:
            recording.grow(1)
            seen[0] = time.monotonic()
            node.head += 1

        timer = threading.Timer(4.0, mine)  # by then the pauses are at their longest
        timer.start()
        for event in events:
            if isinstance(event, BlocksAdded) and event.batch.position(-1).number == 103:
                stop.set()
                took = time.monotonic() - seen[0]
        timer.join()
    print(f"#N10 noticed after {took:.2f} s")
    assert took < 2.5


# --- limits ---------------------------------------------------------------------------------------


def test_one_request_at_most_in_a_window_of_retry_after(
    raws: list[RawBlock], accept: Accept, truth: Told
) -> None:
    """Of all requests that could know of it, none comes before the wait is over, and then one."""
    course = Course(raws)
    with (
        Liar(course.recording) as node,
        RpcSource([course.joined(node).url], ETHEREUM, replace(QUICK, in_flight=4)) as source,
    ):
        MODES["asked_too_often"].lie(random.Random(5), node)
        told = follow(course, source, accept)
        limited = sorted({when for when, _, _ in node.lies})
        worst = 0
        for when in limited:
            # What was under way when the answer came could not know of it.
            window = [p for p in node.posts if when + 0.02 < p < when + RETRY_AFTER_SECONDS - 0.005]
            worst = max(worst, len(window))
        print(f"#N12 {len(limited)} windows, at most {worst} requests in one")
    assert told.steps == truth.steps
    assert len(limited) > 30
    assert worst <= 1


def test_after_a_limit_one_request_tries_whether_it_is_over() -> None:
    """However much waits for it, a node that goes on refusing is asked once in a window."""
    recording, window = Recording(), 0.2
    recording.grow(40)
    patient = replace(QUICK.pool, deadline_seconds=1.5)
    config = replace(QUICK, in_flight=4, first_batch_blocks=4, pool=patient)
    with Liar(recording) as node, RpcSource([node.url], ETHEREUM, config) as source:
        assert source.head().number == 139
        before = len(node.posts)
        node.intercept = lambda _: Answer(b"", 429, {"Retry-After": str(window)})
        with pytest.raises(EndpointError):
            list(source.range(100, 140))
        asked = len(node.posts) - before
    assert asked <= config.in_flight + patient.deadline_seconds / window + 1


def test_sockets_and_threads_stay_as_few_as_they_are(raws: list[RawBlock], accept: Accept) -> None:
    """Thousands of requests, broken and limited ones among them, leave nothing open behind them."""

    def own_threads() -> int:
        return sum(each.name.startswith("chainwarden") for each in threading.enumerate())

    counts, requests = [], 0  # sockets of both ends are this process's
    with ExitStack() as stack:
        course = Course(raws)
        nodes = [course.joined(stack.enter_context(Liar(course.recording))) for _ in range(2)]
        source = RpcSource([each.url for each in nodes], ETHEREUM, SEVERAL)
        stack.enter_context(source)
        for turn, name in enumerate(("answers_that_break_off", "nonsense", "null") * 2):
            nodes[0].intercept, nodes[0].tamper = lambda _: None, lambda _m, _p, truth: truth
            MODES[name].lie(random.Random(turn), nodes[0])
            for number in course.recording.numbers:
                assert accept(source.fetch(number, whole)).blocks["verified"][0].as_py()
            requests = source.stats.requests
            counts.append((len(os.listdir("/proc/self/fd")), own_threads()))
            while course.head.number < course.first + 100 * (turn + 2):
                course.move()
    print(f"#N17 {requests} requests, (files, threads) after each: {counts}")
    assert requests > 3_000
    files, threads = zip(*counts, strict=True)
    assert max(files) <= files[0] + 4
    assert max(threads) <= 2


# --- what nobody knows yet ------------------------------------------------------------------------


def generations() -> Recording:
    """A chain of every shape of header that there was, and two that there are not yet."""
    made, parent = Recording(), "0x" + "00" * 32
    for number, fields in enumerate((15, 16, 17, 20, 21, 22, 21, 23, 21), 100):
        kind = "legacy" if fields < 16 else "dynamic_fee"
        tx = signed(kind, number)[0]
        if fields >= 16:
            tx.gas_price = hex(2 * 10**9)
        raw = seal([tx], [receipt(tx, 2)])
        block = raw.block
        # London begins with a base fee of 1 gwei, which stands, and blocks twice as large.
        block.base_fee_per_gas = hex(10**9)
        block.gas_limit = hex((1 if fields < 16 else 2) * int(block.gas_used, 16))
        block.number, block.parent_hash = hex(number), parent
        block.timestamp = hex(0x65000000 + 12 * number)
        if fields >= 20:
            block.blob_gas_used = block.excess_blob_gas = "0x0"
            block.parent_beacon_block_root = "0x" + "07" * 32
        if fields >= 21:
            block.requests_hash = "0x" + "08" * 32
        if fields < 16:
            block.base_fee_per_gas = None
        reseal(raw)
        old = block.hash
        if fields < 17:
            block.withdrawals = block.withdrawals_root = None
            block.hash = "0x" + header_hash(block).hex()
        elif fields == 22:  # a field that nobody knows, which its hash covers
            block.hash = "0x" + "ab" * 32
        text = msgspec.json.encode((msgspec.to_builtins(block), msgspec.to_builtins(raw.receipts)))
        body, receipts = msgspec.json.decode(text.replace(old.encode(), block.hash.encode()))
        if fields == 22:
            body["inclusionListRoot"] = "0x" + "09" * 32
        if fields == 23:  # a type of transaction that nobody knows
            for thing in (body["transactions"][0], receipts[0]):
                thing["type"] = "0x6a"
            old, new = body["transactions"][0]["hash"], "0x" + "cd" * 32
            text = msgspec.json.encode((body, receipts)).replace(old.encode(), new.encode())
            body, receipts = msgspec.json.decode(text)
        made.add(body, receipts)
        parent = body["hash"]
    return made


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_what_nobody_knows_is_followed_and_flagged(nodes: int) -> None:
    """Headers of 15 to 21 fields verify; an unknown field and an unknown type are unverified.

    Where there are other nodes they are asked, too, and no other block is asked for twice.
    """
    recording, stop = generations(), threading.Event()
    metrics = Metrics(CollectorRegistry(), "ethereum")
    flags: list[bool] = []
    with ExitStack() as stack:
        liars = [stack.enter_context(Liar(recording)) for _ in range(nodes)]
        source = RpcSource([each.url for each in liars], ETHEREUM, QUICK)
        stack.enter_context(source)
        accepting = accept_blocks(ETHEREUM, metrics)
        follower = ChainFollower(linked=True)
        for event in live(source, follower, accepting, start=100, stop=stop, config=LiveConfig()):
            if isinstance(event, BlocksAdded):
                flags += event.batch.blocks["verified"].to_pylist()
            if follower.head is not None and follower.head.number == recording.numbers[-1]:
                stop.set()
    assert flags == [True, True, True, True, True, False, True, False, True]
    value = metrics.registry.get_sample_value
    labels = {"chain": "ethereum", "outcome": "unverified"}
    assert value("chainwarden_blocks_total", labels) == 2 * nodes
    assert source.stats.not_yet == 2 * (nodes - 1)
    assert value("chainwarden_blocks_total", {**labels, "outcome": "rejected"}) == 0


def test_logs_of_native_transfers_count_nothing_twice(raws: list[RawBlock]) -> None:
    """With EIP-7708's logs of every payment the flows are, one by one, those without them."""

    def flows(blocks: list[RawBlock]) -> Counter[tuple[object, ...]]:
        kept = ("block_number", "kind", "token", "from_address", "to_address", "value")
        found: Counter[tuple[object, ...]] = Counter()
        for raw in blocks:
            table = decode_blocks(ETHEREUM, [raw], [True]).flows
            names = [name for name in kept if name in table.column_names]
            found.update(zip(*(table[name].to_pylist() for name in names), strict=True))
        return found

    plain = raws[:150]
    added, logged = 0, copy.deepcopy(plain)
    for raw in logged:
        for tx, one in zip(raw.block.transactions, raw.receipts or (), strict=True):
            if tx.to is not None and int(tx.value, 16) and one.status == "0x1":
                words = ["0x" + each[2:].rjust(64, "0") for each in (tx.from_, tx.to, tx.value)]
                one.logs.append(RpcLog(SYSTEM, [TRANSFER, *words[:2]], words[2]))
                one.logs_bloom = "0x" + logs_bloom(one.logs).hex()
                added += 1
        every = [log for one in raw.receipts or () for log in one.logs]
        raw.block.logs_bloom = "0x" + logs_bloom(every).hex()
        reseal(raw)
        assert accept_blocks(ETHEREUM, Metrics(CollectorRegistry(), "x"))(raw)
    assert added > 100
    assert flows(logged) == flows(plain)


# --- the largest block there can be ---------------------------------------------------------------


def resident_bytes() -> int:
    """This process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(300)
def test_the_largest_block_goes_through_in_time() -> None:
    """34,168 logs from a node's JSON to scored flows: verified, in 12 s, in bounded memory."""
    recording = Recording()
    recording.grow(3)
    large = worst_block(103, recording.by_number[102])
    recording.add(msgspec.to_builtins(large.block), msgspec.to_builtins(large.receipts))
    metrics, bus = Metrics(CollectorRegistry(), "ethereum"), MemoryBus(chain=ETHEREUM)
    book = LabelBook(builtin_labels())
    rules = default_rules(book, ETHEREUM)
    detector = Detector(ETHEREUM, DetectorConfig(), rules, AlertPolicy(ETHEREUM, labels=book))
    accepting = accept_blocks(ETHEREUM, metrics)
    with Liar(recording) as node, RpcSource([node.url], ETHEREUM) as source:
        for number in (100, 101, 102):  # everything is compiled, and memory is what it is at rest
            detector.process(source.fetch(number, accepting))
        before, began = resident_bytes(), time.perf_counter()
        bus.publish(BlocksAdded(source.fetch(103, accepting)))
        delivered = bus.poll(1.0)
        assert isinstance(delivered[0].event, BlocksAdded)
        batch = delivered[0].event.batch
        detector.process(batch)
        took = time.perf_counter() - began
        grown = resident_bytes() - before
    body = len(msgspec.json.encode(large.receipts))
    print(f"#N21 {body / 1e6:.1f} MB in {took:.2f} s, {grown / 1e6:.0f} MB more")
    assert batch.blocks["verified"].to_pylist() == [True]
    assert batch.flows.num_rows >= 34_168
    assert took < 12
    assert grown < 20 * body


# --- time -----------------------------------------------------------------------------------------


def test_no_clock_but_the_chains_matters(raws: list[RawBlock], accept: Accept) -> None:
    """Block times that stand, fall and leap, true to their roots, are followed like any others.

    So they are on a development node, whose user sets the time. What comes out is what a replay of
    the blocks gives; the wall clock, years off, changes nothing.
    """
    parent, leaps = raws[0].block.parent_hash, (0, -7, 12, 10**9, -(10**9), 1)
    odd = []
    for place, raw in enumerate(copy.deepcopy(raws[:120])):
        raw.block.parent_hash = parent
        raw.block.number = hex(100 + place)
        raw.block.timestamp = hex(int(raw.block.timestamp, 16) + leaps[place % len(leaps)])
        reseal(raw)
        parent = raw.block.hash
        odd.append(raw)
    course, development = Course(odd), Chain("anvil", 31337)
    with (
        Liar(course.recording, development.id) as node,
        RpcSource([node.url], development, QUICK) as source,
    ):
        course.joined(node)
        told = follow(course, source, accept)
    replayed = Told()
    for raw in odd:
        replayed.hear(BlocksAdded(accept(raw)))
    assert told.steps == replayed.steps
    assert told.same_content(replayed)
    assert detected(told) == detected(replayed)


def detected(told: Told) -> str:
    """The digest of a detector that was given these events."""
    book = LabelBook(builtin_labels())
    rules = default_rules(book, ETHEREUM)
    detector = Detector(ETHEREUM, DetectorConfig(), rules, AlertPolicy(ETHEREUM, labels=book))
    for event in told.events:
        assert isinstance(event, BlocksAdded)
        detector.process(event.batch, event.gap)
    return detector.digest()
