"""Where a pipeline goes on: the newest snapshot on the chain, brought up to the ledger's cursor.

1. The newest snapshot that holds is restored; without one the detector starts empty.
2. Blocks that the snapshot includes and the ledger does not (a fork since then) are undone; where
   the snapshot cannot undo that many, an older one is taken.
3. The blocks above it are read from the lake and scored again, each with the labels that were in
   force for it, and so are the orphans beside them, which are undone at once: rules about forks
   must know what the losing branch said. Nothing is written: what follows is in the ledger
   already, in one piece with the cursor.

Afterwards the detector is as it was at the ledger's last commit, to the bit. Each step only reads,
so it can end anywhere and begin anew.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chainwarden.errors import DeepReorg, SnapshotRefused
from chainwarden.pipeline import Stores
from chainwarden.recorded_labels import RecordedLabels, labelled
from chainwarden.schema import (
    BlockBatch,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Cursor,
    LakeFile,
    Position,
)
from detect.detector import Detector
from ingest.chain import ChainFollower
from store.lake_blocks import is_in_lake, read_blocks, read_orphans

log = logging.getLogger(__name__)

EVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class Start:
    """How a detector was before its first block, and the cursor of the snapshot it has restored."""

    blank: bytes
    restored: Cursor | None = None


def blank_of(detector: Detector) -> bytes:
    """What a detector that has seen nothing goes back to."""
    return zlib.compress(detector.snapshot(), 1)  # nearly all of it is zeros


def restore_blank(detector: Detector, blank: bytes) -> None:
    """Bring a detector back to what ``blank_of`` was given, whatever it has seen."""
    detector.restore(zlib.decompress(blank))


class Resumption:
    """How a detector gets to its ledger's cursor: at a start, and when a fork is deeper than its
    undo.

    The detector must be one that has seen nothing yet, or ``start`` says how it was then, and which
    snapshot it has restored since. ``window`` is how many blocks it can undo; ``labels`` gives what
    feeds its book, which starts over with that.
    """

    def __init__(
        self,
        detector: Detector,
        stores: Stores,
        window: int,
        labels: Callable[[], RecordedLabels],
        start: Start | None = None,
    ) -> None:
        self._detector = detector
        self._stores = stores
        self._window = window
        self._labels = labels
        start = start or Start(blank_of(detector))
        self._blank = start.blank
        self._has_restored = start.restored

    def __call__(self) -> Cursor | None:
        """Bring the detector there, whatever it has seen by now. None: the ledger is new.

        Raises DeepReorg where ledger and lake disagree; then somebody has to look.
        """
        cursor = self._stores.ledger.cursor()
        labels, manifest = self._labels(), self._stores.ledger.files()
        try:
            return self._bring(cursor, labels, manifest)
        finally:
            self._has_restored = None  # it has gone on since

    def _bring(
        self, cursor: Cursor | None, labels: RecordedLabels, manifest: Sequence[LakeFile]
    ) -> Cursor | None:
        detector = self._detector
        if cursor is None or cursor.head is None:
            self._start_blank()
            return cursor
        if not self._restored(manifest):
            self._start_blank()
        if cursor.finalized is not None:
            # The lake has blocks only: what was said to be final since the snapshot is said first.
            detector.finalize(cursor.finalized)
        if detector.head is not None:
            labels.until(detector.head.number)
        self._catch_up(manifest, labels)
        # What took force with blocks that were orphaned is in force for those in their place.
        labels.until(EVER)
        if detector.head != cursor.head:
            raise DeepReorg(
                f"the lake ends at block {detector.head}, the ledger at {cursor.head}",
                hint="run `chainwarden rebuild`",
            )
        return cursor

    def _start_blank(self) -> None:
        if self._detector.head is not None or self._detector.undoable:
            restore_blank(self._detector, self._blank)

    def _restored(self, manifest: Sequence[LakeFile]) -> bool:
        """Whether some snapshot led onto the chain; else the detector's state is undefined.

        The newest one is taken. One of a branch that left the chain deeper than it can undo will
        never be of use again, and is deleted.
        """
        for path, state, saved in self._stores.snapshots.newest_first():
            try:
                if saved != self._has_restored:
                    self._detector.restore(state)
            except SnapshotRefused as error:
                log.warning("%s: not using this snapshot", error)
                continue
            if self._undone_onto_chain(manifest):
                log.info("restored the snapshot of block %s", saved.head)
                return True
            log.warning("the snapshot of block %s is of a branch that was left", saved.head)
            path.unlink(missing_ok=True)
        log.info("no snapshot is of use: scoring the lake from its first block")
        self._detector.restore(zlib.decompress(self._blank))
        return False

    def _undone_onto_chain(self, manifest: Sequence[LakeFile]) -> bool:
        detector = self._detector
        while detector.head is not None and not is_in_lake(
            self._stores.lake, manifest, detector.head
        ):
            if not detector.undoable:
                return False
            detector.revert(detector.head)
        return True

    def _catch_up(self, manifest: Sequence[LakeFile], labels: RecordedLabels) -> None:
        detector, lake, head = self._detector, self._stores.lake, self._detector.head
        above = None if head is None else head.number
        orphans = Orphans(read_orphans(lake, manifest, above), self._window)
        depth = orphans.depth(self._stores.ledger.cursor())
        for event in orphans.after(head):
            _apply(detector, event)
        follower = ChainFollower(self._window, resume=[head] if head else [])
        blocks = 0
        for batch in read_blocks(lake, manifest, above):
            for added in follower.add(batch):
                for event in labelled(labels, orphans.beside(added)):
                    _apply(detector, event)
            blocks += len(batch)
        if depth > self._window:
            detector.orphaned(depth)  # it was shown no more than the window
        if blocks:
            log.info("scored %d blocks of the lake again, to go on where the ledger is", blocks)


def resume(
    detector: Detector,
    stores: Stores,
    window: int,
    labels: RecordedLabels,
) -> Cursor | None:
    """Bring a fresh detector to the ledger's cursor, once; see ``Resumption``."""
    sweep(stores)
    return Resumption(detector, stores, window, lambda: labels)()


