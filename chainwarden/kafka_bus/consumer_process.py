"""A ``BlockConsumer`` in a process of its own, which reads on while what it read is handled.

To fetch, decompress and decode records is work of Python's, as scoring is: in one process either
waits for the other at the interpreter's lock. What is handed over is Arrow's bytes, which takes a
twentieth of reading them.
"""

from __future__ import annotations

import atexit
import logging
import pickle
import time
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from chainwarden.bus import Delivery
from chainwarden.child_process import (
    end_with_parent,
    heed_no_signals,
    start_process,
    stop_process,
)
from chainwarden.errors import BusError, ChainwardenError, OffsetGone
from chainwarden.garbage import collect_seldom
from chainwarden.kafka_bus.consumer import BlockConsumer
from chainwarden.kafka_bus.topics import KafkaConfig
from chainwarden.logs import log_to
from chainwarden.schema import Offsets

log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 1.0
_REQUESTS: Final = 4  # to the broker, each of which may time out before one of ours is answered

_Request = tuple[Any, ...]
"""The name of a method of the consumer, and what it is called with."""

_Answer = list[Delivery] | int | ChainwardenError | None


class ConsumerProcess:
    """A ``Consumer`` over Kafka that is one poll ahead of its caller, in another process.

    While the caller handles what a poll brought, the next poll is under way, with the same bounds
    as the one before; nothing more is ever held. What it raises is raised by the caller's next
    poll. A bus that brought nothing is left alone until it is polled.

    The process ends with this one, however that ends. If it dies, or a request of it takes longer
    than its own to the broker may, another takes its place and goes on behind what was handed on;
    BusError is raised once that has not helped for ``patience_seconds``. One caller at a time.
    Close it.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._at: Offsets | None = None  # behind what was handed on; None before the first seek
        self._under_way = False  # a poll is, whose answer is still to come
        self._early: list[_Answer] = []  # a poll's, which came before that of another request
        self._dead_letters, self._of_others = 0, 0
        self._failing_since: float | None = None
        self._closed = False
        try:
            self._start()
        except (EOFError, OSError) as error:
            self._stop()
            raise BusError(
                f"no process can be started that reads the bus: {_why(error)}"
            ) from error
        atexit.register(self.close)

    @property
    def dead_letters(self) -> int:
        """Records that could not be decoded, since the start."""
        return self._of_others + self._dead_letters

    # --- the protocol --------------------------------------------------------------------------

    def seek(self, offsets: Offsets) -> None:
        """Start from a delivery's offsets; what was read ahead is thrown away."""
        self._at = offsets
        self._ask("seek", offsets)
        self._early = []

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """What was read ahead; else what comes within the timeout."""
        request = ("poll", timeout_seconds, max_events)
        found: list[Delivery] = self._ask(*request)
        if found:
            self._at = found[-1].offsets
            with suppress(OSError):  # whoever waits for the answer finds out
                self._send(request)
        return found

    def commit(self, offsets: Offsets) -> None:
        """Tell the bus how far the caller is, when the poll under way has ended.

        Where it does not take that, nobody is told: a start goes on from offsets of the caller's.
        """
        with suppress(OSError):
            self._send(("commit", offsets))

    def lag(self) -> int:
        """How much is behind what was read, what was read ahead included."""
        found: int = self._ask("lag")
        return found

    def close(self) -> None:
        """End the process, when it has done what it was told. Harmless when repeated."""
        self._closed = True
        if self._pipe is not None:
            with suppress(EOFError, OSError):
                if self._under_way and self._pipe.poll(_CLOSE_SECONDS):
                    self._receive()  # it cannot go on before somebody takes it
            self._stop()
        atexit.unregister(self.close)

    # --- its process ---------------------------------------------------------------------------

    def _ask(self, *request: Any) -> Any:
        """The answer to a request, raised where it is an error; another process' if this dies."""
        is_poll = request[0] == "poll"
        while True:
            try:
                if self._under_way and not is_poll:
                    self._early = [self._receive()]
                if is_poll and self._early:
                    answer = self._early.pop()
                else:
                    if not self._under_way:
                        self._send(request)
                    answer = self._receive()
            except (EOFError, OSError) as error:
                self._replace(error)
                continue
            self._failing_since = None
            if isinstance(answer, ChainwardenError):
                raise answer
            return answer

    def _send(self, request: _Request) -> None:
        if self._pipe is None:
            raise BrokenPipeError("it was closed")
        self._pipe.send(request)
        self._under_way = request[0] == "poll" or self._under_way

    def _receive(self) -> _Answer:
        """The answer to the oldest request. Raises EOFError or OSError where none comes."""
        assert self._pipe is not None
        seconds = _REQUESTS * self._config.timeout_seconds
        if not self._pipe.poll(seconds):
            raise TimeoutError(f"no answer within {seconds:.0f} s")
        answer: _Answer
        self._dead_letters, answer = pickle.loads(self._pipe.recv_bytes())
        self._under_way = False
        return answer

    def _start(self) -> None:
        """Start a process and wait until it is connected."""
        level = logging.getLogger().getEffectiveLevel()
        self._process, self._pipe = start_process(_serve, self._config, level)
        refusal = self._receive()
        if isinstance(refusal, ChainwardenError):
            self._stop()
            raise refusal

    def _stop(self) -> None:
        if self._process is not None and self._pipe is not None:
            stop_process(self._process, self._pipe)
        self._process = self._pipe = None
        self._under_way, self._early = False, []
        self._of_others, self._dead_letters = self.dead_letters, 0

    def _replace(self, error: Exception) -> None:
        """Have another process go on where the caller is, while patience lasts."""
        if self._closed:
            raise BusError("the consumer is closed") from error
        log.warning(
            "the process that reads the bus is gone (%s): another takes its place", _why(error)
        )
        since = self._failing_since = self._failing_since or time.monotonic()
        while True:
            self._stop()
            if time.monotonic() - since >= self._config.patience_seconds:
                raise BusError(
                    f"no process stays that reads the bus: {_why(error)}",
                    hint="what it logged says why; is there enough memory?",
                ) from error
            try:
                self._start()
                if self._at is not None:
                    self._send(("seek", self._at))
                    refusal = self._receive()
                    if isinstance(refusal, ChainwardenError):
                        raise refusal
                return
            except OffsetGone:
                raise
            except (BusError, EOFError, OSError) as again:
                error = again
                log.warning("nor is the next there: %s", _why(again))
                time.sleep(_PAUSE_SECONDS)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


