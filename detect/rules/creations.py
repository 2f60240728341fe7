"""The contracts of a batch as they were created, and who made them."""

from __future__ import annotations

from dataclasses import dataclass

from detect.rules.columns import Columns


@dataclass(frozen=True, slots=True)
class Creation:
    """A contract that was created. ``place`` orders it: (row of the block, transaction index).

    ``maker`` is who signed, not the contract that was called. ``nonce`` is that of the transaction,
    None where the source lacks it; ``age`` how long the maker has been in view, in seconds.
    ``init_code`` is None where the source has none.
    """

    place: tuple[int, int]
    ordinal: int
    contract: bytes
    maker: bytes
    init_code: bytes | None
    transaction: bytes | None
    nonce: int | None
    age: int


def creations_of(columns: Columns) -> list[Creation]:
    """The creations of a batch in chain order, without those in failed transactions."""
    made, found = columns.cells("creations"), []
    transactions = columns.cells("transactions")
    for row in range(columns.batch.creations.num_rows):
        number, index = made["block_number"][row], made["transaction_index"][row]
        block = columns.row_of_block(number)
        tx = columns.tx_row(number, index)
        maker, nonce, age = made["creator"][row], None, 0
        if tx >= 0:
            if int(columns.tx_status[tx]) == 0:
                continue
            maker = transactions["from_address"][tx]
            nonce = transactions["nonce"][tx]
            first_seen = int(columns.facts_of(tx)["from_first_seen"])
            age = max(0, int(columns.block_times[block]) - first_seen)
        found.append(
            Creation(
                place=(block, index),
                ordinal=made["ordinal"][row],
                contract=made["contract_address"][row],
                maker=maker,
                init_code=made["init_code"][row],
                transaction=made["transaction_hash"][row],
                nonce=nonce,
                age=age,
            )
        )
    return found
