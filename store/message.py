"""What a webhook's body holds, as the structs it is written from; its JSON Schema comes from them.

``VERSION`` is raised when something is renamed, removed or comes to mean another thing. What is
only added, a field or a type of message, leaves it: receivers pass over what they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

VERSION: Final = 1
SCHEMA_ID: Final = f"urn:chainwarden:webhook:v{VERSION}"


def _hex(digits: int, what: str) -> Any:
    # Of the schema alone: what was once committed is sent, whatever it looks like.
    return Meta(description=what, extra_json_schema={"pattern": f"^0x[0-9a-f]{{{digits}}}$"})


def _decimal(what: str) -> Any:
    return Meta(description=what, extra_json_schema={"pattern": "^[0-9]+$"})


Address = Annotated[str, _hex(40, "An account or contract, lower case, without checksum.")]
Hash = Annotated[str, _hex(64, "A block's or a transaction's hash.")]
Quantity = Annotated[str, _decimal("Exact, in the smallest unit (wei), as decimal digits.")]
AlertId = Annotated[
    str,
    Meta(
        description="The same for the same finding in every run, replay and restart.",
        extra_json_schema={"pattern": "^[0-9a-f]{32}$"},
    ),
]
Count = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
SeverityName = Literal["info", "low", "medium", "high", "critical"]
RoleName = Literal["attacker", "victim", "service", "unknown"]


class ReasonPart(Struct):
    """One thing that speaks for the alert: a feature, or a measure of the rule's own."""

    feature: str
    value: Annotated[float | None, Meta(description="As it was read; null where it is no number.")]
    contribution: Annotated[
        float | None, Meta(description="Its share of the score; the shares sum to the score.")
    ]
    threshold: Annotated[
        float | None, Meta(description="What the rule compares with, if it compares.")
    ]


class AmountPart(Struct):
    """An amount of the chain's coin, or of a token."""

    token: Annotated[Address | None, Meta(description="Null is the chain's own coin.")]
    amount: Quantity


class HopPart(Struct):
    """One step of the way the funds took."""

    transaction: Annotated[
        Hash | None, Meta(description="Null for a validator's withdrawal, or where none is known.")
    ]
    sender: Address = msgspec.field(name="from")
    receiver: Address = msgspec.field(name="to")
    token: Annotated[Address | None, Meta(description="Null is the chain's own coin.")]
    amount: Quantity


class EvidencePart(Struct):
    """What can be checked on the chain. Of what does not fit into 20 kB the beginning is told."""

    transactions: list[Hash]
    addresses: list[Address]
    amounts: list[AmountPart]
    path: Annotated[list[HopPart], Meta(description="The way of the funds, in chain order.")]
    truncated: Annotated[
        dict[str, Count] | UnsetType,
        Meta(description="Only where lists were cut: how many entries each of them had."),
    ] = UNSET


class AlertPart(Struct):
    """An alert, as it stands now."""

    id: AlertId
    chain: Annotated[str, Meta(description="The chain's name in the sender's settings.")]
    chain_id: Annotated[int, Meta(description="EIP-155.")]
    rule: str
    rule_version: int
    typology: Annotated[str, Meta(description="The kind of fraud; several rules may find one.")]
    severity: SeverityName
    score: Annotated[float, Meta(description="0 to 1.")]
    subject: Annotated[Address, Meta(description="The wallet or contract it is about.")]
    role: Annotated[RoleName, Meta(description="What the subject is in what happened.")]
    block_number: Count
    block_hash: Annotated[
        str,
        Meta(
            description="0x alone where the source has no hashes.",
            extra_json_schema={"pattern": "^0x([0-9a-f]{64})?$"},
        ),
    ]
    block_timestamp: Annotated[Count, Meta(description="Seconds since 1970, of the block.")]
    transaction_hash: Annotated[
        Hash | None, Meta(description="Null where it is about no single transaction.")
    ]
    ordinal: Annotated[Count, Meta(description="Which finding of that transaction.")]
    fingerprint: Annotated[
        AlertId, Meta(description="The same for every alert of one rule about one subject.")
    ]
    sentence: Annotated[
        str,
        Meta(description="What happened, for people. May hold a stranger's text: escape it."),
    ]
    reasons: list[ReasonPart]
    evidence: EvidencePart
    status: Literal["active", "retracted"]
    retraction_reason: Annotated[
        Literal["orphaned", "moved"] | None,
        Meta(description="orphaned: its block left the chain. moved: it is in another block now."),
    ]


class DigestPart(Struct):
    """Exact counts of lesser alerts that came faster than the receiver's rate."""

    id: Annotated[str, Meta(extra_json_schema={"pattern": "^digest-[0-9a-f]{32}$"})]
    total: Count
    counts: Annotated[
        dict[str, dict[str, dict[str, Count]]],
        Meta(description="How many, by type of message, rule and severity."),
    ]
    subjects: Annotated[Count, Meta(description="How many wallets they are about.")]
    first_block: Count
    last_block: Count
    severity: Annotated[SeverityName, Meta(description="The worst among them.")]
    alerts: Annotated[list[AlertId], Meta(description="The first hundred, the worst first.")]


Moment = Annotated[
    str,
    Meta(
        description="The block's time, UTC.",
        extra_json_schema={"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    ),
]
Version = Annotated[int, Meta(extra_json_schema={"const": VERSION})]


class Raised(Struct, tag_field="type", tag="alert.raised"):
    """A new alert."""

    version: Version
    timestamp: Moment
    data: AlertPart


class Retracted(Struct, tag_field="type", tag="alert.retracted"):
    """An alert that was told is taken back: a fork removed its block."""

    version: Version
    timestamp: Moment
    data: AlertPart


class Moved(Struct, tag_field="type", tag="alert.moved"):
    """An alert that was told holds in another block now; it may have been taken back before."""

    version: Version
    timestamp: Moment
    data: AlertPart


class Digest(Struct, tag_field="type", tag="alert.digest"):
    """Many alerts told in one message."""

    version: Version
    timestamp: Moment
    data: DigestPart


Message = Raised | Retracted | Moved | Digest
"""Everything that a receiver of webhooks is sent."""


def message_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every body of this version."""
    schema = msgspec.json.schema(Message)
    # Of OpenAPI, not of JSON Schema; each type's own "type" tells them apart as well.
    schema.pop("discriminator", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": f"A chainwarden webhook's body, version {VERSION}",
        **schema,
    }
