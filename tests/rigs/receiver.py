"""A webhook receiver on loopback that behaves, or misbehaves, as told, and checks what it gets."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

SECRET: Final = "whsec_" + base64.b64encode(b"chainwarden test secret, 32 byte").decode()
LOOPBACK: Final = ("127.0.0.0/8",)
MODES: Final = {
    "ok": "accepts",
    "error": "answers 500",
    "refuse": "answers 400",
    "gone": "answers 410",
    "busy": "answers 429 with Retry-After",
    "gateway": "answers 502",
    "redirect": "answers 302 with a Location on itself that accepts",
    "lost": "accepts, and closes the connection without an answer",
    "drip": "answers 200 a byte a second",
    "silent": "never answers",
    "endless": "answers 200 with a body without end",
    "bomb": "answers 200 with a small gzip of a large body",
    "garbage": "answers what is no HTTP",
}
"""Besides these, a status such as ``"403"`` is answered, with Retry-After where it is set."""
REDIRECTED: Final = "/elsewhere"


@dataclass(frozen=True, slots=True)
class Received:
    """One POST: its headers in lower case, its body, and whether it was accepted."""

    path: str
    headers: dict[str, str]
    body: bytes
    accepted: bool

    @property
    def id(self) -> str:
        """The ``webhook-id``."""
        return self.headers["webhook-id"]

    @property
    def message(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Whether one of the signatures is HMAC-SHA256 of id, time and body with the secret.

        Written from the specification of Standard Webhooks, not with the library that signs.
        """
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = b".".join(
            (self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body)
        )
        expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        offered = self.headers["webhook-signature"].split(" ")
        return any(hmac.compare_digest(f"v1,{expected}", one) for one in offered)


class WebhookReceiver:
    """A receiver that listens while it is entered; ``mode`` may change at any time.

    ``received`` has every POST in order of arrival, ``unanswered`` counts those that were accepted
    without an answer that says so. ``stop`` and ``start`` take it down and up again on the same
    port.
    """

    def __init__(
        self, secrets: Sequence[str] = (SECRET,), tls: ssl.SSLContext | None = None
    ) -> None:
        self.secrets = tuple(secrets)
        self.mode = "ok"
        self.retry_after = "120"
        self.unanswered = 0
        self.received: list[Received] = []
        self.released = threading.Event()
        self._tls = tls
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/hook"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def accepted(self) -> list[Received]:
        """What was accepted, each message once: the first POST with its id."""
        return list({one.id: one for one in reversed(self.received) if one.accepted}.values())[::-1]

    def unsigned(self) -> list[Received]:
        """What none of the secrets has signed."""
        return [
            one for one in self.received if not any(one.signed_with(key) for key in self.secrets)
        ]

    def start(self) -> None:
        """Listen."""
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, end every connection; the port stays its own."""
        if self._server is None or self._thread is None:
            return
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None
        self.released.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(50_000_000))


class _Server(ThreadingHTTPServer):
    # Threads are joined when the server closes, so that none outlives its test.
    daemon_threads = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that hangs up is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    owner: WebhookReceiver
    protocol_version = "HTTP/1.1"
    timeout = 1.0  # an idle connection ends soon, so that closing the server is quick

    def log_message(self, *_args: object, **_kwargs: object) -> None:
        """Tests read ``received``, not a log."""

    def do_POST(self) -> None:
        """Take the message and answer as the mode says."""
        length = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:  # whoever sent it was killed on the way
            self.close_connection = True
            return
        mode = "ok" if self.path == REDIRECTED else self.owner.mode
        accepts = mode in ("ok", "lost", "drip", "endless", "bomb")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.received.append(Received(self.path, headers, body, accepts))
        if mode.isdecimal():
            self._answer(int(mode), Retry_After=self.owner.retry_after)
        else:
            getattr(self, f"_{mode}")()

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ok(self) -> None:
        self._answer(200, b'{"ok":true}')

    def _error(self) -> None:
        self._answer(500, b"oops")

    def _refuse(self) -> None:
        self._answer(400, b"no")

    def _gone(self) -> None:
        self._answer(410)

    def _busy(self) -> None:
        self._answer(429, Retry_After=self.owner.retry_after)

    def _gateway(self) -> None:
        self._answer(502)

    def _redirect(self) -> None:
        self._answer(302, Location=REDIRECTED)

    def _lost(self) -> None:
        self.owner.unanswered += 1
        self._hang_up()

    def _silent(self) -> None:
        self.owner.released.wait(30)
        self._hang_up()

    def _drip(self) -> None:
        self.owner.unanswered += 1
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
            self.wfile.write(bytes([byte]))
            if self.owner.released.wait(1):
                break
        self._hang_up()

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        until = time.monotonic() + 30
        while not self.owner.released.is_set() and time.monotonic() < until:
            self.wfile.write(bytes(65_536))
        self._hang_up()

    def _bomb(self) -> None:
        self._answer(200, _bomb(), Content_Encoding="gzip")

    def _garbage(self) -> None:
        self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n" * 10)
        self._hang_up()

    def _hang_up(self) -> None:
        # A reset, not a polite close.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
