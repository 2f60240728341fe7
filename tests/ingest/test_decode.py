"""Transactions, calls and batches are decoded to the last wei, hostile ones to a clear error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock
from chainwarden.schema import ETHEREUM, TABLES
from ingest.decode import decode_blocks
from ingest.raw import RpcCall, RpcLog
from ingest.verify import Verifier
from tests.ingest.made_logs import (
    APPROVAL,
    TOKEN,
    TRANSFER,
    A,
    B,
    C,
    decode_one,
    made_block,
    token_flows,
    with_logs,
    word,
)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.sampled_from([0, 1, 2**53 - 1, 2**53 + 1, 2**64 - 1, 2**64 + 1, 2**128, 2**255]),
        st.just(2**256 - 1),
        st.integers(0, 2**256 - 1),
    )
)
def test_an_amount_survives_as_value_and_as_token_amount(amount: int) -> None:
    """Exact in transactions, flows and approvals, with Python's own float beside it."""
    raw = with_logs(
        RpcLog(TOKEN, [TRANSFER, word(A), word(B)], word(amount)),
        RpcLog(TOKEN, [APPROVAL, word(A), word(B)], word(amount)),
    )
    raw.block.transactions[0].value = hex(amount)
    batch = decode_one(raw)
    rows = [batch.transactions.to_pylist()[0], batch.flows.to_pylist()[0]]
    rows += [token_flows(batch)[0], batch.approvals.to_pylist()[0]]
    for row in rows:
        assert int.from_bytes(row["value"], "big") == amount
        assert row["value_f64"] == float(amount)


def test_a_failed_creation_creates_nothing_and_still_has_its_flow() -> None:
    """Status 0: the flow goes to the address that would have been, and says that it failed."""
    raw = made_block()
    assert raw.receipts is not None
    creating = len(raw.block.transactions) - 1
    good = decode_one(raw)
    assert good.creations.num_rows == 1
    raw.receipts[creating].status = "0x0"
    raw.receipts[creating].contract_address = "0x" + "66" * 20  # no root covers it: not believed
    bad = decode_one(raw)
    assert bad.creations.num_rows == 0
    tx = bad.transactions.to_pylist()[creating]
    assert (tx["to_address"], tx["contract_address"], tx["status"]) == (None, None, 0)
    flow = next(f for f in bad.flows.to_pylist() if f["transaction_index"] == creating)
    assert (flow["kind"], flow["status"]) == (0, 0)
    assert flow["to_address"] == good.creations.to_pylist()[0]["contract_address"]


def test_without_receipts_what_they_tell_is_null() -> None:
    """No status, gas used, log count or contract is made up, and creations are still known."""
    raw = made_block()
    raw.receipts = None
    batch = decode_one(raw)
    for name in ("status", "gas_used", "log_count", "effective_gas_price", "contract_address"):
        assert batch.transactions[name].null_count == batch.transactions.num_rows
    assert batch.creations.num_rows == 1
    assert batch.logs.num_rows == 0


def test_fields_that_a_type_does_not_have_are_not_believed() -> None:
    """No root covers them: an authorization, blob or fee on a legacy transaction is nothing."""
    raw = made_block()
    legacy, dynamic, set_code = (raw.block.transactions[i] for i in (0, 3, 4))
    before = decode_one(raw)
    for liar in (legacy, dynamic):
        liar.authorization_list = set_code.authorization_list
        liar.blob_versioned_hashes = ["0x" + "01" * 32]
        liar.max_fee_per_blob_gas = "0x5"
    legacy.max_fee_per_gas = legacy.max_priority_fee_per_gas = "no number"
    after = decode_one(raw)
    assert before.authorizations.num_rows == 1
    for name, table in before.tables.items():
        assert table.equals(getattr(after, name)), name


def call(index: int, parent: int, **fields: Any) -> RpcCall:
    """A call of 5 wei from A to B, unless told otherwise."""
    base = RpcCall("", index, parent, 1 if parent else 0, "CALL", A, to=B, value="0x5")
    for name, value in fields.items():
        setattr(base, name, value)
    return base


def test_internal_transfers_are_what_calls_really_moved() -> None:
    """Failed calls and all below them, delegate, static and code calls move nothing."""
    raw = made_block()
    raw.calls = [
        call(1, 0),
        call(2, 1),
        call(3, 1, call_type="DELEGATECALL"),
        call(4, 1, call_type="STATIC"),
        call(5, 1, call_type="CALLCODE"),
        call(6, 1, value="0x0"),
        call(7, 1, reverted=True),
        call(8, 7),
        call(9, 8),
        call(10, 1, status_failed=True),
        call(11, 1, call_type="CREATE2", to=C, input="0x6001"),
        call(12, 1, call_type="SELFDESTRUCT", value=hex(2**255)),
        call(13, 1, call_type="CREATE", to=None),
    ]
    for each in raw.calls:
        each.transaction_hash = raw.block.transactions[1].hash
    batch = decode_one(raw)
    moved = [f for f in batch.flows.to_pylist() if f["kind"] == 4]
    assert [(f["ordinal"], f["to_address"].hex()[:2]) for f in moved] == [
        (-1, "0b"),
        (-2, "0c"),
        (-3, "0b"),
    ]
    assert int.from_bytes(moved[2]["value"], "big") == 2**255
    made = [c for c in batch.creations.to_pylist() if c["ordinal"]]
    assert [(c["ordinal"], c["contract_address"], c["init_code"]) for c in made] == [
        (-11, bytes.fromhex(C[2:]), b"\x60\x01")
    ]
    assert raw.receipts is not None
    raw.receipts[1].status = "0x0"
    failed = decode_one(raw)
    assert [f for f in failed.flows.to_pylist() if f["kind"] == 4] == []


