"""What the routes of the console's graphs say of themselves, for OpenAPI."""

from __future__ import annotations

from typing import Final

import msgspec

from chainwarden.server.described import Described
from store.answer_types import Address, Count, Form, Hash, Seconds, TokenAmount
from store.api_pages import PATH_ADDRESS, PATH_ID


class GraphNode(Form):
    """A wallet, what it is called, and whether the alert names it."""

    address: Address
    labels: list[str]
    in_evidence: bool


class GraphEdge(Form):
    """All that one wallet sent another: exact sums, of at most eight of its ``tokens`` tokens.

    Between two wallets neither of which is the centre it is what the alert's transactions moved.
    ``transactions`` are at most four: those of the evidence first, then the newest.
    """

    from_: Address = msgspec.field(name="from")
    to: Address
    in_evidence: bool
    count: Count
    amounts: list[TokenAmount]
    tokens: Count
    first_block: Count
    first_time: Seconds
    last_block: Count
    last_time: Seconds
    transactions: list[Hash]


class MoneyGraph(Form):
    """The money around a wallet.

    ``centre`` is null where an alert is about no wallet. ``others`` counterparties and
    ``edges_left_out`` edges are not in it. It goes back to ``since_block``, which is ``whole``
    where the lake has no older blocks.
    """

    centre: Address | None
    since_block: Count | None
    whole: bool
    others: Count
    edges_left_out: Count
    nodes: list[GraphNode]
    edges: list[GraphEdge]


ALERT_GRAPH: Final = Described(
    "The money around an alert: its subject's foremost counterparties, and what its transactions "
    "moved.",
    {200: MoneyGraph},
    (PATH_ID,),
)
WALLET_GRAPH: Final = Described(
    "The money around a wallet: its foremost counterparties, how much went either way, and when.",
    {200: MoneyGraph},
    (PATH_ADDRESS,),
)
