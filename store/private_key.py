"""Random keys that an installation makes for itself, in files only their owner may read."""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from chainwarden.errors import StoreError

log = logging.getLogger(__name__)


def private_key(path: Path, size: int, hint: str) -> bytes:
    """The key in a file, made of ``size`` random bytes where it is not there yet.

    Raises StoreError with the hint where there is something else in it.
    """
    if not path.exists():
        _make(path, size)
    try:
        if path.stat().st_mode & 0o077:
            log.warning("%s is readable by others than its owner: making it private", path)
            path.chmod(0o600)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"the key {path} cannot be used: {error}") from error
    if len(key) != size:
        raise StoreError(f"the key {path} has {len(key)} bytes, not {size}", hint=hint)
    return key


def _make(path: Path, size: int) -> None:
    """Of two processes that do this at once, one makes the key, and both have it."""
    mine = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mine.unlink(missing_ok=True)
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(size))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(mine, path)
        mine.unlink()
    except OSError as error:
        raise StoreError(f"the key {path} cannot be made: {error}") from error
