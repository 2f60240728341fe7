"""NFT wash sales: an item that goes round among its own sellers.

The filters are those that public dashboards use (Hildobby's): the buyer is the seller, an item goes
back to whom it came from, one address buys the same item three times. One first funder of both
sides makes each of them worse; alone it is nothing, as an exchange funds many.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from detect.journal import JournaledTable
from detect.rules.columns import Columns
from detect.rules.settlement import kinship, related

OWNERS: Final = 8  # last sales of an item
SHORT: Final = 8  # bytes of an address that tell two of one item's owners apart
BOUGHT: Final = 3


class ItemSales:
    """The last eight sales of each item, bounded; ``filters`` names what a sale is caught by."""

    def __init__(self, capacity: int) -> None:
        # collection and item -> ((seller, buyer), …), both cut to eight bytes, oldest first
        self.table = JournaledTable(capacity)

    def filters(self, columns: Columns, serial: int, row: int) -> tuple[str, ...]:
        """Take a sale (a row of flows); which filters it meets, in a fixed order."""
        flows = columns.cells("flows")
        seller, buyer = flows["from_address"][row], flows["to_address"][row]
        item = flows["token_address"][row] + (flows["token_id"][row] or b"")
        key = hashlib.blake2b(item, digest_size=16).digest()
        sale = (seller[:SHORT], buyer[:SHORT])
        before: tuple[Any, ...] = self.table.get(key) or ()
        self.table.put(serial, key, (*before[-(OWNERS - 1) :], sale))
        if seller == buyer:
            return ("self_sale",)
        met = []
        if (sale[1], sale[0]) in before:
            met.append("back_and_forth")
        if sum(earlier[1] == sale[1] for earlier in before) + 1 >= BOUGHT:
            met.append("bought_again")
        facts = columns.scored.flow_facts[row]
        if met and related(kinship(facts, "from"), kinship(facts, "to")):
            met.append("one_funder")
        return tuple(met)