# --- in that process -----------------------------------------------------------------------------


def _serve(pipe: Connection, config: KafkaConfig, level: int) -> None:
    """Do with a consumer what is asked, one after the other, until the other side is closed."""
    heed_no_signals()
    end_with_parent()
    collect_seldom()
    log_to(level=level)
    try:
        consumer = BlockConsumer(config)
    except ChainwardenError as error:
        _tell(pipe, 0, error)
        return
    with closing(consumer):
        _tell(pipe, 0, None)
        while (request := _next(pipe)) is not None:
            name, *arguments = request
            answer = _answered(getattr(consumer, name), arguments)
            if name != "commit":
                _tell(pipe, consumer.dead_letters, answer)


def _next(pipe: Connection) -> _Request | None:
    try:
        request: _Request = pipe.recv()
    except (EOFError, OSError):
        return None
    return request


def _answered(method: Callable[..., _Answer], arguments: list[Any]) -> _Answer:
    try:
        return method(*arguments)
    except ChainwardenError as error:
        return error
    except Exception as error:  # another process would meet it, too
        log.exception("the bus cannot be read")
        return BusError(
            f"the bus cannot be read: {type(error).__name__}: {error}",
            hint="report it, with what was logged before",
        )


def _tell(pipe: Connection, dead_letters: int, answer: _Answer) -> None:
    with suppress(OSError):  # nobody waits for it any more: the next request will tell
        pipe.send_bytes(pickle.dumps((dead_letters, answer), pickle.HIGHEST_PROTOCOL))
