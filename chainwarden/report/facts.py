"""What a report says, as plain values. Rendering adds words and shapes, never a fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chainwarden.schema import Alert, Chain, Severity
from chainwarden.scorecard import RuleScore

TIMELINE_BINS: Final = 96
SCORE_BINS: Final = 20
RISK_FIGURES: Final = (
    "rows", "positives", "average_precision", "auroc", "brier", "log_loss", "calibration_error",
)  # fmt: skip

Amount = tuple[bytes | None, int]
"""A token (None: the chain's own coin) and an exact amount in its smallest unit."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was replayed. What only the lake knows is None where there is no lake.

    ``blocks``, ``transactions`` and ``flows`` are those that were scored, orphaned ones included;
    ``kept_blocks`` are the blocks on the chain at the end, ``verified_blocks`` those of them whose
    roots were recomputed. Times are block times; ``seconds`` is how long the replay took.
    """

    chain: Chain
    blocks: int
    transactions: int
    flows: int
    alerts: int
    retracted: int
    kept_blocks: int | None = None
    verified_blocks: int | None = None
    first_block: int | None = None
    last_block: int | None = None
    first_time: int | None = None
    last_time: int | None = None
    wallets: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many active alerts a rule has raised, by severity."""

    rule: str
    by_severity: dict[Severity, int]

    @property
    def total(self) -> int:
        """Alerts of every severity."""
        return sum(self.by_severity.values())


@dataclass(frozen=True, slots=True)
class Timeline:
    """Alerts over block time: ``TIMELINE_BINS`` equal parts of ``first`` to ``last``, per rule.

    Rules come in order of their number of alerts, most first.
    """

    first: int
    last: int
    series: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """How scores from 0 to 1 are spread over ``SCORE_BINS`` equal parts.

    ``missing`` had no score: the model was warming up. Not ready is not 0.
    """

    counts: tuple[int, ...]
    missing: int

    @property
    def scored(self) -> int:
        """How many had a score."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Transfers:
    """What went one way between two wallets: how many transfers, and the sum for each token."""

    count: int
    amounts: tuple[Amount, ...]


@dataclass(frozen=True, slots=True)
class Counterparty:
    """A wallet that the subject of a case paid or was paid by.

    ``in_evidence``: the case's alerts name it.
    """

    address: bytes
    labels: tuple[str, ...]
    to_subject: Transfers | None
    from_subject: Transfers | None
    in_evidence: bool


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The largest counterparties of a subject, and how many more there are."""

    counterparties: tuple[Counterparty, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Move:
    """One transfer of a transaction that an alert gives as evidence."""

    transaction: bytes
    sender: bytes
    receiver: bytes
    amount: Amount


@dataclass(frozen=True, slots=True)
class Case:
    """All active alerts about one subject, the worst first.

    ``subject`` is None for a case about the chain itself. ``neighbourhood`` is None where the lake
    has no flows of the subject. ``moves`` are what the worst alert's transactions moved, between
    whomever, in the order of the chain.
    """

    subject: bytes | None
    labels: tuple[str, ...]
    alerts: tuple[Alert, ...]
    neighbourhood: Neighbourhood | None
    moves: tuple[Move, ...] = ()

    @property
    def lead(self) -> Alert:
        """The worst alert."""
        return self.alerts[0]


@dataclass(frozen=True, slots=True)
class Difference:
    """Active alerts compared with another replay's, by id; ``changed`` are (there, here)."""

    name: str
    same: int
    only_here: tuple[Alert, ...]
    only_there: tuple[Alert, ...]
    changed: tuple[tuple[Alert, Alert], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """The active alerts of which it is known whether they are right, and ``by`` what.

    ``scores`` from 0 to 1, and whether each was ``right``; at least one was. ``unjudged`` is how
    many other alerts there are.
    """

    by: str
    scores: tuple[float, ...]
    right: tuple[bool, ...]
    unjudged: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report says.

    ``cases`` are the worst of ``case_count``. ``accuracy`` is None without a truth file,
    ``difference`` without another replay, ``timeline`` without alerts, ``judged`` where neither a
    truth nor labels say of enough alerts whether they are right. ``risk`` are the figures of the
    wallet risk model, None where it has judged no row. ``notes`` say, a sentence each, what could
    not be shown and why.
    """

    name: str
    summary: Summary
    rules: tuple[RuleCount, ...]
    timeline: Timeline | None
    flow_scores: ScoreHistogram | None
    wallet_scores: ScoreHistogram | None
    accuracy: tuple[RuleScore, ...] | None
    judged: Judged | None
    risk: Mapping[str, float | None] | None
    cases: tuple[Case, ...]
    case_count: int
    difference: Difference | None
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
