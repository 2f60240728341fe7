"""``server.json``: where the process that holds a folder's ledger answers."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.errors import SettingsError

FILE: Final = "server.json"


class Whereabouts(msgspec.Struct, frozen=True):
    """Host, port, and the process: a file that outlived its process names another's pid."""

    host: str
    port: int
    pid: int

    @property
    def reachable(self) -> tuple[str, int]:
        """Host and port to ask from this machine."""
        address = ipaddress.ip_address(self.host)
        if not address.is_unspecified:
            return self.host, self.port
        return ("127.0.0.1" if address.version == 4 else "::1"), self.port


@contextmanager
def published(out: Path, host: str, port: int) -> Iterator[None]:
    """Say in a folder where its ledger's process answers, while that is so."""
    path = out / FILE
    mine = msgspec.json.encode(Whereabouts(host, port, os.getpid()))
    temporary = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        temporary.write_bytes(mine)
        temporary.replace(path)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}", hint="give --out a folder that can be written"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_bytes() == mine:
                path.unlink()


def find(out: Path) -> Whereabouts | None:
    """Where a folder's file says, or None where it has none that can be read."""
    try:
        found = msgspec.json.decode((out / FILE).read_bytes(), type=Whereabouts)
        ipaddress.ip_address(found.host)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if 0 < found.port < 65536 else None
