"""``chainwarden run``: everything in one process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from chainwarden.deployment import (
    UNDO_BLOCKS,
    compile_kernels,
    load_labels,
    make_detector,
    new_metrics,
    open_source_node,
    open_stores,
    webhook_senders,
)
from chainwarden.errors import SettingsError
from chainwarden.live import (
    DetectOptions,
    Health,
    Worker,
    detect_loop,
    follow,
    ingest_loop,
    observe_source,
    stop_on_signals,
)
from chainwarden.memory_bus import MemoryBus
from chainwarden.observe import observe_delivery, observe_detection
from chainwarden.pipeline import Pipeline
from chainwarden.restart import resume
from chainwarden.serving import serve_ledger
from chainwarden.settings import Settings, load_settings
from chainwarden.terminal import print_json
from ingest.chain import ChainFollower
from store.delivery import Delivery
from store.lake_blocks import recent_positions


def run(
    *, config: Path | None, flags: Mapping[str, object], webhook: str | None, json: bool
) -> None:
    """Follow the node until a signal comes; then drain, commit, and save a snapshot."""
    settings = load_settings(config, with_webhook(os.environ, webhook), flags)
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        result = _run(settings, stop, stack)
    if json:
        print_json(result)


def with_webhook(environment: Mapping[str, str], url: str | None) -> dict[str, str]:
    """The environment with the receiver of ``--webhook``, if there is one.

    Its secret comes from CHAINWARDEN_WEBHOOK_SECRET, never from the command line, which every
    process of the machine can read.
    """
    variables = dict(environment)
    if url is not None:
        if not variables.get("CHAINWARDEN_WEBHOOK_SECRET"):
            raise SettingsError(
                "the webhook has no secret to sign with",
                hint="set CHAINWARDEN_WEBHOOK_SECRET to whsec_ and 24 to 64 bytes in base64",
            )
        variables["CHAINWARDEN_WEBHOOK_URL"] = url
    return variables


def _run(settings: Settings, stop: threading.Event, stack: ExitStack) -> dict[str, object]:
    source = stack.enter_context(open_source_node(settings))
    senders = webhook_senders(settings)
    stores = open_stores(
        Path(settings.store.out),
        source.chain,
        "live",
        [sender.name for sender in senders],
        settings.store.snapshots_kept,
    )
    stack.callback(stores.ledger.close)
    metrics = new_metrics(source.chain)
    health = Health()
    serve_ledger(settings, stores.ledger, metrics, health, stack)

    compile_kernels(settings)
    labels = load_labels(settings.detect.labels, stores.ledger.labels())
    detection = make_detector(settings, source.chain, labels)
    detector, policy = detection.detector, detection.policy
    cursor = resume(detector, stores, UNDO_BLOCKS)
    pipeline = Pipeline(detector, stores, metrics, cursor=cursor)
    recent = recent_positions(stores.lake, stores.ledger.files("blocks"), UNDO_BLOCKS)
    follower = ChainFollower(UNDO_BLOCKS, linked=True, resume=recent)
    bus = MemoryBus(chain=source.chain)

    delivery = Delivery(stores.ledger.outbox, senders)
    no_more = threading.Event()  # deliveries go on until everything is committed
    deliverer = Worker("deliver", lambda: delivery.run(no_more), stop)
    deliverer.start()
    events = follow(source, follower, settings, metrics, stop)
    ingester = Worker("ingest", lambda: ingest_loop(events, bus.publish, metrics, health), stop)
    ingester.start()
    sys.stderr.write(f"chainwarden: following {source.chain.name}; stop with Ctrl-C\n")

    def observe() -> None:
        observe_source(metrics, source.stats)
        observe_detection(metrics, detector, policy)
        observe_delivery(metrics, delivery, stores.ledger)
        metrics.bus_lag.labels(metrics.chain).set(bus.lag())

    try:
        detect_loop(
            bus,
            pipeline,
            lambda: stop.is_set() and not ingester.alive and bus.lag() == 0,
            health,
            DetectOptions(settings.store.snapshot_minutes * 60, offsets=False),
            observe,
        )
    finally:
        stop.set()
        no_more.set()
        deliverer.join()
        ingester.join()
    return {
        "blocks": pipeline.cursor.blocks,
        "transactions": pipeline.cursor.transactions,
        "flows": pipeline.cursor.flows,
        "alerts": sum(
            n for (_, _, status), n in stores.ledger.alert_counts().items() if status == "active"
        ),
        "retracted": pipeline.retracted,
        "state_digest": detector.digest(),
        "out": settings.store.out,
    }
