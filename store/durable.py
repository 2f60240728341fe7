"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from chainwarden.errors import DiskFull, StoreError

TEMPORARY: Final = ".tmp"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder, which becomes ``path`` when the block ends well.

    In this order: the block writes it, it is flushed to disk, renamed, and its folder flushed. If
    the block fails the temporary file is gone and ``path`` is what it was. Raises DiskFull where
    there is no space, StoreError for other refusals of the file system.
    """
    temporary = temporary_beside(path)
    try:
        with refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            publish(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_beside(path: Path) -> Path:
    """What an unfinished file for that path is called; another process's is called otherwise."""
    return path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")


def publish(temporary: Path, path: Path) -> None:
    """Flush a file to disk, give it its name in the same folder, and flush the folder."""
    flush(temporary)
    put_in_place(temporary, path)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a file that is flushed its name in the same folder, and flush the folder."""
    os.replace(temporary, path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Have what was written to a file, or which names are in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """What the file system refuses as DiskFull or StoreError about that path."""
    try:
        yield
    except OSError as error:
        raise _translated(error, path) from error


def _translated(error: OSError, path: Path) -> StoreError:
    # pyarrow gives the errno in the text only.
    text = str(error)
    if error.errno in _FULL or any(os.strerror(code) in text for code in _FULL):
        return DiskFull(
            f"no space left for {path}", hint="free some space; nothing was acknowledged"
        )
    return StoreError(f"{path} cannot be written: {text}")
