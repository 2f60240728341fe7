"""Chain events off Kafka: whole blocks, in order, each once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from chainwarden.assembly import RECENT_BLOCKS, Arrival, Assembly, Lane, Repeats
from chainwarden.bus import Delivery
from chainwarden.errors import BusError, OffsetGone
from chainwarden.kafka_bus.earlier import FETCH_RECORDS, earlier_blocks
from chainwarden.kafka_bus.parts import Parts
from chainwarden.kafka_bus.topics import KafkaConfig, broker_errors, ensure_topics, require_codecs
from chainwarden.schema import Offsets
from chainwarden.wire import decode_block, decode_transaction

log = logging.getLogger(__name__)

_MOST_EVENTS_AHEAD: Final = 20_000
_LONGEST_PAUSE_SECONDS: Final = 2.0
_GONE: Final = (OffsetOutOfRangeError, NoOffsetForPartitionError, LogTruncationError)


class BlockConsumer:
    """A ``Consumer`` over Kafka: committed records only, from offsets the caller keeps.

    No group management: every partition is assigned and sought. A block is handed on when all its
    records are there; blocks that are ready together come as one batch. What is read ahead is
    bounded. When the client raises from a poll it is built anew and goes on where it was; BusError
    is raised once that has not helped for ``patience_seconds``.

    Records that are no records of ``chainwarden.wire`` go to the dead letters topic (topic,
    partition, offset, reason, SHA-256; never the payload) and are counted in ``dead_letters``. A
    block that lacks records with nothing left to read for ``incomplete_seconds``, or that was
    overtaken in every partition, raises IncompleteBlock, again at every poll: the caller gets that
    block from a node and seeks to the error's offsets.
    """

    def __init__(self, config: KafkaConfig) -> None:
        require_codecs()
        ensure_topics(config)
        self.dead_letters = 0
        """Records that could not be decoded, since the start."""
        self._config = config
        self._letters: Any = None
        self._consumer = self._connect()
        with broker_errors(config, "topics cannot be read"):
            partitions = self._consumer.partitions_for_topic(config.transactions_topic) or set()
        self._blocks = TopicPartition(config.blocks_topic, 0)
        self._transactions = [
            TopicPartition(config.transactions_topic, number) for number in sorted(partitions)
        ]
        self._all = [*self._transactions, self._blocks]
        self._names = {where: f"{where.topic}/{where.partition}" for where in self._all}
        self._parts: dict[str, Parts] = {}
        self._assembly: Assembly | None = None
        self._lanes = [self._names[where] for where in self._transactions]
        self._reading: list[TopicPartition] = []
        self._waited = 0.0
        self._failures = 0
        self._failing_since = 0.0

    # --- the protocol --------------------------------------------------------------------------

    def seek(self, offsets: Offsets) -> None:
        """Start from a delivery's offsets, or from the beginning for ``{}``."""
        with broker_errors(self._config, "offsets cannot be read"):
            first = self._consumer.beginning_offsets(self._all)
            last = self._consumer.end_offsets(self._all)
        starts = {where: first[where] for where in self._all}
        if offsets:
            if set(offsets) != set(self._names.values()):
                raise OffsetGone(
                    f"offsets for {sorted(offsets)}, the bus has {sorted(self._names.values())}",
                    hint="was the topic made anew with other partitions? rebuild",
                )
            starts = {where: offsets[name] for where, name in self._names.items()}
        for where, offset in starts.items():
            if not first[where] <= offset <= last[where]:
                raise OffsetGone(
                    f"{self._names[where]} has offsets {first[where]} to {last[where]}, "
                    f"not {offset}",
                    hint="records were deleted or the topic was made anew: rebuild",
                )
        repeats, done = self._look_back(first[self._blocks], starts[self._blocks])
        self._assembly = Assembly(
            self._config.chain,
            {name: Lane(starts[where]) for where, name in self._names.items()},
            repeats,
            self._bury,
            done=done,
            torn=done < 0 and any(starts.values()),
        )
        self._parts = {name: Parts() for name in self._names.values()}
        self._waited = 0.0
        self._assign(self._all)

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """Up to ``max_events`` next events, or an empty list after the timeout."""
        if self._assembly is None:
            self.seek({})
        assembly = self._assembly
        assert assembly is not None
        deadline = time.monotonic() + timeout_seconds
        while True:
            while (
                assembly.complete(max_events) < max_events
                and assembly.size < self._config.buffer_bytes
                and self._read(0.0)
            ):
                pass
            out = assembly.take(max_events)
            if out:
                self._waited = 0.0
                return out
            self._wait(assembly, max(0.0, min(deadline - time.monotonic(), 1.0)))
            if time.monotonic() >= deadline:
                return assembly.take(max_events)

    def commit(self, offsets: Offsets) -> None:
        """Write the group's offsets, for monitoring only; a failure is logged."""
        where = {name: one for one, name in self._names.items()}
        try:
            self._consumer.commit(
                {where[name]: OffsetAndMetadata(at, "", -1) for name, at in offsets.items()},
                timeout_ms=2000,
            )
        except (KafkaError, OSError) as error:
            log.warning("offsets were not committed for monitoring: %s", error)

    def lag(self) -> int:
        """How many records, markers included, are on the bus and not handed on."""
        with broker_errors(self._config, "offsets cannot be read"):
            last = self._consumer.end_offsets(self._all)
        if self._assembly is None:
            return int(sum(last.values()))
        at = self._assembly.offsets()
        return int(sum(max(0, end - at[self._names[where]]) for where, end in last.items()))

    def close(self) -> None:
        """Close the connections."""
        with suppress(KafkaError, OSError):
            self._consumer.close(autocommit=False, timeout_ms=2000)
        if self._letters is not None:
            with suppress(KafkaError, OSError):
                self._letters.close(timeout=5)

    # --- reading -------------------------------------------------------------------------------

    def _connect(self) -> Any:
        with broker_errors(self._config, "the consumer cannot start"):
            return KafkaConsumer(
                **self._config.client(),
                group_id=self._config.group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                check_crcs=True,
                # A seek waits for the fetch that is under way: keep that short.
                fetch_max_wait_ms=100,
                fetch_max_bytes=16 * 1024 * 1024,
                allow_auto_create_topics=False,
            )

    def _assign(self, wanted: list[TopicPartition]) -> None:
        """Point the client at these partitions, each where its lane is."""
        assert self._assembly is not None
        self._consumer.assign(wanted)
        self._reading = wanted
        for where in wanted:
            self._consumer.seek(where, self._assembly.lanes[self._names[where]].position)

    def _wait(self, assembly: Assembly, seconds: float) -> None:
        """Wait for records; time that brings none counts against a block that lacks some."""
        started = time.monotonic()
        lacking = assembly.lacking()
        if lacking and len(assembly.lanes_ahead(self._lanes)) == len(self._lanes):
            assembly.give_up()
            return
        if self._read(seconds):
            self._waited = 0.0
            return
        if lacking:
            self._waited += time.monotonic() - started
            if self._waited >= self._config.incomplete_seconds:
                self._waited = 0.0
                if self._everything_is_read(assembly):
                    assembly.give_up()

    def _everything_is_read(self, assembly: Assembly) -> bool:
        """Whether the broker answers, and has nothing more: its silence alone proves nothing."""
        try:
            ends = self._consumer.end_offsets(self._all)
        except (KafkaError, OSError, RuntimeError) as error:
            log.warning("a block lacks records, and the broker cannot be asked: %r", error)
            return False
        lanes = assembly.lanes
        return all(lanes[self._names[where]].position >= end for where, end in ends.items())

    def _read(self, seconds: float) -> bool:
        """Take in what the client has, waiting so long for it; whether there was anything."""
        assembly = self._assembly
        assert assembly is not None
        self._hold_back(assembly)
        try:
            fetched = self._consumer.poll(int(seconds * 1000), max_records=FETCH_RECORDS)
            positions = {where: self._consumer.position(where) for where in self._reading}
        except _GONE as error:
            raise OffsetGone(
                f"records were deleted before they were read: {error}", hint="rebuild"
            ) from error
        except (KafkaError, OSError, RuntimeError) as error:
            self._reconnect(error)
            return False
        self._failures = 0
        for where, records in fetched.items():
            self._take_in(assembly, where, records)
        for where, position in positions.items():
            assembly.lanes[self._names[where]].position = position
        return bool(fetched)

    def _take_in(self, assembly: Assembly, where: TopicPartition, records: Sequence[Any]) -> None:
        lane, chain = self._names[where], self._config.chain.name
        parts, is_block = self._parts[lane], where == self._blocks
        for record in records:
            offset, value = record.offset, record.value
            try:
                if record.headers:
                    whole = parts.add(offset, value, record.headers)
                    if whole is None:
                        continue
                    offset, value = whole
                if is_block:
                    assembly.add_block(Arrival(lane, offset, value), decode_block(value, chain))
                else:
                    assembly.add_transaction(lane, offset, value, decode_transaction(value, chain))
            except ValueError as error:
                self._bury(Arrival(lane, record.offset, record.value or b""), str(error))
        assembly.lanes[lane].partial = parts.start

    def _hold_back(self, assembly: Assembly) -> None:
        """While too much is held, read only the partitions that the next event still needs.

        kafka-python 3.0.12 loses sight of what it fetched for a paused partition, so partitions
        are unassigned instead.
        """
        reading = {self._names[where] for where in self._reading}
        blocks = {self._names[self._blocks]} if assembly.events < _MOST_EVENTS_AHEAD else set()
        needed = set(self._lanes) - set(assembly.lanes_ahead(self._lanes)) | blocks
        limit = self._config.buffer_bytes
        if assembly.size >= limit or not blocks:
            wanted = needed
        elif assembly.size < limit // 2 or len(reading) == len(self._all):
            wanted = set(self._names.values())
        else:
            wanted = reading | needed
        if wanted != reading:
            self._assign([where for where in self._all if self._names[where] in wanted])

    def _reconnect(self, error: Exception) -> None:
        """A client that raised from a poll is not trusted: make another, go on where it was."""
        if not self._failures:
            self._failing_since = time.monotonic()
        elif time.monotonic() - self._failing_since >= self._config.patience_seconds:
            raise BusError(
                f"the bus cannot be read: {type(error).__name__}: {error}",
                hint=f"is the Kafka broker at {self._config.bootstrap_servers} healthy?",
            ) from error
        log.warning("reading from Kafka failed, connecting again: %r", error)
        time.sleep(min(0.05 * 2 ** min(self._failures, 10), _LONGEST_PAUSE_SECONDS))
        self._failures += 1
        with suppress(KafkaError, OSError, RuntimeError):
            self._consumer.close(autocommit=False, timeout_ms=1000)
        try:
            self._consumer = self._connect()
            self._assign(self._all)
        except BusError as again:
            # The closed client raises at the next read, which tries once more.
            log.warning("connecting to Kafka failed: %s", again)

    def _look_back(self, first: int, start: int) -> tuple[Repeats, int]:
        """What was published before ``start``: the recent blocks, and the last sequence."""
        repeats, done = Repeats(), -1
        # An event is one record and, at most, a transaction's marker, an abort's too.
        begin = max(first, start - 3 * RECENT_BLOCKS)
        if begin >= start:
            return repeats, done
        for block in earlier_blocks(self._consumer, self._config, begin, start):
            done = max(done, block.sequence)
            repeats.is_new(block.event, block.position())
        return repeats, done

    # --- dead letters --------------------------------------------------------------------------

    def _bury(self, arrival: Arrival, reason: str) -> None:
        """Say where an invalid record lies and why; never fail the stream over it."""
        self.dead_letters += 1
        topic, _, partition = arrival.lane.rpartition("/")
        letter = {
            "version": 1,
            "topic": topic,
            "partition": int(partition),
            "offset": arrival.offset,
            "reason": reason[:500],
            "sha256": hashlib.sha256(arrival.value).hexdigest(),
        }
        log.warning("dead letter: %s@%d: %s", arrival.lane, arrival.offset, letter["reason"])
        try:
            if self._letters is None:
                self._letters = KafkaProducer(
                    **self._config.client(), max_block_ms=5000, linger_ms=20
                )
            self._letters.send(
                self._config.dead_letters_topic,
                msgspec.json.encode(letter),
                f"{arrival.lane}/{arrival.offset}".encode(),
                partition=0,
            )
        except (KafkaError, OSError) as error:
            log.error("a dead letter was not sent: %s", error)
