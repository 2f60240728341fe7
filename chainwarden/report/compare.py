"""Two replays side by side: which alerts only one of them has."""

from __future__ import annotations

from collections.abc import Sequence

from chainwarden.report.facts import Difference
from chainwarden.schema import Alert


def compare(name: str, here: Sequence[Alert], there: Sequence[Alert]) -> Difference:
    """What changed against the alerts ``there``, by alert id, in the order of the alerts.

    ``name`` is what the other replay is called.
    """
    known = {alert.id: alert for alert in there}
    ids = {alert.id for alert in here}
    both = [(known[alert.id], alert) for alert in here if alert.id in known]
    changed = tuple((a, b) for a, b in both if a.severity != b.severity)
    return Difference(
        name=name,
        same=len(both) - len(changed),
        only_here=tuple(alert for alert in here if alert.id not in known),
        only_there=tuple(alert for alert in there if alert.id not in ids),
        changed=changed,
    )
