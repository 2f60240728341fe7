"""What a node leaves out: filled in where it follows, refused where it does not."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from chainwarden.errors import SourceError
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch
from ingest.answers import read_block, read_receipts
from ingest.decode import decode_blocks
from ingest.omitted import fill_in, lacks_withdrawals
from ingest.raw import RawBlock
from ingest.rpc import RpcSource
from ingest.verify import Verifier
from tests.ingest.made_blocks import made_block
from tests.rigs.course import generated
from tests.rigs.liar import Json, Liar, Recording
from tests.rigs.nonsense import VALUES, replaced


def batch_of(raw: RawBlock) -> BlockBatch:
    """The block as it comes out when a node gives it."""
    fill_in(raw)
    return decode_blocks(ETHEREUM, [raw], [Verifier().verify(raw)])


def same(ours: BlockBatch, theirs: BlockBatch) -> bool:
    """Whether all tables are equal."""
    return all(ours.tables[name].equals(theirs.tables[name]) for name in TABLES)


def test_prices_that_follow_are_filled_in() -> None:
    """Without gasPrice and effectiveGasPrice the rows are the same as with them."""
    whole, silent = made_block(), made_block()
    for tx in silent.block.transactions:
        if tx.type not in ("0x0", "0x1"):
            tx.gas_price = None
    for receipt in silent.receipts or ():
        receipt.effective_gas_price = None
    assert same(batch_of(silent), batch_of(whole))


def test_withdrawals_that_are_committed_to_are_asked_for_elsewhere() -> None:
    """A block without the withdrawals it commits to comes from who has them, if anybody has."""
    whole_block = made_block()
    block, receipts = msgspec.to_builtins((whole_block.block, whole_block.receipts))
    recording = Recording()
    recording.add(block, receipts)
    silent = {name: value for name, value in block.items() if name != "withdrawals"}
    hash_ = bytes.fromhex(block["hash"][2:])
    with Liar(recording) as liar, Liar(recording) as honest:
        liar.tamper = lambda _m, _p, truth: silent if truth is block else truth
        with RpcSource([liar.url, honest.url], ETHEREUM) as source:
            assert source.block_by_hash(hash_).block.withdrawals == whole_block.block.withdrawals
        with RpcSource([liar.url], ETHEREUM) as source:
            assert source.block_by_hash(hash_).block.withdrawals is None
    assert len(liar.lies) == 2


@pytest.mark.timeout(300)
def test_a_lie_in_any_field_is_refused_or_without_effect() -> None:
    """3,000 answers with one value replaced: each is a SourceError, or decodes to the same rows."""
    rng, refused = random.Random(11), 0
    raws = generated(60)
    truths: dict[str, BlockBatch] = {}
    for _ in range(3_000):
        raw = rng.choice(raws)
        honest = truths.get(raw.block.hash)
        if honest is None:
            honest = truths[raw.block.hash] = decode_blocks(ETHEREUM, [raw], [True])
        parts: list[Json] = [msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts)]
        place = rng.randrange(2)
        parts[place] = replaced(parts[place], rng, rng.choice(VALUES))
        told = decoded(raw, *parts)
        refused += told is None
        assert told is None or same(told, honest)
    assert refused > 2_000


def decoded(raw: RawBlock, block: Json, receipts: Json) -> BlockBatch | None:
    """What comes out of a node's answers; None where they are refused."""
    hash_ = bytes.fromhex(raw.block.hash[2:])
    found = read_block("x", hash_, msgspec.Raw(json.dumps(block).encode()))
    if isinstance(found, SourceError) or lacks_withdrawals(found.block):
        return None
    given = read_receipts("x", found.block, msgspec.Raw(json.dumps(receipts).encode()))
    if isinstance(given, SourceError):
        return None
    found.receipts = given
    try:
        return batch_of(found)
    except SourceError:
        return None
