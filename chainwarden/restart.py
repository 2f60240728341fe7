"""Where a pipeline goes on: the newest snapshot, brought up to the ledger's cursor.

1. Files of the lake that no manifest names, left by a crash between writing and committing, are
   swept.
2. The newest snapshot that holds is restored; without one the detector starts empty.
3. Blocks that the snapshot includes and the ledger does not (a fork since then) are undone.
4. The blocks above it are read from the lake and scored again. Nothing is written: what follows
   from them is in the ledger already, in one piece with the cursor.

Afterwards the detector is as it was at the ledger's last commit, to the bit.
"""

from __future__ import annotations

import logging

from chainwarden.errors import DeepReorg, SnapshotRefused
from chainwarden.pipeline import Stores
from chainwarden.schema import BlockReverted, BlocksAdded, Cursor
from detect.detector import Detector
from ingest.chain import ChainFollower
from store.lake_blocks import read_blocks, recent_positions

log = logging.getLogger(__name__)


def resume(detector: Detector, stores: Stores, window: int) -> Cursor | None:
    """Bring a fresh detector to the ledger's cursor. None: the ledger is new.

    ``window`` is how many blocks the detector can undo. Raises DeepReorg where the snapshot is on a
    branch that left the chain below that; SnapshotRefused where it is of another version.
    """
    manifest = stores.ledger.files()
    stores.lake.sweep(manifest)
    cursor = stores.ledger.cursor()
    if cursor is None or cursor.head is None:
        return cursor
    snapshot = stores.snapshots.newest()
    if snapshot is not None:
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
    _catch_up(detector, stores, window)
    if detector.head != cursor.head:
        raise DeepReorg(
            f"the lake ends at block {detector.head}, the ledger at {cursor.head}",
            hint="run `chainwarden rebuild`",
        )
    return cursor


def _catch_up(detector: Detector, stores: Stores, window: int) -> None:
    head = detector.head
    follower = ChainFollower(window, resume=[head] if head else [])
    blocks = 0
    for batch in read_blocks(stores.lake, stores.ledger.files(), head.number if head else None):
        for event in follower.add(batch):
            match event:
                case BlocksAdded(added, gap):
                    detector.process(added, gap)
                    blocks += len(added)
                case BlockReverted(position):
                    raise DeepReorg(
                        f"the lake holds two blocks at {position.number}",
                        hint="run `chainwarden rebuild`",
                    )
    if blocks:
        log.info("scored %d blocks of the lake again, to go on where the ledger is", blocks)
