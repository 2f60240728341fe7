"""RpcSource against a real node, and against one that fails and lies."""

from __future__ import annotations

import gzip
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web3 import Web3
from web3.types import TxData

from chainwarden.errors import BadBlock, EndpointError, NotYet, SettingsError, SourceError
from chainwarden.schema import Chain, Position
from ingest.answers import read_block, read_calls, read_position, read_receipts
from ingest.endpoint import Endpoint, EndpointConfig, _retry_after
from ingest.fault import Fault, NodeError, classify
from ingest.pool import PoolConfig, Stopped
from ingest.raw import RawBlock, RpcBlock, RpcCall
from ingest.rpc import RpcConfig, RpcSource
from ingest.verify import Verifier
from tests.anvil import Anvil
from tests.ingest.real_blocks import load
from tests.rigs.liar import Answer, Json, Liar, Oops, Recording, Tamper

QUICK = RpcConfig(
    pool=PoolConfig(
        deadline_seconds=1,
        patience_seconds=0.3,
        pause_seconds=0.02,
        longest_pause_seconds=0.2,
        endpoint=EndpointConfig(timeout_seconds=0.5),
    )
)


@pytest.fixture(scope="session")
def recording() -> Recording:
    """Forty blocks that commit to what they hold. Tests leave it as it is."""
    made = Recording()
    made.grow(40)
    return made


@pytest.fixture
def liar(recording: Recording) -> Iterator[Liar]:
    """A node that has the recording."""
    with Liar(recording) as server:
        yield server


@pytest.fixture
def honest(recording: Recording) -> Iterator[Liar]:
    """Another node that has the recording and always tells the truth."""
    with Liar(recording) as server:
        yield server


@pytest.fixture
def sources() -> Iterator[Any]:
    """Opens sources that are closed after the test."""
    with ExitStack() as stack:

        def source(*liars: Liar, config: RpcConfig = QUICK) -> RpcSource:
            return stack.enter_context(RpcSource([each.url for each in liars], config=config))

        yield source


def hash_at(recording: Recording, index: int) -> bytes:
    """The hash of the recording's block of that index."""
    return bytes.fromhex(recording.by_number[recording.numbers[index]][2:])


def all_of(source: RpcSource, recording: Recording) -> list[RawBlock | BadBlock]:
    """The whole recording by range."""
    return list(source.range(recording.numbers[0], recording.numbers[-1] + 1))


def on(method: str, change: Callable[[Json], Json]) -> Tamper:
    """A tamper that changes the results of one method."""
    return lambda name, _, result: change(result) if name == method else result


def always(answer: Answer | None) -> Callable[[Json], Answer | None]:
    """An intercept that answers everything with the same."""
    return lambda _: answer


def is_whole(blocks: list[RawBlock | BadBlock], recording: Recording) -> bool:
    """Every block is there, in order, itself, and verified with its receipts."""
    expected = [recording.by_number[number] for number in recording.numbers]
    return [b.block.hash for b in blocks if isinstance(b, RawBlock)] == expected and all(
        isinstance(b, RawBlock) and b.receipts is not None and Verifier().verify(b) for b in blocks
    )


# --- a real node ---------------------------------------------------------------------------------


@pytest.mark.anvil
def test_a_range_is_what_web3_says(anvil: Anvil) -> None:
    """200 blocks of a real node equal web3.py's own answers, receipts and senders included."""
    for block in range(20):
        for payment in range(block % 4):
            anvil.pay(1 + payment, sender=payment)
        anvil.mine(10)
    web3 = Web3(Web3.HTTPProvider(anvil.url))
    with RpcSource([anvil.url]) as source:
        assert source.chain == Chain("anvil", 31337)
        blocks = list(source.range(0, 201))
        assert source.stats.retries == 0
    assert len(blocks) == 201
    for number, raw in enumerate(blocks):
        assert isinstance(raw, RawBlock)
        theirs = web3.eth.get_block(number, full_transactions=True)
        assert raw.block.hash == theirs["hash"].to_0x_hex()
        assert int(raw.block.timestamp, 16) == theirs["timestamp"]
        whole = cast("Sequence[TxData]", theirs["transactions"])
        for ours, tx in zip(raw.block.transactions, whole, strict=True):
            assert ours.hash == tx["hash"].to_0x_hex()
            assert Web3.to_checksum_address(ours.from_) == tx["from"]
            assert int(ours.value, 16) == tx["value"]
        assert raw.receipts is not None
        for mine, theirs_too in zip(raw.receipts, web3.eth.get_block_receipts(number), strict=True):
            assert int(mine.gas_used, 16) == theirs_too["gasUsed"]
            assert mine.transaction_hash == theirs_too["transactionHash"].to_0x_hex()
        assert Verifier().verify(raw)
    provider: Any = web3.provider
    provider._request_session_manager.session_pool.shutdown()


