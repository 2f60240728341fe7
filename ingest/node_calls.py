"""One-off questions to a node about one block's state: bounded, cached, and never an exception.

What a detector asks while it scores must not hold it up for long or bring it down. A question that
is not answered in time is answered with None, which means *unknown*; so is one that is one too many
for its block, and every question while the node is left alone after several failures in a row.
Answers are for a block hash (EIP-1898), so they never change and are kept.
"""

from __future__ import annotations

import concurrent.futures
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from chainwarden.errors import ChainwardenError, NotYet
from chainwarden.schema import Position
from ingest.endpoint import Call, Endpoint, EndpointConfig
from ingest.fault import Fault, NodeError
from ingest.pool import EndpointPool, PoolConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

BALANCE_OF: Final = bytes.fromhex("70a08231")
_REVERTED: Final = 3  # the code that clients give an eth_call that reverts
_BLOCKS_COUNTED: Final = 256  # blocks whose questions are counted at a time


@dataclass(frozen=True, slots=True)
class NodeCallsConfig:
    """Bounds. ``calls_per_block``: questions that reach the node, per block that is asked about.

    ``seconds`` is the longest a question may take. After ``failures`` unanswered ones in a row the
    node is left alone for ``pause_seconds``. ``answers`` and ``answer_bytes`` bound the cache.
    """

    calls_per_block: int = 64
    seconds: float = 2.0
    failures: int = 3
    pause_seconds: float = 30.0
    answers: int = 16_384
    answer_bytes: int = 32 * 1024 * 1024


@dataclass(slots=True)
class NodeCallsStats:
    """How questions ended: answered by the node, from the cache, or not (three reasons)."""

    answered: int = 0
    cached: int = 0
    failed: int = 0
    over_bound: int = 0
    paused: int = 0


@dataclass(slots=True)
class _Answers:
    """Answers by question, the one longest unused giving way; bounded in number and bytes."""

    entries: int
    most_bytes: int
    size: int = 0
    held: OrderedDict[tuple[object, ...], object] = field(default_factory=OrderedDict)

    def get(self, key: tuple[object, ...]) -> object | None:
        found = self.held.get(key)
        if found is not None:
            self.held.move_to_end(key)
        return found

    def put(self, key: tuple[object, ...], answer: object) -> None:
        self.held[key] = answer
        self.size += _weight(answer)
        while len(self.held) > self.entries or self.size > self.most_bytes:
            _, gone = self.held.popitem(last=False)
            self.size -= _weight(gone)


