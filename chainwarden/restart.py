"""Where a pipeline goes on: the newest snapshot, brought up to the ledger's cursor.

1. Files of the lake that no manifest names, left by a crash between writing and committing, are
   swept.
2. The newest snapshot that holds is restored; without one the detector starts empty.
3. Blocks that the snapshot includes and the ledger does not (a fork since then) are undone.
4. The blocks above it are read from the lake and scored again, each with the labels that were in
   force for it, and so are the orphans beside them, which are undone at once: rules about forks
   must know what the losing branch said. Nothing is written: what follows is in the ledger
   already, in one piece with the cursor.

Afterwards the detector is as it was at the ledger's last commit, to the bit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from chainwarden.errors import DeepReorg, SnapshotRefused
from chainwarden.pipeline import Stores
from chainwarden.recorded_labels import RecordedLabels, labelled
from chainwarden.schema import (
    BlockBatch,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Cursor,
    Position,
)
from detect.detector import Detector
from ingest.chain import ChainFollower
from store.lake_blocks import read_blocks, read_orphans, recent_positions

log = logging.getLogger(__name__)


def resume(
    detector: Detector,
    stores: Stores,
    window: int,
    labels: RecordedLabels,
    restored: Cursor | None = None,
) -> Cursor | None:
    """Bring a fresh detector to the ledger's cursor. None: the ledger is new.

    ``window`` is how many blocks the detector can undo; ``labels`` feeds its book; ``restored`` is
    the cursor of a snapshot that it has restored already. Raises DeepReorg
    where the snapshot is on a branch that left the chain below that; SnapshotRefused where it is of
    another version.
    """
    manifest = stores.ledger.files()
    stores.lake.sweep(manifest)
    cursor = stores.ledger.cursor()
    if cursor is None or cursor.head is None:
        return cursor
    snapshot = stores.snapshots.newest()
    if snapshot is not None and snapshot[1] != restored:
        state, saved = snapshot
        try:
            detector.restore(state)
        except SnapshotRefused as error:
            log.warning("%s: scoring the lake from its first block instead", error)
        else:
            log.info("restored the snapshot of block %s", saved.head)
    recent = recent_positions(stores.lake, manifest, 4 * window)
    canonical = set(recent)
    while detector.head is not None and detector.head not in canonical:
        if recent and detector.head.number < recent[0].number:
            break  # far below the window: it was final long before
        detector.revert(detector.head)
    if cursor.finalized is not None:
        # The lake has blocks only: what was said to be final since the snapshot is said first.
        detector.finalize(cursor.finalized)
    if detector.head is not None:
        labels.until(detector.head.number)
    _catch_up(detector, stores, window, labels)
    labels.until(cursor.head.number)
    if detector.head != cursor.head:
        raise DeepReorg(
            f"the lake ends at block {detector.head}, the ledger at {cursor.head}",
            hint="run `chainwarden rebuild`",
        )
    return cursor


def _catch_up(detector: Detector, stores: Stores, window: int, labels: RecordedLabels) -> None:
    head = detector.head
    manifest = stores.ledger.files()
    orphans = Orphans(read_orphans(stores.lake, manifest, head.number if head else None))
    for event in orphans.after(head):
        _apply(detector, event)
    follower = ChainFollower(window, resume=[head] if head else [])
    blocks = 0
    for batch in read_blocks(stores.lake, manifest, head.number if head else None):
        for added in follower.add(batch):
            for event in labelled(labels, orphans.beside(added)):
                _apply(detector, event)
        blocks += len(batch)
    if blocks:
        log.info("scored %d blocks of the lake again, to go on where the ledger is", blocks)


def _apply(detector: Detector, event: ChainEvent) -> None:
    match event:
        case BlocksAdded(batch, gap):
            detector.process(batch, gap)
        case BlockReverted(position):
            detector.revert(position)


class Orphans:
    """Puts the orphans of a lake back beside the chain they branched off from.

    Each is added after its parent, and reverted at once: what only a fork shows is seen again.
    """

    def __init__(self, blocks: Sequence[BlockBatch]) -> None:
        self._by_parent: dict[bytes, list[BlockBatch]] = {}
        for block in blocks:
            parent = block.blocks["parent_hash"][0].as_py() or b""
            self._by_parent.setdefault(parent, []).append(block)

    def beside(self, event: ChainEvent) -> Iterator[ChainEvent]:
        """The event, cut after each block that orphans branch off from, with these in between."""
        if not isinstance(event, BlocksAdded):
            yield event
            return
        batch, start = event.batch, 0
        for row, position in enumerate(batch.positions()):
            if position.hash in self._by_parent:
                yield BlocksAdded(batch.slice(start, row + 1), event.gap and start == 0)
                yield from self.after(position)
                start = row + 1
        if start < len(batch):
            yield BlocksAdded(batch.slice(start, len(batch)), event.gap and start == 0)

    def after(self, head: Position | None) -> Iterator[ChainEvent]:
        """The orphans that branch off at ``head``: added, with theirs, and reverted."""
        if head is None or not head.hash:
            return
        for block in self._by_parent.pop(head.hash, []):
            yield BlocksAdded(block)
            yield from self.after(block.position(0))
            yield BlockReverted(block.position(0))
