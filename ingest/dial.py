"""Connections to nodes, which go only where a node may be.

An endpoint's URL is a setting, the address of its name is what a DNS server says: so every address
of the answer is checked (``chainwarden.addresses.node_refusal``) and a checked one is connected to.
TLS still names and verifies the host. Redirects are not followed by anybody who uses this.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore2

from chainwarden.addresses import Resolver, node_refusal, resolve


class AddressRefused(httpcore2.ConnectError, OSError):
    """A name resolves to an address where no node is asked. The message names neither."""


def checked(host: str, port: int, resolver: Resolver = resolve) -> list[str]:
    """The addresses of a host. Raises AddressRefused if one of them is refused, OSError."""
    found = resolver(host, port)
    for text in found:
        why = node_refusal(ipaddress.ip_address(text))
        if why is not None:
            raise AddressRefused(f"its name resolves to an address that is refused: {why}")
    return found


def connected(host: str, port: int, timeout: float, resolver: Resolver = resolve) -> socket.socket:
    """A connection to the first checked address that answers. Raises OSError."""
    addresses = checked(host, port, resolver)
    for place, address in enumerate(addresses, 1):
        try:
            return socket.create_connection((address, port), timeout / len(addresses))
        except OSError:
            if place == len(addresses):
                raise
    raise OSError("the name has no address")


class NodeBackend(httpcore2.AsyncNetworkBackend):
    """httpcore's network, with the addresses checked."""

    def __init__(self, resolver: Resolver = resolve) -> None:
        self._resolver = resolver
        self._tcp = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first checked address that answers."""
        try:
            addresses = await asyncio.to_thread(checked, host, port, self._resolver)
        except AddressRefused:
            raise
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("its name cannot be resolved") from error
        for place, address in enumerate(addresses, 1):
            share = None if timeout is None else timeout / len(addresses)
            try:
                return await self._tcp.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(addresses):
                    raise
        raise httpcore2.ConnectError("the name has no address")

    async def sleep(self, seconds: float) -> None:
        """Wait, as httpcore does between attempts."""
        await asyncio.sleep(seconds)
