"""HeadDoorbell: it rings, it comes back, and nothing depends on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from chainwarden.errors import SettingsError
from ingest.heads import DoorbellConfig, HeadDoorbell
from tests.anvil import Anvil, start_anvil

HASTY = DoorbellConfig(silence_seconds=0.6, pause_seconds=0.05, longest_pause_seconds=0.1)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@contextmanager
def websocket(behave: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A WebSocket server on loopback that does with every connection as told; its URL."""

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            connection.recv()
            behave(connection)

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{port(server)}"
        finally:
            server.shutdown()
            thread.join()


def port(server: Server) -> int:
    """Where it listens."""
    return int(server.socket.getsockname()[1])


@pytest.mark.anvil
def test_it_rings_for_every_head(anvil: Anvil) -> None:
    """A real node's newHeads ring, once a block, and waiting ends at once."""
    with HeadDoorbell(anvil.ws_url) as bell:
        assert until(lambda: bell.connections == 1)
        time.sleep(0.1)
        threading.Timer(0.2, anvil.mine).start()
        began = time.monotonic()
        bell.wait(10, threading.Event())
        assert time.monotonic() - began < 2
        anvil.mine(3)
        assert until(lambda: bell.rings >= 4)


@pytest.mark.anvil
def test_it_comes_back_after_a_node_restarts(anvil_binary: Path) -> None:
    """The node goes away and another comes up in its place: the bell rings again."""
    first = start_anvil(anvil_binary)
    with HeadDoorbell(first.ws_url, HASTY) as bell:
        try:
            assert until(lambda: bell.connections == 1)
        finally:
            first.stop()
        second = start_anvil(anvil_binary, port=first.port)
        try:

            def rung() -> bool:
                second.mine()
                return bell.rings > 0

            assert until(rung)
            assert bell.connections >= 2
        finally:
            second.stop()


def test_a_silent_connection_is_replaced() -> None:
    """A socket that is open and says nothing is hung up on."""
    over = threading.Event()

    def say_nothing(_: ServerConnection) -> None:
        over.wait(10)

    with websocket(say_nothing) as url, HeadDoorbell(url, HASTY) as bell:
        assert until(lambda: bell.connections >= 3)
        over.set()
    assert bell.rings == 0


def test_a_huge_message_ends_the_connection_only() -> None:
    """What is longer than any header is not read; the bell connects again."""
    over = threading.Event()

    def shout(connection: ServerConnection) -> None:
        connection.send("x" * (2 << 20))
        over.wait(10)

    patient = replace(HASTY, silence_seconds=60)
    with websocket(shout) as url, HeadDoorbell(url, patient) as bell:
        assert until(lambda: bell.connections >= 2, 5)
        over.set()


def test_nonsense_rings_at_most() -> None:
    """Bytes that are no JSON neither end the bell nor get past it."""

    def babble(connection: ServerConnection) -> None:
        for message in (
            b"\xff\x00",
            "[[[",
            '{"result":"0x1"}',
            '{"method":"eth_subscription"}',
        ):
            connection.send(message)
        time.sleep(0.2)

    with websocket(babble) as url, HeadDoorbell(url, HASTY) as bell:
        assert until(lambda: bell.rings >= 2)


def test_nobody_there_is_no_error() -> None:
    """Without a server the bell waits, quietly, and hangs up within a second."""
    with HeadDoorbell("ws://127.0.0.1:9/cAnArY", HASTY) as bell:
        began = time.monotonic()
        bell.wait(0.3, threading.Event())
        assert 0.25 < time.monotonic() - began < 1
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert bell.connections == 0
    assert "cAnArY" not in bell.name


def test_stop_ends_a_wait() -> None:
    """Setting the event ends the wait within half a second."""
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    HeadDoorbell("ws://127.0.0.1:9").wait(30, stop)
    assert time.monotonic() - began < 0.6


@pytest.mark.parametrize("url", ["http://node.example", "ws://", "node.example"])
def test_what_is_no_websocket_url_is_refused(url: str) -> None:
    """At once, as an error of the settings."""
    with pytest.raises(SettingsError):
        HeadDoorbell(url)
