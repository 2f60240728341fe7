"""What a ledger and a lake say of blocks that a fork took away.

All of it is read and written before the one commit that takes the blocks back. The blocks are given
from the head down, as they were reverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chainwarden.errors import ChainError
from chainwarden.schema import LakeFile, Position, Retraction
from store.lake import ORPHANED, Lake
from store.lake_blocks import is_in_lake, read_branch
from store.ledger import Ledger

SHORT_BRANCH: Final = 64


def orphan(
    lake: Lake, manifest: Sequence[LakeFile], reverted: Sequence[Position]
) -> tuple[tuple[LakeFile, ...], tuple[LakeFile, ...]]:
    """Move blocks to the lake's data sets of orphans: ``(added, removed)`` for the commit.

    Blocks of a short branch have files of their own: orphaned again, they are there once. A long
    branch has few files, and takes a batch of memory at a time.
    """
    chain = [file for file in manifest if file.dataset not in ORPHANED]
    branches = read_branch(lake, chain, reverted)
    if len(reverted) <= SHORT_BRANCH:
        branches = (block for branch in branches for block in branch.split())
    orphans = [file for branch in branches for file in lake.write_orphans(branch)]
    added, removed = lake.without(chain, reverted)
    return (*added, *orphans), removed


def standing_in(ledger: Ledger, reverted: Sequence[Position]) -> list[Retraction]:
    """What is to be taken back of blocks that no detector remembers: every alert that stands."""
    gone = set(reverted)
    standing = ledger.active_from(reverted[-1].number)
    return [Retraction(alert, position) for alert, position in standing if position in gone]


def parent_of(
    lake: Lake,
    manifest: Sequence[LakeFile],
    reverted: Sequence[Position],
    head: Position | None,
) -> Position | None:
    """The block on which the reverted ones stood, None where nothing is below them.

    Raises ChainError where they are not the newest blocks of the chain, every one down to the last.
    """
    lowest = reverted[-1]
    numbers = [position.number for position in reverted]
    if reverted[0] != head or numbers != list(range(head.number, lowest.number - 1, -1)):
        raise ChainError(f"blocks {head} to {lowest} cannot be reverted: they are not one branch")
    chain = [file for file in manifest if file.dataset not in ORPHANED]
    (block,) = read_branch(lake, chain, [lowest])
    below = Position(lowest.number - 1, block.blocks["parent_hash"][0].as_py() or b"")
    if is_in_lake(lake, manifest, below):
        return below
    numbers_left = (f.first.number for f in manifest if f.dataset == "blocks")
    if any(number < lowest.number for number in numbers_left):
        raise ChainError(f"block {below}, below {lowest}, is not in the lake")
    return None
