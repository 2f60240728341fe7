"""The real blocks kept beside the project, with their receipts, as a source would give them."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import msgspec

from ingest.raw import RawBlock, RpcBlock, RpcCall, RpcReceipt


class ReceiptsLine(msgspec.Struct, rename="camel"):
    block_hash: str
    receipts: list[RpcReceipt]


class CallsLine(msgspec.Struct, rename="camel"):
    block_number: str
    calls: list[RpcCall]


@cache
def load(folder: Path, name: str) -> tuple[RawBlock, ...]:
    """The blocks of ``run`` or ``forks``. Shared by tests: whoever changes one changes it back."""
    receipts = {
        line.block_hash: line.receipts
        for text in lines(folder / f"{name}.receipts.jsonl.gz")
        for line in [msgspec.json.decode(text, type=ReceiptsLine)]
    }
    blocks = [
        msgspec.json.decode(text, type=RpcBlock)
        for text in lines(folder / f"{name}.blocks.jsonl.gz")
    ]
    return tuple(
        RawBlock(block, receipts.get(block.hash), where=f"{name}:{number}")
        for number, block in enumerate(blocks, 1)
    )


def load_calls(folder: Path, name: str) -> dict[str, list[RpcCall]]:
    """The call trees by block number, as text."""
    texts = lines(folder / f"{name}.calls.jsonl.gz")
    found = [msgspec.json.decode(text, type=CallsLine) for text in texts]
    return {line.block_number: line.calls for line in found}


def lines(path: Path) -> list[bytes]:
    """The lines of a gzipped file."""
    with gzip.open(path) as file:
        return list(file)
