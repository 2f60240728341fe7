"""``tokens.json``: bearer tokens by name, each with a role, of which only digests are kept.

A token is 256 random bits, so its digest is a plain HMAC-SHA256, keyed with the file's salt: bcrypt
and its like slow down guessing where there is something to guess, and would cost every request its
100 ms. The file is private (mode 600), replaced whole, and read again when it changed: a running
process knows a new or revoked token with the next request. A revoked token's line stays, so that
taking the last one back opens no door.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.errors import SettingsError
from chainwarden.server.roles import Role

FILE: Final = "tokens.json"
PREFIX: Final = "cw_"
MAX_TOKENS: Final = 256
MAX_BYTES: Final = 1 << 20
DAY: Final = 86_400
MAX_DAYS: Final = 3650
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token; times in seconds since 1970. ``expires`` None: never."""

    name: str
    role: str
    digest: str
    created: int
    expires: int | None
    revoked: int | None = None

    def usable(self, now: float) -> bool:
        """Whether it was neither revoked nor has expired."""
        return self.revoked is None and not self.expired(now)

    def expired(self, now: float) -> bool:
        """Whether its time has passed."""
        return self.expires is not None and self.expires <= now


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    salt: str
    tokens: list[Token]


class TokenFile:
    """The tokens of one folder of results. Safe beside other processes; not shared by threads.

    Every method raises SettingsError where the file cannot be read, or others may write it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._seen: tuple[int, ...] | None = None
        self._read = _File(1, "", [])

    def exists(self) -> bool:
        """Whether there are tokens, usable or not."""
        return self.path.exists()

    def all(self) -> list[Token]:
        """Every token that is kept, in the order they were made; none where there is no file."""
        return self._current().tokens

    def find(self, shown: str) -> Token | None:
        """The token that was shown, usable or not; how long it takes says nothing of any."""
        file = self._current()
        digest = _digest(file.salt, shown)
        found = None
        for token in file.tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def create(self, name: str, role: Role, days: int | None) -> str:
        """Make a token, and return the only copy of it there will be. ``days`` None: no end."""
        if not _NAME.fullmatch(name):
            hint = "letters, digits and _ . @ - up to 64 characters"
            raise SettingsError(f"{name[:64]!r} is no name of a token", hint=hint)
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise SettingsError(f"a token cannot last {days} days", hint=f"1 to {MAX_DAYS}")
        with self._changing() as file:
            now = int(self._clock())
            kept = [token for token in file.tokens if token.usable(now) or token.name != name]
            if any(token.name == name for token in kept):
                raise SettingsError(
                    f"there is a token {name}", hint=f"chainwarden token revoke {name} ends it"
                )
            if len(kept) >= MAX_TOKENS:
                kept = [token for token in kept if token.usable(now)]
            if len(kept) >= MAX_TOKENS:
                raise SettingsError(f"there are {MAX_TOKENS} tokens", hint="revoke some")
            shown = PREFIX + secrets.token_urlsafe(32)
            salt = file.salt or secrets.token_hex(16)
            ends = None if days is None else now + days * DAY
            made = Token(name, role.text, _digest(salt, shown), now, ends)
            self._write(_File(1, salt, [*kept, made]))
        return shown

    def revoke(self, name: str) -> bool:
        """End a token now. False where none of that name was usable."""
        with self._changing() as file:
            now = int(self._clock())
            ended = [
                msgspec.structs.replace(token, revoked=now)
                if token.name == name and token.usable(now)
                else token
                for token in file.tokens
            ]
            if ended == file.tokens:
                return False
            self._write(msgspec.structs.replace(file, tokens=ended))
        return True

    def _current(self) -> _File:
        """What the file says now. It is read only when it is another than last time."""
        try:
            with self.path.open("rb") as opened:
                status = os.fstat(opened.fileno())
                seen = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)
                if seen == self._seen:
                    return self._read
                if status.st_mode & 0o022:
                    raise SettingsError(
                        f"{self.path} can be written by others, who could make tokens",
                        hint=f"chmod 600 {self.path}",
                    )
                content = opened.read(MAX_BYTES)
        except FileNotFoundError:
            self._seen, self._read = None, _File(1, "", [])
            return self._read
        except OSError as error:
            raise SettingsError(
                f"{self.path}: {error.strerror}", hint="who runs chainwarden must be its owner"
            ) from error
        self._read, self._seen = _decoded(content, self.path), seen
        return self._read

    @contextmanager
    def _changing(self) -> Iterator[_File]:
        """The file as it is, while no other process changes it."""
        lock = self.path.with_name(f".{FILE}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(f"{lock}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._current()
        finally:
            os.close(descriptor)

    def _write(self, file: _File) -> None:
        write_private(self.path, msgspec.json.format(msgspec.json.encode(file), indent=1))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file whole, readable by its owner only. Raises SettingsError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise SettingsError(
            f"{path}: {error.strerror}", hint="the folder must be writable, the disk not full"
        ) from error


def _digest(salt: str, shown: str) -> str:
    return hmac.new(salt.encode(), shown.encode("utf-8", "replace"), "sha256").hexdigest()


def _decoded(content: bytes, path: Path) -> _File:
    try:
        file = msgspec.json.decode(content, type=_File)
        sound = file.version == 1 and len(file.tokens) <= MAX_TOKENS and bool(file.salt)
        for token in file.tokens:
            Role.named(token.role)
            sound = sound and bool(_DIGEST.fullmatch(token.digest))
    except (msgspec.MsgspecError, SettingsError, RecursionError, UnicodeDecodeError) as error:
        raise _damaged(path) from error
    if not sound:
        raise _damaged(path)
    return file


def _damaged(path: Path) -> SettingsError:
    return SettingsError(
        f"{path} is no file of tokens", hint="restore it; or delete it, and make the tokens anew"
    )
