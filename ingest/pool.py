"""Several endpoints of one chain as one: who is asked, who is asked next, and who has to wait.

Endpoints are asked in their order of preference. One that fails is left alone for a while that
doubles with every failure in a row, up to a minute, and one that says how long to wait is left
alone for that long; meanwhile the next one is asked. One that is on another chain is never asked
again. Chance (in the length of pauses) and the clock decide here when something is asked and never
what comes out.

The sockets live on an event loop in a thread of the pool's own: so a total deadline is a total
deadline, and who waits for an answer can leave at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from chainwarden.errors import BadBlock, EndpointError, NotYet, SettingsError, SourceError
from ingest.endpoint import Call, Endpoint, EndpointConfig
from ingest.fault import Fault, NodeError

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[[Endpoint], Awaitable[T]]

# How often who waits looks whether it should leave.
_GLANCE_SECONDS: Final = 0.05
# So many bad blocks from each endpoint until one operation gives up.
_BAD_ANSWERS: Final = 2


class Stopped(SourceError):
    """The caller's stop event was set while it waited for an answer."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """How patient the pool is.

    ``deadline_seconds`` is how long one operation puts up with failing endpoints,
    ``patience_seconds`` how long it asks again for what a node does not have yet. Pauses after a
    failure begin with ``pause_seconds`` and end with ``longest_pause_seconds``.
    """

    deadline_seconds: float = 60.0
    patience_seconds: float = 2.0
    pause_seconds: float = 0.2
    longest_pause_seconds: float = 60.0
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)


@dataclass(slots=True)
class RpcStats:
    """What was counted so far.

    ``head_number`` is that of the newest head a node told of, -1 before the first.
    ``rejected`` counts answers by the ``reason`` of their BadBlock, which is a closed set,
    ``not_yet`` those that were null, ``failed`` requests without any answer that can be read.
    ``stale_heads`` heads below what can be undone, ``heads_behind`` those that another endpoint
    was ahead of, ``unconfirmed_heads`` and ``unconfirmed_blocks`` those that too few endpoints
    knew, ``finality_conflicts`` finalized blocks that are not on our chain. ``restarts`` counts
    how often everything was closed and opened again.
    """

    head_number: int = -1
    requests: int = 0
    retries: int = 0
    failovers: int = 0
    rate_limited: int = 0
    not_yet: int = 0
    failed: int = 0
    wrong_chain: int = 0
    stale_heads: int = 0
    heads_behind: int = 0
    unconfirmed_heads: int = 0
    unconfirmed_blocks: int = 0
    finality_conflicts: int = 0
    restarts: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class _Health:
    """What the pool remembers of an endpoint.

    After it said that it was asked too often (``limited``) it is asked one thing at a time
    (``probed``) until it answers.
    """

    endpoint: Endpoint
    chain_id: int | None = None
    wrong: bool = False
    failures: int = 0
    closed_until: float = 0.0
    asked_until: float = 0.0  # how long it asked to be left alone itself
    limited: bool = False
    probed: bool = False


class EndpointPool:
    """Runs operations on whichever endpoint answers. Close it, or use it as a context.

    ``chain_id`` is the chain that endpoints must be on; None until ``connect``.
    """

    def __init__(
        self, urls: Sequence[str], chain_id: int | None, config: PoolConfig = PoolConfig()
    ) -> None:
        if not urls:
            raise SettingsError("no endpoint is given", hint="name at least one HTTP URL")
        self.config = config
        self.chain_id = chain_id
        self.stats = RpcStats()
        self._requests = 0  # before this pool was opened
        self._urls = tuple(urls)
        self._health = [_Health(Endpoint(url, config.endpoint)) for url in urls]
        self._random = random.Random(0)
        self._loop = asyncio.new_event_loop()
        # Accepting a block (verifying, decoding) is one thread's work, off the event loop.
        self._worker = concurrent.futures.ThreadPoolExecutor(1, "chainwarden-accept")
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="chainwarden-rpc", daemon=True
        )
        self._thread.start()

    @property
    def endpoints(self) -> list[Endpoint]:
        """Those on the right chain, as far as that is known, in order of preference."""
        return [health.endpoint for health in self._health if not health.wrong]

    def close(self) -> None:
        """Give up what is in flight and release everything; it takes no more than a second.

        A loop that hangs is left behind: its thread ends with the process.
        """
        if self._loop.is_closed():
            return
        self._worker.shutdown(wait=False, cancel_futures=True)
        try:
            self.submit(self._shut()).result(timeout=5)
        except TimeoutError:
            log.error("the connections to the nodes hang and are left behind")
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def anew(self) -> EndpointPool:
        """Close this pool; one in its place, with its counters and what endpoints asked for."""
        pool = EndpointPool(self._urls, self.chain_id, self.config)
        pool.stats, pool._requests = self.counted(), self.stats.requests
        pool.stats.restarts += 1
        for old, new in zip(self._health, pool._health, strict=True):
            new.closed_until, new.limited = old.asked_until, old.limited
            new.asked_until = old.asked_until
        self.close()
        return pool

    def counted(self) -> RpcStats:
        """What was counted so far, by the pools before this one, too."""
        self.stats.requests = self._requests + sum(h.endpoint.requests for h in self._health)
        return self.stats

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for health in self._health:
            await health.endpoint.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the pool's loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait(self, future: concurrent.futures.Future[T], stop: threading.Event) -> T:
        """The future's result. Raises Stopped within 0.1 s of ``stop``, and gives it up."""
        while not future.done():
            if stop.is_set():
                future.cancel()
                raise Stopped("stopped while waiting for an endpoint")
            concurrent.futures.wait([future], _GLANCE_SECONDS)
        return future.result()

    async def accepted(
        self, accept: Callable[[Any], T | concurrent.futures.Future[T]], answer: Any
    ) -> T:
        """``accept(answer)``, on the one thread that does such work, or what it has begun there."""
        loop = asyncio.get_running_loop()
        accepted = await loop.run_in_executor(self._worker, accept, answer)
        if isinstance(accepted, concurrent.futures.Future):
            return await asyncio.wrap_future(accepted)
        return accepted

    async def connect(self) -> int:
        """The chain id that every endpoint which answers agrees on.

        Raises SettingsError where two differ, or one differs from the one that was given, and
        EndpointError where none answers. Endpoints that are down are checked when they are up.
        """
        answers = await asyncio.gather(
            *(_chain_id(health.endpoint) for health in self._health), return_exceptions=True
        )
        for health, answer in zip(self._health, answers, strict=True):
            if not isinstance(answer, int):
                continue
            if self.chain_id not in (None, answer):
                raise SettingsError(
                    f"{health.endpoint.name} is on chain {answer}, not {self.chain_id}",
                    hint="all endpoints must be nodes of one chain",
                )
            self.chain_id = health.chain_id = answer
        if self.chain_id is None or not any(isinstance(answer, int) for answer in answers):
            for answer in answers:
                if isinstance(answer, EndpointError):
                    raise answer
            raise EndpointError("no endpoint answers")
        return self.chain_id

    async def run(self, operation: Operation[T]) -> T:
        """The operation's result on the first endpoint that gives one.

        An operation may be run several times. It raises EndpointError (the endpoint fails: pause
        it, ask the next), NotYet (ask the next, then again), or BadBlock (as EndpointError, and
        counted). What is raised here is the last of these, once the patience for it is over.
        """
        began = self._loop.time()
        tried: set[_Health] = set()
        unable: set[_Health] = set()
        previous: _Health | None = None
        rounds = bad = 0
        last: SourceError = EndpointError("every endpoint was told to wait")
        not_yet: NotYet | None = None
        while True:
            health, seconds = self._pick(tried)
            if health is None:
                if not seconds:  # everybody has been asked once more
                    tried.clear()
                    seconds, rounds = self._length(rounds), rounds + 1
                waited = self._loop.time() + seconds - began
                if not_yet is not None and waited > self.config.patience_seconds:
                    raise not_yet
                if waited > self.config.deadline_seconds:
                    raise last
                await asyncio.sleep(seconds)
                continue
            self._count_attempt(previous, health)
            tried.add(health)
            previous = health
            probe = health.probed = health.limited
            try:
                await self._check_chain(health)
                result = await operation(health.endpoint)
            except NotYet as error:
                self.count(error)
                not_yet = error
            except BadBlock as error:
                self.count(error)
                self._pause(health, None)
                last, bad = error, bad + 1
                if bad >= _BAD_ANSWERS * len(self.endpoints):
                    raise
            except EndpointError as error:
                self.count(error)
                last, fault = error, error.fault if isinstance(error, NodeError) else None
                if fault in (Fault.UNSUPPORTED, Fault.TOO_LARGE):
                    unable.add(health)
                    if len(unable) == len(self.endpoints):
                        raise
                    continue
                if fault is Fault.RATE_LIMITED:
                    self.stats.rate_limited += 1
                    health.limited = True
                self._pause(health, error.retry_after_seconds)
            else:
                health.failures = 0
                health.limited = False
                return result
            finally:
                if probe:
                    health.probed = False

    def count(self, error: SourceError) -> None:
        """Count an answer that cannot be used."""
        match error:
            case BadBlock():
                self.stats.rejected[error.reason] += 1
            case NotYet():
                self.stats.not_yet += 1
            case _:
                self.stats.failed += 1

    def _count_attempt(self, previous: _Health | None, health: _Health) -> None:
        if previous is not None:
            self.stats.retries += 1
            self.stats.failovers += previous is not health

    # --- health ------------------------------------------------------------------------------

    def _pick(self, tried: set[_Health]) -> tuple[_Health | None, float]:
        """Whom to ask now; or None, and how many seconds until there is someone to ask.

        (None, 0.0) says that everybody has been tried.
        """
        usable = [health for health in self._health if not health.wrong]
        if not usable:
            raise SettingsError(
                f"no endpoint is on chain {self.chain_id}",
                hint="all endpoints must be nodes of one chain",
            )
        now = self._loop.time()
        is_open = [each for each in usable if each.closed_until <= now and not each.probed]
        for health in is_open:
            if health not in tried:
                return health, 0.0
        if is_open:
            return None, 0.0
        return None, min(
            max(each.closed_until - now, _GLANCE_SECONDS if each.probed else 0.0) for each in usable
        )

    async def _check_chain(self, health: _Health) -> None:
        if health.chain_id is not None:
            return
        chain_id = await _chain_id(health.endpoint)
        if self.chain_id is None:
            self.chain_id = chain_id
        if chain_id != self.chain_id:
            health.wrong = True
            self.stats.wrong_chain += 1
            log.error("%s is on chain %d and is not asked again", health.endpoint.name, chain_id)
            raise EndpointError(f"{health.endpoint.name} is on chain {chain_id}")
        health.chain_id = chain_id

    def _pause(self, health: _Health, seconds: float | None) -> None:
        """Leave an endpoint alone: as long as it asked for, or longer with every failure."""
        if seconds is None:
            seconds = self._length(health.failures)
            health.failures += 1
        else:
            health.asked_until = max(health.asked_until, self._loop.time() + seconds)
        health.closed_until = max(health.closed_until, self._loop.time() + seconds)

    def _length(self, failures: int) -> float:
        """The pause after so many failures in a row, with jitter of a quarter."""
        longest = self.config.longest_pause_seconds
        seconds = min(self.config.pause_seconds * 2.0 ** min(failures, 30), longest)
        return seconds * self._random.uniform(0.75, 1.0)


async def _chain_id(endpoint: Endpoint) -> int:
    raw = await endpoint.call(Call("eth_chainId"))
    try:
        return int(msgspec.json.decode(raw, type=str)[2:], 16)
    except (msgspec.MsgspecError, ValueError) as error:
        raise EndpointError(f"{endpoint.name}: its chain id is no number") from error
