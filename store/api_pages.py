"""What every route of the API says of itself: the source of its OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

import msgspec

from chainwarden.schema import Severity
from chainwarden.server.described import ADDRESS, NUMBER, TIME, Described, Parameter, Schema
from store import answer_types, audit_types, process_types, triage_types, wallet_types
from store.delivery_answers import STATES, EnableWord, ReplayWord
from store.lake_flows import Direction
from store.model_answers import PromotionWord
from store.parameters import COIN, MAX_PAGE, YES_OR_NO, Holding, Status

_SEVERITY: Final[Schema] = {"type": "string", "enum": [level.text for level in Severity]}
_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{4,32}$"}
PATH_ID: Final = Parameter("id", "An alert's id; four digits of one may do.", _ID, "path")
PATH_NUMBER: Final = Parameter("id", "A suppression's id.", NUMBER, "path")
PATH_ADDRESS: Final = Parameter("address", "A wallet.", ADDRESS, "path")
_LIMIT: Final = Parameter(
    "limit",
    "How many a page has at most.",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100},
)
_AFTER_NUMBER: Final = Parameter("after", "Where the page before ended.", NUMBER)
_ADDRESS: Final = Parameter("address", "Only of this address.", ADDRESS)
_RULE: Final = Parameter("rule", "Only of this rule.")
_LEAST: Final = Parameter("severity", "Only at least so severe.", _SEVERITY)
_SUBJECT: Final = Parameter("subject", "Only about this wallet.", ADDRESS)
_SPAN: Final = (
    Parameter("since", "Only from this block time on: seconds, or a date and time.", TIME),
    Parameter("until", "Only before this block time: seconds, or a date and time.", TIME),
    Parameter("first_block", "Only from this block on.", NUMBER),
    Parameter("last_block", "Only up to this block.", NUMBER),
)
_AUTHOR: Final = Parameter("author", "Who says so, where no token does.")
_NOTE: Final = Parameter("note", "Why.")


def _one(form: Any, status: int = 200) -> dict[int, Any]:
    return {status: form}


class NewBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup is to be called; empty: the moment. Of those that the moment names all but
    the newest ``keep`` are deleted when it is there."""

    name: str = ""
    keep: Annotated[int, msgspec.Meta(ge=1)] | None = None


class NewLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an analyst says of a wallet."""

    address: str
    label: str
    author: str = ""
    note: str = ""
    from_alert: str = ""
    valid_from: int | None = None
    valid_to: int | None = None
    every_chain: bool = False


class NewAcknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has an alert in hand."""

    author: str = ""
    note: str = ""