class RpcNodeCalls:
    """Asks nodes, in order of preference. Close it, or use it as a context.

    Every method may be called from any one thread at a time, answers about the state after the
    block at ``at``, and returns None where that is unknown. ``chain_id`` None asks which chain the
    nodes are on; one that is on another chain is never asked.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int | None,
        config: NodeCallsConfig = NodeCallsConfig(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.stats = NodeCallsStats()
        endpoint = EndpointConfig(config.seconds, config.seconds, max_response_bytes=1 << 20)
        self._pool = EndpointPool(
            urls, chain_id, PoolConfig(config.seconds, patience_seconds=0.0, endpoint=endpoint)
        )
        self._answers = _Answers(config.answers, config.answer_bytes)
        self._asked: OrderedDict[bytes, int] = OrderedDict()
        self._clock = clock
        self._in_a_row = 0
        self._paused_until = 0.0

    def __enter__(self) -> RpcNodeCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._pool.close()

    def balance_at(self, address: bytes, at: Position) -> int | None:
        """The account's ether in wei."""
        return _known(self._ask("eth_getBalance", [_hex(address)], at, _quantity), int)

    def token_balance_at(self, token: bytes, owner: bytes, at: Position) -> int | None:
        """What the token's ``balanceOf`` says, if it says 32 bytes."""
        said = self.call(token, BALANCE_OF + bytes(12) + owner, at)
        if said is None or not said[0] or len(said[1]) != 32:
            return None
        return int.from_bytes(said[1], "big")

    def code_at(self, address: bytes, at: Position) -> bytes | None:
        """The account's code, empty where it has none."""
        return _known(self._ask("eth_getCode", [_hex(address)], at, _data), bytes)

    def storage_at(self, address: bytes, slot: int, at: Position) -> bytes | None:
        """The word in a slot of the account's storage, 32 bytes."""
        where = [_hex(address), _hex(slot.to_bytes(32, "big"))]
        return _known(self._ask("eth_getStorageAt", where, at, _word), bytes)

    def call(
        self, to: bytes, data: bytes, at: Position, *, sender: bytes | None = None, value: int = 0
    ) -> tuple[bool, bytes] | None:
        """What a call would return (True) or revert with (False)."""
        asked = {"to": _hex(to), "data": _hex(data)}
        if sender is not None:
            asked["from"] = _hex(sender)
        if value:
            asked["value"] = hex(value)
        found = self._ask("eth_call", [asked], at, lambda raw: (True, _data(raw)))
        return found if isinstance(found, tuple) else None

    # --- asking ------------------------------------------------------------------------------

    def _ask(
        self, method: str, params: list[Any], at: Position, read: Callable[[msgspec.Raw], object]
    ) -> object | None:
        """The answer, from the cache or the node; None where there is none."""
        if len(at.hash) != 32:
            self.stats.failed += 1
            return None
        key = (method, msgspec.json.encode(params), at.hash)
        cached = self._answers.get(key)
        if cached is not None:
            self.stats.cached += 1
            return cached
        if self._clock() < self._paused_until:
            self.stats.paused += 1
            return None
        if not self._within_bound(at.hash):
            self.stats.over_bound += 1
            return None
        answer = self._answer(Call(method, (*params, {"blockHash": _hex(at.hash)})), read)
        if answer is None:
            self.stats.failed += 1
            return None
        self.stats.answered += 1
        self._answers.put(key, answer)
        return answer

    def _within_bound(self, block: bytes) -> bool:
        asked = self._asked.get(block, 0)
        self._asked[block] = asked + 1
        if len(self._asked) > _BLOCKS_COUNTED:
            self._asked.popitem(last=False)
        return asked < self.config.calls_per_block

    def _answer(self, asked: Call, read: Callable[[msgspec.Raw], object]) -> object | None:
        async def once(endpoint: Endpoint) -> msgspec.Raw | NodeError:
            try:
                return await endpoint.call(asked)
            except NodeError as error:
                if error.fault is Fault.RATE_LIMITED:
                    raise
                if error.fault is Fault.NOT_YET:  # another node may still have that state
                    raise NotYet(str(error)) from error
                return error  # what it has to say about the question: the node itself is well

        future = self._pool.submit(self._pool.run(once))
        try:
            found = future.result(self.config.seconds)
            if isinstance(found, NodeError):
                self._in_a_row = 0
                return (False, found.data) if _is_revert(asked, found) else None
            answer = read(found)
        except NotYet:
            return None
        except (ChainwardenError, msgspec.MsgspecError, ValueError, TimeoutError) as error:
            future.cancel()
            self._failed(error)
            return None
        except concurrent.futures.CancelledError:
            return None  # the pool was closed meanwhile
        self._in_a_row = 0
        return answer

    def _failed(self, error: Exception) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self.config.failures:
            self._in_a_row = 0
            self._paused_until = self._clock() + self.config.pause_seconds
            log.warning(
                "no node answers (%s): rules do without for %g s",
                str(error) or type(error).__name__,
                self.config.pause_seconds,
            )


def _is_revert(asked: Call, error: NodeError) -> bool:
    """Whether the call was run and reverted, rather than not run."""
    return asked.method == "eth_call" and (
        error.code == _REVERTED or "revert" in str(error).lower()
    )


def _weight(answer: object) -> int:
    """Roughly the bytes that an answer and its question take."""
    data = answer[1] if isinstance(answer, tuple) else answer
    return 256 + (len(data) if isinstance(data, bytes) else 0)


def _known(answer: object | None, kind: type[T]) -> T | None:
    return answer if isinstance(answer, kind) else None


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _quantity(raw: msgspec.Raw) -> int:
    text = msgspec.json.decode(raw, type=str)
    if not text.startswith("0x") or len(text) > 66:
        raise ValueError("no quantity")
    return int(text, 16)


def _data(raw: msgspec.Raw) -> bytes:
    text = msgspec.json.decode(raw, type=str)
    if not text.startswith("0x"):
        raise ValueError("no data")
    return bytes.fromhex(text[2:])


def _word(raw: msgspec.Raw) -> bytes:
    data = _data(raw)
    if len(data) != 32:
        raise ValueError("no word")
    return data
