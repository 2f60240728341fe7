"""Drainer-as-a-service: what a victim loses is split at once between a phisher and his supplier.

The supplier of the drainer kit takes a fixed share, usually a fifth. The ratio alone means nothing:
royalties, fees and payrolls split too. It counts where somebody else moves the victim's tokens, or
the victim calls a claim bait, or the small share goes to an operator who was caught before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from chainwarden.schema import Evidence, FlowKind, Reason, Role, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.known.calls import NATIVE_CLAIMS
from detect.known.tokens import NATIVE, VALUE_TOKENS, is_large
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding
from detect.rules.settlement import has_reputation, is_arbitrage, settled, signer_facts
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

SHARES: Final = (0.10, 0.125, 0.15, 0.175, 0.20, 0.25, 0.30)
MOST_PARTS: Final = 3
AMOUNT_BYTES: Final = 34  # of a sum of three amounts
KEPT: Final = 32  # partners and victims of an operator that are told apart


@dataclass(frozen=True, slots=True)
class DrainerSplitConfig:
    """Thresholds, and how much is remembered.

    ``tolerance``: how far a share may be off. ``blocks``: parts that far apart are one split.
    ``victims_high``: from so many victims an operator is high, critical where one loss was large.
    ``partners``: from so many partners he is a service. ``splits`` and ``operators``: rows.
    """

    tolerance: float = 0.001
    blocks: int = 5
    victims_high: int = 3
    partners: int = 10
    dusts: float = 10.0
    splits: int = 16_384
    operators: int = 16_384


@dataclass(frozen=True, slots=True)
class _Loss:
    # Parts of one token that left one victim in one signer's hands.
    serial: int
    tx: int
    row: int  # of the flow that came last
    victim: bytes
    token: bytes | None
    parts: tuple[tuple[bytes, int], ...]
    transactions: tuple[bytes, ...]
    strong: bool  # moved by somebody else, or into a claim bait


class DrainerSplit(Journaled):
    """Finds operators of drainers by their share of what victims lose. The subject is the operator.

    Low at first, high from the third victim on, critical where one of the losses was large. Only
    the chain's coin and listed tokens count: anybody can log transfers of his own token.
    Suppressed: services, signers with a reputation, searchers, splits of which the victim gets 90 %
    back, and what the victim signed itself, unless it pays an operator who was caught before.
    """

    id = "drainer_split"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: DrainerSplitConfig | None = None
    ) -> None:
        self._config = config or DrainerSplitConfig()
        # victim + signer + token -> (block number, parts, transactions)
        self._open = JournaledTable(self._config.splits)
        # operator -> (losses, partners, victims, whether one loss was large)
        self._operators = JournaledTable(self._config.operators)
        super().__init__({"open": self._open, "operators": self._operators})
        self._labels = labels
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        rows = self._candidates(columns)
        findings = []
        for loss in self._losses(columns, rows):
            finding = self._judge(columns, loss)
            if finding is not None:
                findings.append(finding)
        return findings

    def _candidates(self, columns: Columns) -> Array:
        # Value that leaves one wallet for another in a transaction that it did not sign, or signed
        # as a claim, or that pays several at once; and what a claim bait passes on.
        if not columns.flow_count or not len(columns.tx_block):
            return np.empty(0, np.int64)
        facts, tx = columns.scored.flow_facts, columns.flow_tx
        claims = np.zeros(len(columns.tx_block) + 1, np.bool_)  # one more, for those without
        claims[columns.native_claims] = True
        token = columns.flow_token & (columns.flow_coin >= 0)
        rows = np.flatnonzero(token & ~(facts["from_is_contract"] | facts["to_is_contract"]))
        at, own = tx[rows], columns.flow_signed[rows]
        same = at[1:] == at[:-1]
        several = np.zeros(len(rows), np.bool_)
        several[1:] |= same
        several[:-1] |= same
        out: Array = rows[~own | claims[at] | several]
        if len(columns.native_claims):
            inside = columns.flow_worth & (columns.flow_kind == FlowKind.INTERNAL)
            out = np.union1d(out, np.flatnonzero(inside & (tx >= 0) & claims[tx]))
        return out

    def _losses(self, columns: Columns, rows: Array) -> Iterator[_Loss]:
        # Two or three parts of what a victim lost, in one transaction or in a few blocks.
        flows, transactions = columns.cells("flows"), columns.cells("transactions")
        groups: dict[tuple[int, bytes | None, bytes], list[int]] = {}
        for row in rows.tolist():
            token, source = flows["token_address"][row], flows["from_address"][row]
            groups.setdefault((int(columns.flow_tx[row]), token, source), []).append(row)
        for (tx, token, source), mine in groups.items():
            signer = transactions["from_address"][tx]
            victim = source
            if token is None:
                if source != transactions["to_address"][tx]:
                    continue  # deeper inside the call
                victim = signer
            parts: dict[bytes, int] = {}
            for row in mine:
                receiver = flows["to_address"][row]
                amount = columns.amount(row)
                parts[receiver] = parts.get(receiver, 0) + amount
            claims = int(columns.selectors[tx]) in NATIVE_CLAIMS
            tx_hash = transactions["transaction_hash"][tx]
            loss = _Loss(
                columns.first_serial + columns.row_of_block(int(columns.tx_block[tx])),
                tx,
                mine[-1],
                victim,
                token,
                tuple(parts.items()),
                () if tx_hash is None else (tx_hash,),
                signer != victim or claims,
            )
            yield self._joined(columns, loss, signer) if signer != victim else loss

    def _joined(self, columns: Columns, loss: _Loss, signer: bytes) -> _Loss:
        # With what the same signer took from the same victim in the last blocks.
        number = int(columns.tx_block[loss.tx])
        key = loss.victim + signer + (loss.token or b"")
        before = self._open.get(key)
        since, parts, transactions = number, dict(loss.parts), loss.transactions
        if before is not None and number - before[0] <= self._config.blocks:
            since, parts, transactions = before[0], {}, (*before[2], *loss.transactions)
            for receiver, amount in before[1]:
                parts[receiver] = int.from_bytes(amount, "big")
            for receiver, amount in loss.parts:
                parts[receiver] = parts.get(receiver, 0) + amount
        if len(parts) <= MOST_PARTS:
            rows = tuple((r, a.to_bytes(AMOUNT_BYTES, "big")) for r, a in parts.items())
            self._open.put(loss.serial, key, (since, rows, transactions[-MOST_PARTS:]))
        return replace(loss, parts=tuple(parts.items()), transactions=transactions[-MOST_PARTS:])

    # --- judging

    def _judge(self, columns: Columns, loss: _Loss) -> Finding | None:
        split = operator_share(loss.parts, self._config.tolerance)
        if split is None or loss.victim in dict(loss.parts):
            return None
        operator, partner, _ = split
        if not loss.strong and operator not in self._operators:
            return None
        known = NATIVE if loss.token is None else VALUE_TOKENS[loss.token]
        total = sum(amount for _, amount in loss.parts)
        if total < known.dust * self._config.dusts * 10**known.decimals:
            return None
        if self._is_innocent(columns, loss, total):
            return None
        losses, partners, victims, large = self._operators.get(operator) or (0, (), (), False)
        partners, victims = _with(partners, partner), _with(victims, loss.victim)
        large = large or is_large(loss.token, total)
        self._operators.put(loss.serial, operator, (losses + 1, partners, victims, large))
        return self._finding(columns, loss, split, (total, len(partners), len(victims), large))

    def _is_innocent(self, columns: Columns, loss: _Loss, total: int) -> bool:
        now = int(columns.cells("transactions")["block_timestamp"][loss.tx])
        chain = columns.batch.chain.name
        signer = columns.cells("transactions")["from_address"][loss.tx]
        parties = {receiver for receiver, _ in loss.parts} | {loss.victim, signer}
        if any(self._labels.is_service(party, now, chain) for party in parties):
            return True
        facts = signer_facts(columns, loss.tx)
        if signer != loss.victim and facts is not None and has_reputation(facts, "from", now):
            return True
        if is_arbitrage(columns, loss.tx):
            return True
        return settled(columns, loss.tx, loss.victim, loss.token, total)

    def _finding(
        self,
        columns: Columns,
        loss: _Loss,
        split: tuple[bytes, bytes, float],
        record: tuple[int, int, int, bool],
    ) -> Finding:
        operator, partner, share = split
        total, partners, victims, large = record
        config = self._config
        if victims >= config.victims_high or partners >= config.partners:
            severity, score = (Severity.CRITICAL, 0.95) if large else (Severity.HIGH, 0.8)
        else:
            severity, score = (Severity.MEDIUM, 0.6) if large else (Severity.LOW, 0.4)
        tx_hash = columns.cells("transactions")["transaction_hash"][loss.tx]
        service = f", {partners} partners" if partners > 1 else ""
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="drainer_split",
            severity=severity,
            score=score,
            subject=operator,
            role=Role.ATTACKER,
            block_row=columns.row_of_block(int(columns.tx_block[loss.tx])),
            transaction_index=int(columns.tx_index[loss.tx]),
            transaction_hash=tx_hash,
            ordinal=int(columns.flow_ordinal[loss.row]),
            sentence=(
                f"{hex_of(operator)} got {share:.1%} and {hex_of(partner)} most of the rest of "
                f"{amount_text(loss.token, total)} that {hex_of(loss.victim)} lost; "
                f"{victims} victim{'s' if victims > 1 else ''} so far{service}."
            ),
            reasons=(
                Reason("victims", float(victims), score / 2, float(config.victims_high)),
                Reason("partners", float(partners), score / 4, float(config.partners)),
                Reason("share", share, score / 4, SHARES[-1]),
            ),
            evidence=Evidence(
                transactions=loss.transactions,
                addresses=(loss.victim, partner),
                amounts=tuple((loss.token, amount) for _, amount in loss.parts),
            ),
        )


def operator_share(
    parts: Sequence[tuple[bytes, int]], tolerance: float
) -> tuple[bytes, bytes, float] | None:
    """Who takes an operator's share, who the most, and the share; None where it is no such split.

    Two or three parts; every one but the largest must be near a share that drainers take.

    >>> operator_share([(b"kit", 20), (b"phisher", 80)], 0.001)
    (b'kit', b'phisher', 0.2)
    """
    total = sum(amount for _, amount in parts)
    if not 2 <= len(parts) <= MOST_PARTS or not total:
        return None
    *small, largest = sorted(parts, key=lambda part: part[1])
    shares = [amount / total for _, amount in small]
    if any(min(abs(share - known) for known in SHARES) > tolerance for share in shares):
        return None
    return small[0][0], largest[0], shares[0]


def _with(kept: tuple[bytes, ...], address: bytes) -> tuple[bytes, ...]:
    return kept if address in kept or len(kept) >= KEPT else (*kept, address)
