"""What the detector says: alerts with their evidence, how they are taken back, and their text."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import pyarrow as pa

from chainwarden.schema.blocks import Chain, Position


class Severity(enum.IntEnum):
    """How bad, in Forta's and Alertmanager's words; critical is never dropped or delayed."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def text(self) -> str:
        """``critical`` for ``Severity.CRITICAL``."""
        return self.name.lower()


class Role(enum.StrEnum):
    """What the subject is in what happened."""

    ATTACKER = "attacker"
    VICTIM = "victim"
    SERVICE = "service"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks for an alert: a feature or a rule's own measure.

    ``contribution`` is its share of the score (all of an alert's contributions sum to its score);
    ``threshold`` what the rule compares with, if anything.
    """

    feature: str
    value: float
    contribution: float
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a path of funds: who paid whom how much, in which transaction.

    ``transaction`` is None where the source has no hashes, and for withdrawals of validators;
    ``token`` None is the chain's own coin.
    """

    transaction: bytes | None
    sender: bytes
    receiver: bytes
    amount: int
    token: bytes | None = None


MAX_HOPS: Final = 16
"""The most hops that evidence carries."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an analyst can check on the chain: transactions, wallets, exact amounts.

    ``amounts`` are (token address or None for the chain's coin, exact amount) pairs. ``path`` is
    the way the funds took, in the order of the chain, at most ``MAX_HOPS``; a longer one is cut
    by whoever made it (see ``path_of``). Raises ValueError for one that is not.
    """

    transactions: tuple[bytes, ...] = ()
    addresses: tuple[bytes, ...] = ()
    amounts: tuple[tuple[bytes | None, int], ...] = ()
    path: tuple[Hop, ...] = ()

    def __post_init__(self) -> None:
        if len(self.path) > MAX_HOPS:
            raise ValueError(f"a path has at most {MAX_HOPS} hops, this has {len(self.path)}")


def path_of(hops: Sequence[Hop]) -> tuple[Hop, ...]:
    """The hops as evidence carries them: of a long path the first and the last ones."""
    if len(hops) <= MAX_HOPS:
        return tuple(hops)
    half = MAX_HOPS // 2
    return (*hops[:half], *hops[-half:])


@dataclass(frozen=True, slots=True)
class Alert:
    """A decision that a person or a receiver should see.

    ``id`` is deterministic (see ``alert_id``): a replay, a restart or a second worker produces the
    same. ``fingerprint`` is the same for alerts about the same thing (rule and subject).
    """

    id: str
    chain: Chain
    rule: str
    rule_version: int
    typology: str
    severity: Severity
    score: float
    subject: bytes
    role: Role
    position: Position
    block_timestamp: int
    transaction_hash: bytes | None
    ordinal: int
    sentence: str
    reasons: tuple[Reason, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def fingerprint(self) -> str:
        """The same for every alert of one rule about one subject on one chain."""
        return _digest(self.chain.id, self.rule, self.subject)


def alert_id(
    chain: Chain,
    rule: str,
    rule_version: int,
    subject: bytes,
    transaction_hash: bytes | None,
    ordinal: int,
) -> str:
    """The id of an alert, as 32 hex digits, from what it is about and nothing else."""
    return _digest(chain.id, rule, rule_version, subject, transaction_hash or b"", ordinal)


def _digest(*parts: int | str | bytes) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        hasher.update(len(data).to_bytes(4, "big") + data)
    return hasher.hexdigest()


class RetractionReason(enum.StrEnum):
    """Why an alert was taken back."""

    ORPHANED = "orphaned"  # its block is not on the chain any more
    MOVED = "moved"  # the same transaction is on the chain again, in another block


@dataclass(frozen=True, slots=True)
class Retraction:
    """An alert taken back because its block was reverted."""

    alert_id: str
    position: Position  # the block that was reverted
    reason: RetractionReason = RetractionReason.ORPHANED


@dataclass(frozen=True, slots=True)
class Detections:
    """What the detector says about a batch.

    ``features`` has a row per flow: the key columns, the scores (null in warm-up), the features as
    they were read, before the flow itself was learnt.
    """

    alerts: tuple[Alert, ...]
    features: pa.Table


# --- text at the edges -------------------------------------------------------------------------


def hex_of(data: bytes | None) -> str | None:
    """``0x…`` text of an address or hash; None stays None.

    >>> hex_of(bytes([0xca, 0xfe]))
    '0xcafe'
    """
    return None if data is None else "0x" + data.hex()


def alert_to_dict(alert: Alert) -> dict[str, object]:
    """The documented JSON form of an alert: hex text, exact amounts as decimal text."""
    return {
        "id": alert.id,
        "chain": alert.chain.name,
        "chain_id": alert.chain.id,
        "rule": alert.rule,
        "rule_version": alert.rule_version,
        "typology": alert.typology,
        "severity": alert.severity.text,
        "score": alert.score,
        "subject": hex_of(alert.subject),
        "role": alert.role.value,
        "block_number": alert.position.number,
        "block_hash": hex_of(alert.position.hash),
        "block_timestamp": alert.block_timestamp,
        "transaction_hash": hex_of(alert.transaction_hash),
        "ordinal": alert.ordinal,
        "fingerprint": alert.fingerprint,
        "sentence": alert.sentence,
        "reasons": [
            {
                "feature": r.feature,
                "value": r.value,
                "contribution": r.contribution,
                "threshold": r.threshold,
            }
            for r in alert.reasons
        ],
        "evidence": {
            "transactions": [hex_of(t) for t in alert.evidence.transactions],
            "addresses": [hex_of(a) for a in alert.evidence.addresses],
            "amounts": [
                {"token": hex_of(token), "amount": str(amount)}
                for token, amount in alert.evidence.amounts
            ],
            "path": [
                {
                    "transaction": hex_of(hop.transaction),
                    "from": hex_of(hop.sender),
                    "to": hex_of(hop.receiver),
                    "token": hex_of(hop.token),
                    "amount": str(hop.amount),
                }
                for hop in alert.evidence.path
            ],
        },
    }


def alerts_digest(alerts: Sequence[Alert]) -> str:
    """A digest of a set of alerts, whatever their order: equal digests, equal alerts."""
    encoder = msgspec.json.Encoder(order="sorted")
    lines = sorted(encoder.encode(alert_to_dict(alert)) for alert in alerts)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
