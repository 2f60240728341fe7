"""The forms of the API's answers about a wallet, and about an alert with all that is around it.

See ``store.answer_types`` for what they are for.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from store.answer_types import (
    Address,
    AlertForm,
    AlertId,
    Amount,
    Count,
    Form,
    Hash,
    HeldLabel,
    KnownLabel,
    LabelForm,
    Next,
    Seconds,
    TokenAmount,
    Word,
)

Verdict = Literal["unknown", "good", "bad"]


class TransfersForm(Form):
    """What one moved to another."""

    count: Count
    amounts: list[TokenAmount]


class PartnerForm(Form):
    """A counterparty."""

    address: Address
    labels: list[str]
    in_evidence: bool
    to_subject: TransfersForm | None
    from_subject: TransfersForm | None


class HistoryForm(Form):
    """A wallet's flows in the newest blocks of the lake; ``whole``: it has no older ones."""

    whole: bool
    since_block: Count
    first_block: Count
    first_time: Seconds
    last_block: Count
    last_time: Seconds
    flows: Count
    flows_in: Count
    flows_out: Count
    counterparties: Count
    received: list[TokenAmount]
    sent: list[TokenAmount]
    partners: list[PartnerForm]


class ScoredAt(Form):
    """A score, and with which block it was made."""

    value: float
    block_number: Count
    block_timestamp: Seconds


class AnomalyForm(ScoredAt):
    """An anomaly score, and the share of all wallets' newest scores that are lower."""

    below: float | None
    word: Literal["usual", "unusual", "rare"]


class RiskForm(ScoredAt):
    """A risk, and the champion's levels, of which ``word`` is the highest that it reaches."""

    levels: dict[str, float]
    word: str


class FeatureForm(Form):
    """A feature as it was read, and what it means."""

    feature: str
    value: float | None
    meaning: str


class FeaturesForm(Form):
    """The features of a wallet's newest flow."""

    block_number: Count
    transaction: Hash | None
    values: list[FeatureForm]


class WalletForm(Form):
    """A wallet. What only the lake has is missing where none is read."""

    address: Address
    labels: list[LabelForm]
    alerts: list[AlertForm]
    next: Next
    verdict: Verdict | UnsetType = UNSET
    known_labels: list[KnownLabel] | UnsetType = UNSET
    score: AnomalyForm | UnsetType | None = UNSET
    risk: RiskForm | UnsetType | None = UNSET
    features: FeaturesForm | UnsetType | None = UNSET
    history: HistoryForm | UnsetType | None = UNSET


class FlowForm(Form):
    """One movement of value, as seen from a wallet: flat, for tables and graphs."""

    block_number: Count
    block_timestamp: Seconds
    time: Annotated[int, Meta(description="block time, in milliseconds since 1970")]
    transaction: Hash | None
    transaction_index: int | None
    ordinal: int
    kind: Literal["native", "erc20", "erc721", "erc1155", "internal", "withdrawal"]
    from_: Address = field(name="from")
    to: Address
    token: Address | None
    symbol: str | None
    token_id: str | None
    amount: Amount
    value: Annotated[str | None, Meta(description="in whole units; null for an unlisted token")]
    direction: Literal["in", "out", "self"]
    counterparty: Address
    counterparty_label: str | None
    counterparty_score: float | None
    counterparty_risk: float | None
    score: float | None


class FlowsPage(Form):
    """Flows, the newest first. A page may end early: ``searched_to`` is the block it came to."""

    address: Address
    flows: list[FlowForm]
    searched_to: int | None
    next: Next


class ExplainedSubject(Form):
    """The wallet of an alert, as of the alert."""

    address: Address
    verdict_then: Verdict
    labels: list[HeldLabel]
    history: HistoryForm | None
    history_error: str


class RelatedAlert(Form):
    """Another alert about the wallet or one of the transactions."""

    id: AlertId
    rule: str
    severity: Word
    block_number: Count
    status: Literal["active", "retracted"]
    same_subject: bool
    sentence: str


class AboutRule(Form):
    """What a rule looks for, how it can be wrong, and what to check."""

    what: str
    innocent: list[str]
    check: str


class Explanation(Form):
    """All that is known of an alert."""

    alert: AlertForm
    subject: ExplainedSubject | None
    related: list[RelatedAlert]
    about: AboutRule | None
    suspect: Address | None
    bad_label: str