def test_an_ordinal_is_the_same_with_and_without_calls() -> None:
    """What else a source gives does not move the ordinals of transfers and approvals."""
    raw = with_logs(RpcLog(TOKEN, [], "0x"), RpcLog(TOKEN, [TRANSFER, word(A), word(B)], word(5)))
    without = token_flows(decode_one(raw))
    raw.calls = [call(1, 0), call(2, 1)]
    for each in raw.calls:
        each.transaction_hash = raw.block.transactions[0].hash
    assert token_flows(decode_one(raw)) == without
    assert without[0]["ordinal"] == 2


def test_numbers_must_increase_within_a_batch() -> None:
    """Two blocks of one number are the caller's mistake, not a bad block."""
    with pytest.raises(ValueError, match="increase"):
        decode_blocks(ETHEREUM, [made_block(), made_block()], [True, True])


def test_no_blocks_are_an_empty_batch() -> None:
    """Nothing decodes to nothing, with every schema in place."""
    batch = decode_blocks(ETHEREUM, [], [])
    assert len(batch) == 0
    assert all(table.schema.equals(TABLES[name]) for name, table in batch.tables.items())


def test_the_bad_block_of_a_batch_is_named() -> None:
    """One malformed block among good ones: the error says which, where and why."""
    good, bad = made_block(), made_block()
    bad.block.number, bad.where = "0x65", "file.jsonl:7"
    assert bad.receipts is not None
    bad.receipts[0].effective_gas_price = "0xnothing"
    with pytest.raises(BadBlock, match=r"file\.jsonl:7.*effectiveGasPrice") as caught:
        decode_blocks(ETHEREUM, [good, bad], [True, True])
    assert (caught.value.reason, caught.value.number) == ("malformed", 0x65)


GARBAGE = st.one_of(
    st.sampled_from(["", "0x", "0", "0X1", "0x1g", "0x-1", "0x 1", "\ud800", "0x" + "f" * 65]),
    st.text(max_size=6),
    st.integers(0, 2**300).map(hex),
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_hostile_fields_give_a_batch_or_a_bad_block(data: st.DataObject) -> None:
    """Any text in any field: decoded, or refused as BadBlock; nothing else is ever raised."""
    raw = made_block()
    raw.calls = [call(1, 0), call(2, 1)]
    for each in raw.calls:
        each.transaction_hash = raw.block.transactions[0].hash
    assert raw.receipts is not None
    assert raw.block.withdrawals is not None
    authorizations = raw.block.transactions[4].authorization_list
    assert authorizations is not None
    targets: list[Any] = [raw.block, *raw.block.transactions, *raw.receipts, *raw.calls]
    targets += [*raw.receipts[2].logs, *raw.block.withdrawals, *authorizations]
    target = data.draw(st.sampled_from(targets))
    texts = [f for f in target.__struct_fields__ if isinstance(getattr(target, f), str)]
    setattr(target, data.draw(st.sampled_from(texts)), data.draw(GARBAGE))
    try:
        batch = decode_blocks(ETHEREUM, [raw], [False])
    except BadBlock:
        return
    for table in batch.tables.values():
        table.validate(full=True)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_what_the_verifier_accepts_always_decodes(data: st.DataObject) -> None:
    """Decoding is total over verified blocks: any change that passes verification decodes."""
    raw = made_block()
    assert raw.receipts is not None
    assert raw.block.withdrawals is not None
    authorizations = raw.block.transactions[4].authorization_list
    assert authorizations is not None
    targets: list[Any] = [raw.block, *raw.block.transactions, *raw.receipts, *authorizations]
    targets += [*raw.receipts[2].logs, *raw.block.withdrawals]
    target = data.draw(st.sampled_from(targets))
    name = data.draw(st.sampled_from(target.__struct_fields__))
    if isinstance(getattr(target, name), str | None):
        setattr(target, name, data.draw(st.one_of(st.none(), GARBAGE, st.just("0x01"))))
    try:
        verified = Verifier().verify(raw)
    except BadBlock:
        return
    decode_blocks(ETHEREUM, [raw], [verified])
