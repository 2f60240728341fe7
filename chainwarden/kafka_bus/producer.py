"""Chain events onto Kafka, whole or not at all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from threading import Thread
from typing import Any, Final

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
)
from kafka.partitioner.default import murmur2

from chainwarden.assembly import mark_of
from chainwarden.bus import Mark
from chainwarden.errors import BlocksLost, BusError, Fenced
from chainwarden.kafka_bus.earlier import earlier_blocks
from chainwarden.kafka_bus.parts import cut
from chainwarden.kafka_bus.topics import KafkaConfig, broker_errors, ensure_topics, require_codecs
from chainwarden.schema import BlockBatch, BlocksAdded, ChainEvent, column
from chainwarden.wire import encode_blocks, encode_mark

log = logging.getLogger(__name__)

# One Kafka transaction costs about 12 ms in this client, however much is in it: when many blocks
# are published at once they share one, whole blocks only.
_BLOCKS_PER_TRANSACTION: Final = 64
_ROWS_PER_TRANSACTION: Final = 20_000
_KNOWN_SENDERS: Final = 100_000
# What the broker does not take expires after the timeout; the client sees that a moment later.
_EXPIRY_SECONDS: Final = 5.0
# Readers see a commit within milliseconds of its acknowledgement; later than this, perhaps never.
_VISIBLE_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 0.05


class BlockProducer:
    """A ``Producer`` over Kafka: idempotent, acks=all, one writer for each chain.

    Publishing a block is one Kafka transaction (several blocks of one event may share one): its
    transaction records, then its block record. A crash in the middle leaves nothing that a reader
    of committed records sees. A second producer of the same chain takes over: this one raises
    Fenced from then on. After any other BusError the next ``publish`` starts afresh; whether the
    failed one was committed is not known, and publishing it again is harmless.

    A broker acknowledges a commit before it marks it in each partition. One that is killed in
    between comes back with records that are neither committed nor aborted and takes their
    transaction for complete: readers see nothing behind them, and the next mark, whatever it is of,
    decides on them, too. So a block counts as published when readers can see it, and what such a
    transaction left is aborted before anything else is published. Where the topic ends earlier than
    it did, BlocksLost is raised.
    """

    def __init__(self, config: KafkaConfig) -> None:
        require_codecs()
        ensure_topics(config)
        self._config = config
        self._producer: Any = None
        self._readers: Any = None  # a consumer, asked how far readers of committed records come
        self._sequence = 0
        self.end = 0
        """The offset on the blocks topic behind all that was published, by others too."""
        self._partitions = 0
        self._partition_of: dict[bytes, int] = {}
        self._fenced = False
        self._open()

    def publish(self, event: ChainEvent) -> None:
        """Publish one event; it is committed, and readers see it, when this returns."""
        if self._fenced:
            raise self._fenced_error()
        if isinstance(event, BlocksAdded) and event.batch.chain != self._config.chain:
            raise BusError(f"this bus carries {self._config.chain.name}")
        if self._producer is None:
            self._open()
        if isinstance(event, BlocksAdded):
            gap = event.gap
            for batch in _portions(event.batch):
                self._commit(BlocksAdded(batch, gap))
                gap = False
        else:
            self._commit(event)

    def since(self, offset: int) -> list[Mark]:
        """What was committed behind that; nobody adds to it while this one is the writer."""
        with broker_errors(self._config, "what was published cannot be read"):
            consumer = KafkaConsumer(**self._config.client(), isolation_level="read_committed")
        try:
            blocks = TopicPartition(self._config.blocks_topic, 0)
            with broker_errors(self._config, "what was published cannot be read"):
                first = int(consumer.beginning_offsets([blocks])[blocks])
                end = int(consumer.end_offsets([blocks])[blocks])
            begin = max(first, offset)
            found = earlier_blocks(consumer, self._config, begin, end) if begin < end else ()
            return [mark_of(record) for record in found]
        finally:
            consumer.close()

    def close(self) -> None:
        """Close the connection."""
        self._drop(timeout=5.0)

    def _open(self) -> None:
        """Become the writer of this chain: fence the one before, abort what it left open.

        Sequences go on at the end offset of the blocks topic: every event takes at least one
        offset there, so no earlier producer has come so far.
        """
        config = self._config
        with broker_errors(config, "the producer cannot start"):
            self._producer = KafkaProducer(
                **config.client(),
                transactional_id=config.blocks_topic,
                acks="all",
                enable_idempotence=True,
                compression_type=config.compression or None,
                linger_ms=5,
                batch_size=256 * 1024,
                delivery_timeout_ms=int(config.timeout_seconds * 1000),
                max_block_ms=int(config.timeout_seconds * 1000),
                transaction_timeout_ms=int(config.timeout_seconds * 1000),
                allow_auto_create_topics=False,
            )
            try:
                self._producer.init_transactions()
                self._partitions = len(self._producer.partitions_for(config.transactions_topic))
                self._readers = KafkaConsumer(**config.client(), isolation_level="read_committed")
                self._sequence = self.end = self._settle()
            except BaseException:
                self._drop(timeout=0.0)
                raise

    def _settle(self) -> int:
        """Abort what is neither committed nor aborted. Returns where the blocks topic ends then."""
        config = self._config
        blocks = TopicPartition(config.blocks_topic, 0)
        places = [TopicPartition(config.transactions_topic, n) for n in range(self._partitions)]
        places.append(blocks)
        with closing(KafkaConsumer(**config.client())) as writers:
            ends = writers.end_offsets(places)
            if ends[blocks] < self.end:
                raise self._lost_error(ends[blocks])
            if open_ := self._unseen(ends):
                log.warning("there is a transaction that the broker never ended: it is aborted")
                self._abort(open_)
                ends = writers.end_offsets(places)
        try:
            self._wait_for_readers(ends)
        except KafkaTimeoutError as error:
            raise BusError(
                f"the producer cannot start: {error.args[0]}",
                hint="that of another client? end it, or abort it with kafka-transactions.sh",
            ) from error
        return int(ends[blocks])

    def _unseen(self, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """The partitions of which readers do not come to these ends."""
        seen = self._readers.end_offsets(list(ends))
        return [where for where, end in ends.items() if seen[where] < end]

    def _abort(self, places: Sequence[TopicPartition]) -> None:
        """Abort whatever is open there: the mark that ends a transaction decides on all of it."""
        self._producer.begin_transaction()
        sent = [self._producer.send(each.topic, b"", partition=each.partition) for each in places]
        for each in sent:
            each.get(timeout=self._config.timeout_seconds + _EXPIRY_SECONDS)
        self._in_time(self._producer.abort_transaction)

    def _commit(self, event: ChainEvent) -> None:
        """One Kafka transaction of one event."""
        config, send, sent = self._config, self._producer.send, []
        if isinstance(event, BlocksAdded):
            encoded = encode_blocks(event, self._sequence)
        else:
            encoded = [encode_mark(event, config.chain, self._sequence)]
        try:
            self._producer.begin_transaction()
            for one in encoded:
                for key, value in one.transactions:
                    partition = self._partition(key)
                    for part, headers in cut(value):
                        sent.append(send(config.transactions_topic, part, key, headers, partition))
                for part, headers in cut(one.block):
                    sent.append(send(config.blocks_topic, part, None, headers, 0))
            self._producer.flush(timeout=config.timeout_seconds + _EXPIRY_SECONDS)
            # Records that expired before the broker heard of them are in no transaction, and the
            # client commits what is none: each is asked for.
            ends = {}
            for each in sent:
                at = each.get(timeout=config.timeout_seconds)
                # Behind the record comes the mark of the commit, which takes an offset as well.
                ends[TopicPartition(at.topic, at.partition)] = at.offset + 2
            self._in_time(self._producer.commit_transaction)
            self._wait_for_readers(ends)
        except (KafkaError, OSError) as error:
            raise self._failed(error) from error
        self._sequence = encoded[-1].sequence + 1
        self.end = int(ends[TopicPartition(config.blocks_topic, 0)])

    def _wait_for_readers(self, ends: Mapping[TopicPartition, int]) -> None:
        """Wait until readers of committed records come to these ends, but not for ever."""
        began, pause = time.monotonic(), 0.001
        longest = min(_VISIBLE_SECONDS, self._config.timeout_seconds)
        while open_ := self._unseen(ends):
            if time.monotonic() - began > longest:
                names = ", ".join(f"{where.topic}/{where.partition}" for where in open_)
                raise KafkaTimeoutError(f"a transaction is still open on {names}")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _in_time(self, end_transaction: Callable[[], None]) -> None:
        """Commit or abort, but do not wait for ever: the client has no time limit for either."""
        outcome: list[Exception | None] = []

        def end() -> None:
            try:
                end_transaction()
            except Exception as error:
                outcome.append(error)
            else:
                outcome.append(None)

        thread = Thread(target=end, name="kafka-transaction", daemon=True)
        thread.start()
        thread.join(self._config.timeout_seconds)
        if not outcome:
            raise KafkaTimeoutError("the transaction was not ended in time")
        if outcome[0] is not None:
            raise outcome[0]

    def _failed(self, error: Exception) -> BusError:
        """Let go of the producer; what is open there is aborted by the broker or the next one."""
        if _is_fencing(error):
            self._fenced = True
            self._drop(timeout=0.0)
            return self._fenced_error()
        # Aborting could wait for ever, too; the next producer's start does it.
        self._drop(timeout=0.0)
        return BusError(
            f"the broker did not take a block: {type(error).__name__}: {error}",
            hint=f"is the Kafka broker at {self._config.bootstrap_servers} healthy?",
        )

    def _fenced_error(self) -> Fenced:
        return Fenced(
            f"another producer publishes {self._config.chain.name}, or the broker came back with "
            "an older disk: this one was fenced off",
            hint="run one ingest for each chain; where there is one, start it again",
        )

    def _lost_error(self, end: int) -> BlocksLost:
        return BlocksLost(
            f"the broker came back without blocks that it had taken: {self._config.blocks_topic} "
            f"ends at {end}, not at {self.end}",
            hint="start ingest again: it publishes again what is not there",
        )

    def _drop(self, timeout: float) -> None:
        readers, self._readers = self._readers, None
        if readers is not None:
            with suppress(KafkaError, OSError):
                readers.close(timeout_ms=0)
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=timeout)
        except (KafkaError, OSError):
            # close flushes first and gives up when it cannot: then the sender thread is still there
            producer._sender.force_close()

    def _partition(self, key: bytes) -> int:
        """The partition Kafka's own clients would choose for the key."""
        partition = self._partition_of.get(key)
        if partition is None:
            if len(self._partition_of) >= _KNOWN_SENDERS:
                self._partition_of.clear()
            partition = (murmur2(key) & 0x7FFFFFFF) % self._partitions
            self._partition_of[key] = partition
        return partition


def _is_fencing(error: Exception) -> bool:
    """Whether a newer producer is why; the client tells it in the text of a later error, too."""
    fencing = (ProducerFencedError, InvalidProducerEpochError)
    return isinstance(error, fencing) or any(one.__name__ in str(error) for one in fencing)


def _portions(batch: BlockBatch) -> Iterator[BlockBatch]:
    """The batch in runs of whole blocks that each make one Kafka transaction."""
    numbers = batch.numbers()
    rows = np.zeros(len(numbers), dtype=np.int64)
    for table in (batch.transactions, batch.flows, batch.logs):
        ends = np.searchsorted(column(table, "block_number"), numbers, "right")
        rows += np.diff(ends, prepend=0)
    start, held = 0, 0
    for row, own in enumerate(rows.tolist()):
        full = held + own > _ROWS_PER_TRANSACTION or row - start >= _BLOCKS_PER_TRANSACTION
        if row > start and full:
            yield batch.slice(start, row)
            start, held = row, 0
        held += own
    if start < len(numbers):
        yield batch.slice(start, len(numbers))
