"""One notification to one receiver: Standard Webhooks over HTTP.

``webhook-id`` is the same in every attempt, so a receiver drops repeats by it; the signature covers
id, time and body, once per secret, so secrets can be rotated. Nobody learns a receiver's URL or
secret from here: errors and logs know it by its name.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Protocol

import httpcore2
import httpx2
from standardwebhooks import Webhook

from chainwarden.addresses import Network, Resolver, resolve
from chainwarden.errors import DeliveryError, SettingsError
from store.dial import AddressRefused, CheckedBackend
from store.pace import DEFAULT_RATE

DEADLINE_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024
GONE: Final = 410
# A proxy gave up waiting: what is behind it may have accepted.
_IN_DOUBT: Final = (502, 504)
_BROKEN: Final = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told. ``name`` is how logs, errors and the ledger call it.

    ``secrets``: one or more ``whsec_…`` keys; every one of them signs. ``allow_networks``: CIDRs
    that may be dialled although they are not public (``127.0.0.0/8`` for this machine).
    ``timeout_seconds`` bounds a whole attempt. ``ca_file``: certificates to trust instead of the
    system's.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    allow_networks: tuple[str, ...] = ()
    timeout_seconds: float = DEADLINE_SECONDS
    ca_file: Path | None = None
    rate_per_minute: int = DEFAULT_RATE


class Sender(Protocol):
    """Brings one message to one receiver, or raises DeliveryError."""

    name: str
    rate_per_minute: int

    def send(self, message_id: str, body: bytes, timestamp: float, *, plain: bool = False) -> None:
        """Deliver once, at ``timestamp``. Returns when the receiver accepted it.

        ``plain``: it was refused before; where there is a plainer form, that is sent.
        """
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class WebhookSender:
    """Posts signed messages to one receiver. Not for two threads at once.

    Raises SettingsError for a receiver that can never be told: a bad URL, secret or network.
    """

    def __init__(self, receiver: Receiver, resolver: Resolver = resolve) -> None:
        self.name = receiver.name
        self.rate_per_minute = receiver.rate_per_minute
        self._url = _url(receiver)
        self._signers = _signers(receiver)
        self._timeout = receiver.timeout_seconds
        self._backend = CheckedBackend(_networks(receiver), resolver)
        # The pool itself, not a client around it: it follows no redirect, asks no proxy of the
        # environment, unpacks no answer, and writes no URL to a log.
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_ssl_context(receiver),
            max_connections=1,
            keepalive_expiry=2.0,
            network_backend=self._backend,
        )

    def send(self, message_id: str, body: bytes, timestamp: float, *, plain: bool = False) -> None:
        """Post one message, signed for ``timestamp`` (seconds since 1970, the time of sending).

        It has no plainer form: what is signed is the same in every attempt. Returns when the
        receiver answered 2xx. Raises DeliveryError otherwise: retriable but for 410; in doubt when
        no answer came after something was sent.
        """
        del plain
        self._backend.deadline = time.monotonic() + self._timeout
        try:
            answer = self._pool.handle_request(self._request(message_id, body, timestamp))
        except AddressRefused as error:
            raise DeliveryError(
                f"{self.name}: {error}",
                retriable=True,
                hint="allow its network explicitly, if it is meant",
            ) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            # The cause could carry the host; its kind says enough.
            raise DeliveryError(
                f"{self.name}: no connection ({type(error).__name__})", retriable=True
            ) from None
        except _BROKEN as error:
            raise DeliveryError(
                f"{self.name}: no answer ({type(error).__name__})", retriable=True, in_doubt=True
            ) from None
        try:
            self._check(answer, timestamp)
        finally:
            self._finish(answer)

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def check_address(self) -> None:
        """Resolve the receiver's name and check every address; nothing is connected or sent.

        Raises DeliveryError where it would not be dialled.
        """
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        try:
            self._backend.check(self._url.host, port, self._timeout)
        except AddressRefused as error:
            raise DeliveryError(
                f"{self.name}: {error}",
                retriable=True,
                hint="allow its network explicitly, if it is meant",
            ) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise DeliveryError(f"{self.name}: {error}", retriable=True) from None

    def _request(self, message_id: str, body: bytes, timestamp: float) -> httpcore2.Request:
        headers = {
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": "chainwarden",
            "Accept-Encoding": "identity",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(timestamp)),
            "webhook-signature": self._signatures(message_id, body, timestamp),
        }
        if self._url.userinfo:
            headers["Authorization"] = f"Basic {base64.b64encode(_userinfo(self._url)).decode()}"
        url = self._url
        return httpcore2.Request(
            "POST",
            httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=list(headers.items()),
            content=body,
            extensions={
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
            },
        )

    def _signatures(self, message_id: str, body: bytes, timestamp: float) -> str:
        moment = datetime.fromtimestamp(int(timestamp), UTC)
        text = body.decode()
        return " ".join(signer.sign(message_id, moment, text) for signer in self._signers)

    def _check(self, answer: httpcore2.Response, now: float) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        raise DeliveryError(
            f"{self.name}: answered {status}",
            retriable=status != GONE,
            status=status,
            retry_after_seconds=_retry_after(answer, now),
            in_doubt=status in _IN_DOUBT,
        )

    def _finish(self, answer: httpcore2.Response) -> None:
        """Read a short answer to its end, so that the connection can be used again; never more."""
        read = 0
        try:
            for part in answer.iter_stream():
                read += len(part)
                if read > MAX_ANSWER_BYTES:
                    break
        except _BROKEN:
            pass  # the status came, and only it counts
        finally:
            answer.close()


def _url(receiver: Receiver) -> httpx2.URL:
    try:
        url = httpx2.URL(receiver.url)
    except (httpx2.InvalidURL, TypeError, UnicodeError):
        raise SettingsError(f"receiver {receiver.name}: its URL cannot be read") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"receiver {receiver.name}: its URL is neither http nor https")
    return url


def _signers(receiver: Receiver) -> list[Webhook]:
    if not receiver.secrets:
        raise SettingsError(f"receiver {receiver.name} has no secret")
    signers = []
    for secret in receiver.secrets:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not 24 <= len(key) <= 64:
            raise SettingsError(
                f"receiver {receiver.name}: a secret is not whsec_ and 24 to 64 bytes in base64",
                hint='make one: python3 -c "import secrets,base64; '
                "print('whsec_'+base64.b64encode(secrets.token_bytes(32)).decode())\"",
            )
        signers.append(Webhook(key))
    return signers


def _networks(receiver: Receiver) -> list[Network]:
    try:
        return [ipaddress.ip_network(text) for text in receiver.allow_networks]
    except ValueError as error:
        raise SettingsError(f"receiver {receiver.name}: allow_networks: {error}") from error


def _ssl_context(receiver: Receiver) -> ssl.SSLContext:
    if receiver.ca_file is None:
        return httpx2.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=str(receiver.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"receiver {receiver.name}: ca_file: {error}") from error


def _userinfo(url: httpx2.URL) -> bytes:
    return f"{url.username}:{url.password}".encode()


def _retry_after(answer: httpcore2.Response, now: float) -> float | None:
    """Seconds from a Retry-After header, which has seconds or a date; None if it has neither."""
    found = [value for name, value in answer.headers if name.lower() == b"retry-after"]
    if not found:
        return None
    text = found[0].decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
