"""What the fixed reference found: that the online risk model forgets what it knew was bad.

About the model, not about a wallet: analysts should look at the labels of the last weeks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chainwarden.schema import ZERO_ADDRESS, Reason, Role, Severity
from detect.kernels.reference import FARTHEST
from detect.reference import Alarm
from detect.rules.columns import AFTER_ALL_TRANSACTIONS
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

PARTING_RULE: Final = "model_parting"
VERSION: Final = 1


def parting_findings(scored: ScoredBatch, alarms: Sequence[Alarm]) -> list[Finding]:
    """One finding a block with alarms; the score is how far apart the two are, of 4 at most."""
    first = {alarm.block: alarm for alarm in reversed(alarms)}
    return [_finding(scored, first[block]) for block in sorted(first)]


def _finding(scored: ScoredBatch, alarm: Alarm) -> Finding:
    apart = -alarm.mean
    score = min(1.0, max(0.0, apart / FARTHEST))
    return Finding(
        rule=PARTING_RULE,
        rule_version=VERSION,
        typology="anomaly",
        severity=Severity.HIGH,
        score=score,
        subject=ZERO_ADDRESS,
        role=Role.UNKNOWN,
        block_row=alarm.block,
        transaction_index=AFTER_ALL_TRANSACTIONS,
        transaction_hash=None,
        ordinal=int(scored.batch.numbers()[alarm.block]),
        sentence=(
            "The wallet risk model has parted from its fixed reference: wallets that were risky by "
            f"what it knew then are now {apart:.1f} log odds less so on average. Either the world "
            "changed, or false labels are teaching it to look away."
        ),
        reasons=(Reason("log_odds_below_reference", apart, score),),
    )
