"""Blocks and receipts written as the JSON Lines that ``jsonl`` reads."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from ingest.raw import RawBlock, RpcReceipt


class ReceiptsLine(msgspec.Struct, rename="camel"):
    """A line of the receipts file: all receipts of the block with that number and hash."""

    block_number: str
    block_hash: str
    receipts: list[RpcReceipt]


class BlockRecorder:
    """Writes ``NAME.blocks.jsonl.gz`` and ``NAME.receipts.jsonl.gz``; use it as a context.

    Both appear whole when the context ends without an error, the blocks last; otherwise neither
    does. Equal blocks give equal bytes.
    """

    def __init__(self, name: Path) -> None:
        self.blocks_file = name.with_name(name.name + ".blocks.jsonl.gz")
        self.receipts_file = name.with_name(name.name + ".receipts.jsonl.gz")
        self.blocks = 0
        self.transactions = 0
        self.logs = 0
        self._encoder = msgspec.json.Encoder()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            blocks = stack.enter_context(whole_file(self.blocks_file))
            receipts = stack.enter_context(whole_file(self.receipts_file))
            self._blocks = stack.enter_context(_packed(blocks))
            self._receipts = stack.enter_context(_packed(receipts))
            self._stack = stack.pop_all()
        return self

    def write(self, raw: RawBlock) -> None:
        """Append a block, and its receipts where it has them."""
        self._blocks.write(self._encoder.encode(raw.block) + b"\n")
        if raw.receipts is not None:
            line = ReceiptsLine(raw.block.number, raw.block.hash, raw.receipts)
            self._receipts.write(self._encoder.encode(line) + b"\n")
            self.logs += sum(len(receipt.logs) for receipt in raw.receipts)
        self.blocks += 1
        self.transactions += len(raw.block.transactions)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when the context ends without an error, else not at all.

    Its folder is made if it is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _packed(file: BinaryIO) -> gzip.GzipFile:
    """A gzip without name and time in it, so that equal content is equal bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)
