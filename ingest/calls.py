"""Call trees to what they did: the ether that calls moved, and the contracts that they created."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from ingest.codec import data_of, quantity_of
from ingest.raw import RpcCall

# The call types that move their value. DELEGATECALL shows its caller's value again, CALLCODE sends
# it to itself, STATICCALL has none. Firehose writes CALL, geth adds what its opcodes are named.
MOVING: Final = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
CREATING: Final = frozenset({"CREATE", "CREATE2"})


class Moved(NamedTuple):
    """Ether that a call moved; ``transaction`` is the transaction's row, ``value`` 32 bytes."""

    transaction: int
    ordinal: int
    sender: bytes
    recipient: bytes
    value: bytes


class Created(NamedTuple):
    """A contract that came to be; ``init_code`` is None where the source does not tell it."""

    transaction: int
    ordinal: int
    creator: bytes
    contract: bytes
    init_code: bytes | None


class _Tree:
    """What is known of one transaction's calls so far."""

    __slots__ = ("dead", "failed", "moves", "position")

    def __init__(self, failed: bool) -> None:
        self.failed = failed
        self.position = 0
        self.moves = 0
        self.dead: set[int] = set()


def follow_calls(
    calls: Sequence[RpcCall], rows: Mapping[str, int], failed: Callable[[int], bool]
) -> tuple[list[Moved], list[Created]]:
    """What a block's calls did, by transaction and then in trace order.

    ``rows`` maps the hash of each transaction to its row, ``failed`` says whether that transaction
    was reverted as a whole. What failed calls, and calls below them, did is undone and left out.
    The outermost call of a transaction is the transaction itself and left out, too. Parents must
    come before their children. Raises ValueError for a call of another block's transaction.
    """
    trees: dict[int, _Tree] = {}
    moved: list[Moved] = []
    created: list[Created] = []
    for call in calls:
        row = rows.get(call.transaction_hash)
        if row is None:
            raise ValueError("a call belongs to a transaction that the block does not have")
        tree = trees.get(row)
        if tree is None:
            tree = trees[row] = _Tree(failed(row))
        position = tree.position
        tree.position += 1
        if call.status_failed or call.reverted or call.parent_index in tree.dead:
            tree.dead.add(call.index)
            continue
        if tree.failed or call.depth <= 0 or call.to is None or call.call_type not in MOVING:
            continue
        if call.value != "0x0" and (value := quantity_of(call.value, "call value")):
            tree.moves += 1
            moved.append(
                Moved(
                    row,
                    -tree.moves,
                    data_of(call.from_, "call from", 20),
                    data_of(call.to, "call to", 20),
                    value.to_bytes(32, "big"),
                )
            )
        if call.call_type in CREATING:
            created.append(
                Created(
                    row,
                    -(1 + position),
                    data_of(call.from_, "call from", 20),
                    data_of(call.to, "call to", 20),
                    data_of(call.input, "call input") or None,
                )
            )
    moved.sort(key=lambda each: (each.transaction, -each.ordinal))
    created.sort(key=lambda each: (each.transaction, -each.ordinal))
    return moved, created
