"""``chainwarden detect``: blocks from Kafka, scored and committed."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from chainwarden.backfill import BackfilledConsumer
from chainwarden.deployment import UNDO_BLOCKS, kafka_config
from chainwarden.detecting import detecting
from chainwarden.kafka_bus import BusWatch, ConsumerProcess, KafkaConfig
from chainwarden.live import DetectOptions, backfill_node, detect_loop, stop_on_signals
from chainwarden.observe import observe_bus
from chainwarden.settings import Settings, configured_chain, load_settings
from chainwarden.standby import Taken, stand_by
from chainwarden.terminal import print_outcome


def detect(
    *,
    config: Path | None,
    flags: Mapping[str, object],
    exit_when_idle: float | None,
    standby: bool,
    json: bool,
) -> None:
    """Score until a signal comes, or nothing came for ``exit_when_idle`` seconds.

    A ``standby`` waits first until no other process has the ledger.
    """
    settings = load_settings(config, os.environ, flags)
    bus = kafka_config(settings, configured_chain(settings))
    stop = threading.Event()
    with stop_on_signals(stop), closing(ConsumerProcess(bus)) as consumer:
        taken = stand_by(settings, bus.chain, stop) if standby else None
        if standby and taken is None:
            outcome: dict[str, object] = {"took_over": False}
        else:
            outcome = _score(settings, bus, consumer, stop, exit_when_idle, taken)
    print_outcome(outcome, json)


def _score(
    settings: Settings,
    bus: KafkaConfig,
    consumer: ConsumerProcess,
    stop: threading.Event,
    exit_when_idle: float | None,
    taken: Taken | None,
) -> dict[str, object]:
    """Score what is on the bus until it is time to end; what a command prints then."""
    with (
        BusWatch(bus) as watch,
        detecting(settings, bus.chain, stop, consumer.commit, taken=taken) as behind,
        backfill_node(settings, bus.chain, behind.metrics, stop) as node,
    ):
        metrics, finalized = behind.metrics, behind.pipeline.cursor.finalized
        whole = BackfilledConsumer(consumer, behind.unfinal(), UNDO_BLOCKS, node, finalized)
        observe_bus(metrics, watch, lambda: behind.pipeline.cursor.offsets)
        behind.health.others += [watch.reason, whole.reason]
        whole.seek(behind.pipeline.cursor.offsets)

        def observe() -> None:
            behind.observe()
            metrics.raise_counter(metrics.dead_letters, consumer.dead_letters)
            metrics.raise_counter(metrics.backfilled, whole.fetched)
            watch.check()

        detect_loop(
            whole,
            behind.pipeline,
            stop.is_set,
            behind.health,
            DetectOptions(
                settings.store.snapshot_minutes * 60,
                exit_when_idle,
                answers=lambda: not watch.silent_seconds,
            ),
            observe,
        )
        return {**behind.outcome(), "out": settings.store.out}
