"""``chainwarden run``: everything in one process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from chainwarden.deployment import UNDO_BLOCKS, open_source_node
from chainwarden.detecting import Detecting, detecting
from chainwarden.errors import BusError
from chainwarden.live import (
    DetectOptions,
    Worker,
    detect_loop,
    follow,
    ingest_loop,
    observe_source,
    stop_on_signals,
)
from chainwarden.memory_bus import MemoryBus
from chainwarden.receivers import with_webhook
from chainwarden.settings import Settings, load_settings
from chainwarden.standby import stand_by
from chainwarden.terminal import print_json
from chainwarden.watchdog import Watchdog
from ingest.chain import MOST_UNFINAL, ChainFollower
from ingest.rpc import RpcSource

# How long the ingesting thread waits for room on the bus, in which the state may go back to a
# snapshot and up again after a deep fork.
STANDSTILL_SECONDS: Final = 3_600.0


def run(
    *,
    config: Path | None,
    flags: Mapping[str, object],
    webhook: str | None,
    standby: bool,
    json: bool,
) -> None:
    """Follow the node until a signal comes; then drain, commit, and save a snapshot.

    A ``standby`` waits first until no other process has the ledger.
    """
    settings = load_settings(config, with_webhook(os.environ, webhook), flags)
    stop = threading.Event()
    outcome: dict[str, object] = {"took_over": False}
    with stop_on_signals(stop), open_source_node(settings) as source:
        taken = stand_by(settings, source.chain, stop) if standby else None
        if taken is not None or not standby:
            with detecting(settings, source.chain, stop, taken=taken) as behind:
                _follow_until(stop, source, behind, settings)
                outcome = {**behind.outcome(), "out": settings.store.out}
    if json:
        print_json(outcome)


def _follow_until(
    stop: threading.Event, source: RpcSource, behind: Detecting, settings: Settings
) -> None:
    """Ingest in a thread, detect in this one, a bus in memory between them."""
    metrics, health = behind.metrics, behind.health
    follower = ChainFollower(
        UNDO_BLOCKS,
        linked=True,
        unfinal=MOST_UNFINAL,
        resume=behind.unfinal(),
        finalized=behind.pipeline.cursor.finalized,
    )
    bus = MemoryBus(chain=source.chain, timeout_seconds=STANDSTILL_SECONDS)
    watchdog = Watchdog(metrics)
    health.others.append(watchdog.reason)
    events = follow(source, follower, settings, watchdog, metrics, stop)
    ingester = Worker("ingest", lambda: ingest_loop(events, bus.publish, metrics, health), stop)
    ingester.start()
    sys.stderr.write(f"chainwarden: following {source.chain.name}; stop with Ctrl-C\n")

    def observe() -> None:
        behind.observe()
        observe_source(metrics, source.stats)
        metrics.bus_lag.labels(metrics.chain).set(bus.lag())
        if (ingested := metrics.head_of("ingest")) is not None:
            metrics.behind("detect", ingested)

    try:
        detect_loop(
            bus,
            behind.pipeline,
            lambda: stop.is_set() and not ingester.alive and bus.lag() == 0,
            health,
            DetectOptions(settings.store.snapshot_minutes * 60, offsets=False),
            observe,
        )
    except BaseException:
        stop.set()
        bus.close()  # nobody reads it any more
        with suppress(BusError):
            ingester.join()
        raise
    stop.set()
    ingester.join()
