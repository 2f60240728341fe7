"""Which alerts were right: by the truth where it is known, else by what labels say of wallets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from chainwarden.report.facts import Judged
from chainwarden.schema import Alert, Role
from chainwarden.scorecard import Campaign, hits
from detect.label_words import Verdict

BY_TRUTH = "the truth"
BY_LABELS = "labels"

LEAST: Final = 10
"""Alerts of which fewer say nothing about precision."""


def judged_by_truth(alerts: Sequence[Alert], campaigns: Sequence[Campaign]) -> Judged | None:
    """An alert is right if it touches a campaign that its rule looks for."""
    return _judged(BY_TRUTH, alerts, hits(alerts, campaigns))


def judged_by_labels(
    alerts: Sequence[Alert], verdict_of: Callable[[bytes], Verdict]
) -> Judged | None:
    """An alert that accuses a wallet is right if that is labelled bad, wrong if it is good."""
    verdicts = [
        verdict_of(alert.subject) if alert.role == Role.ATTACKER else Verdict.UNKNOWN
        for alert in alerts
    ]
    right = [None if one == Verdict.UNKNOWN else one == Verdict.BAD for one in verdicts]
    return _judged(BY_LABELS, alerts, right)


def _judged(by: str, alerts: Sequence[Alert], right: Sequence[bool | None]) -> Judged | None:
    """The alerts that are judged; None where they are too few, or none of them is right."""
    pairs = zip(alerts, right, strict=True)
    rows = [(alert.score, is_right) for alert, is_right in pairs if is_right is not None]
    if len(rows) < LEAST or not any(is_right for _, is_right in rows):
        return None
    scores, outcomes = zip(*rows, strict=True)
    bounded = tuple(min(1.0, max(0.0, float(score))) for score in scores)
    return Judged(by, bounded, tuple(outcomes), len(alerts) - len(rows))
