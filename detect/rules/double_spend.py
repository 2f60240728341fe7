"""A transaction that a fork took away and another one replaced: a double spend, exactly.

Every transaction of a reverted block is remembered by (sender, nonce). If the new chain has the
same transaction, it moved and nothing happened. If it has another with the same sender and nonce
that pays somebody else, or something else, whoever relied on the first was robbed. About none a
year are expected.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.journal import Journaled
from detect.known.calls import TRANSFER
from detect.known.tokens import ETHER, VALUE_TOKENS
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns, address_set
from detect.rules.rule import Finding
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

COLUMNS: Final = ["nonce", "from_address", "transaction_hash", "to_address", "value", "input"]
VARIANTS: Final = 4  # orphaned transactions remembered of one sender and nonce

Payment = tuple[bytes, bytes, bytes, int]
"""Hash, payee (b"" for a creation), token (b"" for the chain's coin), amount."""


@dataclass(frozen=True, slots=True)
class DoubleSpendConfig:
    """``critical_ether``: a lost payment of so much is critical, as is any to a service.

    ``capacity``: how many orphaned senders and nonces are remembered.
    """

    critical_ether: float = 10.0
    capacity: int = 16_384


class DoubleSpend(Journaled):
    """Finds orphaned payments that the new chain replaced by others. Keeps no other state.

    The memory of orphans survives reverts by design and is outside the digest: a replay of the
    winning chain has no orphans. A transfer of a listed token is judged by its payee and amount.
    Where the source gives no nonces the rule stands aside and says so once.
    """

    id = "double_spend"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: DoubleSpendConfig | None = None
    ) -> None:
        self._config = config or DoubleSpendConfig()
        self._memory = _Orphans(self._config.capacity)
        super().__init__({"orphans": self._memory}, outside=frozenset({"orphans"}))
        self._labels = labels
        self._cache = cache
        self._said = False

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        transactions = columns.batch.transactions
        if transactions["nonce"].null_count:
            if not self._said:
                log.info("%s: the source has no nonces, standing aside", self.id)
                self._said = True
            return ()
        findings = []
        senders = self._memory.senders()
        if len(senders):
            rows = columns.members("transactions", "from_address", senders)
            for row in np.flatnonzero(rows).tolist():
                finding = self._look_at(columns, row)
                if finding is not None:
                    findings.append(finding)
        self._memory.remember(columns)
        return findings

    def _look_at(self, columns: Columns, row: int) -> Finding | None:
        transactions, chain = columns.batch.transactions, columns.batch.chain.name
        sender, nonce = (
            transactions["from_address"][row].as_py(),
            transactions["nonce"][row].as_py(),
        )
        orphans = self._memory.of(sender, nonce)
        now = _payment(transactions, row)
        if not orphans or any(orphan[0] == now[0] for orphan in orphans):
            return None  # nothing was lost, or it moved here
        lost = next((orphan for orphan in orphans if orphan[1:] != now[1:]), None)
        if lost is None:
            return None  # a speed-up: the same payment under another hash
        time = transactions["block_timestamp"][row].as_py()
        was_hash, payee, token, amount = lost
        units = amount / (10 ** VALUE_TOKENS[token].decimals if token else ETHER)
        service = self._labels.is_service(payee, time, chain)
        grave = amount > 0 and (service or (not token and units >= self._config.critical_ether))
        severity, score = (Severity.CRITICAL, 1.0) if grave else (Severity.HIGH, 0.8)
        if not amount:
            severity, score = Severity.LOW, 0.3  # a call was replaced, no payment was
        paid = amount_text(token or None, amount)
        instead = f"{amount_text(now[2] or None, now[3])} to {hex_of(now[1])}"
        number = int(columns.tx_block[row])
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="double_spend",
            severity=severity,
            score=score,
            subject=sender,
            role=Role.ATTACKER,
            block_row=columns.row_of_block(number),
            transaction_index=int(columns.tx_index[row]),
            transaction_hash=now[0] or None,
            ordinal=0,
            sentence=(
                f"{hex_of(sender)} had paid {paid} to {hex_of(payee)} in a block that was "
                f"orphaned; the new chain has {instead} with the same nonce {nonce} instead."
            ),
            reasons=(
                Reason("amount_lost", float(units), score / 2, self._config.critical_ether),
                Reason("payee_is_service", float(service), score / 2, 1.0),
            ),
            evidence=Evidence(
                transactions=tuple(h for h in (was_hash, now[0]) if h),
                addresses=tuple(a for a in (payee, now[1]) if a),
                amounts=((token or None, amount), (now[2] or None, now[3])),
            ),
        )


