"""What a rule is: findings in chain order, bounded state, exact undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from chainwarden.schema import (
    ZERO_ADDRESS,
    BlockBatch,
    Evidence,
    Hop,
    Position,
    Reason,
    Role,
    Severity,
)
from detect.rules.columns import Columns
from detect.scored import ScoredBatch


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule saw, before ``AlertPolicy`` decides whether it becomes an alert.

    ``block_row`` is the row of the block in the batch. Contributions of the reasons sum to the
    score, which is between 0 and 1. ``sentence`` is one readable sentence with the values in it.
    """

    rule: str
    rule_version: int
    typology: str
    severity: Severity
    score: float
    subject: bytes
    role: Role
    block_row: int
    transaction_index: int  # -1: about the block itself
    transaction_hash: bytes | None
    ordinal: int
    sentence: str
    reasons: tuple[Reason, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)


class Rule(Protocol):
    """Catches one typology. State is bounded, and undone exactly, block by block."""

    id: str
    version: int

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order; the same however blocks are batched."""
        ...

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, which is the last one evaluated."""
        ...

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted: drop their undo."""
        ...

    def snapshot(self) -> bytes:
        """The state, undo included; no pickle. ``restore`` of it continues bit for bit."""
        ...

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand."""
        ...

    def digest(self) -> str:
        """A digest of the state, undo excluded: equal digests, equal future findings."""
        ...


@runtime_checkable
class HearsBlocks(Protocol):
    """A rule that models rely on: it takes in each batch before anything of it is scored."""

    def advance(self, batch: BlockBatch, first_serial: int) -> None:
        """Take in blocks with the next serials; ``evaluate`` of them follows."""
        ...


@runtime_checkable
class HearsForks(Protocol):
    """A rule that wants to know how deep a fork was of which it was shown a part."""

    def orphaned(self, depth: int) -> None:
        """The next block begins another branch than one of so many blocks."""
        ...


@runtime_checkable
class HearsFinality(Protocol):
    """A rule that wants to know what is final. Finality is an event, and in no block."""

    def finalize(self, position: Position) -> None:
        """That block and all below it are final."""
        ...


@runtime_checkable
class Gauges(Protocol):
    """A rule that has figures of its own to show, for ``Detector.stats`` and the metrics."""

    def gauges(self) -> dict[str, float]:
        """Figures by name, as of the last block evaluated; none that is not known yet."""
        ...


def about_chain(
    rule: str,
    rule_version: int,
    typology: str,
    severity: Severity,
    block_row: int,
    ordinal: int,
    sentence: str,
    reasons: tuple[Reason, ...],
    subject: bytes = ZERO_ADDRESS,
    evidence: Evidence | None = None,
) -> Finding:
    """A finding about a block and no transaction of it; its score is what its reasons sum to."""
    return Finding(
        rule=rule,
        rule_version=rule_version,
        typology=typology,
        severity=severity,
        score=sum(reason.contribution for reason in reasons),
        subject=subject,
        role=Role.SERVICE,
        block_row=block_row,
        transaction_index=-1,
        transaction_hash=None,
        ordinal=ordinal,
        sentence=sentence,
        reasons=reasons,
        evidence=evidence or Evidence(),
    )


def about_flow(
    columns: Columns,
    row: int,
    *,
    rule: str,
    rule_version: int,
    typology: str,
    severity: Severity,
    score: float,
    subject: bytes,
    sentence: str,
    reasons: tuple[Reason, ...],
    role: Role = Role.ATTACKER,
    addresses: tuple[bytes, ...] = (),
    amounts: tuple[tuple[bytes | None, int], ...] = (),
    transactions: tuple[bytes, ...] | None = None,
    path: tuple[Hop, ...] = (),
) -> Finding:
    """A finding about a flow of the batch; its transaction is the evidence unless others are."""
    tx_hash = columns.cells("flows")["transaction_hash"][row]
    if transactions is None:
        transactions = () if tx_hash is None else (tx_hash,)
    return Finding(
        rule=rule,
        rule_version=rule_version,
        typology=typology,
        severity=severity,
        score=score,
        subject=subject,
        role=role,
        block_row=int(columns.flow_row[row]),
        transaction_index=int(columns.flow_tx_index[row]),
        transaction_hash=tx_hash,
        ordinal=int(columns.flow_ordinal[row]),
        sentence=sentence,
        reasons=reasons,
        evidence=Evidence(transactions, addresses, amounts, path),
    )
