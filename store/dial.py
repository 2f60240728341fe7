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
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import httpcore2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], list[str]]

# ipaddress.is_global is not enough: it passes multicast, NAT64, 6to4, Azure's wire server and more.
# IPv4: everything is public but these (IANA's special-purpose registry, and two cloud addresses).
_REFUSED_V4: Final = tuple(
    (ipaddress.IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
# IPv6: nothing is public but the global unicast block, without these.
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    (ipaddress.IPv6Network(network), why)
    for network, why in (
        ("2001::/23", "protocol assignments, Teredo among them"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
)


class AddressRefused(httpcore2.ConnectError):
    """A name resolves to an address that nothing is sent to. The message names neither."""


def refusal(address: Address, allow: Sequence[Network] = ()) -> str | None:
    """Why nothing may be sent to an address, or None if it may. ``allow`` overrides.

    >>> refusal(ipaddress.ip_address("169.254.169.254"))
    'link-local'
    >>> refusal(ipaddress.ip_address("1.1.1.1")) is None
    True
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address.version == network.version and address in network for network in allow):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in _REFUSED_V4 if address in network), None)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return "not global unicast"
    return next((why for network, why in _REFUSED_V6 if address in network), None)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as text, in the system's order of preference, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


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
