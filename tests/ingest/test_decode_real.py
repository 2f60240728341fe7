"""Decoding agrees with a second decoder on every real block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import rlp
from eth_keys.datatypes import Signature
from eth_utils.crypto import keccak

from chainwarden.schema import ETHEREUM, TABLES, BlockBatch
from ingest.decode import decode_blocks
from ingest.raw import RawBlock, RpcBlock, RpcCall, RpcReceipt
from tests.ingest import slow_decode
from tests.ingest.made_logs import decode_one


def raw_of(block: Any, receipts: Any, calls: Any) -> RawBlock:
    """A block of plain JSON as a source gives it."""
    return RawBlock(
        msgspec.convert(block, RpcBlock, strict=False),
        None if receipts is None else msgspec.convert(receipts, list[RpcReceipt]),
        None if calls is None else msgspec.convert(calls, list[RpcCall]),
        where=block["number"],
    )


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
