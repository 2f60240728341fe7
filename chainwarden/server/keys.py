"""What a request shows, and who that is: the token of the settings, or one of ``tokens.json``."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.errors import RequestRefused, SettingsError
from chainwarden.server.roles import Caller, Role
from chainwarden.server.tokens import Token, TokenFile, write_private
from chainwarden.settings import Secret

log = logging.getLogger(__name__)

USES: Final = "tokens.used.json"
"""Beside ``tokens.json``: when each token was used last, by digest. Up to a minute old."""
_USES_SECONDS: Final = 60.0
NOBODY: Final = Caller("", Role.ADMIN)
"""Whoever is on this machine where no token is wanted, or shows the token of the settings."""


class Keys:
    """Tells callers by the token they show. For one event loop; ``close`` when it ended.

    ``token`` is the one of the settings, an admin's; ``tokens`` those of a folder. Once there was
    one of either, one is wanted for as long as this lives, whatever becomes of the file. Raises
    SettingsError where the file cannot be used, or the settings' token is one of the file.
    """

    def __init__(
        self, token: Secret, tokens: TokenFile | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._token = token.reveal().encode()
        self._tokens = tokens
        self._clock = clock
        self._wanted = bool(self._token)
        self._uses: dict[str, int] = {}
        self._used_at = 0.0
        if tokens is not None:
            held = tokens.find(token.reveal()) if token else None
            if held is not None:
                raise SettingsError(
                    f"server.token is the token {held.name}, and would make an admin of its owner",
                    hint="set server.token to another (openssl rand -hex 32), or to none",
                )
            tokens.all()
            self._uses = last_uses(tokens.path)

    @property
    def wanted(self) -> bool:
        """Whether a token must be shown."""
        if not self._wanted and self._tokens is not None:
            self._wanted = self._tokens.exists()
        return self._wanted

    def usable(self) -> bool:
        """Whether there is any token that would be accepted."""
        now = self._clock()
        held = [] if self._tokens is None else self._tokens.all()
        return bool(self._token) or any(token.usable(now) for token in held)

    def caller(self, header: str) -> Caller:
        """Who shows this Authorization header. Raises RequestRefused: 401, or 503."""
        scheme, _, shown = header.partition(" ")
        shown = shown.strip()
        if scheme.lower() != "bearer" or not shown:
            raise _unknown("the bearer token is missing or wrong")
        if self._token and hmac.compare_digest(shown.encode("utf-8", "replace"), self._token):
            return NOBODY
        token = self._held(shown)
        now = self._clock()
        if token is None or token.revoked is not None:
            raise _unknown("the bearer token is missing or wrong")
        if token.expired(now):
            raise _unknown("the bearer token has expired")
        self._note_use(token, now)
        return Caller(token.name, Role.named(token.role))

    def close(self) -> None:
        """Keep when the tokens were used last."""
        self._keep_uses()

    def _held(self, shown: str) -> Token | None:
        if self._tokens is None:
            return None
        try:
            return self._tokens.find(shown)
        except SettingsError as error:
            # Refused, and not as wrong: the caller's token may well be right.
            raise RequestRefused("the tokens cannot be read", 503, hint="see the log") from error

    def _note_use(self, token: Token, now: float) -> None:
        self._uses[token.digest] = int(now)
        if now - self._used_at >= _USES_SECONDS:
            self._used_at = now
            self._keep_uses()

    def _keep_uses(self) -> None:
        if self._tokens is None or not self._uses:
            return
        try:
            held = {token.digest for token in self._tokens.all()}
            self._uses = {digest: at for digest, at in self._uses.items() if digest in held}
            write_private(self._tokens.path.with_name(USES), msgspec.json.encode(self._uses))
        except SettingsError as error:
            log.warning("when tokens were used last is not kept: %s", error)


def last_uses(tokens: Path) -> dict[str, int]:
    """When each token was used last, by digest, in seconds since 1970; what cannot be read is not.

    ``tokens`` is where ``tokens.json`` is.
    """
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(tokens.with_name(USES).read_bytes(), type=dict[str, int])
    return {}


def _unknown(message: str) -> RequestRefused:
    return RequestRefused(
        message,
        401,
        hint="send 'Authorization: Bearer' with server.token, or a token of chainwarden token",
    )
