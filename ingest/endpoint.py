"""One JSON-RPC endpoint over HTTP: batches, a deadline, a size cap, and what its errors mean.

Blocks are asked for here and not through web3's provider: that one has no total deadline and no
size cap, ignores Retry-After, and its result formatters cost twenty times the JSON itself. web3
is the client for one-off calls (``ingest.rpc.RpcSource.web3``), which go through here, too.

An endpoint's URL is a secret: its path or query often is the key. Only ``name`` (scheme, host and
port) is ever shown, and what a node says about itself is shown with every part of its URL masked.
Proxies, netrc files and redirects are not followed, and only where a node may be is connected to
(``ingest.dial``).
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import math
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import httpcore2
import msgspec

from chainwarden.addresses import Resolver, resolve
from chainwarden.errors import EndpointError, SettingsError
from ingest.dial import AddressRefused, NodeBackend
from ingest.fault import Fault, NodeError, RpcFault, classify

MAX_RETRY_AFTER_SECONDS: Final = 3600.0


class Call(NamedTuple):
    """A method and its parameters."""

    method: str
    params: tuple[Any, ...] = ()


class _Reply(msgspec.Struct):
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: RpcFault | None = None


_REPLIES: Final = msgspec.json.Decoder(list[_Reply])
_REPLY: Final = msgspec.json.Decoder(_Reply)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Limits of one HTTP request.

    ``timeout_seconds`` is from the first byte sent to the last received; ``max_response_bytes`` is
    after decompression.
    """

    timeout_seconds: float = 20.0
    connect_seconds: float = 5.0
    max_response_bytes: int = 64 * 1024 * 1024
    max_connections: int = 8


