"""Posts over HTTP to one receiver, to checked addresses only; what every kind of sender shares.

No redirect is followed, no proxy of the environment asked, no answer unpacked, no URL written to a
log. Nobody learns a receiver's URL from here: errors know it by its name.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpcore2
import httpx2

from chainwarden.addresses import Network, Resolver, resolve
from chainwarden.errors import DeliveryError, SettingsError
from store.dial import AddressRefused, CheckedBackend
from store.unconnected import why_unconnected

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
class Target:
    """Where posts go. ``timeout_seconds`` bounds a whole attempt.

    ``allow_networks``: CIDRs that may be dialled although they are not public. ``ca_file``:
    certificates to trust instead of the system's.
    """

    name: str
    url: str = field(repr=False)
    allow_networks: tuple[str, ...] = ()
    timeout_seconds: float = DEADLINE_SECONDS
    ca_file: Path | None = None


class Poster:
    """Posts JSON to one URL. Not for two threads at once.

    Raises SettingsError for a URL or network that can never be dialled.
    """

    def __init__(self, target: Target, resolver: Resolver = resolve) -> None:
        self.name = target.name
        self.timeout = target.timeout_seconds
        self.url = _url(target)
        self._backend = CheckedBackend(networks_of(target.name, target.allow_networks), resolver)
        # The pool itself, not a client around it: it follows no redirect, asks no proxy of the
        # environment, unpacks no answer, and writes no URL to a log.
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl_context_of(target.name, target.ca_file),
            max_connections=1,
            keepalive_expiry=2.0,
            network_backend=self._backend,
        )

    def post(self, body: bytes, timestamp: float, headers: Mapping[str, str]) -> None:
        """Post once, at ``timestamp`` (seconds since 1970).

        Returns when the receiver answered 2xx. Raises DeliveryError otherwise: retriable but for
        410; in doubt when no answer came after something was sent.
        """
        self._backend.deadline = time.monotonic() + self.timeout
        try:
            answer = self._pool.handle_request(self._request(body, headers))
        except AddressRefused as error:
            raise DeliveryError(
                f"{self.name}: {error}",
                retriable=True,
                hint="allow its network explicitly, if it is meant",
            ) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise DeliveryError(
                f"{self.name}: no connection ({why_unconnected(error)})", retriable=True
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
        port = self.url.port or (443 if self.url.scheme == "https" else 80)
        try:
            self._backend.check(self.url.host, port, self.timeout)
        except AddressRefused as error:
            raise DeliveryError(
                f"{self.name}: {error}",
                retriable=True,
                hint="allow its network explicitly, if it is meant",
            ) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise DeliveryError(f"{self.name}: {error}", retriable=True) from None

    def _request(self, body: bytes, headers: Mapping[str, str]) -> httpcore2.Request:
        headers = {
            "Host": self.url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": "chainwarden",
            "Accept-Encoding": "identity",
            **headers,
        }
        if self.url.userinfo:
            headers["Authorization"] = f"Basic {base64.b64encode(_userinfo(self.url)).decode()}"
        url = self.url
        return httpcore2.Request(
            "POST",
            httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=list(headers.items()),
            content=body,
            extensions={
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self.timeout)
            },
        )

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


def _url(target: Target) -> httpx2.URL:
    try:
        url = httpx2.URL(target.url)
    except (httpx2.InvalidURL, TypeError, UnicodeError):
        raise SettingsError(f"receiver {target.name}: its URL cannot be read") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"receiver {target.name}: its URL is neither http nor https")
    return url


def networks_of(name: str, allow: Sequence[str]) -> list[Network]:
    """Networks that were written as text. Raises SettingsError."""
    try:
        return [ipaddress.ip_network(text) for text in allow]
    except ValueError as error:
        raise SettingsError(f"receiver {name}: allow_networks: {error}") from error


def ssl_context_of(name: str, ca_file: Path | None) -> ssl.SSLContext:
    """Whom to trust: the system's certificates, or those of a file. Raises SettingsError."""
    if ca_file is None:
        return httpx2.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"receiver {name}: ca_file: {error}") from error


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
