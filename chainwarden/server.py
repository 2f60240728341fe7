"""The HTTP side of a running pipeline: ``/metrics``, ``/healthz``, ``/readyz``.

Binds to loopback unless told otherwise. ``/healthz`` says that the process lives; ``/readyz`` says
503 with the reason until the pipeline works, and again when it stalls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from chainwarden.errors import SettingsError

Readiness = Callable[[], str]
"""Empty text when ready, else why not."""


class MetricsServer:
    """Serves a registry and the two health pages from a daemon thread."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, not_ready: Readiness
    ) -> None:
        try:
            self._http = ThreadingHTTPServer((host, port), _handler(registry, not_ready))
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port}: {error.strerror}",
                hint="set server.port to a free port, or to 0",
            ) from error
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """``host:port``, with the port that was picked for 0."""
        host, port = self._http.server_address[:2]
        return f"{host if isinstance(host, str) else host.decode()}:{port}"

    def close(self) -> None:
        """Stop serving and free the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(registry: CollectorRegistry, not_ready: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "chainwarden"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, encode(registry), content_type)
            elif self.path == "/healthz":
                self._answer(200, b"ok\n")
            elif self.path == "/readyz":
                reason = not_ready()
                self._answer(503 if reason else 200, (reason or "ready").encode() + b"\n")
            else:
                self._answer(404, b"not here: /metrics, /healthz or /readyz\n")

        def _answer(
            self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8"
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Requests are not logged: a scraper asks every few seconds."""

    return Handler
