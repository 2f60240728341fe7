"""From chain events to alerts on disk: score, and commit in one order.

For every commit, in this order and nowhere else:

1. the lake's files are written (in a replay while the next blocks are scored, live while the block
   itself is), fsynced and renamed: invisible until a manifest names them;
2. **one** DuckDB transaction takes the alerts and retractions, the outbox rows, the bus offsets,
   the chain position and the manifest of those files: it begins while they are on their way to the
   disk, and waits for them before the manifest, so that all are there when it commits;
3. the bus is told, for monitoring only.

Reverted blocks are collected and taken back together, in one such commit, when the fork's other
branch begins. Where they are more than the detector can undo, the commit says what the ledger knows
of them, and ``rewind`` then brings the detector to it: killed in between, a restart does the same.

Every so often the detector's state is saved with the cursor it includes. A restart loads the newest
such snapshot, brings it up to the ledger's cursor with the blocks of the lake (see ``restart``) and
seeks the bus to the ledger's offsets: killed at any instant, nothing is lost and nothing is there
twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa

from chainwarden.errors import DeepReorg, StoreError
from chainwarden.labelling import Labelling
from chainwarden.metrics import Metrics
from chainwarden.orphaning import orphan, parent_of, standing_in
from chainwarden.promoting import Promotions
from chainwarden.schema import (
    Alert,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Cursor,
    Detections,
    LakeFile,
    Offsets,
    Position,
)
from detect.detector import Detector
from store.label_archive import LabelArchive
from store.lake import ORPHANED, Lake
from store.lake_writer import LakeWriter
from store.ledger import Commit, Ledger
from store.snapshots import SnapshotStore

log = logging.getLogger(__name__)

# Flows that may wait for one commit: a commit costs tens of milliseconds, mostly fsync.
COMMIT_FLOWS: Final = 250_000
# From so many flows on they are written while the next are scored, as row groups of the commit's
# files: no smaller ones, which would compress less and are slower to read.
GROUP_FLOWS: Final = 32_768
# Lake files with fewer rows are merged when their blocks are final.
SMALL_FILE_ROWS: Final = 250_000
# Delivered and cancelled notifications are kept that long, to tell what was sent.
SETTLED_SECONDS: Final = 7 * 86_400.0


@dataclass(slots=True)
class _Pending:
    """What was scored since the last commit; what waits is not being written yet."""

    lake: Lake
    alerts: list[Alert] = field(default_factory=list)
    flows: int = 0
    head: int = -1
    _writer: LakeWriter | None = None
    _batches: list[BlockBatch] = field(default_factory=list)
    _features: list[pa.Table] = field(default_factory=list)
    _waiting: int = 0
    concluded: bool = False
    """Whether nothing can be added any more."""

    def add(self, batch: BlockBatch, detections: Detections) -> None:
        """Take in a batch; what has come together is written while the next is scored."""
        self.alerts.extend(detections.alerts)
        self.flows += batch.flows.num_rows
        self.head = int(batch.numbers()[-1])
        if self.concluded:
            return
        self._batches.append(batch)
        self._features.append(detections.features)
        self._waiting += batch.flows.num_rows
        if self._waiting >= GROUP_FLOWS:
            self._writer = self._writer or self.lake.writer()
            self._writer.append(*self._take())

    def conclude(self, batch: BlockBatch) -> None:
        """Begin to write what waits and the last batch, which is to be scored and added yet."""
        self.concluded = True
        self._writer = self._writer or self.lake.writer()
        self._batches.append(batch)
        self._writer.conclude(self._take_batches())

    def conclude_features(self, features: pa.Table) -> None:
        """Write the features of what waited and of the last batch."""
        assert self._writer is not None
        self._features.append(features)
        self._writer.conclude_features(self._take_features())

    def discard(self) -> None:
        """Leave nothing of it in the lake."""
        if self._writer is not None:
            self._writer.discard()

    def end(self) -> None:
        """Have the rest written, too, and all put on disk, by the lake's threads."""
        if self._batches:
            self._writer = self._writer or self.lake.writer()
            self._writer.append(*self._take())
        if self._writer is not None:
            self._writer.end()

    def files(self) -> tuple[LakeFile, ...]:
        """What is in the lake then, when it is on disk."""
        return () if self._writer is None else self._writer.finish()

    def _take(self) -> tuple[BlockBatch, pa.Table]:
        return self._take_batches(), self._take_features()

    def _take_batches(self) -> BlockBatch:
        batches, self._batches, self._waiting = self._batches, [], 0
        return BlockBatch.concat(batches, combine=False)

    def _take_features(self) -> pa.Table:
        features, self._features = self._features, []
        return pa.concat_tables(features)


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

    From the first reverted block on until all are taken back nothing is delivered.
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
        self.rewind: Callable[[], object] | None = None
        """Brings the detector to the ledger's cursor; without, it can only go back by its undo."""
        self.halted = ""
        """Why nothing is scored, while that is so."""
        self._pending = _Pending(self.stores.lake)
        self._reverted: list[Position] = []  # not taken back yet, from the head down
        self._promotions = Promotions(stores.ledger, detector)

    def handle(
        self, event: ChainEvent, offsets: Offsets | None = None, *, last: bool = False
    ) -> None:
        """Score one event; ``offsets`` are the bus offsets behind it.

        ``last``: these are the last blocks of their commit, so that the lake's files are written
        while they are scored. Blocks that come all the same are in the next.

        Raises DeepReorg for a block that is final, or cannot be undone; nothing has changed then.
        """
        self._make_way(event)  # by a commit that does not know of this event's offsets
        if offsets is not None:
            self.cursor = replace(self.cursor, offsets=offsets)
        match event:
            case BlocksAdded(batch, gap):
                self._add(batch, gap, last)
            case BlockReverted(position):
                self._reverted.append(position)
            case BlockFinalized(position):
                self.detector.finalize(position)
                self.cursor = replace(self.cursor, finalized=position)

    @property
    def turning(self) -> bool:
        """Whether blocks were reverted, and the fork's other branch has not begun."""
        return bool(self._reverted)

    def flush(self) -> None:
        """Commit everything handled so far."""
        if self._reverted:
            self._turn()
            return
        pending, self._pending = self._pending, _Pending(self.stores.lake)
        with self.metrics.commit_seconds.labels(self.metrics.chain).time():
            pending.end()
            labels = self.labelling.taken() if self.labelling else ()
            commit = Commit(
                self.cursor,
                alerts=tuple(pending.alerts),
                labels=(*labels, *self._promotions.taken()),
                models=self.detector.models(),
                files_coming=pending.files,
            )
            try:
                self._commit(commit)
            except BaseException:
                pending.discard()  # it may have failed before anybody waited for the files
                raise
        self.metrics.raised(pending.alerts)

    def save_snapshot(self) -> None:
        """Save the detector's state with the cursor it includes."""
        self.flush()
        self._save()

    def checkpoint(self) -> bool:
        """Save a snapshot and tidy up. False: the disk takes none now, which costs nobody an alert.

        A restart scores again what is behind the newest snapshot; until then all goes on.
        """
        self.flush()  # what this raises is no matter of the snapshot
        try:
            self._save()
        except StoreError as error:
            self.metrics.snapshot_failures.labels(self.metrics.chain).inc()
            log.error("no snapshot was saved, scoring goes on: %s", error)
            return False
        self.tidy()
        return True

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
        final = self.cursor.finalized
        ledger.outbox.prune(
            self.metrics.clock() - SETTLED_SECONDS, last if final is None else final.number
        )

    def _make_way(self, event: ChainEvent) -> None:
        """Commit what cannot be in one commit with the event."""
        if not isinstance(event, BlockReverted):
            if self._reverted:
                self._turn()
            if isinstance(event, BlocksAdded) and not self._joins(event.batch):
                self.flush()
            return
        final = self.cursor.finalized
        if final is not None and event.position.number <= final.number:
            raise DeepReorg(
                f"block {event.position} was reverted, and block {final} is final",
                hint="no fork may do that: look at the node before anything is started again",
            )
        if not self._reverted:
            self.stores.ledger.outbox.hold()
            self.flush()

    def _joins(self, batch: BlockBatch) -> bool:
        """Whether the commit is open and numbers still increase, as within a batch, with this."""
        return not self._pending.concluded and bool(batch.numbers()[0] > self._pending.head)

    def _add(self, batch: BlockBatch, gap: bool, last: bool) -> None:
        if self.labelling is not None:
            timestamp = batch.blocks["block_timestamp"][0].as_py()
            self.labelling.before(int(batch.numbers()[0]), timestamp)
        self._promotions.before(int(batch.numbers()[0]))
        began = time.perf_counter()
        detections = self._scored(batch, gap, last and len(batch) > 0)
        self._observe(batch, detections.features, time.perf_counter() - began)
        self._pending.add(batch, detections)
        self.cursor = replace(
            self.cursor,
            head=batch.position(-1),
            blocks=self.cursor.blocks + len(batch),
            transactions=self.cursor.transactions + batch.transactions.num_rows,
            flows=self.cursor.flows + batch.flows.num_rows,
        )
        if self._pending.flows >= COMMIT_FLOWS:
            self.flush()

    def _scored(self, batch: BlockBatch, gap: bool, last: bool) -> Detections:
        if not last:
            return self.detector.process(batch, gap)
        pending = self._pending
        pending.conclude(batch)
        try:
            return self.detector.process(batch, gap, pending.conclude_features)
        except BaseException:
            pending.discard()
            raise

    def _turn(self) -> None:
        """Take the reverted blocks back, all in one commit, and go back to where the fork began."""
        reverted, stores = self._reverted, self.stores
        deep = len(reverted) > self.detector.undoable
        if deep and self.rewind is None:
            raise DeepReorg(
                f"{len(reverted)} blocks were reverted, {self.detector.undoable} can be undone",
                hint="rebuild the state from a snapshot below the fork",
            )
        manifest = stores.ledger.files()
        if deep:
            head = parent_of(stores.lake, manifest, reverted, self.cursor.head)
            retractions = standing_in(stores.ledger, reverted)
        else:
            retractions = [r for one in reverted for r in self.detector.revert(one)]
            head = self.detector.head
        added, removed = orphan(stores.lake, manifest, reverted)
        self.cursor = replace(self.cursor, head=head)
        self._commit(
            Commit(
                self.cursor,
                retractions=retractions,
                models=None if deep else self.detector.models(),
                reverted=reverted[-1].number,
                files_added=added,
                files_removed=removed,
            )
        )
        stores.lake.remove(removed)
        self._reverted = []
        self.retracted += len(retractions)
        self.metrics.reverted_blocks.labels(self.metrics.chain).inc(len(reverted))
        self.metrics.retracted(retractions)
        if deep:
            self._rewind(len(reverted))
        stores.ledger.outbox.release()

    def _rewind(self, depth: int) -> None:
        """Bring the detector to where the fork began. The ledger is there already."""
        assert self.rewind is not None
        metrics, chain, head = self.metrics, self.metrics.chain, self.cursor.head
        log.warning("%d blocks were orphaned: going back to block %s by a snapshot", depth, head)
        metrics.rewinds.labels(chain).inc()
        metrics.scoring_halted.labels(chain).set(1)
        self.halted = f"{depth} blocks were orphaned: the state goes back to block {head}"
        began = time.perf_counter()
        self.rewind()
        self.stores.snapshots.save(self.detector.snapshot(), self.cursor)
        self.halted = ""
        metrics.scoring_halted.labels(chain).set(0)
        log.warning("scoring goes on at block %s, %.1f s later", head, time.perf_counter() - began)

    def _save(self) -> None:
        self.stores.snapshots.save(self.detector.snapshot(), self.cursor)
        self.metrics.snapshot_timestamp.labels(self.metrics.chain).set(self.metrics.clock())

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
