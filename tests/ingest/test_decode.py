"""Decoding agrees with a second decoder on every real block, and no log talks its way in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import rlp
from eth_keys.datatypes import Signature
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch
from ingest.decode import decode_blocks
from ingest.raw import RawBlock, RpcBlock, RpcCall, RpcLog, RpcReceipt
from ingest.verify import Verifier
from tests.ingest import made_blocks, slow_decode

TOKEN = "0x" + "70" * 20
A, B, C = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20


MADE = msgspec.msgpack.encode(made_blocks.made_block())


def made_block() -> RawBlock:
    """A fresh copy of the made block: signing is slow."""
    return msgspec.msgpack.decode(MADE, type=RawBlock)


def word(value: int | str) -> str:
    """A 32-byte word: an integer, or an address as a topic carries it."""
    number = int(value, 16) if isinstance(value, str) else value
    return f"0x{number:064x}"


def joined(*words: int | str) -> str:
    """Several words as data."""
    return "0x" + "".join(word(each)[2:] for each in words)


def topic0(signature: str) -> str:
    """The first topic of an event."""
    return "0x" + keccak(text=signature).hex()


TRANSFER = topic0("Transfer(address,address,uint256)")
SINGLE = topic0("TransferSingle(address,address,address,uint256,uint256)")
BATCH = topic0("TransferBatch(address,address,address,uint256[],uint256[])")
APPROVAL = topic0("Approval(address,address,uint256)")
FOR_ALL = topic0("ApprovalForAll(address,address,bool)")
PERMIT2_APPROVAL = topic0("Approval(address,address,address,uint160,uint48)")
PERMIT2_PERMIT = topic0("Permit(address,address,address,uint160,uint48,uint48)")
PERMIT2 = "0x000000000022d473030f116ddee9f6b43ac78ba3"
SYSTEM = "0xfffffffffffffffffffffffffffffffffffffffe"


def with_logs(*logs: RpcLog) -> RawBlock:
    """A block whose first transaction emitted these logs."""
    raw = made_block()
    assert raw.receipts is not None
    for receipt in raw.receipts:
        receipt.logs = []
    raw.receipts[0].logs = list(logs)
    return raw


def decode_one(raw: RawBlock) -> BlockBatch:
    """The batch of one block, every column checked by Arrow."""
    batch = decode_blocks(ETHEREUM, [raw], [True])
    for table in batch.tables.values():
        table.validate(full=True)
    return batch


def token_flows(batch: BlockBatch) -> list[dict[str, Any]]:
    """The flows that logs gave."""
    return [row for row in batch.flows.to_pylist() if row["kind"] in (1, 2, 3)]


def raw_of(block: Any, receipts: Any, calls: Any) -> RawBlock:
    """A block of plain JSON as a source gives it."""
    return RawBlock(
        msgspec.convert(block, RpcBlock, strict=False),
        None if receipts is None else msgspec.convert(receipts, list[RpcReceipt]),
        None if calls is None else msgspec.convert(calls, list[RpcCall]),
        where=block["number"],
    )


# --- real blocks -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[tuple[Any, Any, Any]]:
    """All real blocks as plain JSON, by number."""
    blocks = slow_decode.read_json(shared_data / "blocks", "run")
    blocks += slow_decode.read_json(shared_data / "blocks", "forks")
    return sorted(blocks, key=lambda each: int(each[0]["number"], 16))


@pytest.mark.data
def test_every_row_of_every_real_block_is_what_a_slow_decoder_finds(
    real: list[tuple[Any, Any, Any]],
) -> None:
    """All 138 blocks: each table equals the second decoder's, row by row, in its order."""
    assert len(real) == 138
    seen = dict.fromkeys(TABLES, 0)
    for block, receipts, calls in real:
        batch = decode_one(raw_of(block, receipts, calls))
        expected = slow_decode.decode(block, receipts, calls)
        for name, rows in expected.items():
            table = getattr(batch, name)
            if name == "authorizations":
                table = table.drop_columns(["authority"])
            assert [tuple(row.values()) for row in table.to_pylist()] == rows, (name, block["hash"])
            seen[name] += len(rows)
    assert seen["transactions"] == 24_716
    assert all(seen[name] for name in seen if name != "blocks"), seen


