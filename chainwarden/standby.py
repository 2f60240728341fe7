"""A second process that waits, warmed up, for the first one's ledger, and takes over when it ends.

The lease is the lock on the ledger's file (``flock``), which the kernel gives back when the process
that holds it ends, however it ends. Whoever has it, and nobody else, scores into the ledger and
delivers its outbox, so two processes never both tell a receiver. Every transaction of the ledger,
and so every commit and every attempt of a delivery, looks first whether the lock is still its own.

A standby has everything imported and compiled, its connections open, and the newest snapshot
restored, and restores each newer one as it appears: one that does not hold is told of now and not
when it is needed. When the lease is free it goes on as a restart does: from the snapshot to the
ledger's cursor with the blocks of the lake, then from the bus. What the first process had scored
and not committed is scored again, to the same alerts with the same ids.

The lease is of one machine: both processes need the same folder on a local disk. A process that is
frozen still holds it: nothing takes over from it before it is ended.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from chainwarden.deployment import (
    keyed,
    load_kernels,
    make_detector,
    new_book,
    new_metrics,
    open_node_calls,
    open_stores,
)
from chainwarden.errors import LedgerLocked, SnapshotRefused
from chainwarden.live import Health
from chainwarden.pipeline import Stores
from chainwarden.receivers import told_of
from chainwarden.restart import Start, blank_of, restore_blank
from chainwarden.schema import Chain, Cursor
from chainwarden.server import MetricsServer, Ready
from chainwarden.settings import Settings
from detect.rules.node import WITHOUT_NODE
from store.snapshots import SnapshotStore

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
_SNAPSHOT_SECONDS: Final = 2.0


class Warm:
    """A detector that has restored a snapshot, as far as there is one that holds.

    ``restored`` is that snapshot's cursor; None: the detector is fresh.
    """

    def __init__(self, settings: Settings, chain: Chain) -> None:
        self._newest: Path | None = None
        self.restored: Cursor | None = None
        self.node = open_node_calls(settings, chain)
        self.labels = new_book()
        self.detection = make_detector(settings, chain, self.labels, node=self.node or WITHOUT_NODE)
        self._blank = blank_of(self.detection.detector)

    def close(self) -> None:
        """Release the node that rules may ask."""
        if self.node is not None:
            self.node.close()

    def look(self, snapshots: SnapshotStore) -> None:
        """Restore the newest snapshot, if it is not the one that was looked at last."""
        newest = max(snapshots.folder.glob("snapshot-*.bin"), default=None)
        if newest is None or newest == self._newest:
            return
        self._newest, self.restored = newest, None
        detector = self.detection.detector
        try:
            state, cursor = snapshots.load(newest)
            detector.restore(state)
        except SnapshotRefused as refused:
            log.warning("%s: it would be no help in taking over", refused)
            restore_blank(detector, self._blank)
        else:
            self.restored = cursor

    def start(self) -> Start:
        """Where a resumption begins with it."""
        return Start(self._blank, self.restored)


@dataclass(frozen=True, slots=True)
class Taken:
    """The lease, as the open stores, and what was kept warm."""

    stores: Stores
    warm: Warm


def stand_by(
    settings: Settings,
    chain: Chain,
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
) -> Taken | None:
    """Wait until the ledger is free and take it. None: ``stop`` was set first.

    Meanwhile it serves metrics and health where the settings say; ``/readyz`` says that it stands
    by, and for which process.
    """
    metrics, health = new_metrics(chain, clock), Health("warming up")
    metrics.standby.labels(metrics.chain).set(1)
    server = MetricsServer(settings.server.host, settings.server.port, metrics.registry, health)
    with closing(server):
        sys.stderr.write(f"chainwarden: standing by, metrics on http://{server.address}/metrics\n")
        load_kernels(settings)
        out = Path(settings.store.out)
        warm = Warm(keyed(settings, out), chain)
        key, look_at = out / "snapshot.key", 0.0
        opened = partial(
            open_stores,
            out,
            chain,
            "live",
            told_of(settings),
            settings.store.snapshots_kept,
            clock,
        )
        while not stop.is_set():
            try:
                stores = opened()
            except LedgerLocked as held:
                health.reason = Ready(f"standing by for process {held.pid or 'unknown'}")
                if time.monotonic() >= look_at and key.exists():
                    warm.look(SnapshotStore(out / "snapshots", key))
                    look_at = time.monotonic() + _SNAPSHOT_SECONDS
                stop.wait(LOOK_SECONDS)
            else:
                log.warning("the ledger is free: taking over")
                warm.look(stores.snapshots)
                return Taken(stores, warm)
        warm.close()
    return None
