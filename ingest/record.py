"""Blocks and receipts written as the JSON Lines that ``jsonl`` reads."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import TracebackType
from typing import Self

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
        self.blocks_file.parent.mkdir(parents=True, exist_ok=True)
        self._files = (_Packed(self.receipts_file), _Packed(self.blocks_file))
        return self

    def write(self, raw: RawBlock) -> None:
        """Append a block, and its receipts where it has them."""
        receipts_file, blocks_file = self._files
        blocks_file.write(self._encoder.encode(raw.block) + b"\n")
        if raw.receipts is not None:
            line = ReceiptsLine(raw.block.number, raw.block.hash, raw.receipts)
            receipts_file.write(self._encoder.encode(line) + b"\n")
            self.logs += sum(len(receipt.logs) for receipt in raw.receipts)
        self.blocks += 1
        self.transactions += len(raw.block.transactions)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._files:
            file.close(keep=kind is None)


class _Packed:
    """A gzip file under a temporary name, without name and time in it, renamed when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._plain = self._temporary.open("wb")
        self._packed = gzip.GzipFile(
            filename="", mode="wb", compresslevel=1, fileobj=self._plain, mtime=0
        )

    def write(self, data: bytes) -> None:
        self._packed.write(data)

    def close(self, keep: bool) -> None:
        try:
            self._packed.close()
            self._plain.close()
            if keep:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
