"""The bus over Apache Kafka: ``BlockProducer`` and ``BlockConsumer``, with kafka-python.

``ConsumerProcess`` is a ``BlockConsumer`` in a process of its own, which reads ahead.

Topics of a chain, created when missing, with their settings spelt out:

- ``chainwarden.<chain>.transactions``: one record for each transaction, its key the sender's
  ``0x…`` text; ``chainwarden.wire`` documents the value;
- ``chainwarden.<chain>.blocks``: one partition, one record for each chain event;
- ``chainwarden.<chain>.dead_letters``: where a record lies that could not be decoded, and why.

A value larger than ``PART_BYTES`` is cut into parts, one record each, in order and with the same
key; their header ``part`` says ``index/count``. So the worst block (34,000 logs, 22 MB of JSON)
passes brokers that keep Kafka's own limit of 1 MiB, and nobody has to raise it.

There is no consumer group that anything depends on: partitions are assigned and sought by the
offsets of the ledger, so a rebalance cannot happen, and who may score and deliver is decided by the
lock on the ledger, not by Kafka. A broker that is away is waited for, ``patience_seconds`` long.
"""

from chainwarden.kafka_bus.consumer import BlockConsumer
from chainwarden.kafka_bus.consumer_process import ConsumerProcess
from chainwarden.kafka_bus.parts import PART_BYTES
from chainwarden.kafka_bus.producer import BlockProducer
from chainwarden.kafka_bus.topics import KafkaConfig
from chainwarden.kafka_bus.watch import BusWatch

__all__ = [
    "PART_BYTES",
    "BlockConsumer",
    "BlockProducer",
    "BusWatch",
    "ConsumerProcess",
    "KafkaConfig",
]