class NewSuppression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which alerts nobody is to be told, and until when: seconds since 1970."""

    until: float
    rule: str = ""
    subject: str = ""
    author: str = ""
    note: str = ""


OPENAPI: Final = Described("This document.", _one(dict[str, Any]))
HEALTH: Final = Described(
    "Whether the process does its work, how far behind it is, and what waits.",
    _one(process_types.HealthForm),
)
STATUS: Final = Described(
    "Where the pipeline stands: chain, head, totals, alerts by kind, what receivers are owed.",
    _one(process_types.StatusForm),
)
ALERTS: Final = Described(
    "A page of alerts, the newest arrivals first.",
    _one(answer_types.AlertsPage),
    (
        _RULE,
        _LEAST,
        _SUBJECT,
        Parameter("label", "Only about wallets with this label."),
        Parameter(
            "status", "Only of this status.", {"type": "string", "enum": list(get_args(Status))}
        ),
        Parameter(
            "acknowledged",
            "Only those that somebody has in hand, or nobody has.",
            {"type": "string", "enum": list(YES_OR_NO)},
        ),
        *_SPAN,
        Parameter("after", "The id of the last alert of the page before.", _ID),
        _LIMIT,
    ),
)
STREAM: Final = Described(
    "Server-sent events: alert.raised, alert.moved, alert.retracted, alert.acknowledged and "
    "alert.unacknowledged, each with the alert and the number of its change; reset, where the "
    "place is of another ledger. Last-Event-ID resumes.",
    _one(None),
    (
        _RULE,
        _LEAST,
        _SUBJECT,
        Parameter("last_event_id", "Where to go on, for who cannot send Last-Event-ID."),
    ),
    media_type="text/event-stream",
    tagged=False,
)
ALERT: Final = Described("One alert, retracted or not.", _one(answer_types.AlertForm), (PATH_ID,))
ACKNOWLEDGE: Final = Described(
    "Says who has an alert in hand; saying it again replaces it.",
    _one(answer_types.AlertForm),
    (PATH_ID,),
    body=NewAcknowledgement,
    refusals=(507,),
)
UNACKNOWLEDGE: Final = Described(
    "Says that nobody has an alert in hand any more.",
    _one(answer_types.AlertForm),
    (PATH_ID, _AUTHOR, _NOTE),
    refusals=(507,),
)
EXPLANATION: Final = Described(
    "All that is known of an alert: its wallet, what is related, how it can be wrong.",
    _one(wallet_types.Explanation),
    (PATH_ID,),
)
EVIDENCE: Final = Described(
    "The evidence for an alert as a ZIP: alert, explanation, labels, the lake's rows, checksums.",
    _one(None),
    (PATH_ID,),
    media_type="application/zip",
)
WALLET: Final = Described(
    "A wallet's newest alerts, labels, latest scores and features, and history.",
    _one(wallet_types.WalletForm),
    (PATH_ADDRESS, _LIMIT),
)
FLOWS: Final = Described(
    "A page of what moved from and to a wallet, the newest first; it may end early, even empty.",
    _one(wallet_types.FlowsPage),
    (
        PATH_ADDRESS,
        Parameter(
            "direction",
            "Only what came in, or went out.",
            {"type": "string", "enum": list(get_args(Direction))},
        ),
        Parameter(
            "token",
            f"Only of this token; {COIN}: the chain's own.",
            {"anyOf": [ADDRESS, {"const": COIN}]},
        ),
        Parameter("counterparty", "Only with this address.", ADDRESS),
        *_SPAN,
        Parameter("after", "Where the page before ended; follow its next."),
        _LIMIT,
    ),
)
LABELS: Final = Described(
    "A page of labels that hold, oldest first.",
    _one(answer_types.LabelsPage),
    (_ADDRESS, _AFTER_NUMBER, _LIMIT),
)
LABEL: Final = Described(
    "Says what a wallet is; saying it again replaces it.",
    {200: answer_types.LabelSet, 201: answer_types.LabelSet},
    body=NewLabel,
    refusals=(507,),
)
WITHDRAW: Final = Described(
    "Takes an analyst's label back.",
    _one(answer_types.LabelWithdrawn),
    (
        Parameter("address", "Of this address.", ADDRESS, required=True),
        Parameter("label", "The word.", required=True),
        _AUTHOR,
        _NOTE,
    ),
    refusals=(404,),
)
SUPPRESSIONS: Final = Described(
    "A page of suppressions, the newest first.",
    _one(triage_types.SuppressionsPage),
    (
        Parameter(
            "status",
            "Those that hold, or all there ever were.",
            {"type": "string", "enum": list(get_args(Holding))},
        ),
        _AFTER_NUMBER,
        _LIMIT,
    ),
)
SUPPRESS: Final = Described(
    "Has nobody told of alerts of a rule, about a wallet, or both, until a time; they are kept.",
    _one(triage_types.Suppressed, 201),
    body=NewSuppression,
    refusals=(409, 507),
)
END_SUPPRESSION: Final = Described(
    "Has people told again from now on.",
    _one(triage_types.SuppressionForm),
    (PATH_NUMBER, _AUTHOR),
)
HISTORY: Final = Described(
    "Who gave and withdrew labels, and which lists took force.",
    _one(answer_types.LabelHistory),
    (_ADDRESS, _LIMIT),
)
MODELS: Final = Described(
    "The risk models, how good they are, and who was promoted.", _one(process_types.ModelsForm)
)
PROMOTE: Final = Described(
    "Makes the challenger the champion from the next block on.",
    _one(process_types.Promoted, 201),
    body=PromotionWord,
)
AUDIT: Final = Described(
    "The end of the audit chain, which covers every alert and every word of people.",
    _one(audit_types.AuditForm),
    (Parameter("entries", "As it was with so many entries.", NUMBER),),
    refusals=(404,),
)
VERIFICATION: Final = Described(
    "Computes the audit chain anew and holds every record against it; a large ledger takes long.",
    _one(audit_types.VerificationForm),
)
DELIVERIES: Final = Described(
    "What receivers are owed, oldest first.",
    _one(process_types.DeliveriesPage),
    (
        Parameter("receiver", "Only this receiver's."),
        Parameter("state", "Only in this state.", {"type": "string", "enum": list(STATES)}),
        _AFTER_NUMBER,
        _LIMIT,
    ),
)
REPLAY: Final = Described("Tries messages again.", _one(process_types.Replayed), body=ReplayWord)
ENABLE: Final = Described(
    "Sends to a disabled receiver again.", _one(process_types.Enabled), body=EnableWord
)
BACKUPS: Final = Described(
    "The backups there are, newest first; which one is under way, and whether the last one failed.",
    _one(process_types.BackupsForm),
)
BACK_UP: Final = Described(
    "Begins a backup of the whole installation, in its own folder; the list says how it goes.",
    _one(process_types.BackupBegun, 202),
    body=NewBackup,
    refusals=(409,),
)
