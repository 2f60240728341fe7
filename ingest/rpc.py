"""Blocks from nodes: whole, by hash, from whichever endpoint gives an honest answer.

A block is asked for together with all its receipts (never ``eth_getLogs``: omissions in it cannot
be seen). A ``null`` is never a statement about the chain, only about the node: the next endpoint is
asked, then the same ones again. What an answer says of itself is compared with what was asked for
here; whether it is true is for ``accept`` to say, and an answer it rejects is asked for elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from chainwarden.errors import BadBlock, NotYet, SourceError
from chainwarden.schema import Chain, Position
from ingest.answers import Selector, read_position, shown
from ingest.endpoint import Call, Endpoint
from ingest.fault import Fault, NodeError
from ingest.fetch import ask_blocks
from ingest.omitted import lacks_withdrawals
from ingest.pool import EndpointPool, Operation, PoolConfig, RpcStats, Stopped
from ingest.raw import RawBlock
from ingest.recursion import kept_recursion_limit

if TYPE_CHECKING:
    from web3 import Web3

T = TypeVar("T")
Accept = Callable[[RawBlock], T | Future[T]]
"""What makes something of a block, at once or in a while; it raises BadBlock for what is a lie."""
Sure = Callable[[T], bool]

CHAIN_NAMES: Final = {
    1: "ethereum",
    10: "optimism",
    56: "bsc",
    137: "polygon",
    8453: "base",
    42161: "arbitrum",
    11155111: "sepolia",
    31337: "anvil",
}

# A batch that took less than this grows, one that took longer shrinks.
_QUICK_SECONDS: Final = 0.5
_SLOW_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class RpcConfig:
    """How blocks are asked for.

    ``quorum`` is how many endpoints must know a head before it is one: roots prove that a block
    agrees with itself, not that it is the chain's. The same goes for blocks that are asked for by
    number and for what is final; 0 is a majority of three endpoints or more, and 1 of fewer. When
    the head did not rise for ``stale_head_seconds``, or fell, all endpoints are asked for theirs.
    ``traces`` asks for call trees, too (``debug_traceBlockByHash``). A range is fetched in batches
    of up to ``max_batch_blocks`` (found by trial), ``in_flight`` of them at a time.
    """

    quorum: int = 0
    stale_head_seconds: float = 30.0
    traces: bool = False
    first_batch_blocks: int = 8
    max_batch_blocks: int = 64
    in_flight: int = 4
    pool: PoolConfig = field(default_factory=PoolConfig)


def whole(raw: RawBlock) -> RawBlock:
    """The ``accept`` that takes every block as it is."""
    return raw


class RpcSource:
    """A chain, as its nodes tell it. Close it, or use it as a context.

    ``chain`` None asks the nodes which it is. Every method may be called from any one thread at a
    time, and raises EndpointError when no endpoint answered within the deadline, NotYet when they
    did and none has what was asked for, and Stopped once the event of ``stop_on`` is set.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        chain: Chain | None = None,
        config: RpcConfig = RpcConfig(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._pool = EndpointPool(endpoints, chain.id if chain else None, config.pool)
        self._chain = chain
        self._stop = threading.Event()
        self._batch_blocks = config.first_batch_blocks
        self._quorum = config.quorum or (1 if len(endpoints) < 3 else len(endpoints) // 2 + 1)
        self._clock = clock
        self._risen = clock()  # when the head rose last

    def __enter__(self) -> RpcSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is in flight and release everything."""
        self._pool.close()

    def restart(self) -> None:
        """Close everything and open it anew: sockets, threads, what is known of the endpoints.

        What an endpoint asked for with Retry-After still holds. Not while a call is in flight.
        """
        self._pool = self._pool.anew()
        self._batch_blocks = self.config.first_batch_blocks
        self._risen = self._clock()

    def stop_on(self, stop: threading.Event) -> None:
        """From now on, waiting for an answer ends within 0.1 s of ``stop`` being set."""
        self._stop = stop

    @property
    def stats(self) -> RpcStats:
        """What was counted so far."""
        return self._pool.counted()

    @property
    def head_number(self) -> int:
        """The number of the newest head that a node told of, -1 before the first."""
        return self._pool.stats.head_number

    @property
    def chain(self) -> Chain:
        """The chain, asked for on first use; see ``connect``."""
        return self._chain or self.connect()

    def connect(self) -> Chain:
        """Ask every endpoint which chain it is on.

        Raises SettingsError where two differ or one is on another chain than the given one. An
        endpoint that is down now is checked when it is up, and not asked again if it is on another.
        """
        chain_id = self._wait(self._pool.submit(self._pool.connect()))
        if self._chain is None:
            self._chain = Chain(CHAIN_NAMES.get(chain_id, f"chain-{chain_id}"), chain_id)
        return self._chain

    @property
    def web3(self) -> Web3:
        """web3.py on these endpoints, for one-off calls; its answers are not verified."""
        with kept_recursion_limit():
            from ingest.provider import web3_on  # importing web3 takes most of a second

        return web3_on(self.call)

    def call(self, method: str, params: Sequence[Any] = ()) -> msgspec.Raw:
        """The result of any one call, as JSON text."""
        asked = Call(method, tuple(params))

        async def once(endpoint: Endpoint) -> msgspec.Raw | NodeError:
            try:
                return await endpoint.call(asked)
            except NodeError as error:
                if error.fault in (Fault.REFUSED, Fault.NOT_YET):
                    return error  # the answer to the question, not a fault of the endpoint
                raise

        answer = self._run(once)
        if isinstance(answer, NodeError):
            raise answer
        return answer

    def head(self) -> Position:
        """The newest block, known to ``quorum`` endpoints.

        That of the first endpoint that has one. Where it is not above the one before for long, or
        below it, the highest of all endpoints': the first one may have stopped, or lag.
        """
        position, stats = self._run(self._head), self._pool.stats
        if position.number > stats.head_number:
            self._risen = self._clock()
        elif len(self._pool.endpoints) > 1 and (
            position.number < stats.head_number
            or self._clock() - self._risen > self.config.stale_head_seconds
        ):
            others = self._wait(self._pool.submit(self._heads()))
            highest = max((position, *others), key=lambda each: each.number)
            stats.heads_behind += highest.number > position.number
            position = highest
        stats.head_number = position.number
        return position

    def finalized(self) -> Position | None:
        """The newest block that will never be reverted, as ``quorum`` endpoints say.

        None where the nodes do not know one.
        """
        if self._quorum > 1:
            return self._wait(self._pool.submit(self._finalized_by_many()))
        return self._run(_finalized)

    def block_by_hash(self, hash_: bytes) -> RawBlock:
        """The block of that hash, with its receipts."""
        return self.fetch(hash_, whole)

    def block_by_number(self, number: int) -> RawBlock:
        """The block that is canonical at that number now, with its receipts."""
        return self.fetch(number, whole)

    def fetch(self, selector: Selector, accept: Accept[T], sure: Sure[T] = lambda _: True) -> T:
        """``accept`` of the block with that hash (bytes) or number (int).

        Where ``accept`` raises BadBlock the answer was a lie: it is counted, and another endpoint
        is asked. The last BadBlock is raised when all of them lied twice. What ``sure`` says False
        of, and a block without the withdrawals that it commits to, is asked for at every other
        endpoint, too: one sure answer outweighs all others. Where there is none the last one is
        taken as it is.
        """
        found = self._wait(self._pool.submit(self._collect([selector], accept, sure)))[0]
        if isinstance(found, SourceError):
            raise found
        return found

    def range(self, start: int, stop: int) -> Iterator[RawBlock | BadBlock]:
        """The blocks from ``start`` up to, not including, ``stop``; see ``fetch_range``."""
        return self.fetch_range(start, stop, whole)

    def fetch_range(
        self, start: int, stop: int, accept: Accept[T], sure: Sure[T] = lambda _: True
    ) -> Iterator[T | BadBlock]:
        """``accept`` of every block from ``start`` up to, not including, ``stop``, in order.

        Several batches are in flight at a time, of as many blocks as answers stay quick with. A
        block of which every endpoint gives a bad answer is yielded as the BadBlock it is. What no
        endpoint has is raised, after everything before it was yielded. Ends early once stopped.
        """
        flying: deque[Future[list[T | SourceError]]] = deque()
        try:
            while (start < stop or flying) and not self._stop.is_set():
                while start < stop and len(flying) < self.config.in_flight:
                    end = min(stop, start + self._batch_blocks)
                    numbers = list(range(start, end))
                    flying.append(self._pool.submit(self._collect(numbers, accept, sure)))
                    start = end
                for found in self._wait(flying.popleft()):
                    if isinstance(found, SourceError) and not isinstance(found, BadBlock):
                        raise found
                    yield found
        except Stopped:
            return
        finally:
            for future in flying:
                future.cancel()

    # --- on the event loop -------------------------------------------------------------------

    def _wait(self, future: Future[T]) -> T:
        return self._pool.wait(future, self._stop)

    def _run(self, operation: Operation[T]) -> T:
        return self._wait(self._pool.submit(self._pool.run(operation)))

    async def _head(self, endpoint: Endpoint) -> Position:
        raw = await endpoint.call(Call("eth_getBlockByNumber", ("latest", False)))
        head = read_position(endpoint.name, raw)
        if not (await self._confirmed(endpoint, [f"0x{head.hash.hex()}"]))[0]:
            self._pool.stats.unconfirmed_heads += 1
            raise NotYet(f"{endpoint.name}: too few endpoints know head {head}")
        return head

    async def _heads(self) -> list[Position]:
        """The head of every endpoint that has one."""
        tasks = (self._head(endpoint) for endpoint in self._pool.endpoints)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return [each for each in found if isinstance(each, Position)]

    async def _finalized_by_many(self) -> Position | None:
        """The highest block that enough endpoints know, and call final or have one above it."""
        endpoints = self._pool.endpoints
        tasks = (_finalized(endpoint) for endpoint in endpoints)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        said = {
            each: position
            for each, position in zip(endpoints, found, strict=True)
            if isinstance(position, Position)
        }
        for endpoint, position in sorted(said.items(), key=lambda one: -one[1].number):
            as_high = sum(each.number >= position.number for each in said.values())
            text = f"0x{position.hash.hex()}"
            if as_high >= self._quorum and (await self._confirmed(endpoint, [text]))[0]:
                return position
        return None

    async def _confirmed(self, endpoint: Endpoint, hashes: Sequence[str]) -> list[bool]:
        """Whether blocks that an endpoint tells of are known to enough others."""
        if self._quorum <= 1:
            return [True] * len(hashes)
        calls = [Call("eth_getBlockTransactionCountByHash", (hash_,)) for hash_ in hashes]
        others = [each for each in self._pool.endpoints if each is not endpoint]
        known = await asyncio.gather(*(_known(each, calls) for each in others))
        return [1 + sum(column) >= self._quorum for column in zip(*known, strict=True)]

    async def _collect(
        self, selectors: Sequence[Selector], accept: Accept[T], sure: Sure[T]
    ) -> list[T | SourceError]:
        """For every selector the accepted block, or why there is none."""
        found: dict[Selector, T | SourceError] = {}
        doubted: dict[Selector, T] = {}
        doubters: dict[Selector, set[Endpoint]] = {selector: set() for selector in selectors}
        failed: dict[Selector, SourceError] = {}

        async def operation(endpoint: Endpoint) -> None:
            failed.clear()
            missing = deque(selector for selector in selectors if selector not in found)
            while missing:
                part = [missing[i] for i in range(min(len(missing), self._batch_blocks))]
                answers = await self._measured(endpoint, part)
                await self._confirm(endpoint, part, answers)
                for selector, answer in zip(part[: len(answers)], answers, strict=True):
                    missing.popleft()
                    try:
                        if isinstance(answer, SourceError):
                            raise answer
                        value = await self._pool.accepted(accept, answer)
                        asked = doubters[selector]
                        last = endpoint in asked or len(asked) + 1 >= len(self._pool.endpoints)
                        if last or (sure(value) and not lacks_withdrawals(answer.block)):
                            found[selector] = value
                            continue
                        doubted[selector] = value
                        asked.add(endpoint)
                        raise NotYet(f"{endpoint.name}: {shown(selector)} is not all there")
                    except SourceError as error:
                        failed[selector] = error
            for other in list(failed.values())[1:]:
                self._pool.count(other)  # the first one is counted where it is raised to
            if failed:
                raise next(iter(failed.values()))

        while (before := len(found)) < len(selectors):
            try:
                await self._pool.run(operation)
            except SourceError as error:
                found = {**doubted, **found}
                if len(found) > before:
                    continue  # some were found: be as patient about the others
                rest = {s: failed.get(s, error) for s in selectors if s not in found}
                bad = {s: e for s, e in rest.items() if isinstance(e, BadBlock)}
                # Where nobody has a good answer for some, the others are asked for again.
                found.update(bad if isinstance(error, BadBlock) else rest)
        return [found[selector] for selector in selectors]

    async def _confirm(
        self, endpoint: Endpoint, part: Sequence[Selector], answers: list[RawBlock | SourceError]
    ) -> None:
        """Put NotYet in place of blocks asked for by number that too few endpoints know.

        Whoever asks for a hash knows from somewhere else that it is the chain's.
        """
        given = {
            row: answer.block.hash
            for row, (selector, answer) in enumerate(zip(part, answers, strict=False))
            if isinstance(selector, int) and isinstance(answer, RawBlock)
        }
        if self._quorum <= 1 or not given:
            return
        confirmed = await self._confirmed(endpoint, list(given.values()))
        for (row, hash_), is_known in zip(given.items(), confirmed, strict=True):
            if not is_known:
                self._pool.stats.unconfirmed_blocks += 1
                answers[row] = NotYet(f"{endpoint.name}: too few endpoints know block {hash_}")

    async def _measured(
        self, endpoint: Endpoint, part: Sequence[Selector]
    ) -> list[RawBlock | SourceError]:
        """``ask_blocks``, which sets how many blocks the next batch has. Empty: ask for fewer."""
        began = asyncio.get_running_loop().time()
        try:
            answers = await ask_blocks(endpoint, part, traces=self.config.traces)
        except NodeError as error:
            if error.fault is not Fault.TOO_LARGE or len(part) == 1:
                raise
            self._pool.count(error)
            self._batch_blocks = max(1, len(part) // 2)
            return []
        seconds = asyncio.get_running_loop().time() - began
        if seconds > _SLOW_SECONDS:
            self._batch_blocks = max(1, len(part) // 2)
        elif seconds < _QUICK_SECONDS and len(part) == self._batch_blocks:
            self._batch_blocks = min(2 * len(part), self.config.max_batch_blocks)
        return answers


async def _known(endpoint: Endpoint, calls: Sequence[Call]) -> list[bool]:
    """Whether an endpoint has the blocks, too; False where it does not answer."""
    try:
        outcomes = await endpoint.batch(calls)
    except SourceError:
        return [False] * len(calls)
    return [isinstance(each, msgspec.Raw) and bytes(each) != b"null" for each in outcomes]


async def _finalized(endpoint: Endpoint) -> Position | None:
    try:
        raw = await endpoint.call(Call("eth_getBlockByNumber", ("finalized", False)))
        return read_position(endpoint.name, raw)
    except NotYet:
        return None
    except NodeError as error:
        if error.fault in (Fault.RATE_LIMITED, Fault.TOO_LARGE):
            raise
        return None  # the node has no such tag, or nothing is final yet
