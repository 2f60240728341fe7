"""RpcSource against a node that lies, or is of another chain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from chainwarden.errors import BadBlock, SettingsError
from chainwarden.schema import Chain, Position
from ingest.answers import read_block
from ingest.fault import Fault, classify
from ingest.raw import RawBlock
from ingest.rpc import RpcSource
from ingest.verify import Verifier
from tests.ingest.rpc.asked import QUICK, all_of, always, hash_at, is_whole, on, small
from tests.rigs.liar import Answer, Json, Liar, Oops, Recording


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
    block = msgspec.Raw(json.dumps(next(iter(small().by_hash.values()))).encode())
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
