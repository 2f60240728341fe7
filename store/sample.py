"""Messages to try a receiver with: as real ones, and saying that they are none."""

from __future__ import annotations

from typing import Final

import msgspec

from chainwarden.schema import (
    Alert,
    Chain,
    Evidence,
    Hop,
    Position,
    Reason,
    Role,
    Severity,
    alert_id,
    alert_to_dict,
)
from store.outbox_rows import DIGEST, MOVED, RAISED, RETRACTED
from store.payload import message_body

KINDS: Final = (RAISED, RETRACTED, MOVED, DIGEST)
SENTENCE: Final = "A sample, nothing happened: 0x5a…5a took 1.5 ETH that a victim had approved"
_RULE: Final = "ice_phishing"
_THIEF: Final = b"\x5a" * 20
_VICTIM: Final = b"\x11" * 20
_BLOCK: Final = 21_000_000
_WEI: Final = 15 * 10**17


def sample_message(kind: str, chain: Chain, now: float) -> tuple[str, bytes]:
    """The id and the body of a message of one of ``KINDS``. ``now``: seconds since 1970.

    Its alert is the same whenever it is asked for in the same second, and its addresses and hashes
    are nobody's.
    """
    stamp = int(now)
    alert = _alert(chain, stamp)
    ending = {RAISED: "", RETRACTED: "-retracted-0", MOVED: "-moved-1"}
    if kind == DIGEST:
        data = _digest(alert)
        return str(data["id"]), message_body(kind, stamp, msgspec.json.encode(data))
    gone = kind == RETRACTED
    said = alert_to_dict(alert) | {
        "status": "retracted" if gone else "active",
        "retraction_reason": "orphaned" if gone else None,
    }
    return alert.id + ending[kind], message_body(kind, stamp, msgspec.json.encode(said))


def _alert(chain: Chain, stamp: int) -> Alert:
    transaction = stamp.to_bytes(32, "big")
    return Alert(
        id=alert_id(chain, _RULE, 1, _THIEF, transaction, 0),
        chain=chain,
        rule=_RULE,
        rule_version=1,
        typology="phishing",
        severity=Severity.HIGH,
        score=0.9,
        subject=_THIEF,
        role=Role.ATTACKER,
        position=Position(_BLOCK, b"\xb1" * 32),
        block_timestamp=stamp,
        transaction_hash=transaction,
        ordinal=0,
        sentence=SENTENCE,
        reasons=(
            Reason("taken_after_approval_eth", 1.5, 0.6, 0.1),
            Reason("minutes_since_approval", 4.0, 0.3, 60.0),
        ),
        evidence=Evidence(
            (transaction,),
            (_VICTIM, _THIEF),
            ((None, _WEI),),
            (Hop(transaction, _VICTIM, _THIEF, _WEI),),
        ),
    )


def _digest(alert: Alert) -> dict[str, object]:
    return {
        "id": f"digest-{alert.id}",
        "total": 3,
        "counts": {RAISED: {_RULE: {"medium": 2}}, RETRACTED: {_RULE: {"low": 1}}},
        "subjects": 2,
        "first_block": _BLOCK - 2,
        "last_block": _BLOCK,
        "severity": "medium",
        "alerts": [alert.id],
    }
