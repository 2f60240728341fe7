"""A doorbell for new heads: a WebSocket subscription that only ever says "look now".

What a subscription says is not believed, and what it does not say is not missed: heads are read by
HTTP. Providers cut idle sockets, stay silent while they seem open, and drop messages. So this has
a connection of its own, reconnects for as long as it is open, and never passes anything on.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from chainwarden.addresses import Resolver, resolve
from chainwarden.errors import SettingsError
from ingest.dial import connected

log = logging.getLogger(__name__)

_SUBSCRIBE: Final = '{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'
# How often the thread looks whether it should end.
_GLANCE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class DoorbellConfig:
    """``silence_seconds`` without a message is a dead connection; pauses double up to the longest.

    ``max_message_bytes`` is far above any header. A longer message ends the connection.
    """

    silence_seconds: float = 90.0
    pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0
    open_seconds: float = 5.0
    max_message_bytes: int = 1 << 20


class HeadDoorbell:
    """Sets ``rang`` whenever a node announces a head. Use it as a context.

    ``rings`` and ``connections`` count. Nothing is ever raised after the constructor: without a
    connection the bell just does not ring. Its URL is a secret and never shown; redirects are not
    followed.
    """

    def __init__(
        self, url: str, config: DoorbellConfig = DoorbellConfig(), resolver: Resolver = resolve
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise SettingsError("the WebSocket endpoint is no ws:// or wss:// URL")
        try:
            self._place = parts.hostname, parts.port or (443 if parts.scheme == "wss" else 80)
        except ValueError as error:
            raise SettingsError("the WebSocket endpoint's URL has no valid port") from error
        self.name = f"{parts.scheme}://{parts.hostname}"
        self._resolver = resolver
        self.rang = threading.Event()
        self.rings = 0
        self.connections = 0
        self._url = url
        self._config = config
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="chainwarden-heads", daemon=True)

    def __enter__(self) -> HeadDoorbell:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The thread ends within a second, or when the attempt to connect does."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return when it rang since the last call, after ``seconds``, or soon after ``stop``."""
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            if self.rang.wait(min(left, _GLANCE_SECONDS)):
                break
        self.rang.clear()

    def _listen(self) -> None:
        pause = self._config.pause_seconds
        while not self._closing.is_set():
            before = self.rings
            try:
                # With a socket of our own the library follows no redirect.
                with connect(
                    self._url,
                    sock=connected(*self._place, self._config.open_seconds, self._resolver),
                    open_timeout=self._config.open_seconds,
                    close_timeout=_GLANCE_SECONDS,
                    max_size=self._config.max_message_bytes,
                    proxy=None,
                ) as connection:
                    self.connections += 1
                    self._subscribed(connection)
                failure = "was silent or is closing"
            except (OSError, WebSocketException, ValueError) as error:
                failure = type(error).__name__  # its text may hold the URL
            if self._closing.is_set():
                return
            if self.rings > before:
                pause = self._config.pause_seconds
            log.info("%s: no heads (%s), connecting again in %.1f s", self.name, failure, pause)
            self._closing.wait(pause)
            pause = min(2 * pause, self._config.longest_pause_seconds)

    def _subscribed(self, connection: ClientConnection) -> None:
        """Ring for every message, until there are none for too long or it is time to end."""
        connection.send(_SUBSCRIBE)
        last = time.monotonic()
        while not self._closing.is_set() and time.monotonic() - last < self._config.silence_seconds:
            try:
                message = connection.recv(timeout=_GLANCE_SECONDS)
            except TimeoutError:
                continue
            last = time.monotonic()
            if "eth_subscription" in message if isinstance(message, str) else True:
                self.rings += 1
                self.rang.set()
