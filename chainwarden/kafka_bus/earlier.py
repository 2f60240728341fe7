"""Block records that were published before: what is on the blocks topic between two offsets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from kafka import TopicPartition

from chainwarden.errors import BusError
from chainwarden.kafka_bus.parts import Parts
from chainwarden.kafka_bus.topics import KafkaConfig, broker_errors
from chainwarden.wire import BlockRecord, decode_block

FETCH_RECORDS: Final = 4000
"""At most so many records come from one poll of the client."""


def earlier_blocks(
    consumer: Any, config: KafkaConfig, begin: int, end: int
) -> Iterator[BlockRecord]:
    """The whole block records from ``begin`` up to ``end``, oldest first.

    ``consumer`` is pointed at the topic for it. What does not decode is passed over: whoever reads
    the topic as a bus buries it. Raises BusError where the broker does not give them in time.
    """
    blocks, parts = TopicPartition(config.blocks_topic, 0), Parts()
    consumer.assign([blocks])
    consumer.seek(blocks, begin)
    deadline = time.monotonic() + config.timeout_seconds
    with broker_errors(config, "the blocks before cannot be read"):
        while consumer.position(blocks) < end:
            if time.monotonic() > deadline:
                raise BusError("the blocks before cannot be read in time")
            fetched = consumer.poll(1000, max_records=FETCH_RECORDS).get(blocks, ())
            for record in fetched:
                block = _decoded(record, parts, config) if record.offset < end else None
                if block is not None:
                    yield block
            if fetched:  # it is time without any that counts
                deadline = time.monotonic() + config.timeout_seconds


def _decoded(record: Any, parts: Parts, config: KafkaConfig) -> BlockRecord | None:
    with suppress(ValueError):
        whole = parts.add(record.offset, record.value, record.headers)
        if whole is not None:
            block = decode_block(whole[1], config.chain.name)
            block.position()  # they raise what decoding has let pass
            block.parent()
            return block
    return None
