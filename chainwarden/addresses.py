"""Which IP addresses may be dialled: the public ones, and for nodes those of one's own network too.

The lists are IANA's special-purpose registries and the addresses at which clouds answer any process
of a machine with its credentials. ``ipaddress.is_global`` is not enough: it passes multicast,
NAT64, 6to4, Azure's wire server and more.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], list[str]]

# IPv4: everything is public but these.
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
# Where nodes usually are: this machine, the private networks, the networks that VPNs make.
_OWN: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
        "::1/128", "fc00::/7",
    )
)  # fmt: skip
# Inside of those: Alibaba's, Amazon's and Google's metadata services.
_METADATA: Final = tuple(
    ipaddress.ip_address(address)
    for address in ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
)


def refusal(address: Address, allow: Sequence[Network] = ()) -> str | None:
    """Why nothing may be sent to an address, or None if it may. ``allow`` overrides.

    >>> refusal(ipaddress.ip_address("169.254.169.254"))
    'link-local'
    >>> refusal(ipaddress.ip_address("1.1.1.1")) is None
    True
    """
    address = _plain(address)
    if any(address.version == network.version and address in network for network in allow):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in _REFUSED_V4 if address in network), None)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return "not global unicast"
    return next((why for network, why in _REFUSED_V6 if address in network), None)


def node_refusal(address: Address) -> str | None:
    """Why no node is asked at an address, or None if one may be.

    Nodes are on loopback and private networks more often than not, so these pass; link-local
    addresses, metadata services and what no node can have do not.

    >>> node_refusal(ipaddress.ip_address("127.0.0.1")) is None
    True
    >>> node_refusal(ipaddress.ip_address("fd00:ec2::254"))
    "a cloud's metadata service"
    """
    if _plain(address) in _METADATA:
        return "a cloud's metadata service"
    return refusal(address, _OWN)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as text, in the system's order of preference, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _plain(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one, as itself."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
