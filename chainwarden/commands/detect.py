"""``chainwarden detect``: blocks from Kafka, scored and committed."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from chainwarden.deployment import (
    UNDO_BLOCKS,
    compile_kernels,
    configured_chain,
    kafka_config,
    load_labels,
    make_detector,
    new_metrics,
    open_stores,
    webhook_senders,
)
from chainwarden.kafka_bus import BlockConsumer
from chainwarden.live import DetectOptions, Health, Worker, detect_loop, stop_on_signals
from chainwarden.observe import observe_delivery, observe_detection
from chainwarden.pipeline import Pipeline
from chainwarden.replay import every_alert
from chainwarden.restart import resume
from chainwarden.schema import alerts_digest
from chainwarden.serving import serve_ledger
from chainwarden.settings import Settings, load_settings
from chainwarden.terminal import print_json, print_line
from store.delivery import Delivery


def detect(
    *,
    config: Path | None,
    flags: Mapping[str, object],
    exit_when_idle: float | None,
    json: bool,
) -> None:
    """Score until a signal comes, or nothing came for ``exit_when_idle`` seconds."""
    settings = load_settings(config, os.environ, flags)
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        result = _detect(settings, stop, stack, exit_when_idle)
    if json:
        print_json(result)
    else:
        for name, value in result.items():
            print_line(f"{name.replace('_', ' ')}: {value}")


def _detect(
    settings: Settings, stop: threading.Event, stack: ExitStack, exit_when_idle: float | None
) -> dict[str, object]:
    chain = configured_chain(settings)
    senders = webhook_senders(settings)
    stores = open_stores(
        Path(settings.store.out),
        chain,
        "live",
        [sender.name for sender in senders],
        settings.store.snapshots_kept,
    )
    stack.callback(stores.ledger.close)
    metrics = new_metrics(chain)
    health = Health()
    serve_ledger(settings, stores.ledger, metrics, health, stack)

    compile_kernels(settings)
    labels = load_labels(settings.detect.labels, stores.ledger.labels())
    detection = make_detector(settings, chain, labels)
    detector, policy = detection.detector, detection.policy
    cursor = resume(detector, stores, UNDO_BLOCKS)
    consumer = BlockConsumer(kafka_config(settings, chain))
    stack.callback(consumer.close)
    consumer.seek(cursor.offsets if cursor is not None else {})
    pipeline = Pipeline(detector, stores, metrics, cursor=cursor, bus_commit=consumer.commit)

    delivery = Delivery(stores.ledger.outbox, senders)
    no_more = threading.Event()  # deliveries go on until everything is committed
    deliverer = Worker("deliver", lambda: delivery.run(no_more), stop)
    deliverer.start()

    def observe() -> None:
        observe_detection(metrics, detector, policy)
        observe_delivery(metrics, delivery, stores.ledger)
        metrics.bus_lag.labels(metrics.chain).set(consumer.lag())
        metrics.raise_counter(metrics.dead_letters, consumer.dead_letters)

    try:
        detect_loop(
            consumer,
            pipeline,
            stop.is_set,
            health,
            DetectOptions(settings.store.snapshot_minutes * 60, exit_when_idle),
            observe,
        )
    finally:
        no_more.set()
        deliverer.join()
    alerts = every_alert(stores.ledger)
    return {
        "blocks": pipeline.cursor.blocks,
        "transactions": pipeline.cursor.transactions,
        "flows": pipeline.cursor.flows,
        "wallets": detector.wallets,
        "alerts": len(alerts),
        "retracted": pipeline.retracted,
        "state_digest": detector.digest(),
        "alerts_digest": alerts_digest(alerts),
        "out": settings.store.out,
    }
