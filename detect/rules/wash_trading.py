"""Wash trading: few wallets sell one another the same thing, so that it looks wanted.

NFT sales go through the filters of ``wash_items``, token transfers between wallets through the
positions and cycles of ``wash_positions``. It harms whoever believes the volume and robs nobody at
once: low, and medium where it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import FlowKind, Reason, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding, about_flow
from detect.rules.settlement import is_arbitrage, kinship, related
from detect.rules.wash_items import ItemSales
from detect.rules.wash_positions import PEERS, Position, Positions
from detect.scored import ScoredBatch


@dataclass(frozen=True, slots=True)
class WashConfig:
    """Thresholds, and how much is remembered.

    ``sales``: a trader's wash sales from which on it is low, twice that medium. ``trips``: round
    trips of a position that make it low, ``trips_medium`` medium. ``margin``: how far amounts and
    positions may be off. ``met_before``: flows between two wallets before a token transfer counts.
    ``counterparties``: a wallet with more, in whatever it does, trades with the world.
    """

    sales: int = 3
    trips: int = 2
    trips_medium: int = 5
    margin: float = 0.01
    met_before: int = 2
    counterparties: int = 16
    items: int = 65_536
    positions: int = 32_768
    traders: int = 16_384


class WashTrading(Journaled):
    """Finds wash traders. They have at most five counterparties in the thing, or one funder.

    A sale is an ERC-721 transfer in a transaction that also pays. Of tokens only transfers between
    wallets count that are worth nothing certain (no listed tokens), from the third flow between the
    two on: trades against pools are not seen, since arbitrage and liquidity are traded like that.
    Suppressed: services, contracts, searchers, market makers (many counterparties), and wallets of
    a collection that sell to strangers.
    """

    id = "wash_trading"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: WashConfig | None = None
    ) -> None:
        self._config = config or WashConfig()
        self._items = ItemSales(self._config.items)
        self._positions = Positions(self._config.positions, self._config.margin)
        # collection + trader -> (wash sales, counterparties cut to 8 bytes)
        self._traders = JournaledTable(self._config.traders)
        super().__init__(
            {
                "items": self._items.table,
                "positions": self._positions.table,
                "traders": self._traders,
            }
        )
        self._labels = labels
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        findings: list[Finding] = []
        rows = self._candidates(columns)
        sales = columns.flow_kind[rows] == FlowKind.ERC721
        for row, sale in zip(rows.tolist(), sales.tolist(), strict=True):
            findings += self._sold(columns, row) if sale else self._moved(columns, row)
        return findings

    def _candidates(self, columns: Columns) -> Array:
        # Sales of items, and transfers of unlisted tokens between wallets that have met.
        if not columns.flow_count or not len(columns.tx_block):
            return np.empty(0, np.int64)
        facts, kind, tx = columns.scored.flow_facts, columns.flow_kind, columns.flow_tx
        moved = columns.flow_moved & (tx >= 0)
        items = moved & (kind == FlowKind.ERC721)
        tokens = columns.flow_token & (columns.flow_coin < 0)
        tokens &= facts["pair_events"] >= self._config.met_before
        most = self._config.counterparties
        few = (facts["from_counterparties"] <= most) & (facts["to_counterparties"] <= most)
        funder = facts["from_funder"]
        kin = (funder != 0) & ((funder == facts["to_funder"]) | (funder == facts["to_hash"]))
        kin |= (facts["to_funder"] != 0) & (facts["to_funder"] == facts["from_hash"])
        rows = np.flatnonzero(items | (tokens & (few | kin)))
        rows = rows[~(facts["from_is_contract"][rows] | facts["to_is_contract"][rows])]
        rows = rows[~(columns.flow_minted[rows] | columns.flow_burnt[rows])]
        if items.any():
            pays = np.zeros(len(columns.tx_block), np.bool_)
            pays[tx[moved & (columns.flow_coin >= 0)]] = True
            rows = rows[(kind[rows] != FlowKind.ERC721) | pays[tx[rows]]]
        out: Array = rows
        return out

    def _is_known(self, columns: Columns, row: int, ends: tuple[bytes, bytes]) -> bool:
        now, chain = int(columns.block_times[columns.flow_row[row]]), columns.batch.chain.name
        return any(self._labels.is_service(end, now, chain) for end in ends)

    # --- items

    def _sold(self, columns: Columns, row: int) -> Iterator[Finding]:
        flows, config = columns.cells("flows"), self._config
        seller, buyer = flows["from_address"][row], flows["to_address"][row]
        serial = columns.first_serial + int(columns.flow_row[row])
        met = self._items.filters(columns, serial, row)
        if not met or self._is_known(columns, row, (seller, buyer)):
            return
        collection = flows["token_address"][row]
        sales, peers = self._traders.get(collection + buyer) or (0, ())
        sales += 1
        if seller[:8] not in peers and len(peers) < PEERS:
            peers = (*peers, seller[:8])
        self._traders.put(serial, collection + buyer, (sales, peers))
        kin = "one_funder" in met or "self_sale" in met
        if sales < config.sales or (len(peers) >= PEERS and not kin):
            return
        if sales != config.sales and sales % config.sales:
            return  # told at every third
        yield self._finding(
            columns,
            row,
            (buyer, seller),
            Severity.MEDIUM if sales >= 2 * config.sales and kin else Severity.LOW,
            f"{hex_of(buyer)} bought {sales} times in the collection {hex_of(collection)} from "
            f"wallets it sells to, the last time from {hex_of(seller)} "
            f"({', '.join(name.replace('_', ' ') for name in met)}).",
            (("wash_sales", float(sales), float(config.sales)), ("one_funder", float(kin), 1.0)),
        )

    # --- tokens

    def _moved(self, columns: Columns, row: int) -> Iterator[Finding]:
        flows = columns.cells("flows")
        ends = flows["from_address"][row], flows["to_address"][row]
        if ends[0] == ends[1] or is_arbitrage(columns, int(columns.flow_tx[row])):
            return
        token, amount = flows["token_address"][row], float(columns.flow_value[row])
        facts = columns.scored.flow_facts[row]
        kin = related(kinship(facts, "from"), kinship(facts, "to"))
        serial = columns.first_serial + int(columns.flow_row[row])
        now = int(columns.block_times[columns.flow_row[row]])
        booked = self._positions.move(serial, token, ends, amount, now, kin)
        if max(position.trips for position in booked) < self._config.trips:
            return
        if self._is_known(columns, row, ends):
            return
        # Both must have few counterparties: who trades with a market maker has only the one.
        if any(position.peers >= PEERS and not position.kin for position in booked):
            return
        cycle = self._positions.cycle(token, ends, amount)
        for position, trader, peer in zip(booked, ends, ends[::-1], strict=True):
            if position.trips >= self._config.trips and cycle:
                yield self._position_finding(columns, row, (trader, peer), position, cycle)

    def _position_finding(
        self,
        columns: Columns,
        row: int,
        ends: tuple[bytes, bytes],
        position: Position,
        cycle: int,
    ) -> Finding:
        trader, config = ends[0], self._config
        token = columns.cells("flows")["token_address"][row]
        again = position.trips >= config.trips_medium and position.kin
        return self._finding(
            columns,
            row,
            ends,
            Severity.MEDIUM if again else Severity.LOW,
            f"{hex_of(trader)} moved the token {hex_of(token)} out and back {position.trips} times "
            f"in {position.window // 3_600} h among {position.peers} counterparties, in cycles of "
            f"{cycle} transfers; its position is off by {position.off:.2%}.",
            (
                ("round_trips", float(position.trips), float(config.trips)),
                ("cycle_length", float(cycle), 4.0),
                ("net_over_gross", position.off, config.margin),
                ("one_funder", float(position.kin), 1.0),
            ),
        )

    def _finding(
        self,
        columns: Columns,
        row: int,
        ends: tuple[bytes, bytes],
        severity: Severity,
        sentence: str,
        values: tuple[tuple[str, float, float], ...],
    ) -> Finding:
        flows = columns.cells("flows")
        score = 0.6 if severity == Severity.MEDIUM else 0.4
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="wash_trading",
            severity=severity,
            score=score,
            subject=ends[0],
            sentence=sentence,
            reasons=tuple(
                Reason(name, value, score / len(values), threshold)
                for name, value, threshold in values
            ),
            addresses=(ends[1], flows["token_address"][row]),
        )
