"""``chainwarden detect``: blocks from Kafka, scored and committed."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from chainwarden.backfill import BackfilledConsumer
from chainwarden.deployment import UNDO_BLOCKS, configured_chain, kafka_config
from chainwarden.detecting import detecting
from chainwarden.kafka_bus import BlockConsumer, BusWatch
from chainwarden.live import DetectOptions, backfill_node, detect_loop, stop_on_signals
from chainwarden.observe import observe_bus
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line
from store.lake_blocks import recent_positions


def detect(
    *,
    config: Path | None,
    flags: Mapping[str, object],
    exit_when_idle: float | None,
    json: bool,
) -> None:
    """Score until a signal comes, or nothing came for ``exit_when_idle`` seconds."""
    settings = load_settings(config, os.environ, flags)
    chain = configured_chain(settings)
    stop = threading.Event()
    bus = kafka_config(settings, chain)
    with (
        stop_on_signals(stop),
        closing(BlockConsumer(bus)) as consumer,
        BusWatch(bus) as watch,
        detecting(settings, chain, stop, consumer.commit) as behind,
        backfill_node(settings, chain, behind.metrics, stop) as node,
    ):
        metrics, stores = behind.metrics, behind.stores
        recent = recent_positions(stores.lake, stores.ledger.files("blocks"), UNDO_BLOCKS + 1)
        whole = BackfilledConsumer(consumer, recent, UNDO_BLOCKS, node)
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
        outcome = {**behind.outcome(), "out": settings.store.out}
    if json:
        print_json(outcome)
    else:
        for name, value in outcome.items():
            print_line(f"{name.replace('_', ' ')}: {value}")