@pytest.mark.anvil
def test_single_blocks_of_a_real_node(anvil: Anvil) -> None:
    """Head, finalized block, by hash and by number agree; what is not there is NotYet."""
    anvil.mine(70)
    with RpcSource([anvil.url], config=QUICK) as source:
        head = source.head()
        assert head.number == 70
        assert source.block_by_hash(head.hash) == source.block_by_number(70)
        final = source.finalized()
        assert final is not None
        assert source.block_by_number(final.number).block.hash == f"0x{final.hash.hex()}"
        with pytest.raises(NotYet):
            source.block_by_hash(bytes(32))
        with pytest.raises(NotYet):
            source.block_by_number(71)


@pytest.mark.anvil
def test_web3_asks_through_the_same_endpoints(anvil: Anvil) -> None:
    """One-off calls with web3.py work, fail over, and an error is an answer that is not retried."""
    with RpcSource(["http://127.0.0.1:9", anvil.url], config=QUICK) as source:
        web3 = source.web3
        account = web3.eth.accounts[0]
        assert web3.eth.get_balance(account) == 10_000 * 10**18
        assert web3.eth.chain_id == 31337
        before = source.stats.retries
        with pytest.raises(NodeError, match="-32602") as refused:
            source.call("eth_getBalance", ["nonsense"])
        assert refused.value.fault is Fault.REFUSED
        assert source.stats.retries <= before + 1  # past the endpoint that is down


@pytest.mark.anvil
def test_call_trees_come_flat(anvil: Anvil) -> None:
    """With traces on, calls within calls are rows under their parents, reverts marked."""
    # A contract that sends 1 wei to address 0xaa.
    code = "0x6000600060006000600160aa5af100"
    anvil.call("anvil_setCode", "0x" + "c0" * 20, code)
    account = anvil.call("eth_accounts")[0]
    call = {"from": account, "to": "0x" + "c0" * 20, "value": "0x5", "gas": "0x186a0"}
    anvil.call("eth_sendTransaction", call)
    anvil.mine()
    with RpcSource([anvil.url], config=replace(QUICK, traces=True)) as source:
        raw = source.block_by_number(1)
        assert source.block_by_number(0).calls == []
    assert raw.calls is not None
    rows = [(c.index, c.parent_index, c.depth, c.call_type, c.to, c.value) for c in raw.calls]
    assert rows == [
        (1, 0, 0, "CALL", "0x" + "c0" * 20, "0x5"),
        (2, 1, 1, "CALL", "0x" + "00" * 19 + "aa", "0x1"),
    ]
    assert Verifier().verify(raw)


@pytest.mark.data
def test_real_blocks_arrive_as_they_are(shared_data: Path) -> None:
    """23 consecutive mainnet blocks come over HTTP equal to what was recorded, and verify."""
    real = load(shared_data / "blocks", "run")[:23]
    recorded = Recording()
    for raw in real:
        recorded.add(msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts))
    with Liar(recorded) as node, RpcSource([node.url]) as source:
        got = all_of(source, recorded)
    for ours, theirs in zip(got, real, strict=True):
        assert isinstance(ours, RawBlock)
        assert (ours.block, ours.receipts) == (theirs.block, theirs.receipts)
        assert ours.unknown_fields == ()
    assert is_whole(got[:3], Recording({}, dict(list(recorded.by_number.items())[:3]), {}))


