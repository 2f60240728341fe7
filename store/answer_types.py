"""The forms of the API's answers: what its OpenAPI document says, and its answers are held to.

Here are those of alerts and labels. Those of wallets and explanations are in
``store.wallet_types``, and what the process says of itself is in ``store.process_types``.

Nothing is encoded through them: an answer is a dictionary that is made where its facts are. The
tests hold every answer to its form.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

Address = Annotated[str, Meta(pattern="^0x[0-9a-f]{40}$")]
Hash = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
AlertId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Amount = Annotated[str, Meta(pattern="^[0-9]+$", description="exact, in units of the token")]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[int, Meta(description="block time, in seconds since 1970")]
Clock = Annotated[float, Meta(description="wall clock, in seconds since 1970")]
Next = Annotated[str | None, Meta(description="the page after this one, null on the last")]
Word = Literal["info", "low", "medium", "high", "critical"]


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


class AcknowledgementForm(Form):
    """Who has an alert in hand, since when."""

    at: Clock
    by: str
    note: str


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
    acknowledged: AcknowledgementForm | None
    suppressed_until: Annotated[
        float | None, Meta(description="until when nobody is told; wall clock, seconds since 1970")
    ]


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