@pytest.mark.data
def test_sums_of_value_are_conserved(real: list[tuple[Any, Any, Any]]) -> None:
    """Native flows carry the wei of the transactions, withdrawals that of the header's list."""
    for block, receipts, calls in real:
        flows = decode_one(raw_of(block, receipts, calls)).flows.to_pylist()
        total = dict.fromkeys(range(6), 0)
        for flow in flows:
            total[flow["kind"]] += int.from_bytes(flow["value"], "big")
        assert total[0] == sum(int(tx["value"], 16) for tx in block["transactions"])
        gwei = sum(int(each["amount"], 16) for each in block.get("withdrawals") or [])
        assert total[5] == gwei * 10**9


@pytest.mark.data
def test_block_columns_are_those_of_the_header(real: list[tuple[Any, Any, Any]]) -> None:
    """Header fields of every fork arrive, and what a fork does not have is null."""
    for block, receipts, calls in real:
        row = decode_one(raw_of(block, receipts, calls)).blocks.to_pylist()[0]
        assert row == {
            "block_number": int(block["number"], 16),
            "block_hash": slow_decode.data(block["hash"]),
            "parent_hash": slow_decode.data(block["parentHash"]),
            "block_timestamp": int(block["timestamp"], 16),
            "miner": slow_decode.data(block["miner"]),
            "gas_limit": int(block["gasLimit"], 16),
            "gas_used": int(block["gasUsed"], 16),
            "base_fee_per_gas": slow_decode.number(block.get("baseFeePerGas")),
            "blob_gas_used": slow_decode.number(block.get("blobGasUsed")),
            "excess_blob_gas": slow_decode.number(block.get("excessBlobGas")),
            "extra_data": slow_decode.data(block["extraData"]),
            "transaction_count": len(block["transactions"]),
            "verified": True,
        }


@pytest.mark.data
def test_batches_do_not_change_a_row(real: list[tuple[Any, Any, Any]]) -> None:
    """All blocks at once give the very tables that one block at a time gives."""
    by_number = {int(block["number"], 16): (block, r, c) for block, r, c in real}
    raws = [raw_of(*by_number[number]) for number in sorted(by_number)]
    verified = [index % 2 == 0 for index in range(len(raws))]
    together = decode_blocks(ETHEREUM, raws, verified)
    apart = BlockBatch.concat(
        [decode_blocks(ETHEREUM, [raw], [ok]) for raw, ok in zip(raws, verified, strict=True)]
    )
    for name, table in together.tables.items():
        assert table.equals(getattr(apart, name)), name


@pytest.mark.data
def test_new_contracts_have_the_address_that_the_receipts_tell(
    real: list[tuple[Any, Any, Any]],
) -> None:
    """Computed addresses equal every contractAddress of the real receipts."""
    checked = 0
    for block, receipts, calls in real:
        if receipts is None:
            continue
        made = decode_one(raw_of(block, receipts, calls)).transactions["contract_address"]
        for receipt, address in zip(receipts, made.to_pylist(), strict=True):
            if receipt["contractAddress"]:  # one source leaves some of them out
                assert address == slow_decode.data(receipt["contractAddress"])
                checked += 1
    assert checked >= 3


@pytest.mark.data
def test_authorities_are_those_that_eth_keys_recovers(real: list[tuple[Any, Any, Any]]) -> None:
    """Every EIP-7702 authorization of the real blocks names its signer."""
    checked = 0
    for block, receipts, calls in real:
        entries = [e for tx in block["transactions"] for e in tx.get("authorizationList") or []]
        table = decode_one(raw_of(block, receipts, calls)).authorizations
        for entry, row in zip(entries, table.to_pylist(), strict=True):
            signed = [int(entry["chainId"], 16), bytes.fromhex(entry["address"][2:])]
            digest = keccak(b"\x05" + rlp.encode([*signed, int(entry["nonce"], 16)]))
            parity = int(entry.get("yParity") or entry["v"], 16)
            signature = Signature(vrs=(parity, int(entry["r"], 16), int(entry["s"], 16)))
            signer = signature.recover_public_key_from_msg_hash(digest)
            assert row["authority"] == signer.to_canonical_address()
            checked += 1
    assert checked == 16


# --- each event --------------------------------------------------------------------------------


def test_an_erc20_transfer_is_a_flow() -> None:
    """Three topics and one word: who, to whom and how much of which token."""
    batch = decode_one(with_logs(RpcLog(TOKEN, [TRANSFER, word(A), word(B)], word(5))))
    (flow,) = token_flows(batch)
    assert (flow["kind"], flow["ordinal"], flow["batch_index"]) == (1, 1, 0)
    assert flow["token_address"] == bytes.fromhex(TOKEN[2:])
    assert flow["from_address"] == bytes.fromhex(A[2:])
    assert flow["to_address"] == bytes.fromhex(B[2:])
    assert (flow["token_id"], flow["value_f64"]) == (None, 5.0)
    assert batch.logs.num_rows == 0


