"""The forms of the API's answers about the process: where it stands, its models, whom it owes.

See ``store.answer_types`` for what they are for.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from store.answer_types import Address, AlertId, Clock, Count, Form, Next, Seconds, Word

Figures = Annotated[dict[str, Any], Meta(description="see the README's Champion and challenger")]


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


class BackupForm(Form):
    """A copy of the installation as it was after a commit; see ``store.backup.Backup``."""

    name: str
    made_at: Clock
    chain: str
    ledger: str
    commits: Count
    block_number: Count | None
    block_hash: str | None
    files: Count
    size_bytes: Count


class BackupFailed(Form):
    """The last one that was begun, and why it was not made."""

    name: str
    reason: str


class BackupsForm(Form):
    """The copies there are, newest first."""

    backups: list[BackupForm]
    under_way: str | None
    failed: BackupFailed | None


class BackupBegun(Form):
    """What it will be called."""

    name: str