def sweep(stores: Stores) -> None:
    """Delete files of the lake that a crash left and no manifest names."""
    stores.lake.sweep(stores.ledger.files())


def _apply(detector: Detector, event: ChainEvent) -> None:
    match event:
        case BlocksAdded(batch, gap):
            detector.process(batch, gap)
        case BlockReverted(position):
            detector.revert(position)


class Orphans:
    """Puts the orphans of a lake back beside the chain they branched off from.

    Each is added after its parent, and reverted at once: what only a fork shows is seen again. Of a
    branch the first ``deepest`` blocks are: no more can be undone.
    """

    def __init__(self, blocks: Sequence[BlockBatch], deepest: int) -> None:
        self._deepest = deepest
        self._by_parent: dict[bytes, list[BlockBatch]] = {}
        for block in blocks:
            parent = block.blocks["parent_hash"][0].as_py() or b""
            self._by_parent.setdefault(parent, []).append(block)

    def depth(self, cursor: Cursor | None) -> int:
        """How many blocks the longest branch has that was left at the cursor."""
        level = [cursor.head.hash] if cursor is not None and cursor.head is not None else []
        depth = -1
        while level:
            depth += 1
            above = [block for parent in level for block in self._by_parent.get(parent, [])]
            level = [block.position(0).hash for block in above]
        return max(depth, 0)

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

    def after(self, head: Position | None, depth: int = 0) -> Iterator[ChainEvent]:
        """The orphans that branch off at ``head``: added, with theirs, and reverted."""
        if head is None or not head.hash or depth == self._deepest:
            return
        for block in self._by_parent.pop(head.hash, []):
            yield BlocksAdded(block)
            yield from self.after(block.position(0), depth + 1)
            yield BlockReverted(block.position(0))
