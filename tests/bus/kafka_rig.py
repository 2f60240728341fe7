"""A chain of its own on a real broker, and what tests do with it."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from chainwarden.bus import Delivery
from chainwarden.kafka_bus import BlockConsumer, BlockProducer, KafkaConfig
from chainwarden.schema import Chain
from tests.bus.contracts import DurableBusContract, told

CHAINS = count(1)


class KafkaRig:
    """A chain of its own, so topics of its own, on the broker of the session."""

    def __init__(self, bootstrap: str, **options: Any) -> None:
        self.bootstrap = bootstrap
        number = next(CHAINS)
        self.chain = Chain(f"test{number}-{time.time_ns()}", number)
        self.config = KafkaConfig(bootstrap, self.chain, **options)
        self._open: list[BlockProducer | BlockConsumer] = []

    def producer(self) -> BlockProducer:
        """A new producer."""
        producer = BlockProducer(self.config)
        self._open.append(producer)
        return producer

    def consumer(self, **options: Any) -> BlockConsumer:
        """A new consumer."""
        consumer = BlockConsumer(replace(self.config, **options))
        self._open.append(consumer)
        return consumer

    def foreign(self, topic: str, value: bytes | None, partition: int = 0, **more: Any) -> int:
        """Somebody else writes on a topic; the offset of the record."""
        producer = KafkaProducer(bootstrap_servers=[self.bootstrap], **more)
        try:
            sent = producer.send(topic, value, b"key", partition=partition)
            return int(sent.get(timeout=10).offset)
        finally:
            producer.close(timeout=5)

    def records(self, topic: str, **options: Any) -> list[Any]:
        """Every record of a topic as any client sees it."""
        consumer = KafkaConsumer(bootstrap_servers=[self.bootstrap], **options)
        try:
            where = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
            consumer.assign(where)
            consumer.seek_to_beginning()
            out: list[Any] = []
            ends = consumer.end_offsets(where)
            while any(consumer.position(one) < ends[one] for one in where):
                out += [r for own in consumer.poll(1000).values() for r in own]
            return out
        finally:
            consumer.close()

    def group_offsets(self) -> dict[str, int]:
        """How far the group is, as monitoring sees it, by ``topic/partition``."""
        admin = KafkaAdminClient(bootstrap_servers=[self.bootstrap])
        try:
            group = self.config.group
            shown = admin.list_group_offsets({group: None})[group]
        finally:
            admin.close()
        return {f"{p.topic}/{p.partition}": o.offset for p, o in shown.items() if o.offset >= 0}

    def close(self) -> None:
        """Close what was opened."""
        for one in self._open:
            one.close()


def put(rig: KafkaRig, *events: Any) -> BlockProducer:
    """Publish events on the rig's chain."""
    producer = rig.producer()
    for event in events:
        producer.publish(DurableBusContract.on(rig, event))
    return producer


def numbers(deliveries: list[Delivery]) -> list[int]:
    """The block numbers told."""
    return [number for _, number, _ in told(deliveries)]
