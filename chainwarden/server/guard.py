"""What every request passes before a page sees it, and every answer before it leaves.

``/metrics``, ``/healthz`` and ``/readyz`` are open: they hold no address and no secret. Everything
else wants the bearer token where one is set. Where none is, the server listens on loopback only,
and a web page that somebody on this machine has open must not reach it by a name of its own (DNS
rebinding): the Host header has to name this machine.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainwarden.errors import RequestRefused
from chainwarden.server.answers import error_answer

log = logging.getLogger(__name__)

OPEN_PAGES: Final = frozenset(["/metrics", "/healthz", "/readyz"])
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request: its body, the time from its head to the end of its answer."""

    body_bytes: int = 16 * 1024
    seconds: float = 10.0


DEFAULT_LIMITS: Final = Limits()


class Guard:
    """The outermost layer. ``token`` empty: none is wanted, and only this machine's names are."""

    def __init__(self, app: ASGIApp, token: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._app = app
        self._token = token.encode()
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing is raised."""
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(raw=message["headers"])
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            async with asyncio.timeout(self._limits.seconds):
                await self._app(scope, self._bounded(receive), sending)
            return
        except RequestRefused as error:
            refused = error
        except TimeoutError:
            refused = RequestRefused(
                f"it took longer than {self._limits.seconds:g} s", 503, hint="ask for less"
            )
        except Exception:
            log.exception("a request failed")
            refused = RequestRefused("a defect of chainwarden itself", 500, hint="see its log")
        if not started:
            await error_answer(refused)(scope, receive, sending)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["path"] not in OPEN_PAGES:
            if self._token:
                self._check_token(headers.get("authorization", ""))
            elif not names_loopback(headers.get("host", "")):
                raise RequestRefused(
                    "the Host header does not name this machine",
                    403,
                    hint="ask 127.0.0.1 or localhost, or set server.token",
                )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > self._limits.body_bytes:
            raise self._too_large()

    def _check_token(self, header: str) -> None:
        scheme, _, given = header.partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        if scheme.lower() != "bearer" or not right:
            raise RequestRefused(
                "the bearer token is missing or wrong",
                401,
                hint="send 'Authorization: Bearer' with the value of server.token",
            )

    def _too_large(self) -> RequestRefused:
        return RequestRefused(f"the body is above {self._limits.body_bytes} bytes", 413)

    def _bounded(self, receive: Receive) -> Receive:
        """``receive``, which gives no more than the limit: chunked bodies have no length."""
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._limits.body_bytes:
                raise self._too_large()
            return message

        return bounded


def names_loopback(host: str) -> bool:
    """Whether a Host header names this machine.

    >>> [names_loopback(h) for h in ("127.0.0.1:9464", "localhost", "[::1]:80", "evil.example")]
    [True, True, True, False]
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
