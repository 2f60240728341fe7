"""A small block with the logs that a test gives it, and what decoding makes of it."""

from __future__ import annotations

from typing import Any

import msgspec
from eth_utils.crypto import keccak

from chainwarden.schema import ETHEREUM, BlockBatch
from ingest.decode import decode_blocks
from ingest.raw import RawBlock, RpcLog
from tests.ingest import made_blocks

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
