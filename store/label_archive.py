"""Every version of a label list that took force, so that a restart and a rebuild can read it."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Final

from chainwarden.errors import StoreError
from store.durable import replace_file

log = logging.getLogger(__name__)

MOST_KEPT: Final = 256


class LabelArchive:
    """Files by the digest of their content. The oldest beyond ``MOST_KEPT`` are dropped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, digest: str, data: bytes) -> None:
        """Keep a version; it is on disk afterwards. Raises DiskFull or StoreError."""
        path = self._path(digest)
        if path.exists():
            return
        with replace_file(path) as temporary:
            # Without a time in it the same content is the same file.
            temporary.write_bytes(gzip.compress(data, 6, mtime=0))
        kept = sorted(self.folder.glob("*.gz"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-MOST_KEPT]:
            log.warning("%s: more than %d versions of label lists, dropped", old.name, MOST_KEPT)
            old.unlink(missing_ok=True)

    def read(self, digest: str) -> bytes | None:
        """A version; None where it is not kept. Raises StoreError for one that is damaged."""
        try:
            return gzip.decompress(self._path(digest).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error) as error:
            raise StoreError(f"{self._path(digest)} cannot be read: {error}") from error

    def copy(self, other: LabelArchive) -> None:
        """Keep every version in another archive, too."""
        for path in sorted(self.folder.glob("*.gz")):
            data = self.read(path.stem)
            if data is not None:
                other.keep(path.stem, data)

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.gz"