def test_an_erc721_transfer_is_a_flow_of_one() -> None:
    """Four topics and no data: the fourth is the token id."""
    batch = decode_one(with_logs(RpcLog(TOKEN, [TRANSFER, word(A), word(B), word(77)], "0x")))
    (flow,) = token_flows(batch)
    assert (flow["kind"], int.from_bytes(flow["token_id"], "big"), flow["value_f64"]) == (2, 77, 1)


def test_an_erc1155_transfer_takes_its_parties_behind_the_operator() -> None:
    """TransferSingle: topic 1 is the operator, not the sender; data is id, then value."""
    log = RpcLog(TOKEN, [SINGLE, word(C), word(A), word(B)], joined(9, 3))
    (flow,) = token_flows(decode_one(with_logs(log)))
    assert (flow["kind"], flow["from_address"], flow["to_address"]) == (
        3,
        bytes.fromhex(A[2:]),
        bytes.fromhex(B[2:]),
    )
    assert (int.from_bytes(flow["token_id"], "big"), flow["value_f64"]) == (9, 3)


def test_an_erc1155_batch_is_a_flow_per_item() -> None:
    """TransferBatch: items share the ordinal and count their batch_index."""
    log = RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 160, 2, 11, 12, 2, 101, 102))
    flows = token_flows(decode_one(with_logs(RpcLog(TOKEN, [], "0x"), log)))
    assert [(f["ordinal"], f["batch_index"]) for f in flows] == [(2, 0), (2, 1)]
    assert [int.from_bytes(f["token_id"], "big") for f in flows] == [11, 12]
    assert [f["value_f64"] for f in flows] == [101, 102]


@pytest.mark.parametrize(
    ("log", "kind", "value", "approved"),
    [
        (RpcLog(TOKEN, [APPROVAL, word(A), word(B)], word(2**256 - 1)), 0, 2**256 - 1, True),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(B)], word(0)), 0, 0, False),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(0)], word(1)), 0, 1, False),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(B), word(7)], "0x"), 1, None, True),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(0), word(7)], "0x"), 1, None, False),
        (RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(1)), 2, None, True),
        (RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(0)), 2, None, False),
        (RpcLog(TOKEN, [FOR_ALL, word(A), word(0)], word(1)), 2, None, False),
    ],
)
def test_approvals_say_what_was_granted_or_revoked(
    log: RpcLog, kind: int, value: int | None, approved: bool
) -> None:
    """ERC-20, ERC-721 and for all: a spender of 0, a value of 0 or a false is a revocation."""
    (row,) = decode_one(with_logs(log)).approvals.to_pylist()
    exact = None if row["value"] is None else int.from_bytes(row["value"], "big")
    assert (row["kind"], exact, row["approved"]) == (kind, value, approved)
    assert row["owner"] == bytes.fromhex(A[2:])
    assert row["token_address"] == bytes.fromhex(TOKEN[2:])
    assert (row["token_id"] is not None) == (kind == 1)


@pytest.mark.parametrize(
    ("event", "rest", "kind"), [(PERMIT2_APPROVAL, [9], 3), (PERMIT2_PERMIT, [9, 0], 4)]
)
def test_permit2_names_the_token_and_counts_only_from_permit2(
    event: str, rest: list[int], kind: int
) -> None:
    """The token is topic 2; the same log from another emitter proves nothing and stays a log."""
    topics = [event, word(A), word(TOKEN), word(B)]
    log = RpcLog(PERMIT2, topics, joined(2**160 - 1, *rest))
    (row,) = decode_one(with_logs(log)).approvals.to_pylist()
    assert (row["kind"], row["approved"]) == (kind, True)
    assert row["token_address"] == bytes.fromhex(TOKEN[2:])
    assert (row["owner"], row["spender"]) == (bytes.fromhex(A[2:]), bytes.fromhex(B[2:]))
    assert int.from_bytes(row["value"], "big") == 2**160 - 1
    (revoked,) = decode_one(
        with_logs(RpcLog(PERMIT2, topics, joined(0, *rest)))
    ).approvals.to_pylist()
    assert revoked["approved"] is False
    forged = decode_one(with_logs(RpcLog(TOKEN, topics, joined(5, *rest))))
    assert (forged.approvals.num_rows, forged.logs.num_rows) == (0, 1)


