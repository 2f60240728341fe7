"""Connections that go only to addresses somebody may be sent to.

A receiver's URL is a setting, and a name in it is an answer from a DNS server: either may point at
this machine, its network or a cloud's metadata service. So the name is resolved once, every address
of the answer is checked, and the connection goes to a checked address; TLS still names and verifies
the host. Checking the text of the URL would not do: ``127.1``, ``0x7f000001`` and ``2130706433``
are all this machine, and a name may resolve to something else the second time.
"""

from __future__ import annotations

import ipaddress
import queue
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore2

from chainwarden.addresses import Network, Resolver, refusal, resolve


class AddressRefused(httpcore2.ConnectError):
    """A name resolves to an address that nothing is sent to. The message names neither."""


class CheckedBackend(httpcore2.NetworkBackend):
    """Opens TCP connections to checked addresses, and keeps each request within its deadline.

    A name of which any address is refused is refused whole: a public name has no private address
    by accident. ``deadline`` is in ``time.monotonic`` seconds and bounds resolving, connecting and
    every read and write together. One thread at a time.
    """

    def __init__(self, allow: Sequence[Network] = (), resolver: Resolver = resolve) -> None:
        self._allow = tuple(allow)
        self._resolver = resolver
        self._tcp = httpcore2.SyncBackend()
        self.deadline = float("inf")

    def remaining(
        self,
        timeout: float | None,
        late: type[httpcore2.TimeoutException] = httpcore2.ConnectTimeout,
    ) -> float | None:
        """What is left of a timeout before the deadline. Raises ``late`` when nothing is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise late("the deadline has passed")
        if left == float("inf"):
            return timeout
        return left if timeout is None else min(left, timeout)

    def check(self, host: str, port: int, timeout: float | None = None) -> None:
        """Resolve and check, without connecting. Raises AddressRefused or ConnectError."""
        self._checked(host, port, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolve, check, and connect to the first checked address that answers."""
        addresses = self._checked(host, port, self.remaining(timeout))
        for place, address in enumerate(addresses):
            try:
                stream = self._tcp.connect_tcp(
                    address, port, self.remaining(timeout), local_address, socket_options
                )
                return _BoundedStream(stream, self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(addresses) - 1:
                    raise
        raise httpcore2.ConnectError("the name has no address")

    def _checked(self, host: str, port: int, timeout: float | None) -> list[str]:
        addresses = self._resolve(host, port, timeout)
        for text in addresses:
            why = refusal(ipaddress.ip_address(text), self._allow)
            if why is not None:
                raise AddressRefused(f"its name resolves to an address that is refused: {why}")
        return addresses

    def _resolve(self, host: str, port: int, timeout: float | None) -> list[str]:
        # The system's resolver knows no timeout: it runs aside, and is left behind if it is late.
        answer: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answer.put(self._resolver(host, port))
            except (OSError, UnicodeError) as error:
                answer.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            result = answer.get(timeout=timeout)
        except queue.Empty:
            raise httpcore2.ConnectTimeout("its name was not resolved in time") from None
        if isinstance(result, Exception):
            raise httpcore2.ConnectError("its name cannot be resolved") from None
        return result


class _BoundedStream(httpcore2.NetworkStream):
    """A stream of which no read or write outlives its backend's deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: CheckedBackend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.remaining(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.remaining(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(
            ssl_context, server_hostname, self._backend.remaining(timeout)
        )
        return _BoundedStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