class _Orphans:
    # The transactions of the blocks that can still be reverted, as slices of their own columns (a
    # reference per batch, nothing per block), and those of the blocks that were.

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._batches: list[tuple[int, pa.Table, np.ndarray[Any, Any]]] = []  # first serial, bounds
        self._floor = -1  # blocks up to this one will never be reverted
        self._restored: dict[int, list[tuple[bytes, int, Payment]]] = {}
        self._orphans: dict[tuple[bytes, int], tuple[Payment, ...]] = {}
        self._senders: pa.Array | None = None  # of the orphans, until they change

    def remember(self, columns: Columns) -> None:
        bounds = np.searchsorted(columns.tx_block, columns.block_numbers, "left")
        bounds = np.append(bounds, len(columns.tx_block))
        table = columns.batch.transactions.select(COLUMNS)
        self._batches.append((columns.first_serial, table, bounds))

    def senders(self) -> pa.Array:
        if self._senders is None:
            self._senders = address_set({sender for sender, _ in self._orphans})
        return self._senders

    def of(self, sender: bytes, nonce: int) -> tuple[Payment, ...]:
        return self._orphans.get((sender, nonce), ())

    def revert(self, serial: int) -> None:
        self._senders = None
        rows = self._restored.pop(serial, None)
        if rows is None:
            rows = self._rows(serial)
        for sender, nonce, payment in rows:
            held = self._orphans.pop((sender, nonce), ())
            kept = tuple(p for p in held if p[0] != payment[0])[-(VARIANTS - 1) :]
            self._orphans[sender, nonce] = (*kept, payment)  # newest last
        while len(self._orphans) > self._capacity:
            del self._orphans[next(iter(self._orphans))]
        self._batches = [
            (first, table, bounds[: max(1, min(len(bounds), serial - first + 1))])
            for first, table, bounds in self._batches
            if first < serial
        ]

    def forget(self, serial: int) -> None:
        self._floor = max(self._floor, serial)
        self._batches = [b for b in self._batches if b[0] + len(b[2]) - 2 > serial]
        for old in [s for s in self._restored if s <= serial]:
            del self._restored[old]

    def dump(self) -> object:
        recent = dict(self._restored)
        for first, _, bounds in self._batches:
            for serial in range(max(first, self._floor + 1), first + len(bounds) - 1):
                recent[serial] = self._rows(serial)
        return [
            [[serial, [_flat(row) for row in rows]] for serial, rows in sorted(recent.items())],
            [[s, n, [_plain(p) for p in payments]] for (s, n), payments in self._orphans.items()],
        ]

    def load(self, state: Any) -> None:
        recent, orphans = state
        restored = {
            int(serial): [(bytes(s), int(n), _payment_of(p)) for s, n, p in rows]
            for serial, rows in recent
        }
        loaded = {(bytes(s), int(n)): tuple(_payment_of(p) for p in ps) for s, n, ps in orphans}
        self._batches, self._restored, self._orphans = [], restored, loaded
        self._floor = -1
        self._senders = None

    def content(self) -> bytes:
        return b""

    def _rows(self, serial: int) -> list[tuple[bytes, int, Payment]]:
        for first, table, bounds in reversed(self._batches):
            place = serial - first
            if 0 <= place < len(bounds) - 1:
                return [
                    (
                        table["from_address"][r].as_py(),
                        table["nonce"][r].as_py(),
                        _payment(table, r),
                    )
                    for r in range(int(bounds[place]), int(bounds[place + 1]))
                ]
        return []


def _payment(table: pa.Table, row: int) -> Payment:
    # What a transaction pays to whom, seen through the transfer of a listed token.
    tx_hash = table["transaction_hash"][row].as_py() or b""
    to = table["to_address"][row].as_py() or b""
    data = table["input"][row].as_py() or b""
    if to in VALUE_TOKENS and len(data) == 68 and int.from_bytes(data[:4], "big") == TRANSFER:
        return tx_hash, data[16:36], to, int.from_bytes(data[36:], "big")
    return tx_hash, to, b"", int.from_bytes(table["value"][row].as_py(), "big")


def _plain(payment: Payment) -> list[Any]:
    return [*payment[:3], payment[3].to_bytes(32, "big")]


def _flat(row: tuple[bytes, int, Payment]) -> list[Any]:
    return [row[0], row[1], _plain(row[2])]


def _payment_of(plain: Any) -> Payment:
    tx_hash, payee, token, amount = plain
    if bytes(token) and bytes(token) not in VALUE_TOKENS:
        raise ValueError("an orphan of an unlisted token")
    return bytes(tx_hash), bytes(payee), bytes(token), int.from_bytes(amount, "big")