DIRTY = "0x" + "01".rjust(24, "0") + "0a" * 20
NOT_EVENTS = {
    "transfer of two topics": RpcLog(TOKEN, [TRANSFER, word(A)], word(5)),
    "transfer of one topic": RpcLog(TOKEN, [TRANSFER], joined(A, B, 5)),
    "transfer with short data": RpcLog(TOKEN, [TRANSFER, word(A), word(B)], word(5)[:-2]),
    "transfer with long data": RpcLog(TOKEN, [TRANSFER, word(A), word(B)], joined(5, 6)),
    "transfer without data": RpcLog(TOKEN, [TRANSFER, word(A), word(B)], "0x"),
    "nft transfer with data": RpcLog(TOKEN, [TRANSFER, word(A), word(B), word(1)], word(5)),
    "transfer from a dirty address": RpcLog(TOKEN, [TRANSFER, DIRTY, word(B)], word(5)),
    "transfer to a dirty address": RpcLog(TOKEN, [TRANSFER, word(A), DIRTY], word(5)),
    "nft from a dirty address": RpcLog(TOKEN, [TRANSFER, DIRTY, word(B), word(1)], "0x"),
    "single by a dirty operator": RpcLog(TOKEN, [SINGLE, DIRTY, word(A), word(B)], joined(1, 1)),
    "single with three words": RpcLog(TOKEN, [SINGLE, word(C), word(A), word(B)], joined(1, 1, 1)),
    "approval by a dirty owner": RpcLog(TOKEN, [APPROVAL, DIRTY, word(B)], word(5)),
    "for all that is no boolean": RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(2)),
    "for all beyond a byte": RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(256)),
    "permit2 above uint160": RpcLog(
        PERMIT2, [PERMIT2_APPROVAL, word(A), word(TOKEN), word(B)], joined(2**160, 1)
    ),
    "permit2 beyond uint48": RpcLog(
        PERMIT2, [PERMIT2_APPROVAL, word(A), word(TOKEN), word(B)], joined(1, 2**48)
    ),
    "permit2 of a dirty token": RpcLog(
        PERMIT2, [PERMIT2_APPROVAL, word(A), DIRTY, word(B)], joined(1, 1)
    ),
    "the system log of a native transfer": RpcLog(SYSTEM, [TRANSFER, word(A), word(B)], word(5)),
    "a near miss of topic0": RpcLog(TOKEN, [TRANSFER[:-1] + "e", word(A), word(B)], word(5)),
    "a log without topics": RpcLog(TOKEN, [], "0x1234"),
    "an empty batch": RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 96, 0, 0)),
    "a batch of unequal arrays": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 128, 1, 7, 0)
    ),
    "a batch that lies about its length": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 64, 2**255, 1)
    ),
    "a batch that points out of its data": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(2**256 - 32, 2**256 - 1, 1, 1)
    ),
    "a batch of one item too many": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 64, 2, 1)
    ),
    "a batch with no data": RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], "0x"),
}


@pytest.mark.parametrize("name", NOT_EVENTS)
def test_what_is_not_exactly_an_event_stays_a_log(name: str) -> None:
    """It is no flow and no approval, and its row keeps address, topics and data."""
    log = NOT_EVENTS[name]
    batch = decode_one(with_logs(log))
    assert token_flows(batch) == []
    assert batch.approvals.num_rows == 0
    (row,) = batch.logs.to_pylist()
    assert row["address"] == slow_decode.data(log.address)
    assert row["data"] == slow_decode.data(log.data)
    topics = [row[f"topic{i}"] for i in range(4)]
    assert [t for t in topics if t is not None] == [slow_decode.data(t) for t in log.topics]
    assert row["ordinal"] == 1


WORDS = st.one_of(
    st.integers(0, 10), st.sampled_from([32, 64, 96, 128, 160, 2**64, 2**255, 2**256 - 32])
)


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=12), st.integers(0, 31))
def test_no_batch_gives_more_items_than_its_data_holds(words: list[int], cut: int) -> None:
    """Any data decodes to what a slow decoder finds in it, and at most a flow per word."""
    payload = bytes.fromhex(joined(*words)[2:])
    payload = payload[: max(0, len(payload) - cut)]
    log = RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], "0x" + payload.hex())
    batch = decode_one(with_logs(log))
    flows = token_flows(batch)
    expected = slow_decode.batch_items(payload) or []
    assert [(f["token_id"], f["value"]) for f in flows] == expected
    assert len(flows) <= len(payload) // 32
    assert batch.logs.num_rows == (0 if expected else 1)


# --- transactions ------------------------------------------------------------------------------


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
