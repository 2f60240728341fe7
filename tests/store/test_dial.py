from __future__ import annotations

import ipaddress
import socket
import time
from functools import partial

import httpcore2
import pytest

from chainwarden.addresses import refusal, resolve
from store.dial import AddressRefused, CheckedBackend
from tests.rigs.addresses import LOOPBACKS, PUBLIC, REFUSED
from tests.rigs.receiver import WebhookReceiver


@pytest.mark.parametrize("text", REFUSED)
def test_no_address_outside_the_public_internet_passes(text: str) -> None:
    """Private, loopback, link-local, metadata, translated, tunnelled, reserved: all refused."""
    assert refusal(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
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


@pytest.mark.parametrize("host", LOOPBACKS)
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
