"""From chain events to alerts on disk: score, and commit in one order.

For every commit, in this order and nowhere else:

1. the lake's files are written, fsynced and renamed: invisible until a manifest names them;
2. **one** DuckDB transaction takes the alerts and retractions, the outbox rows, the manifest of
   those files, the bus offsets and the chain position;
3. the bus is told, for monitoring only.

Every so often the detector's state is saved with the cursor it includes. A restart loads the newest
such snapshot, brings it up to the ledger's cursor with the blocks of the lake (see ``restart``) and
seeks the bus to the ledger's offsets: killed at any instant, nothing is lost and nothing is there
twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa

from chainwarden.labelling import Labelling
from chainwarden.metrics import Metrics
from chainwarden.promoting import Promotions
from chainwarden.schema import (
    Alert,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Cursor,
    LakeFile,
    Offsets,
    Position,
)
from detect.detector import Detector
from store.label_archive import LabelArchive
from store.lake import ORPHANED, Lake
from store.lake_blocks import read_block
from store.ledger import Commit, Ledger
from store.snapshots import SnapshotStore

# Flows that may wait for one commit: a commit costs tens of milliseconds, mostly fsync.
COMMIT_FLOWS: Final = 250_000
# Lake files with fewer rows are merged when their blocks are final.
SMALL_FILE_ROWS: Final = 250_000
# Delivered and cancelled notifications are kept that long, to tell what was sent.
SETTLED_SECONDS: Final = 7 * 86_400.0


@dataclass(slots=True)
class _Pending:
    """What was scored since the last commit."""

    batches: list[BlockBatch] = field(default_factory=list)
    features: list[pa.Table] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    flows: int = 0


@dataclass(frozen=True, slots=True)
class Stores:
    """The three places results go to, and the label lists that were in force."""

    ledger: Ledger
    lake: Lake
    snapshots: SnapshotStore
    lists: LabelArchive


class Pipeline:
    """Scores chain events and commits what follows from them.

    ``handle`` scores at once and commits when enough has come together; ``flush`` commits now.
    With ``labelling``, what was said of wallets takes force before each batch.
    Live, the caller flushes after every event, so an alert is on disk when its block was handled.
    """

    def __init__(
        self,
        detector: Detector,
        stores: Stores,
        metrics: Metrics,
        *,
        cursor: Cursor | None = None,
        labelling: Labelling | None = None,
        bus_commit: Callable[[Offsets], None] = lambda _: None,
    ) -> None:
        self.detector = detector
        self.stores = stores
        self.metrics = metrics
        self.cursor = cursor or Cursor(head=None)
        self.retracted = 0
        self.labelling = labelling
        self._bus_commit = bus_commit
        self._pending = _Pending()
        self._promotions = Promotions(stores.ledger, detector)

    def handle(self, event: ChainEvent, offsets: Offsets | None = None) -> None:
        """Score one event; ``offsets`` are the bus offsets behind it."""
        if self._ends_a_commit(event):
            self.flush()  # before the offsets move: what they are behind is not done yet
        if offsets is not None:
            self.cursor = replace(self.cursor, offsets=offsets)
        match event:
            case BlocksAdded(batch, gap):
                self._add(batch, gap)
            case BlockReverted(position):
                self._revert(position)
            case BlockFinalized(position):
                self.detector.finalize(position)
                self.cursor = replace(self.cursor, finalized=position)

    def flush(self) -> None:
        """Commit everything handled so far."""
        pending, self._pending = self._pending, _Pending()
        files: tuple[LakeFile, ...] = ()
        with self.metrics.commit_seconds.labels(self.metrics.chain).time():
            if pending.batches:
                files = self.stores.lake.write(
                    BlockBatch.concat(pending.batches, combine=False),
                    pa.concat_tables(pending.features),
                )
            labels = self.labelling.taken() if self.labelling else ()
            self._commit(
                Commit(
                    self.cursor,
                    alerts=tuple(pending.alerts),
                    labels=(*labels, *self._promotions.taken()),
                    models=self.detector.models(),
                    files_added=files,
                )
            )
        self.metrics.raised(pending.alerts)

    def save_snapshot(self) -> None:
        """Save the detector's state with the cursor it includes."""
        self.flush()
        self.stores.snapshots.save(self.detector.snapshot(), self.cursor)
        self.metrics.snapshot_timestamp.labels(self.metrics.chain).set(self.metrics.clock())

    def tidy(self) -> None:
        """Merge small lake files of blocks that are final for us; forget settled deliveries.

        Live, every block brings a file for each data set. The merged file and the end of those it
        replaces are one commit; the old files are deleted after it.
        """
        ledger, lake, head = self.stores.ledger, self.stores.lake, self.cursor.head
        if head is None:
            return
        last = head.number - self.detector.config.undo_depth
        small = [
            file
            for file in ledger.files()
            if file.last.number <= last
            and file.rows < SMALL_FILE_ROWS
            and file.dataset not in ORPHANED  # they are of no one chain
        ]
        added, removed = lake.compact(small)
        if added:
            self._commit(Commit(self.cursor, files_added=added, files_removed=removed))
            lake.remove(removed)
        ledger.outbox.prune(self.metrics.clock() - SETTLED_SECONDS)

    def _ends_a_commit(self, event: ChainEvent) -> bool:
        """Whether what was handled so far has to be committed before the event."""
        if isinstance(event, BlocksAdded):
            # Numbers increase within a commit, as within a batch.
            pending = self._pending.batches
            return bool(pending) and bool(event.batch.numbers()[0] <= pending[-1].numbers()[-1])
        return isinstance(event, BlockReverted)

    def _add(self, batch: BlockBatch, gap: bool) -> None:
        if self.labelling is not None:
            timestamp = batch.blocks["block_timestamp"][0].as_py()
            self.labelling.before(int(batch.numbers()[0]), timestamp)
        self._promotions.before(int(batch.numbers()[0]))
        began = time.perf_counter()
        detections = self.detector.process(batch, gap)
        self._observe(batch, detections.features, time.perf_counter() - began)
        self._pending.batches.append(batch)
        self._pending.features.append(detections.features)
        self._pending.alerts.extend(detections.alerts)
        self._pending.flows += batch.flows.num_rows
        self.cursor = replace(
            self.cursor,
            head=batch.position(-1),
            blocks=self.cursor.blocks + len(batch),
            transactions=self.cursor.transactions + batch.transactions.num_rows,
            flows=self.cursor.flows + batch.flows.num_rows,
        )
        if self._pending.flows >= COMMIT_FLOWS:
            self.flush()

    def _revert(self, position: Position) -> None:
        retractions = self.detector.revert(position)
        lake, manifest = self.stores.lake, self.stores.ledger.files()
        orphan = lake.write_orphan(read_block(lake, manifest, position))
        chain = [file for file in manifest if file.dataset not in ORPHANED]
        added, removed = lake.without(chain, [position])
        self.cursor = replace(self.cursor, head=self.detector.head)
        self._commit(
            Commit(
                self.cursor,
                retractions=retractions,
                models=self.detector.models(),
                reverted=position.number,
                files_added=(*added, *orphan),
                files_removed=removed,
            )
        )
        lake.remove(removed)
        self.retracted += len(retractions)
        self.metrics.reverted_blocks.labels(self.metrics.chain).inc()
        self.metrics.retracted(retractions)

    def _commit(self, commit: Commit) -> None:
        self.stores.ledger.commit(commit)
        if commit.cursor.offsets:
            self._bus_commit(commit.cursor.offsets)

    def _observe(self, batch: BlockBatch, features: pa.Table, seconds: float) -> None:
        metrics, chain = self.metrics, self.metrics.chain
        metrics.stage_seconds.labels(chain, "detect").observe(seconds)
        metrics.transactions.labels(chain).inc(batch.transactions.num_rows)
        metrics.flows.labels(chain).inc(batch.flows.num_rows)
        metrics.flow_score.observe_many(_scores(features, "flow_score"))
        metrics.wallet_score.observe_many(_scores(features, "to_score"))
        metrics.at_head("detect", batch.position(-1), batch.blocks["block_timestamp"][-1].as_py())


def _scores(features: pa.Table, name: str) -> np.ndarray:
    """A column of scores as float64, warm-up as NaN."""
    return np.asarray(features[name].to_numpy(), np.float64)
