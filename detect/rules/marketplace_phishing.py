"""Marketplace phishing: orders for nothing, collections given away in bulk, and foreign proxy code.

Victims sign an order that asks for nothing (PTXPhish counts 464 such "free-buy" orders among 5,000
phishing transactions), call a marketplace's bulk transfer, or upgrade their own marketplace proxy
to the phisher's code, which then takes what the proxy was allowed to move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chainwarden.schema import Evidence, FlowKind, Reason, Role, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.known.marketplaces import (
    BULK_TRANSFER,
    ORDER_FULFILLED,
    SEAPORTS,
    TRANSFER_HELPER,
    UPGRADE_TO,
)
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.orders import order_of
from detect.rules.rule import Finding
from detect.rules.settlement import has_reputation, kinship, related
from detect.scored import ScoredBatch

KEPT: Final = 16  # victims of a taker that are told apart
_WAYS: Final = {
    "order": "through an order that asks for nothing",
    "bulk": "in bulk",
}


@dataclass(frozen=True, slots=True)
class MarketplaceConfig:
    """Thresholds, and how much is remembered.

    A taker is low at ``victims_low`` owners or where one lost ``items`` at once, high from
    ``victims_high`` on. ``upgraders``: so many signers whose proxies run one code make it high.
    """

    victims_low: int = 2
    victims_high: int = 3
    items: int = 3
    upgraders: int = 3
    window_seconds: int = 30 * 86_400
    takers: int = 16_384


class MarketplacePhishing(Journaled):
    """Finds who takes NFTs for nothing, and the code that several wallets' proxies suddenly run.

    Suppressed: services and takers with a reputation; orders that the owner fulfils itself, that
    pay it anything (offers, swaps of NFTs, sales at any price above dust) or that go to a wallet of
    its own cluster or one that it has dealt with before, as gifts do.
    """

    id = "marketplace_phishing"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: MarketplaceConfig | None = None
    ) -> None:
        self._config = config or MarketplaceConfig()
        # taker, or b"code" + implementation -> (since, items in all, victims)
        self._takers = JournaledTable(self._config.takers)
        super().__init__({"takers": self._takers})
        self._labels = labels
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not len(columns.tx_block):
            return ()
        steps = [(tx, 0, 0, "call") for tx in self._calls(columns)]
        logs = columns.cells("logs")
        for row in columns.logs_with([ORDER_FULFILLED]).tolist():
            number, index = (
                logs["block_number"][row],
                logs["transaction_index"][row],
            )
            tx = columns.tx_row(number, index)
            if tx >= 0 and logs["address"][row] in SEAPORTS:
                steps.append((tx, logs["ordinal"][row], row, "log"))
        findings: list[Finding] = []
        for tx, _, row, what in sorted(steps):
            if what == "log":
                findings += self._fulfilled(columns, tx, row)
            elif int(columns.selectors[tx]) == BULK_TRANSFER:
                findings += self._given_in_bulk(columns, tx)
            else:
                findings += self._upgraded(columns, tx)
        return findings

    def _calls(self, columns: Columns) -> list[int]:
        rows = columns.transactions_with([BULK_TRANSFER, UPGRADE_TO])
        kept: list[int] = rows[columns.tx_status[rows] != 0].tolist()
        return kept

    # --- what is given away

    def _fulfilled(self, columns: Columns, tx: int, row: int) -> Iterator[Finding]:
        logs = columns.cells("logs")
        offerer = logs["topic1"][row]
        order = order_of(offerer[12:], logs["data"][row]) if offerer else None
        signer = columns.cells("transactions")["from_address"][tx]
        if order is None or not order.items or order.paid or signer == order.offerer:
            return
        moved = self._items_moved(columns, tx, order.offerer, order.recipient)
        if moved:
            place = int(logs["ordinal"][row])
            yield from self._took(
                columns, tx, place, "order", order.offerer, order.recipient, moved
            )

    def _given_in_bulk(self, columns: Columns, tx: int) -> Iterator[Finding]:
        transactions = columns.cells("transactions")
        if transactions["to_address"][tx] != TRANSFER_HELPER:
            return
        owner, receivers = (
            transactions["from_address"][tx],
            columns.cells("flows")["to_address"],
        )
        first, stop = columns.flows_of(tx)
        for target in dict.fromkeys(receivers[row] for row in range(first + 1, stop)):
            moved = self._items_moved(columns, tx, owner, target)
            if moved:
                place = int(columns.flow_ordinal[moved[0]])
                yield from self._took(columns, tx, place, "bulk", owner, target, moved)

    def _items_moved(self, columns: Columns, tx: int, owner: bytes, taker: bytes) -> list[int]:
        # The rows of NFTs that went from one to the other.
        flows, (first, stop) = columns.cells("flows"), columns.flows_of(tx)
        return [
            row
            for row in range(first, stop)
            if columns.flow_kind[row] in (FlowKind.ERC721, FlowKind.ERC1155)
            and columns.flow_moved[row]
            and flows["from_address"][row] == owner
            and flows["to_address"][row] == taker
        ]

    def _took(
        self,
        columns: Columns,
        tx: int,
        place: int,
        way: str,
        owner: bytes,
        taker: bytes,
        moved: list[int],
    ) -> Iterator[Finding]:
        facts, config = columns.scored.flow_facts[moved[0]], self._config
        now = int(columns.block_times[columns.row_of_block(int(columns.tx_block[tx]))])
        if owner == taker or facts["pair_events"] or facts["to_is_contract"]:
            return
        if related(kinship(facts, "from"), kinship(facts, "to")) or has_reputation(
            facts, "to", now
        ):
            return
        chain = columns.batch.chain.name
        if any(self._labels.is_service(who, now, chain) for who in (owner, taker)):
            return
        items, victims = self._count(columns, tx, taker, owner, len(moved), now)
        many = len(victims) >= config.victims_high
        if not many and len(victims) < config.victims_low and len(moved) < config.items:
            return
        yield self._finding(
            columns,
            tx,
            place,
            taker,
            (Severity.HIGH, 0.8) if many else (Severity.LOW, 0.4),
            f"{hex_of(taker)} got {len(moved)} NFT{'s' if len(moved) > 1 else ''} of "
            f"{hex_of(owner)} for nothing, {_WAYS[way]}; {len(victims)} "
            f"owner{'s' if len(victims) > 1 else ''} and {items} items so far.",
            (
                ("victims", float(len(victims)), float(config.victims_high)),
                ("items", float(items), float(config.items)),
            ),
            (owner, *sorted({columns.cells("flows")["token_address"][r] for r in moved})),
        )

    def _count(
        self, columns: Columns, tx: int, key: bytes, who: bytes, items: int, now: int
    ) -> tuple[int, tuple[bytes, ...]]:
        serial = columns.first_serial + columns.row_of_block(int(columns.tx_block[tx]))
        before = self._takers.get(key)
        if before is None or now - before[0] > self._config.window_seconds:
            before = (now, 0, ())
        since, total, victims = before
        if who not in victims and len(victims) < KEPT:
            victims = (*victims, who)
        self._takers.put(serial, key, (since, total + items, victims))
        return total + items, victims

    # --- foreign code

    def _upgraded(self, columns: Columns, tx: int) -> Iterator[Finding]:
        transactions, config = columns.cells("transactions"), self._config
        data, proxy = transactions["input"][tx], transactions["to_address"][tx]
        if len(data) != 36 or proxy is None:
            return
        code, owner = data[16:], transactions["from_address"][tx]
        row = columns.row_of_block(int(columns.tx_block[tx]))
        now, chain = int(columns.block_times[row]), columns.batch.chain.name
        if self._labels.is_service(code, now, chain):
            return
        _, owners = self._count(columns, tx, b"code" + code, owner, 1, now)
        if len(owners) < config.upgraders:
            return
        yield self._finding(
            columns,
            tx,
            0,
            code,
            (Severity.MEDIUM, 0.6),
            f"{len(owners)} wallets made proxies of theirs run the code of {hex_of(code)}, the "
            f"last {hex_of(owner)} for {hex_of(proxy)}; it can move all that those may.",
            (("upgraders", float(len(owners)), float(config.upgraders)),),
            (owner, proxy),
        )

    def _finding(
        self,
        columns: Columns,
        tx: int,
        place: int,
        subject: bytes,
        how: tuple[Severity, float],
        sentence: str,
        values: tuple[tuple[str, float, float], ...],
        addresses: tuple[bytes, ...],
    ) -> Finding:
        severity, score = how
        tx_hash = columns.cells("transactions")["transaction_hash"][tx]
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="ice_phishing",
            severity=severity,
            score=score,
            subject=subject,
            role=Role.ATTACKER,
            block_row=columns.row_of_block(int(columns.tx_block[tx])),
            transaction_index=int(columns.tx_index[tx]),
            transaction_hash=tx_hash,
            ordinal=place,
            sentence=sentence,
            reasons=tuple(
                Reason(name, value, score / len(values), threshold)
                for name, value, threshold in values
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,), addresses=addresses
            ),
        )
