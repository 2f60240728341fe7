"""A socket, and uvicorn on it in a thread of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from chainwarden.errors import ChainwardenError, RequestRefused, SettingsError, StoreError
from chainwarden.server.answers import error_answer
from chainwarden.server.guard import CUT, DEFAULT_LIMITS, SECURITY_HEADERS, Guard, Limits
from chainwarden.server.keys import Keys
from chainwarden.server.pages import Readiness, pages
from chainwarden.server.roles import GuardedRoute
from chainwarden.server.tokens import TokenFile
from chainwarden.settings import Secret

CONNECTIONS: Final = 64
HEAD_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 5
NO_TOKEN: Final = Secret("")


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen, and the tokens that pages other than the open three want.

    ``port`` 0 picks a free one. ``token`` is an admin's; ``tokens`` is where more of them are kept,
    each with a role.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: Secret = NO_TOKEN
    tokens: Path | None = None


class HttpServer:
    """Metrics and health, and the given routes beside them, from a daemon thread.

    ``assets`` are files that are open to everybody, as the three pages are. ``routes`` are those
    that want a role: all there are beside these.

    Raises SettingsError where the port is taken, where routes would be open to others than this
    machine without a token, or where the tokens cannot be read.
    """

    def __init__(
        self,
        bind: Bind,
        registry: CollectorRegistry,
        not_ready: Readiness,
        routes: Sequence[GuardedRoute] = (),
        limits: Limits = DEFAULT_LIMITS,
        assets: Sequence[Route] = (),
    ) -> None:
        if not all(isinstance(route, GuardedRoute) for route in routes):
            raise TypeError("every route says which role it wants: see GuardedRoute")
        self._keys = Keys(bind.token, None if bind.tokens is None else TokenFile(bind.tokens))
        self.routes = tuple(routes)
        self._socket = _listening(bind)
        self.host, self.port = self._socket.getsockname()[:2]
        if routes and not ipaddress.ip_address(self.host).is_loopback and not self._keys.usable():
            self._socket.close()
            raise SettingsError(
                f"the API would be open to everybody who reaches {bind.host}",
                hint="make a token (chainwarden token create), or set server.token, or server.host "
                "to 127.0.0.1",
            )
        app = Starlette(
            routes=[*pages(registry, not_ready), *assets, *routes],
            exception_handlers={ChainwardenError: _refuse, HTTPException: _refuse},
        )
        app.router.redirect_slashes = False
        ending = asyncio.Event()
        self._server = _Server(
            uvicorn.Config(
                Guard(app, self._keys, limits, ending, assets=[route.path for route in assets]),
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=2,
                h11_max_incomplete_event_size=limits.head_bytes,
            ),
            ending,
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """``host:port``, with the port that was picked for 0."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def close(self) -> None:
        """Finish what is being answered, at most 2 s of it, stop serving and free the port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._keys.close()


class MetricsServer(HttpServer):
    """Metrics and health only: of a process that holds no ledger."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, not_ready: Readiness
    ) -> None:
        super().__init__(Bind(host, port), registry, not_ready)


class _Server(uvicorn.Server):
    """uvicorn's, which tells answers without end that it closes, before it waits for them."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """uvicorn's, which closes connections that send no whole request head for a while.

    uvicorn itself has a limit only between requests; one that never ends its first, or that drips,
    would hold its place for ever. It lets whoever answers end a connection at once: uvicorn's own
    close waits until all was read. What is answered below the guard, because there are too many
    connections or it is no HTTP, has the same headers as what is answered above.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvicorn takes no other
        super().connection_made(transport)
        app = self.app

        async def with_cut(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, CUT: self._cut}, receive, send)

        self.app = with_cut
        self._seen: Any = self.cycle
        self._watch = self.loop.call_later(HEAD_SECONDS, self._look)
        if len(self.connections) > CONNECTIONS:
            transport.write(_bare_answer(503))
            transport.close()

    def send_400_response(self, msg: str) -> None:
        del msg  # says how the parser works
        self.transport.write(_bare_answer(400))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.transport.is_closing():  # but whoever is there does not read what he was sent
            self._cut()
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._watch = self.loop.call_later(HEAD_SECONDS, self._look)

    def _cut(self) -> None:
        reset = struct.pack("ii", 1, 0)  # nor shall the kernel keep what was not read
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self.transport.abort()


def _bare_answer(status: int) -> bytes:
    """An answer without a body, after which the connection ends."""
    more = {"Content-Length": "0", "Connection": "close"}
    if status == 503:
        more["Retry-After"] = "1"
    lines = [f"{name}: {value}" for name, value in {**SECURITY_HEADERS, **more}.items()]
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *lines]
    return "\r\n".join([*head, "", ""]).encode()


def _listening(bind: Bind) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(CONNECTIONS)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError, OverflowError) as error:
        raise SettingsError(
            f"cannot listen on {bind.host}:{bind.port}: {_why(error)}",
            hint="set server.port to a free port, or to 0",
        ) from error
    return listener


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


async def _refuse(_: Request, error: Exception) -> Response:
    """Any error that was raised on purpose, as JSON with the status it means."""
    match error:
        case RequestRefused():
            refused = error
        case HTTPException():
            hint = "GET /api/v1/status says what runs here" if error.status_code == 404 else ""
            refused = RequestRefused(error.detail, error.status_code, hint=hint)
        case StoreError():
            refused = RequestRefused(error.message, 503, hint=error.hint)
        case ChainwardenError():
            refused = RequestRefused(error.message, 422, hint=error.hint)
        case _:
            raise error
    answer = error_answer(refused)
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer
