"""What the tests of Kafka share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bus.kafka_rig import KafkaRig


@pytest.fixture
def rig(kafka_bootstrap: str) -> Iterator[KafkaRig]:
    """A chain of its own on the real broker."""
    rig = KafkaRig(kafka_bootstrap, timeout_seconds=20.0, incomplete_seconds=1.0)
    yield rig
    rig.close()
