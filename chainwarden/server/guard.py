"""What every request passes before a page sees it, and every answer before it leaves.

``/metrics``, ``/healthz`` and ``/readyz`` are open: they hold no address and no secret; so are the
console's own files, which are the same for everybody. Everything else wants a bearer token where
there is one. Where none is, the server listens on loopback only,
and a web page that somebody on this machine has open must not reach it by a name of its own (DNS
rebinding): the Host header has to name this machine. Nobody may ask more often than the limit:
counted by token, or by address for who shows none; the open pages are counted apart, so that no
flood of questions hides that the process lives.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainwarden.errors import RequestRefused
from chainwarden.server.answers import error_answer
from chainwarden.server.events import SESSION, Session
from chainwarden.server.keys import NOBODY, Keys
from chainwarden.server.rates import Rates, neighbourhood
from chainwarden.server.roles import CALLER, Caller

log = logging.getLogger(__name__)

CUT: Final = "chainwarden.cut"
"""The key of a request's scope under which the server puts what ends its connection at once."""

OPEN_PAGES: Final = frozenset(["/metrics", "/healthz", "/readyz"])
SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request: its head, its body, the time from one to the end of its answer.

    ``per_minute`` bounds the requests of one caller.
    """

    head_bytes: int = 16 * 1024
    body_bytes: int = 16 * 1024
    seconds: float = 10.0
    per_minute: int = 600


DEFAULT_LIMITS: Final = Limits()


class Guard:
    """The outermost layer. Where ``keys`` want none, only this machine's names are answered.

    ``ending`` is set when the server closes, for answers that have no end of their own. ``assets``
    are the paths of files that are open, too.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        limits: Limits = DEFAULT_LIMITS,
        ending: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        assets: Collection[str] = (),
    ) -> None:
        self._app = app
        self._ending = ending or asyncio.Event()
        self._keys = keys
        self._limits = limits
        self._assets = frozenset(assets)
        self._rates = Rates(limits.per_minute, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing is raised. What cannot be finished is cut off."""
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            async with asyncio.timeout(self._limits.seconds) as limit:
                scope[SESSION] = self._session(scope, limit)
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
        if started:  # nothing can be told any more, but that this is not the whole of it
            await _cut(scope, receive)
        else:
            await error_answer(refused)(scope, receive, sending)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        # The parser's own limit is on a head that is still coming; one read may bring more.
        head = sum(len(name) + len(value) + 4 for name, value in headers.raw)
        if head + len(scope["raw_path"]) + len(scope["query_string"]) > self._limits.head_bytes:
            raise RequestRefused(f"the head is above {self._limits.head_bytes} bytes", 431)
        client = scope.get("client")
        address = neighbourhood(client[0]) if client else ""
        if scope["path"] in OPEN_PAGES:
            self._count(f"open {address}")
        elif scope["path"] in self._assets:
            self._count(f"assets {address}")
        else:
            scope[CALLER] = self._identified(headers, address)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > self._limits.body_bytes:
            raise self._too_large()

    def _session(self, scope: Scope, limit: asyncio.Timeout) -> Session:
        def check() -> None:
            if self._keys.wanted:
                self._keys.caller(Headers(scope=scope).get("authorization", ""))

        return Session(self._ending, check, lambda: limit.reschedule(None))

    def _identified(self, headers: Headers, address: str) -> Caller:
        """Who asks; counted as him where that is known, else by where he asks from."""
        try:
            if self._keys.wanted:
                caller = self._keys.caller(headers.get("authorization", ""))
            elif names_loopback(headers.get("host", "")):
                caller = NOBODY
            else:
                raise RequestRefused(
                    "the Host header does not name this machine",
                    403,
                    hint="ask 127.0.0.1 or localhost, or set server.token",
                )
        except RequestRefused:
            self._count(address)
            raise
        self._count(f"token {caller.name}" if caller.name else address)
        return caller

    def _count(self, who: str) -> None:
        seconds = self._rates.wait(who)
        if seconds:
            raise RequestRefused(
                f"more than {self._limits.per_minute} requests in a minute",
                429,
                hint=f"ask again after {seconds} s; server.requests_per_minute sets how many",
                retry_after_seconds=seconds,
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


async def _cut(scope: Scope, receive: Receive) -> None:
    """End the connection of an answer that is not whole, and return when it has ended."""
    scope[CUT]()
    while (await receive())["type"] != "http.disconnect":
        pass


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
