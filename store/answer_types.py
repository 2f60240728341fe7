"""The forms of the API's answers: what its OpenAPI document says, and its answers are held to.

Nothing is encoded through them: an answer is a dictionary that is made where its facts are. The
tests hold every answer to its form.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

Address = Annotated[str, Meta(pattern="^0x[0-9a-f]{40}$")]
Hash = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
AlertId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Amount = Annotated[str, Meta(pattern="^[0-9]+$", description="exact, in units of the token")]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[int, Meta(description="block time, in seconds since 1970")]
Clock = Annotated[float, Meta(description="wall clock, in seconds since 1970")]
Next = Annotated[str | None, Meta(description="the page after this one, null on the last")]
Word = Literal["info", "low", "medium", "high", "critical"]
Figures = Annotated[dict[str, Any], Meta(description="see the README's Champion and challenger")]


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """An answer has what its form says, and nothing else."""


class Reason(Form):
    """A feature, and its share of the score."""

    feature: str
    value: float | None
    contribution: float | None
    threshold: float | None


class TokenAmount(Form):
    """How much of a token, or of the chain's coin (null)."""

    token: Address | None
    amount: Amount


class HopForm(Form):
    """One step on the money's way."""

    transaction: Hash | None
    from_: Address = field(name="from")
    to: Address
    token: Address | None
    amount: Amount


class EvidenceForm(Form):
    """What an alert rests on."""

    transactions: list[Hash]
    addresses: list[Address]
    amounts: list[TokenAmount]
    path: list[HopForm]


class AlertForm(Form):
    """An alert, and what became of it."""

    id: AlertId
    chain: str
    chain_id: Count
    rule: str
    rule_version: int
    typology: str
    severity: Word
    score: float
    subject: Address
    role: Literal["attacker", "victim", "service", "unknown"]
    block_number: Count
    block_hash: str | None
    block_timestamp: Seconds
    transaction_hash: Hash | None
    ordinal: int
    fingerprint: str
    sentence: str
    reasons: list[Reason]
    evidence: EvidenceForm
    status: Literal["active", "retracted"]
    retraction_reason: Literal["orphaned", "moved"] | None
    labels: list[str]


class AlertsPage(Form):
    """Alerts, the newest arrivals first. ``total`` is how many are active, whatever the filter."""

    total: Count
    alerts: list[AlertForm]
    next: Next


class LabelForm(Form):
    """What is said of an address, by whom, and while it holds."""

    address: Address
    label: str
    source: str
    valid_from: int
    valid_to: int | None
    chain: str | None
    author: str
    note: str
    alert_id: str
    in_force_from: int | None


class HeldLabel(LabelForm):
    """A label, and whether it held when the alert was raised."""

    held_then: bool


class KnownLabel(LabelForm):
    """A label of a list or of an analyst, and whether it holds at the head."""

    holds: bool


class LabelsPage(Form):
    """Labels that hold, oldest first."""

    labels: list[LabelForm]
    next: Next


class LabelSet(Form):
    """A label that was given."""

    address: Address
    label: str
    status: Literal["labelled"]
    new: bool
    valid_from: int


class LabelWithdrawn(Form):
    """A label that was taken back."""

    address: Address
    label: str
    status: Literal["withdrawn"]


class LabelChangeForm(LabelForm):
    """A line of the trail of labels."""

    said_at: Clock
    act: Literal["labelled", "withdrawn"]
    by: str
    why: str


class ListForm(Form):
    """A version of a label list that took force with block ``number``."""

    path: str
    source: str
    licence: str
    chain: str | None
    valid_from: int
    valid_to: int | None
    digest: str
    format: str
    loaded: Count
    refused: Count
    added: Count
    removed: Count
    said_at: Clock
    number: int


class LabelHistory(Form):
    """Who gave and withdrew labels, and which lists took force, oldest first."""

    changes: list[LabelChangeForm]
    lists: list[ListForm]


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


Verdict = Literal["unknown", "good", "bad"]


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


class ChainForm(Form):
    """A chain by its name and EIP-155 id."""

    name: str
    id: Count


class HeadForm(Form):
    """The newest block that was committed."""

    number: Count
    hash: str | None


class AlertCount(Form):
    """How many alerts there are of a kind."""

    rule: str
    severity: Word
    status: Literal["active", "retracted"]
    count: Count


class StatusForm(Form):
    """Where the pipeline stands."""

    chain: ChainForm
    head: HeadForm | None
    blocks: Count
    transactions: Count
    flows: Count
    offsets: dict[str, int]
    alerts: list[AlertCount]
    outbox_pending: dict[str, int]


class HealthForm(Form):
    """Whether the process does its work. ``reason`` says why not, or as what it is ready."""

    status: Literal["ready", "not_ready"]
    reason: str
    version: str
    chain: ChainForm
    ledger: str
    head: HeadForm | None
    head_timestamp: Seconds | None
    behind_seconds: Annotated[
        float | None, Meta(description="wall clock less the head's block time")
    ]
    outbox_pending: dict[str, int]
    receivers_disabled: list[str]
    listeners: Count


class PromotionForm(Form):
    """Who made which configuration the champion, and from which block on."""

    said_at: Clock
    by: str
    why: str
    in_force_from: int | None
    configuration: str
    parameters: dict[str, Any]


class ModelsForm(Form):
    """The risk models as of a block."""

    block: int | None
    champion: Figures | None
    challenger: Figures | None
    comparison: Figures | None
    promotions: list[PromotionForm]


class Promoted(Form):
    """A configuration that is the champion from the next block on."""

    configuration: str
    status: Literal["promoted"]


class ReceiverForm(Form):
    """A receiver, and what it is owed."""

    name: str
    pending: Count
    dead: Count
    disabled: bool
    disabled_at: Clock | None
    reason: str
    failing_since: Clock | None
    next_attempt: Clock | None


class LetterForm(Form):
    """A message that waits or was given up."""

    id: Count
    receiver: str
    state: Literal["pending", "dead", "parked"]
    type: str
    message_id: str
    alert: AlertId | None
    alerts: Count
    rule: str | None
    severity: Word
    subject: Address | None
    block: Count
    attempts: Count
    next_attempt: Clock | None
    enqueued_at: Clock
    given_up_at: Clock | None
    in_doubt: bool
    reason: str | None


class DeliveriesPage(Form):
    """Who is owed what, oldest first."""

    receivers: list[ReceiverForm]
    letters: list[LetterForm]
    next: Next


class Replayed(Form):
    """How many messages are tried again, and who is sent nothing all the same."""

    replayed: Count
    disabled: list[str]


class Enabled(Form):
    """A receiver that is sent to again."""

    receiver: str
    status: Literal["enabled"]
    waiting: Count
