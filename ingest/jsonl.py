"""Blocks from JSON Lines: one ``eth_getBlockByNumber`` object a line, plain or gzip.

Beside ``X.blocks.jsonl.gz`` may stand ``X.receipts.jsonl.gz`` (lines ``{blockNumber, blockHash,
receipts}``) and ``X.calls.jsonl.gz`` (``{blockNumber, calls}``), for all of the blocks or some.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.errors import BadBlock, FileFormatError
from chainwarden.schema import Chain
from ingest.codec import quantity_of, shown
from ingest.lines import MAX_LINE_BYTES, Line, read_lines
from ingest.raw import RawBlock, RpcBlock, RpcCall, RpcReceipt
from ingest.sidecar import Sidecar

# What nodes add to a block object and its hash does not cover.
_HARMLESS: Final = frozenset(
    {"author", "calls", "l1BlockNumber", "sealFields", "sendCount", "sendRoot", "size"}
    | {"totalDifficulty", "transactionsCount", "uncles"}
)
_KNOWN: Final = _HARMLESS | {each.encode_name for each in msgspec.structs.fields(RpcBlock)}
_MAX_UNKNOWN_FIELDS: Final = 16

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BLOCK: Final = msgspec.json.Decoder(RpcBlock)
# A deep nesting ends in RecursionError: msgspec has the interpreter's limit of about 1,000.
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError)


class JsonlSource:
    """A ``BlockSource`` over one file of blocks and what stands beside it.

    Files are streamed: memory is bounded by the longest lines (at most 64 MB each) and a bounded
    look-ahead into receipts and calls; if their order differs more than that, an index of offsets
    (about 200 bytes a block) takes over. Raises FileFormatError at once for what is no such file.
    """

    def __init__(self, path: Path, chain: Chain) -> None:
        self.chain = chain
        self._path = path
        _check_file(path)
        self._receipts = _beside(path, "receipts")
        self._calls = _beside(path, "calls")

    def blocks(self) -> Iterator[RawBlock | BadBlock]:
        """Every block in the order of the file; a line that holds none as the BadBlock it is.

        A block whose receipts or calls are given and unreadable is a BadBlock, too: without them
        its logs would be missed unseen. Raises FileFormatError where a file breaks off, after all
        blocks that are whole were yielded.
        """
        receipts = Sidecar(self._receipts, list[RpcReceipt], "receipts")
        calls = Sidecar(self._calls, list[RpcCall], "calls")
        empty = True
        try:
            for line in read_lines(self._path):
                if line.text is not None and not line.text.strip():
                    continue
                empty = False
                raw = self._raw_block(line, receipts, calls)
                yield from receipts.rejected()
                yield from calls.rejected()
                yield raw
        finally:
            receipts.close()
            calls.close()
        if empty:
            raise FileFormatError(f"{self._path.name} is empty: it holds no blocks")

    def _raw_block(
        self, line: Line, receipts: Sidecar[list[RpcReceipt]], calls: Sidecar[list[RpcCall]]
    ) -> RawBlock | BadBlock:
        where = f"{self._path.name}:{line.number}"
        number: int | None = None
        try:
            if line.text is None:
                raise ValueError(f"the line is longer than {MAX_LINE_BYTES} bytes")
            block, unknown = parse_block(line.text)
            number = quantity_of(block.number, "number", 63)
            block_hash = block.hash.lower()
            return RawBlock(
                block,
                receipts.take(block_hash, number),
                calls.take(block_hash, number),
                where,
                unknown,
            )
        except _UNREADABLE as error:
            return BadBlock(
                _reason(error), where=where, reason="malformed", number=number, hint=_hint(error)
            )


def parse_block(text: bytes) -> tuple[RpcBlock, tuple[str, ...]]:
    """A block object and the names of its header fields that are in no known fork.

    An answer of a node around it (``{"jsonrpc": …, "result": {…}}``) is taken off. Raises
    msgspec.MsgspecError, ValueError or RecursionError, and nothing else, for anything else.
    """
    fields = _OBJECT.decode(text)
    if "result" in fields and "number" not in fields:
        if _is_null(fields["result"]):
            raise ValueError("the node answered null: it did not have the block")
        text = bytes(fields["result"])
        fields = _OBJECT.decode(text)
    elif "error" in fields and "number" not in fields:
        raise ValueError(f"the node answered an error: {shown(str(bytes(fields['error'])[:80]))}")
    unknown = sorted(
        name for name, value in fields.items() if name not in _KNOWN and not _is_null(value)
    )
    cut = tuple(shown(name)[1:-1] for name in unknown[:_MAX_UNKNOWN_FIELDS])
    return _BLOCK.decode(text), cut


def _is_null(value: msgspec.Raw) -> bool:
    return bytes(memoryview(value)[:5]) == b"null"


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is no block: nested too deeply"
    text = ascii(str(error))[1:-1]
    if not text.startswith("its "):
        text = f"is no block: {text}"
    return text if len(text) <= 200 else text[:197] + "..."


def _hint(error: Exception) -> str:
    if "transactions[" in str(error) and "got `str`" in str(error):
        return "the block lists only the hashes: fetch it with full transactions"
    return ""


def _check_file(path: Path) -> None:
    """Raises FileFormatError for what is plainly no file of JSON lines."""
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder", hint="name the X.blocks.jsonl.gz in it")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise FileFormatError(f"{path}: {error.strerror or error}") from error
    if not head:
        raise FileFormatError(f"{path.name} is empty: it holds no blocks")
    for kind in ("receipts", "calls"):
        if f".{kind}.jsonl" in path.name:
            blocks = path.name.replace(f".{kind}.jsonl", ".blocks.jsonl")
            raise FileFormatError(
                f"{path.name} holds {kind}, not blocks", hint=f"name {blocks}: {kind} are found"
            )
    if head.lstrip()[:1] == b"[":
        raise FileFormatError(
            f"{path.name} is a JSON array, not JSON lines", hint="write one object a line"
        )
    for magic, name in _OTHER_KINDS.items():
        if head.startswith(magic):
            raise FileFormatError(f"{path.name} is a {name} file, not JSON lines")
    if not head.startswith(b"\x1f\x8b") and b"\0" in head and path.suffix != ".gz":
        raise FileFormatError(f"{path.name} is a binary file, not JSON lines")


_OTHER_KINDS: Final = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"(\xb5/\xfd": "zstd",
    b"ARROW1": "Arrow",
}


def _beside(path: Path, kind: str) -> Path | None:
    """``X.receipts.jsonl.gz`` or ``X.receipts.jsonl`` for ``X.blocks.jsonl(.gz)``, if it is there.

    The one packed as the blocks are comes first.
    """
    stem, found, _ = path.name.rpartition(".blocks.jsonl")
    if not found:
        return None
    endings = (".jsonl.gz", ".jsonl") if path.suffix == ".gz" else (".jsonl", ".jsonl.gz")
    for ending in endings:
        candidate = path.with_name(f"{stem}.{kind}{ending}")
        if candidate.is_file():
            return candidate
    return None