# --- one that fails ------------------------------------------------------------------------------


def test_an_honest_node_is_believed(liar: Liar, recording: Recording, sources: Any) -> None:
    """The recording arrives whole, in order, verified, in far fewer requests than blocks."""
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert len(liar.posts) < len(recording.numbers)
    assert source.chain == Chain("ethereum", 1)
    assert source.head() == Position(recording.numbers[-1], hash_at(recording, -1))


def test_null_is_asked_again(liar: Liar, recording: Recording, sources: Any) -> None:
    """A node that answers null half of the time, as one under load does, loses nothing."""
    chance = random.Random(7)
    liar.tamper = lambda _m, _p, result: None if chance.random() < 0.5 else result
    patient = replace(QUICK, pool=replace(QUICK.pool, patience_seconds=30, deadline_seconds=30))
    source = sources(liar, config=patient)
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.not_yet > 0
    assert source.stats.rejected == {}


def test_what_nobody_has_is_raised_after_what_they_have(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A range beyond the head yields every block up to it, then NotYet."""
    got: list[RawBlock | BadBlock] = []
    numbers = recording.numbers
    with pytest.raises(NotYet):
        got.extend(sources(liar).range(numbers[0], numbers[-1] + 9))
    assert is_whole(got, recording)


def test_retry_after_is_obeyed(liar: Liar, recording: Recording, sources: Any) -> None:
    """While a node wants to be left alone it is, and is asked again afterwards."""
    source = sources(liar, config=replace(QUICK, pool=replace(QUICK.pool, deadline_seconds=3)))
    source.connect()
    refused = threading.Event()

    def once(_: Json) -> Answer | None:
        if refused.is_set():
            return None
        refused.set()
        return Answer(b"", 429, {"Retry-After": "1"})

    liar.intercept = once
    before = len(liar.posts)
    assert source.block_by_number(recording.numbers[0])
    first, second = liar.posts[before : before + 2]
    assert second - first >= 1.0
    assert source.stats.rate_limited == 1


def test_another_node_is_asked_meanwhile(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """A node that wants to be left alone for ten years is; the next one does the work."""
    liar.intercept = always(Answer(b"", 429, {"Retry-After": "315360000"}))
    source = sources(liar, honest)
    assert is_whole(all_of(source, recording), recording)
    assert len(liar.posts) <= QUICK.in_flight
    assert source.stats.failovers > 0


def test_waiting_for_too_long_is_refused(liar: Liar, sources: Any) -> None:
    """A pause longer than the deadline is not slept through: the error says so at once."""
    source = sources(liar)
    source.connect()
    liar.intercept = always(Answer(b"", 503, {"Retry-After": "3000"}))
    began = time.monotonic()
    with pytest.raises(EndpointError) as failed:
        source.head()
    assert time.monotonic() - began < 1
    assert failed.value.retry_after_seconds == 3000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7),
        (b"-3", 0),
        (b"1e99", 3600),
        (b"nan", None),
        (b"soon", None),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        (b"Sat, 01 Jan 2000 00:00:00 GMT", 0),
        (None, None),
    ],
)
def test_retry_after_is_read_and_capped(value: bytes | None, seconds: float | None) -> None:
    """Numbers and dates, at most an hour, never negative, nonsense ignored."""
    assert _retry_after(value) == seconds


def test_a_node_that_hangs_is_passed_over(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """The next node answers after one timeout, and the hanging one is left alone for a while."""
    liar.intercept = liar.hang
    source = sources(liar, honest)
    began = time.monotonic()
    assert is_whole(all_of(source, recording), recording)
    assert time.monotonic() - began < 4


def test_one_that_trickles_is_cut_off(recording: Recording, liar: Liar) -> None:
    """The deadline is of the whole answer: a byte now and then does not extend it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
                    for _ in range(60):
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with RpcSource([url, liar.url], config=QUICK) as source:
            began = time.monotonic()
            assert source.head().number == recording.numbers[-1]
            assert time.monotonic() - began < 1.5
        thread.join()


def test_stop_ends_a_wait_at_once(liar: Liar, sources: Any) -> None:
    """Whatever is in flight, setting the event ends a call and a range within a second."""
    patient = replace(QUICK, pool=PoolConfig())
    source = sources(liar, config=patient)
    liar.intercept = liar.hang
    stop = threading.Event()
    source.stop_on(stop)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        source.head()
    assert list(source.range(0, 10)) == []
    source.close()
    assert time.monotonic() - began < 1


def test_a_truncated_answer_is_asked_again(liar: Liar, recording: Recording, sources: Any) -> None:
    """A connection that breaks in the middle, or a body that is cut clean: no block is lost."""
    faults = iter([20, None, -300, 5000, None, -1])

    def cut(requests: Json) -> Answer | None:
        size = next(faults, None)
        if size is None:
            return None
        body = json.dumps([liar.reply(request) for request in requests]).encode()
        return Answer(body, cut=size) if size > 0 else Answer(body[:size])

    source = sources(liar, config=replace(QUICK, in_flight=1))
    source.connect()
    liar.intercept = cut
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.retries == 4


def test_replies_are_matched_by_id(liar: Liar, recording: Recording, sources: Any) -> None:
    """Out of order, with ids as text, or twice: each block gets its own receipts."""
    liar.shuffle = True

    def confuse(requests: Json) -> Answer | None:
        if not isinstance(requests, list):
            return None
        replies = [{**liar.reply(r), "id": str(r["id"])} for r in requests]
        stranger = {"jsonrpc": "2.0", "id": 10**6, "result": None}
        return Answer(json.dumps([stranger, *reversed(replies), replies[0]]).encode())

    assert is_whole(all_of(sources(liar), recording), recording)
    liar.intercept = confuse
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.retries == source.stats.not_yet == 0


def test_missing_replies_are_asked_for_singly(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A batch answer that leaves some out costs one more request for each, and nothing else."""

    def forget(requests: Json) -> Answer | None:
        if not isinstance(requests, list) or len(requests) < 3:
            return None
        return Answer(json.dumps([liar.reply(r) for r in requests[::2]]).encode())

    liar.intercept = forget
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.retries == 0


def test_a_node_without_batches_is_asked_singly(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """An error object in place of the array is remembered: no batch is sent after it."""
    batches = []

    def refuse(requests: Json) -> Answer | None:
        if not isinstance(requests, list):
            return None
        batches.append(len(requests))
        error = {"code": -32600, "message": "batch requests are disabled"}
        return Answer(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())

    liar.intercept = refuse
    source = sources(liar, config=replace(QUICK, in_flight=1))
    assert is_whole(all_of(source, recording), recording)
    assert len(batches) == 1


def test_a_batch_that_is_too_large_is_halved(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A node that takes five calls at a time is given no more than it takes."""
    sizes = []

    def limit(requests: Json) -> Answer | None:
        count = len(requests) if isinstance(requests, list) else 1
        sizes.append(count)
        if count <= 5:
            return None
        error = {"code": -32000, "message": "batch too large"}
        return Answer(json.dumps([{"jsonrpc": "2.0", "id": None, "error": error}]).encode())

    liar.intercept = limit
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert sizes.count(4) > 5


def test_an_answer_over_the_cap_is_cut_off(liar: Liar, recording: Recording, sources: Any) -> None:
    """Batches shrink until answers fit; a single block that never fits is an error."""
    one = len(json.dumps(recording.by_hash[recording.by_number[recording.numbers[0]]]))
    small = replace(QUICK.pool, endpoint=EndpointConfig(0.5, max_response_bytes=3 * one))
    source = sources(liar, config=replace(QUICK, pool=small))
    assert is_whole(all_of(source, recording), recording)
    tiny = replace(QUICK.pool, endpoint=EndpointConfig(0.5, max_response_bytes=one // 2))
    with pytest.raises(NodeError) as refused:
        sources(liar, config=replace(QUICK, pool=tiny)).block_by_number(recording.numbers[0])
    assert refused.value.fault is Fault.TOO_LARGE


def test_compressed_answers_are_read_and_capped(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """gzip is understood; a bomb is cut off at the cap, and what is no gzip is damaged."""

    def squeeze(requests: Json) -> Answer:
        replies = [liar.reply(r) for r in (requests if isinstance(requests, list) else [requests])]
        body = json.dumps(replies if isinstance(requests, list) else replies[0]).encode()
        return Answer(gzip.compress(body), headers={"Content-Encoding": "gzip"})

    liar.intercept = squeeze
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    bomb = gzip.compress(b" " * (80 << 20), 9)
    liar.intercept = always(Answer(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(NodeError) as refused:
        source.head()
    assert refused.value.fault is Fault.TOO_LARGE
    for body, encoding in ((b"{}", "gzip"), (bomb[:-9], "gzip"), (b"{}", "br")):
        liar.intercept = always(Answer(body, headers={"Content-Encoding": encoding}))
        with pytest.raises(EndpointError):
            source.head()


def test_a_redirect_is_not_followed(liar: Liar, honest: Liar, sources: Any) -> None:
    """A node that sends us elsewhere is a node that failed."""
    source = sources(liar)
    source.connect()
    liar.intercept = always(Answer(b"", 307, {"Location": honest.url}))
    with pytest.raises(EndpointError, match="status 307"):
        source.head()
    assert honest.posts == []


# --- one that lies -------------------------------------------------------------------------------


def drop_a_log(method: str, _: list[Any], result: Json) -> Json:
    """Receipts without one of their logs: the most reported omission."""
    if method != "eth_getBlockReceipts" or not result:
        return result
    changed = json.loads(json.dumps(result))
    changed[-1]["logs"].pop()
    return changed


def test_whole_receipts_are_counted(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """One receipt short, none, or a null among them: another node is asked, and it is counted."""
    spoils: list[Callable[[Json], Json]] = [
        lambda r: r[:-1],
        lambda _: [],
        lambda r: [None, *r[1:]],
        lambda _: "0x",
    ]
    for spoil in spoils:
        liar.tamper = on("eth_getBlockReceipts", spoil)
        source = sources(liar, honest)
        assert is_whole(all_of(source, recording), recording)
        assert source.stats.rejected.total() > 0
        with pytest.raises(BadBlock):
            sources(liar).block_by_number(recording.numbers[3])


def test_a_rejected_answer_is_asked_for_elsewhere(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """What accept calls a lie is counted by its reason, and the next node's answer is taken."""
    verifier = Verifier()

    def accept(raw: RawBlock) -> RawBlock:
        assert verifier.verify(raw)
        return raw

    liar.tamper = drop_a_log
    source = sources(liar, honest)
    numbers = recording.numbers
    blocks = list(source.fetch_range(numbers[0], numbers[-1] + 1, accept))
    assert is_whole(blocks, recording)
    assert set(source.stats.rejected) <= {"receipts_root", "logs_bloom"}
    assert source.stats.rejected.total() > 0
    assert source.fetch(hash_at(recording, 5), accept).where == honest.url


def test_a_block_that_everybody_lies_about_is_yielded_as_such(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """In a range it takes its place among the good ones, also those that come late."""
    verifier, target = Verifier(), recording.by_number[recording.numbers[3]]
    late = iter(range(4))

    def tamper(method: str, params: list[Any], result: Json) -> Json:
        if params[:1] == [target]:
            return drop_a_log(method, params, result)
        if params[:1] == [hex(recording.numbers[5])] and next(late, None) is not None:
            return None
        return result

    liar.tamper = tamper

    def accept(raw: RawBlock) -> int:
        assert verifier.verify(raw)
        return int(raw.block.number, 16)

    numbers = recording.numbers
    got = list(sources(liar).fetch_range(numbers[0], numbers[-1] + 1, accept))
    bad = got.pop(3)
    assert isinstance(bad, BadBlock)
    assert bad.reason in ("receipts_root", "logs_bloom")
    assert got == numbers[:3] + numbers[4:]


def test_another_block_than_asked_for_is_refused(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """A block of another hash, of another number, or receipts of another block."""
    other = recording.by_hash[recording.by_number[recording.numbers[9]]]
    receipts = recording.receipts[other["hash"]]
    methods = {
        "eth_getBlockByHash": other,
        "eth_getBlockByNumber": other,
        "eth_getBlockReceipts": receipts,
    }
    for method, answer in methods.items():
        liar.tamper = on(method, partial(lambda lie, _: lie, answer))
        source = sources(liar, honest)
        raw = source.block_by_hash(hash_at(recording, 3))
        again = source.block_by_number(recording.numbers[3])
        assert raw.block == again.block
        assert raw.receipts == again.receipts
        assert Verifier().verify(raw)
        assert source.stats.rejected.total() >= 1


def test_what_is_asked_for_by_hash_has_that_hash() -> None:
    """Even where its receipts, of which there may be none, cannot give it away."""
    block = msgspec.Raw(json.dumps(next(iter(_small().by_hash.values()))).encode())
    answer = read_block("x", bytes(32), block)
    assert isinstance(answer, BadBlock)
    assert answer.reason == "header_hash"
    answer = read_block("x", 99, block)
    assert isinstance(answer, BadBlock)


def test_receipts_one_by_one_where_there_is_no_other_way(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A node without eth_getBlockReceipts is asked for it once, then per transaction."""

    def without(method: str, _: list[Any], result: Json) -> Json:
        if method == "eth_getBlockReceipts":
            raise Oops(-32601, "the method eth_getBlockReceipts does not exist/is not available")
        return result

    liar.tamper = without
    source = sources(liar, config=replace(QUICK, in_flight=1))
    assert is_whole(all_of(source, recording), recording)
    assert is_whole([source.block_by_hash(hash_at(recording, 0))], one(recording, 0))
    assert liar.count("eth_getBlockReceipts") <= QUICK.first_batch_blocks


def one(recording: Recording, index: int) -> Recording:
    """The recording of one block."""
    single, hash_ = Recording(), recording.by_number[recording.numbers[index]]
    single.add(recording.by_hash[hash_], recording.receipts[hash_])
    return single


def test_a_node_of_another_chain_is_refused(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """At the start it is an error of the settings; one that turns up later is never asked."""
    liar.chain_id = 5
    with pytest.raises(SettingsError, match="chain 1"):
        sources(liar, honest).connect()
    liar.intercept = always(Answer(b"", 500))
    source = sources(liar, honest)
    assert source.connect() == Chain("ethereum", 1)
    liar.intercept = always(None)
    time.sleep(0.3)
    for _ in range(3):
        assert source.head().number == recording.numbers[-1]
    assert source.stats.wrong_chain == 1
    assert {name for _, name, _ in liar.asked} == {"eth_chainId"}
    with RpcSource([liar.url], Chain("ethereum", 1), QUICK) as alone, pytest.raises(SettingsError):
        alone.head()


def test_a_forged_head_needs_a_quorum(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """A head that agrees with itself but that only one of three knows is no head.

    Unless one is told to be enough, or there are not three to ask.
    """
    forged = Recording()
    forged.grow(45, name="forged")
    with Liar(forged) as forger:
        trusting = sources(forger, liar, honest, config=replace(QUICK, quorum=1))
        assert trusting.head().number == forged.numbers[-1]
        assert sources(forger, liar).head().number == forged.numbers[-1]
        source = sources(forger, liar, honest)
        assert source.head() == Position(recording.numbers[-1], hash_at(recording, -1))
        assert source.stats.unconfirmed_heads == 1


def test_finality_may_be_unknown(liar: Liar, recording: Recording, sources: Any) -> None:
    """A node without the tag, or that has nothing final yet, says None; else the position."""
    source = sources(liar)
    assert source.finalized() is None
    liar.finalized = recording.numbers[5]
    assert source.finalized() == Position(recording.numbers[5], hash_at(recording, 5))
    liar.tamper = lambda _m, p, r: None if p[0] == "finalized" else r
    assert source.finalized() is None
    assert source.stats.retries == 0


@pytest.mark.parametrize(
    ("code", "message", "fault"),
    [
        (-32000, "header not found", Fault.NOT_YET),
        (-32000, "block not found", Fault.NOT_YET),
        (-32001, "Resource not found.", Fault.NOT_YET),
        (-39001, "Unknown block", Fault.NOT_YET),
        (-32000, "cannot query unfinalized data", Fault.NOT_YET),
        (-32601, "Method not found", Fault.UNSUPPORTED),
        (-32000, "the method x does not exist/is not available", Fault.UNSUPPORTED),
        (-32004, "This request method is not supported.", Fault.UNSUPPORTED),
        (-32005, "daily request count exceeded, request rate limited", Fault.RATE_LIMITED),
        (429, "Your app has exceeded its compute units per second capacity.", Fault.RATE_LIMITED),
        (-32016, "over rate limit", Fault.RATE_LIMITED),
        (-32007, "50/second request limit reached", Fault.RATE_LIMITED),
        (-32600, "batch too large", Fault.TOO_LARGE),
        (-32003, "response too large", Fault.TOO_LARGE),
        (-32000, "batch limit 100 exceeded", Fault.TOO_LARGE),
        (-32602, "invalid argument 0", Fault.REFUSED),
        (-32603, "Internal error", Fault.REFUSED),
        (3, "execution reverted", Fault.REFUSED),
    ],
)
def test_what_nodes_say_is_understood(code: int, message: str, fault: Fault) -> None:
    """The words of geth, erigon, reth and the big providers."""
    assert classify(code, message) is fault


# --- secrets and nonsense ------------------------------------------------------------------------

CANARIES = ("cAnArYpAtH0123", "cAnArYqUeRy0123", "cAnArYuSeR0123", "cAnArYpAsS0123")


def test_no_part_of_a_url_is_ever_shown(
    liar: Liar, recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """Through every failure no message, log line or repr holds a key, even one the node echoes."""
    path, query, user, password = CANARIES
    url = liar.url.replace("http://", f"http://{user}:{password}@") + f"/v3/{path}?key={query}"
    echo = {"code": -32000, "message": f"invalid key {path} {query} {user}:{password} at {url}"}
    reply = json.dumps({"jsonrpc": "2.0", "id": 0, "error": echo}).encode()
    failures: list[Answer | None] = [
        Answer(b"", 500),
        Answer(b"", 401),
        Answer(reply),
        Answer(reply, 403),
        Answer(b"nonsense"),
        Answer(reply, cut=10),
        Answer(b"", 429),
        Answer(b"\xff[", headers={"Content-Encoding": "gzip"}),
    ]
    said = []
    hasty = replace(QUICK, pool=replace(QUICK.pool, deadline_seconds=0.2))
    with caplog.at_level(logging.DEBUG), RpcSource([url], Chain("ethereum", 1), hasty) as source:
        assert source.head().number == recording.numbers[-1]
        for failure in failures:
            liar.intercept = always(failure)
            with pytest.raises(EndpointError) as failed:
                source.head()
            error: BaseException | None = failed.value
            while error is not None:
                said.append(f"{error!s} {error!r}")
                error = error.__cause__ or error.__context__
        liar.intercept = liar.hang
        with pytest.raises(EndpointError) as failed:
            source.head()
        said += [str(failed.value), repr(source._pool.endpoints), source._pool.endpoints[0].name]
    with pytest.raises(SettingsError) as wrong:
        Endpoint(url.replace("http", "gopher"))
    said += [str(wrong.value), caplog.text]
    assert len(said) > 10
    assert not [canary for canary in CANARIES if canary in " ".join(said)]
    sent = liar.headers[0]["authorization"]
    assert sent == "Basic Y0FuQXJZdVNlUjAxMjM6Y0FuQXJZcEFzUzAxMjM="


def test_hostile_words_are_made_harmless() -> None:
    """What a node says cannot forge a log line or flood it."""
    endpoint = Endpoint("http://node.example/abcdef")
    shown = endpoint.shown("\x1b[31mbad\r\nERROR forged\u202e" + "x" * 10_000)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) == 200


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_replies_or_an_error(body: bytes) -> None:
    """Whatever comes over the wire is JSON-RPC or an EndpointError, never another exception."""
    try:
        replies = Endpoint("http://node.example")._replies(body)
    except EndpointError:
        return
    assert isinstance(replies, list)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_to_an_answer_is_a_block_or_an_error(data: st.DataObject) -> None:
    """A block or receipts with any value replaced read as such or are a SourceError."""
    recording = _small()
    hash_ = recording.by_number[recording.numbers[0]]
    block = json.loads(json.dumps(recording.by_hash[hash_]))
    receipts = json.loads(json.dumps(recording.receipts[hash_]))
    for thing in (block, receipts):
        spot: Any = thing
        while True:
            keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            key = data.draw(st.sampled_from(keys))
            if isinstance(spot[key], dict | list) and spot[key] and data.draw(st.booleans()):
                spot = spot[key]
                continue
            spot[key] = data.draw(JSON_VALUES)
            break
    raw = msgspec.Raw(json.dumps(block).encode())
    whole = msgspec.convert(recording.by_hash[hash_], RpcBlock)
    selector = bytes.fromhex(hash_[2:])
    assert isinstance(read_block("x", selector, raw), RawBlock | SourceError)
    assert isinstance(read_block("x", recording.numbers[0], raw), RawBlock | SourceError)
    given_receipts = msgspec.Raw(json.dumps(receipts).encode())
    assert isinstance(read_receipts("x", whole, given_receipts), list | SourceError)
    assert isinstance(read_calls("x", whole, given_receipts), SourceError)
    with suppress(SourceError):
        read_position("x", raw)


def _small() -> Recording:
    recording = Recording()
    recording.grow(1)
    return recording


def test_deep_nesting_is_malformed() -> None:
    """A JSON bomb of brackets is refused without a crash."""
    bomb = b'{"number":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert isinstance(read_block("x", 1, msgspec.Raw(bomb)), BadBlock)
    with pytest.raises(EndpointError):
        Endpoint("http://node.example")._replies(b'{"result":' + bomb + b"}")


def test_a_call_tree_marks_what_was_undone() -> None:
    """A call below one that failed is reverted though it did not fail itself."""
    frame = {
        "type": "CALL", "from": "0x01", "to": "0x02", "value": "0x1",
        "calls": [
            {"type": "CALL", "from": "0x02", "to": "0x03", "error": "execution reverted",
             "calls": [{"type": "STATICCALL", "from": "0x03", "to": "0x04"}]},
            {"type": "DELEGATECALL", "from": "0x02", "to": "0x05", "value": "0x1"},
        ],
    }  # fmt: skip
    recording = _small()
    block = msgspec.convert(next(iter(recording.by_hash.values())), RpcBlock)
    traces = [{"txHash": tx.hash, "result": frame} for tx in block.transactions]
    calls = read_calls("x", block, msgspec.Raw(json.dumps(traces).encode()))
    assert isinstance(calls, list)

    def row(c: RpcCall) -> tuple[int, int, int, str, str, bool, bool]:
        return c.index, c.parent_index, c.depth, c.call_type, c.value, c.status_failed, c.reverted

    assert [row(c) for c in calls if c.transaction_hash == block.transactions[1].hash] == [
        (1, 0, 0, "CALL", "0x1", False, False),
        (2, 1, 1, "CALL", "0x0", True, True),
        (3, 2, 2, "STATICCALL", "0x0", False, True),
        (4, 1, 1, "DELEGATECALL", "0x0", False, False),
    ]
    wrong = read_calls("x", block, msgspec.Raw(json.dumps(traces[::-1]).encode()))
    assert isinstance(wrong, BadBlock)


@pytest.mark.parametrize("url", ["ws://node.example", "node.example:8545", "http://", "http://a:b"])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    """The error says what to give instead."""
    with pytest.raises(SettingsError):
        Endpoint(url)
