"""Detector snapshots: a state and the cursor it includes, in one authenticated file.

A file is ``magic | length of header | header | state | HMAC``: the header is JSON (version, cursor,
sizes), the state is compressed with zstd, and HMAC-SHA256 over all before it says that this
installation wrote it and that no byte of it changed. Nothing of a file is used before that holds.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from chainwarden.errors import SnapshotRefused
from chainwarden.schema import Cursor, Position
from store.durable import TEMPORARY, replace_file
from store.private_key import private_key

log = logging.getLogger(__name__)

VERSION: Final = 1
_MAGIC: Final = b"CWSNAP\r\n"
_MAC_BYTES: Final = 32
_KEY_BYTES: Final = 32
_MAX_HEADER: Final = 1 << 24


class _Header(msgspec.Struct, frozen=True):
    version: int
    serial: int
    head: tuple[int, str] | None
    offsets: dict[str, int]
    blocks: int
    transactions: int
    flows: int
    state_bytes: int


class SnapshotStore:
    """The newest ``keep`` snapshots in a folder, authenticated with the key in ``key_path``.

    The key is made on first use and readable by its owner only.
    """

    def __init__(self, folder: Path, key_path: Path, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError("keep at least one snapshot")
        self.folder = folder
        self.keep = keep
        folder.mkdir(parents=True, exist_ok=True)
        self._key = private_key(
            key_path,
            _KEY_BYTES,
            "delete it: snapshots are refused then, and the state is replayed once",
        )

    def save(self, state: bytes, cursor: Cursor) -> Path:
        """Save a state with the cursor it includes; on disk when this returns. Raises DiskFull.

        Older snapshots beyond ``keep`` are deleted afterwards, but for one where there is finality:
        the newest of the finalized block or below, else the oldest. While finality stalls, a fork
        may reach down to there.
        """
        kept = self._paths()
        serial = _serial(kept[-1]) + 1 if kept else 1
        head = cursor.head
        header = msgspec.json.encode(
            _Header(
                VERSION,
                serial,
                None if head is None else (head.number, head.hash.hex()),
                cursor.offsets,
                cursor.blocks,
                cursor.transactions,
                cursor.flows,
                len(state),
            )
        )
        body = pa.Codec("zstd", compression_level=1).compress(state, asbytes=True)
        start = _MAGIC + len(header).to_bytes(4, "big") + header
        mac = hmac.new(self._key, start, hashlib.sha256)
        mac.update(body)
        path = self.folder / f"snapshot-{serial:012d}.bin"
        with replace_file(path) as temporary, temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            for part in (start, body, mac.digest()):
                file.write(part)
        self._rotate(cursor.finalized)
        for left in self.folder.glob(f"snapshot-*{TEMPORARY}"):
            left.unlink(missing_ok=True)
        return path

    def newest_first(self) -> Iterator[tuple[Path, bytes, Cursor]]:
        """Every good snapshot with its file, newest first; a damaged one is told in the log."""
        for path in reversed(self._paths()):
            try:
                yield path, *self.load(path)
            except SnapshotRefused as refused:
                log.warning("%s", refused)

    def newest(self, not_after: Cursor | None = None) -> tuple[bytes, Cursor] | None:
        """The newest good snapshot that includes nothing beyond ``not_after``, or None.

        A damaged one is reported in the log and the next older one is tried. None for
        ``not_after`` takes any.
        """
        for _, state, cursor in self.newest_first():
            if not_after is None or _within(cursor, not_after):
                return state, cursor
        return None

    def load(self, path: Path) -> tuple[bytes, Cursor]:
        """The state and cursor in a file. Raises SnapshotRefused for one that is not as saved."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SnapshotRefused(f"{path} cannot be read: {error}") from error
        hint = "an older snapshot, or a replay from the start, takes its place"
        if len(data) < len(_MAGIC) + 4 + _MAC_BYTES or not data.startswith(_MAGIC):
            raise SnapshotRefused(f"{path} is no snapshot, or it is truncated", hint=hint)
        signed, mac = memoryview(data)[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(hmac.new(self._key, signed, hashlib.sha256).digest(), mac):
            raise SnapshotRefused(f"{path} is truncated, changed, or of another key", hint=hint)
        # From here on every byte is known to be our own.
        length = int.from_bytes(signed[len(_MAGIC) : len(_MAGIC) + 4], "big")
        start = len(_MAGIC) + 4
        try:
            header = msgspec.json.decode(bytes(signed[start : start + length]), type=_Header)
        except msgspec.MsgspecError as error:
            raise SnapshotRefused(f"{path} has a header of another version", hint=hint) from error
        if header.version != VERSION:
            raise SnapshotRefused(f"{path} has version {header.version}, not {VERSION}", hint=hint)
        codec = pa.Codec("zstd")
        state = codec.decompress(signed[start + length :], header.state_bytes, asbytes=True)
        head = None
        if header.head is not None:
            head = Position(header.head[0], bytes.fromhex(header.head[1]))
        return state, Cursor(head, header.offsets, header.blocks, header.transactions, header.flows)

    def _rotate(self, finalized: Position | None) -> None:
        paths, base = self._paths(), None
        if finalized is not None:
            low = [path for path in paths if _head_number(path) <= finalized.number]
            base = low[-1] if low else paths[0]
        for path in paths[: -self.keep]:
            if path != base:
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        """The snapshot files, oldest first."""
        return sorted(self.folder.glob("snapshot-*.bin"))


def _head_number(path: Path) -> int:
    """The head that a file claims, -1 for none: good enough to choose by, it is not verified."""
    try:
        with path.open("rb") as file:
            file.seek(len(_MAGIC))
            length = int.from_bytes(file.read(4), "big")
            head = msgspec.json.decode(file.read(min(length, _MAX_HEADER)), type=_Header).head
    except (OSError, msgspec.MsgspecError):
        return 2**62  # not one to rely on
    return -1 if head is None else head[0]


def _serial(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _within(cursor: Cursor, limit: Cursor) -> bool:
    """Whether a state at ``cursor`` has seen nothing that a ledger at ``limit`` has not."""
    if cursor.offsets:
        return all(offset <= limit.offsets.get(key, -1) for key, offset in cursor.offsets.items())
    return cursor.blocks <= limit.blocks
