"""A transaction that a fork took away and another one replaced: a double spend, exactly.

Every transaction of a reverted block is remembered by (sender, nonce). If the new chain has the
same transaction, it moved and nothing happened. If it has another with the same sender and nonce
that pays somebody else, or something else, whoever relied on the first was robbed. If it has
neither after 50 blocks, the payment was dropped, and whoever relied on it is owed. About no double
spend a year is expected, and nearly every orphan comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.journal import Journaled
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.orphans import Key, Orphans, Payment, payment_of
from detect.rules.rule import Finding
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DoubleSpendConfig:
    """``critical_ether``: a lost payment worth so much is critical, as is any to a service.

    ``dropped_blocks``: an orphan that is not back after so many blocks is dropped; that is told of
    payments worth ``dropped_ether`` and of any to a service. ``capacity``: how many orphaned
    senders and nonces are remembered.
    """

    critical_ether: float = 10.0
    dropped_ether: float = 1.0
    dropped_blocks: int = 50
    capacity: int = 16_384


class DoubleSpend(Journaled):
    """Finds orphaned payments that the new chain replaced (``double_spend``) or lost
    (``dropped_by_reorg``), and counts what became of every orphan.

    The memory of orphans survives reverts by design and is outside the digest: a replay of the
    winning chain has no orphans. A transfer of a listed token is judged by its payee and amount; a
    payment to oneself owes nobody anything. Where the source gives no nonces the rule stands aside
    and says so once.
    """

    id = "double_spend"
    version = 2

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: DoubleSpendConfig | None = None
    ) -> None:
        self._config = config or DoubleSpendConfig()
        self._memory = Orphans(self._config.capacity, self._config.dropped_blocks)
        super().__init__({"orphans": self._memory}, outside=frozenset({"orphans"}))
        self._labels = labels
        self._cache = cache
        self._said = False

    def gauges(self) -> dict[str, float]:
        """How many orphaned transactions had each outcome."""
        return {f"orphans/{name}": float(count) for name, count in self._memory.counts.items()}

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        transactions = columns.batch.transactions
        if transactions["nonce"].null_count:
            if not self._said:
                log.info("%s: the source has no nonces, standing aside", self.id)
                self._said = True
            return ()
        findings: list[Finding] = []
        senders = self._memory.senders()
        if len(senders):
            blocks = columns.block_row(columns.tx_block)
            rows = columns.members("transactions", "from_address", senders)
            for row in np.flatnonzero(rows).tolist():
                # What had to be back before this block was dropped before it.
                place = int(blocks[row])
                findings += self._dropped(columns, place - 1)
                findings += self._look_at(columns, row, place)
            findings += self._dropped(columns, len(columns.block_numbers) - 1)
        self._memory.remember(columns)
        return sorted(findings, key=lambda found: (found.block_row, found.transaction_index))

    def _look_at(self, columns: Columns, row: int, place: int) -> list[Finding]:
        transactions = columns.batch.transactions
        key = transactions["from_address"][row].as_py(), transactions["nonce"][row].as_py()
        orphans = self._memory.of(key)
        if not orphans:
            return []
        now, serial = payment_of(transactions, row), columns.first_serial + place
        if any(orphan[0] == now[0] for orphan in orphans):
            self._memory.settle(serial, key, "moved")
            return []
        lost = next((orphan for orphan in orphans if orphan[1:] != now[1:]), None)
        self._memory.settle(serial, key, "sped_up" if lost is None else "replaced")
        if lost is None or lost[1] == key[0]:
            return []  # the same payment under another hash, or one to oneself
        return [self._replaced(columns, row, place, key, lost, now)]

    def _replaced(
        self, columns: Columns, row: int, place: int, key: Key, lost: Payment, now: Payment
    ) -> Finding:
        sender, nonce = key
        was_hash, payee, token, amount = lost
        worth, service = self._worth(lost), self._is_service(columns, payee, place)
        grave = amount > 0 and (service or worth >= self._config.critical_ether)
        severity, score = (Severity.CRITICAL, 1.0) if grave else (Severity.HIGH, 0.8)
        if not amount:
            severity, score = Severity.LOW, 0.3  # a call was replaced, no payment was
        paid = amount_text(token or None, amount)
        instead = f"{amount_text(now[2] or None, now[3])} to {hex_of(now[1])}"
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="double_spend",
            severity=severity,
            score=score,
            subject=sender,
            role=Role.ATTACKER,
            block_row=place,
            transaction_index=int(columns.tx_index[row]),
            transaction_hash=now[0] or None,
            ordinal=0,
            sentence=(
                f"{hex_of(sender)} had paid {paid} to {hex_of(payee)} in a block that was "
                f"orphaned; the new chain has {instead} with the same nonce {nonce} instead."
            ),
            reasons=self._reasons(worth, service, score, self._config.critical_ether),
            evidence=Evidence(
                transactions=tuple(h for h in (was_hash, now[0]) if h),
                addresses=tuple(a for a in (payee, now[1]) if a),
                amounts=((token or None, amount), (now[2] or None, now[3])),
            ),
        )

    def _dropped(self, columns: Columns, place: int) -> list[Finding]:
        """What had to be back by the block in that row, and is worth telling."""
        findings = []
        for due, key in self._memory.overdue(columns.first_serial + place):
            lost = self._memory.of(key)[-1]
            was_hash, payee, token, amount = lost
            at = max(0, due - columns.first_serial)
            worth, service = self._worth(lost), self._is_service(columns, payee, at)
            told = service or worth >= self._config.dropped_ether
            if not amount or payee == key[0] or not told:
                continue
            grave = service or worth >= self._config.critical_ether
            severity, score = (Severity.MEDIUM, 0.6) if grave else (Severity.LOW, 0.4)
            findings.append(
                Finding(
                    rule="dropped_by_reorg",
                    rule_version=self.version,
                    typology="double_spend",
                    severity=severity,
                    score=score,
                    subject=key[0],
                    role=Role.UNKNOWN,
                    block_row=at,
                    transaction_index=-1,
                    transaction_hash=was_hash or None,
                    ordinal=0,
                    sentence=(
                        f"{hex_of(key[0])} had paid {amount_text(token or None, amount)} to "
                        f"{hex_of(payee)} in a block that was orphaned; after "
                        f"{self._config.dropped_blocks} blocks nothing with nonce {key[1]} is back."
                    ),
                    reasons=self._reasons(worth, service, score, self._config.dropped_ether),
                    evidence=Evidence(
                        transactions=(was_hash,) if was_hash else (),
                        addresses=(payee,) if payee else (),
                        amounts=((token or None, amount),),
                    ),
                )
            )
        return findings

    def _is_service(self, columns: Columns, payee: bytes, place: int) -> bool:
        time = int(columns.block_times[place])
        return self._labels.is_service(payee, time, columns.batch.chain.name)

    @staticmethod
    def _worth(payment: Payment) -> float:
        """About how many ether a payment is worth: what is dust of each token is worth the same."""
        _, _, token, amount = payment
        kind = VALUE_TOKENS[token] if token else NATIVE
        return float(amount / 10**kind.decimals / kind.dust * NATIVE.dust)

    @staticmethod
    def _reasons(
        worth: float, service: bool, score: float, threshold: float
    ) -> tuple[Reason, Reason]:
        return (
            Reason("lost_ether", worth, score / 2, threshold),
            Reason("payee_is_service", float(service), score / 2, 1.0),
        )