class Endpoint:
    """One JSON-RPC endpoint. All coroutines belong to one event loop.

    ``requests`` counts HTTP requests. ``batches`` turns false once it refuses a batch for being
    one, ``block_receipts`` once it does not know ``eth_getBlockReceipts``.
    """

    def __init__(
        self, url: str, config: EndpointConfig = EndpointConfig(), resolver: Resolver = resolve
    ) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise SettingsError("an endpoint's URL has no valid port") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                "an endpoint is not an HTTP URL",
                hint="use http(s)://host; a WebSocket URL only rings for new heads",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.name = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
        self.config = config
        self.requests = 0
        self.batches = True
        self.block_receipts = True
        self._secrets = _secrets(url)
        self._headers: dict[bytes | str, bytes | str] = {
            "Host": host + (f":{port}" if port else ""),
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "chainwarden",
        }
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self._url = httpcore2.URL(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port,
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        )
        self._resolver = resolver
        self._pool: httpcore2.AsyncConnectionPool | None = None
        self._next_id = 0

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    async def call(self, call: Call) -> msgspec.Raw:
        """The result of one call as JSON text (``null`` included). Raises EndpointError."""
        ((_, outcome),) = (await self._ask([call], as_batch=False)).items()
        if isinstance(outcome, NodeError):
            raise outcome
        return outcome

    async def batch(self, calls: Sequence[Call]) -> list[msgspec.Raw | NodeError]:
        """The outcome of every call, in their order, asked in one request where that is possible.

        Replies are matched by id. A call whose reply is missing, or was too much for the batch, is
        asked again on its own. Raises EndpointError where the request as a whole failed.
        """
        if not calls:
            return []
        found: dict[int, msgspec.Raw | NodeError] = {}
        if len(calls) > 1 and self.batches:
            try:
                found = await self._ask(calls, as_batch=True)
            except NodeError as error:
                # An object in place of the array: the batch is refused, not what it asks for.
                if error.fault in (Fault.RATE_LIMITED, Fault.TOO_LARGE):
                    raise
                self.batches = False
        if len(calls) > 1:
            found = {i: outcome for i, outcome in found.items() if not _is_too_large(outcome)}
        missing = [index for index in range(len(calls)) if index not in found]
        single = [self._ask([calls[index]], as_batch=False) for index in missing]
        for index, answer in zip(
            missing, await asyncio.gather(*single, return_exceptions=True), strict=True
        ):
            if isinstance(answer, BaseException):
                raise answer
            found[index] = answer[0]
        return [found[index] for index in range(len(calls))]

    async def _ask(
        self, calls: Sequence[Call], *, as_batch: bool
    ) -> dict[int, msgspec.Raw | NodeError]:
        """One request. Outcomes by the index of the call; a missing one was not answered."""
        ids = range(self._next_id, self._next_id + len(calls))
        self._next_id += len(calls)
        requests = [
            {"jsonrpc": "2.0", "id": id_, "method": call.method, "params": call.params}
            for id_, call in zip(ids, calls, strict=True)
        ]
        body = await self._post(msgspec.json.encode(requests if as_batch else requests[0]))
        replies = self._replies(body)
        if not as_batch and len(replies) == 1 and replies[0].id is None:
            replies[0].id = ids[0]  # an error that the node could not match
        outcomes: dict[int, msgspec.Raw | NodeError] = {}
        for reply in replies:
            index = _index(reply.id, ids)
            if index is not None and index not in outcomes and (reply.error or bytes(reply.result)):
                outcomes[index] = self._outcome(reply)
        if as_batch and not outcomes and len(replies) == 1 and replies[0].error:
            raise self._fault(replies[0].error)
        if not as_batch and not outcomes:
            raise EndpointError(f"{self.name}: the answer is not to what was asked")
        return outcomes

    def _replies(self, body: bytes) -> list[_Reply]:
        try:
            if body.lstrip()[:1] == b"[":
                return _REPLIES.decode(body)
            return [_REPLY.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EndpointError(
                f"{self.name}: the answer is not JSON-RPC ({type(error).__name__})"
            ) from error

    def _outcome(self, reply: _Reply) -> msgspec.Raw | NodeError:
        return self._fault(reply.error) if reply.error else reply.result.copy()

    def _fault(self, error: RpcFault) -> NodeError:
        fault = classify(error.code, error.message)
        return NodeError(
            f"{self.name}: {self.shown(error.message)} ({error.code})",
            fault,
            code=error.code,
            data=error.revert_data(),
        )

    def shown(self, text: str) -> str:
        """What an endpoint says, made safe to show: short, printable, without its URL's parts."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:200])

    # --- HTTP --------------------------------------------------------------------------------

    async def _post(self, content: bytes) -> bytes:
        """The body of the answer, whole. Raises EndpointError, and NodeError for a status."""
        if self._pool is None:
            self._pool = httpcore2.AsyncConnectionPool(
                ssl_context=ssl.create_default_context(),
                max_connections=self.config.max_connections,
                keepalive_expiry=30.0,
                network_backend=NodeBackend(self._resolver),
            )
        self.requests += 1
        timeout = self.config.timeout_seconds
        limits = {"connect": self.config.connect_seconds, "read": timeout, "write": timeout}
        try:
            async with (
                asyncio.timeout(timeout),
                self._pool.stream(
                    "POST",
                    self._url,
                    headers=self._headers,
                    content=content,
                    extensions={"timeout": {**limits, "pool": timeout}},
                ) as response,
            ):
                headers = {k.lower(): v for k, v in response.headers}
                stream = response.aiter_stream()
                body = await self._read(stream, headers.get(b"content-encoding", b""))
                status = response.status
        except (TimeoutError, httpcore2.TimeoutException) as error:
            raise EndpointError(f"{self.name}: no answer within {timeout:g} s") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise EndpointError(f"{self.name}: {_cause(error)}") from error
        if not 200 <= status < 300:
            raise self._refusal(status, headers.get(b"retry-after"), body)
        return body

    async def _read(self, stream: AsyncIterator[bytes], encoding: bytes) -> bytes:
        cap, received = self.config.max_response_bytes, bytearray()
        encoding = encoding.strip().lower()
        if encoding not in (b"", b"identity", b"gzip", b"deflate"):
            raise EndpointError(f"{self.name}: the answer has an encoding that was not asked for")
        unpack = zlib.decompressobj(wbits=47) if encoding in (b"gzip", b"deflate") else None
        async for chunk in stream:
            try:
                room = cap + 1 - len(received)
                received += unpack.decompress(chunk, room) if unpack else chunk
            except zlib.error as error:
                raise EndpointError(f"{self.name}: the answer is damaged") from error
            if len(received) > cap:
                message = f"{self.name}: the answer is larger than {cap:,} bytes"
                raise NodeError(message, Fault.TOO_LARGE)
        if unpack and not unpack.eof:
            raise EndpointError(f"{self.name}: the answer is damaged")
        return bytes(received)

    def _refusal(self, status: int, retry_after: bytes | None, body: bytes) -> EndpointError:
        """A status other than 2xx as the error it means."""
        seconds = _retry_after(retry_after)
        if status == 429:
            return NodeError(
                f"{self.name}: asked too often (429)",
                Fault.RATE_LIMITED,
                retry_after_seconds=seconds,
            )
        if status == 413:
            return NodeError(f"{self.name}: asked for too much (413)", Fault.TOO_LARGE)
        try:  # some answer 4xx or 5xx with the error object that says why
            replies = self._replies(body)
        except EndpointError:
            replies = []
        if len(replies) == 1 and (said := replies[0].error):
            fault = self._fault(said)
            fault.retry_after_seconds = seconds
            return fault
        hint = "is its key right?" if status in (401, 403) else ""
        return EndpointError(
            f"{self.name}: status {status}", retry_after_seconds=seconds, hint=hint
        )


def _secrets(url: str) -> list[str]:
    """The parts of a URL that may be a key, longest first."""
    parts = urlsplit(url)
    values = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    values += [parts.query, parts.username or "", parts.password or ""]
    values += [unquote(value) for value in values]
    return sorted({v for v in values if len(v) >= 4}, key=lambda v: (-len(v), v))


def _is_too_large(outcome: msgspec.Raw | NodeError) -> bool:
    return isinstance(outcome, NodeError) and outcome.fault is Fault.TOO_LARGE


def _index(id_: int | str | None, ids: range) -> int | None:
    """Which call a reply is to. Some answer with the id as text."""
    if isinstance(id_, str):
        id_ = int(id_) if id_.isascii() and id_.isdecimal() and len(id_) < 20 else None
    return ids.index(id_) if id_ is not None and id_ in ids else None


def _retry_after(value: bytes | None) -> float | None:
    """Seconds, from a number or a date, at most an hour; None where there is none."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _cause(error: Exception) -> str:
    """Why a connection failed, in words that hold no URL."""
    match error:
        case AddressRefused():
            return str(error)
        case httpcore2.ConnectError():
            return "cannot connect"
        case httpcore2.RemoteProtocolError():
            return "the connection was closed in the middle of an answer, or it is no HTTP"
        case _:
            return f"the connection broke ({type(error).__name__})"
