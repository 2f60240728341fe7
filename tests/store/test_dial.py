from __future__ import annotations

import ipaddress
import socket
import time
from functools import partial

import httpcore2
import pytest

from store.dial import AddressRefused, CheckedBackend, refusal, resolve
from tests.rigs.receiver import WebhookReceiver

# Each of these reaches, or could reach, something that is not the public internet.
REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1
127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255
192.0.0.1 192.0.0.170 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1
198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::ffff:0:127.0.0.1
64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1 2001:0:1::1 2001:2::1
2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1 5f00::1 fc00::1 fd00::1
fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 4000::1 8000::1 e000::1
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 192.0.1.1
192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 203.0.112.255 203.0.114.1 223.255.255.255
::ffff:1.1.1.1 2001:200::1 2001:4860:4860::8888 2003::1 2606:4700:4700::1111 2a00:1450::1 3ffe::1
"""
# Ways to write an address of this machine that a check of the text would miss.
LOOPBACKS = """
127.0.0.1 127.1 127.0.1 0x7f.1 0x7f000001 0x7f.0x0.0x0.0x1 2130706433 017700000001 0177.0.0.1
0 0.0.0.0 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 localhost
"""


@pytest.mark.parametrize("text", REFUSED.split())
def test_no_address_outside_the_public_internet_passes(text: str) -> None:
    """Private, loopback, link-local, metadata, translated, tunnelled, reserved: all refused."""
    assert refusal(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_public_addresses_pass(text: str) -> None:
    """The neighbours of every refused network are reachable."""
    assert refusal(ipaddress.ip_address(text)) is None


def test_an_allowed_network_passes_and_no_other() -> None:
    """An explicit network opens itself, in both spellings of IPv4, and nothing beside it."""
    allow = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    for text in ("127.0.0.1", "::ffff:127.0.0.1", "fd00:ec2::254"):
        assert refusal(ipaddress.ip_address(text), allow) is None
    for text in ("10.0.0.1", "::1", "fe80::1", "169.254.169.254"):
        assert refusal(ipaddress.ip_address(text), allow)


@pytest.mark.parametrize("host", LOOPBACKS.split())
def test_no_spelling_of_this_machine_is_dialled(host: str) -> None:
    """With a receiver really listening, none of the spellings gets through to it."""
    with WebhookReceiver() as receiver:
        try:
            resolve(host, receiver.port)
        except OSError:
            pytest.skip(f"this machine does not resolve {host}")
        with pytest.raises(AddressRefused):
            CheckedBackend().connect_tcp(host, receiver.port, timeout=5)


def test_one_refused_address_refuses_the_name() -> None:
    """A name with a public and a private address is an attack, whichever comes first."""
    for answer in (["1.1.1.1", "127.0.0.1"], ["10.0.0.1", "1.1.1.1"]):
        backend = CheckedBackend(resolver=partial(_answer, answer))
        with pytest.raises(AddressRefused):
            backend.connect_tcp("mixed.example", 443, timeout=1)


def test_the_name_is_resolved_once_and_the_checked_address_is_dialled() -> None:
    """A name that answers otherwise the second time (rebinding) is not asked a second time."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with WebhookReceiver() as receiver:
        backend = CheckedBackend([ipaddress.ip_network("127.0.0.0/8")], rebinding)
        stream = backend.connect_tcp("rebinding.example", receiver.port, timeout=5)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", receiver.port)
        stream.close()
        assert asked == ["rebinding.example"]
        with pytest.raises(AddressRefused):
            backend.connect_tcp("rebinding.example", receiver.port, timeout=5)


def test_the_next_checked_address_is_tried() -> None:
    """An address nobody listens on does not make a receiver unreachable."""
    with WebhookReceiver() as receiver:
        backend = CheckedBackend(
            [ipaddress.ip_network("127.0.0.0/8")], lambda _host, _port: ["127.0.0.9", "127.0.0.1"]
        )
        stream = backend.connect_tcp("two.example", receiver.port, timeout=5)
        stream.close()


def test_a_slow_resolver_does_not_outlast_the_deadline() -> None:
    """The system's resolver has no timeout; the dialler has."""

    def slow(_host: str, _port: int) -> list[str]:
        time.sleep(0.6)
        return ["1.1.1.1"]

    backend = CheckedBackend(resolver=slow)
    backend.deadline = time.monotonic() + 0.1
    began = time.monotonic()
    with pytest.raises(httpcore2.ConnectTimeout):
        backend.connect_tcp("slow.example", 443, timeout=5)
    assert time.monotonic() - began < 0.5


def test_a_name_that_does_not_resolve_is_no_connection() -> None:
    """And its error names neither the host nor what the resolver said."""

    def unknown(host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, f"unknown: {host}")

    with pytest.raises(httpcore2.ConnectError) as caught:
        CheckedBackend(resolver=unknown).connect_tcp("secret.example", 443, timeout=5)
    assert "secret.example" not in str(caught.value)
    assert caught.value.__cause__ is None


def _answer(addresses: list[str], _host: str, _port: int) -> list[str]:
    return addresses
