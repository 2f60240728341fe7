"""From findings to alerts: what a person should see, once, and not ten thousand times.

In this order a finding is held back when (1) its id was an alert before, (2) a suppression names
its subject or rule, (3) its subject is a known service in the role of an attacker, (4) the same
rule spoke about the same subject within the cool-down and no milder, (5) the hour's budget is
spent. Each is counted by reason; what the budget held back is told in one digest with exact
counts. Critical findings and those about forks know no budget, and critical exact ones no known
service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chainwarden.schema import (
    ZERO_ADDRESS,
    Alert,
    Chain,
    Position,
    Reason,
    Role,
    Severity,
    alert_id,
    column,
)
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.labels import LabelBook
from detect.rules.columns import within_transaction
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

DIGEST_RULE: Final = "alert_digest"
HOUR: Final = 3600
_HEAD: Final = b""  # the key of a table's only row

# Rules that are exact: a critical finding of theirs is never explained away by a service label.
EXACT_RULES: Final = frozenset(
    {
        "safe_delegatecall",
        "sanctions_touch",
        "issuer_freeze",
        "poisoning_payoff",
        "double_spend",
        "reorg_depth",
        "missed_slots",
    }
)


# Rules about forks themselves, and about finality: a run that never saw the losing branch, or was
# never told what is final, has no such findings. They are remembered apart, outside the digest, and
# cost no budget, so that everything else is decided as in a run on the winning chain alone.
FORK_RULES: Final = frozenset(
    {"double_spend", "dropped_by_reorg", "reorg_depth", "finality_delay", "inactivity_leak"}
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """What somebody decided not to hear: a subject, a rule, or a rule about a subject.

    None matches anything, but not both may be None. ``expires`` is a block time; None is never.
    """

    reason: str
    subject: bytes | None = None
    rule: str | None = None
    expires: int | None = None

    def __post_init__(self) -> None:
        if self.subject is None and self.rule is None:
            raise ValueError("a suppression names a subject, a rule, or both")

    def covers(self, finding: Finding, timestamp: int) -> bool:
        """Whether it holds that finding back at that block time."""
        return (
            (self.subject is None or self.subject == finding.subject)
            and (self.rule is None or self.rule == finding.rule)
            and (self.expires is None or timestamp < self.expires)
        )


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """When to speak again, how much at most, and what is not to be spoken of.

    ``cooldown_seconds`` is block time between alerts of one rule about one subject unless the
    severity rises; ``critical_cooldown_seconds`` that between critical ones. ``budget_per_hour``
    counts alerts below critical per hour of block time; at most ``info_per_hour`` of them are info,
    which come by the hundred thousand and must not crowd out the rest. ``capacity`` bounds what is
    remembered.
    """

    cooldown_seconds: int = 7 * 86_400
    critical_cooldown_seconds: int = HOUR
    budget_per_hour: int = 200
    info_per_hour: int = 10
    suppressions: tuple[Suppression, ...] = ()
    capacity: int = 131_072


class AlertPolicy:
    """Decides which findings become alerts. Deterministic, bounded, undone exactly per block.

    ``suppressed`` counts by reason what was held back since the start, blocks reverted later
    included; it is a metric, not part of the state.
    """

    def __init__(
        self, chain: Chain, config: AlertConfig | None = None, labels: LabelBook | None = None
    ) -> None:
        self._chain = chain
        self._config = config or AlertConfig()
        self._labels = labels if labels is not None else LabelBook()
        self._seen = JournaledTable(self._config.capacity)  # alert id -> ()
        self._spoken = JournaledTable(self._config.capacity)  # fingerprint -> (time, severity)
        self._fork_seen = JournaledTable(self._config.capacity)
        self._fork_spoken = JournaledTable(self._config.capacity)
        self._budget = JournaledTable(
            1
        )  # -> (hour, alerts, info alerts so far, the worst held back, ((rule, held back), …))
        self._emitted = _Emitted()
        self._state = _State(
            {
                "seen": self._seen,
                "spoken": self._spoken,
                "fork_seen": self._fork_seen,
                "fork_spoken": self._fork_spoken,
                "budget": self._budget,
                "emitted": self._emitted,
            },
            outside=frozenset({"emitted", "fork_seen", "fork_spoken"}),
        )
        self.suppressed: Counter[str] = Counter()

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """The alerts of a batch in chain order, from the findings of all rules about it."""
        if not len(scored.batch):
            return ()
        times = column(scored.batch.blocks, "block_timestamp")
        alerts: list[Alert] = []
        positions = scored.batch.positions() if findings else []
        done = 0
        for finding in sorted(findings, key=_chain_order):
            row = finding.block_row
            alerts += self._close_hour(scored, times, done, row)
            done = row
            alert = self._decide_one(
                finding, positions[row], scored.first_serial + row, int(times[row])
            )
            if alert is not None:
                alerts.append(alert)
                self._emitted.add(scored.first_serial + row, alert.id)
        alerts += self._close_hour(scored, times, done, len(times) - 1)
        return tuple(alerts)

    def revert(self, serial: int) -> tuple[str, ...]:
        """Undo the block with that serial, the last one decided; the ids of its alerts."""
        ids = self._emitted.of(serial)
        self._state.revert(serial)
        return ids

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted: drop their undo."""
        self._state.forget(serial)

    def snapshot(self) -> bytes:
        """The state, undo included; no pickle. ``restore`` of it continues bit for bit."""
        return self._state.snapshot()

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand."""
        self._state.restore(state)

    def digest(self) -> str:
        """A digest of the state, undo excluded: equal digests, equal future decisions."""
        return self._state.digest()

    # --- one finding

    def _decide_one(
        self, finding: Finding, position: Position, serial: int, time: int
    ) -> Alert | None:
        identity = alert_id(
            self._chain,
            finding.rule,
            finding.rule_version,
            finding.subject,
            finding.transaction_hash,
            finding.ordinal,
        )
        alert = Alert(
            id=identity,
            chain=self._chain,
            rule=finding.rule,
            rule_version=finding.rule_version,
            typology=finding.typology,
            severity=finding.severity,
            score=finding.score,
            subject=finding.subject,
            role=finding.role,
            position=position,
            block_timestamp=time,
            transaction_hash=finding.transaction_hash,
            ordinal=finding.ordinal,
            sentence=finding.sentence,
            reasons=finding.reasons,
            evidence=finding.evidence,
        )
        reason = self._held_back(alert, finding, serial)
        if reason is not None:
            self.suppressed[reason] += 1
            return None
        seen, spoken = self._memory_of(alert.rule)
        seen.put(serial, bytes.fromhex(identity), ())
        spoken.put(serial, bytes.fromhex(alert.fingerprint), (time, int(alert.severity)))
        return alert

    def _memory_of(self, rule: str) -> tuple[JournaledTable, JournaledTable]:
        if rule in FORK_RULES:
            return self._fork_seen, self._fork_spoken
        return self._seen, self._spoken

    def _held_back(self, alert: Alert, finding: Finding, serial: int) -> str | None:
        time, config = alert.block_timestamp, self._config
        seen, heard = self._memory_of(alert.rule)
        if bytes.fromhex(alert.id) in seen:
            return "duplicate"
        if any(suppression.covers(finding, time) for suppression in config.suppressions):
            return "suppression_list"
        critical = alert.severity == Severity.CRITICAL
        if (
            finding.role == Role.ATTACKER
            and not (critical and finding.rule in EXACT_RULES)
            and self._labels.is_service(finding.subject, time, self._chain.name)
        ):
            return "known_service"
        spoken = heard.get(bytes.fromhex(alert.fingerprint))
        if spoken is not None and alert.severity <= spoken[1]:
            wait = config.critical_cooldown_seconds if critical else config.cooldown_seconds
            if max(0, time - spoken[0]) < wait:
                return "cooldown"
        free = critical or alert.rule in FORK_RULES
        if not free and not self._spend(alert.rule, alert.severity, time, serial):
            return "budget"
        return None

    # --- the budget

    def _spend(self, rule: str, severity: Severity, time: int, serial: int) -> bool:
        hour, spent, infos, worst, held = self._budget.get(_HEAD) or (time // HOUR, 0, 0, 0, ())
        if hour != time // HOUR:
            hour, spent, infos, worst, held = time // HOUR, 0, 0, 0, ()
        info = severity == Severity.INFO
        granted = bool(spent < self._config.budget_per_hour)
        granted = granted and not (info and infos >= self._config.info_per_hour)
        if granted:
            spent, infos = spent + 1, infos + info
        else:
            counts = Counter(dict(held))
            counts[rule] += 1
            held, worst = tuple(sorted(counts.items())), max(worst, int(severity))
        self._budget.put(serial, _HEAD, (hour, spent, infos, worst, held))
        return granted

    def _close_hour(
        self, scored: ScoredBatch, times: Array, first: int, last: int
    ) -> tuple[Alert, ...]:
        # Tell what was held back, with the first block of another hour in rows first to last.
        hour, _, _, worst, held = self._budget.get(_HEAD) or (0, 0, 0, 0, ())
        if not held:
            return ()
        others = np.flatnonzero(times[first : last + 1] // HOUR != hour)
        if not len(others):
            return ()
        row = first + int(others[0])
        serial, time = scored.first_serial + row, int(times[row])
        alert = self._digest_alert(hour, worst, held, scored.batch.position(row), time)
        self._budget.put(serial, _HEAD, (time // HOUR, 0, 0, 0, ()))
        self._emitted.add(serial, alert.id)
        return (alert,)

    def _digest_alert(
        self,
        hour: int,
        worst: int,
        held: tuple[tuple[str, int], ...],
        position: Position,
        time: int,
    ) -> Alert:
        # As severe as the worst that was held back, up to medium.
        total = sum(count for _, count in held)
        listed = ", ".join(f"{count} {rule}" for rule, count in held)
        return Alert(
            id=alert_id(
                self._chain, DIGEST_RULE, _State.version, ZERO_ADDRESS, None, position.number
            ),
            chain=self._chain,
            rule=DIGEST_RULE,
            rule_version=_State.version,
            typology="anomaly",
            severity=min(Severity.MEDIUM, Severity(worst)),
            score=1.0,
            subject=ZERO_ADDRESS,
            role=Role.UNKNOWN,
            position=position,
            block_timestamp=time,
            transaction_hash=None,
            ordinal=position.number,
            sentence=(
                f"{total} alerts beyond the budget were held back in the hour from unix time "
                f"{hour * HOUR}: {listed}."
            ),
            reasons=tuple(Reason(rule, float(count), count / total) for rule, count in held),
        )


class _State(Journaled):
    id = "alert_policy"
    version = 4


class _Emitted:
    # The ids of the alerts of each block that can still be reverted.

    def __init__(self) -> None:
        self._ids: dict[int, tuple[str, ...]] = {}

    def add(self, serial: int, identity: str) -> None:
        self._ids[serial] = (*self._ids.get(serial, ()), identity)

    def of(self, serial: int) -> tuple[str, ...]:
        return self._ids.get(serial, ())

    def revert(self, serial: int) -> None:
        self._ids.pop(serial, None)

    def forget(self, serial: int) -> None:
        for old in [s for s in self._ids if s <= serial]:
            del self._ids[old]

    def dump(self) -> object:
        return sorted(self._ids.items())

    def load(self, state: Any) -> None:
        self._ids = {int(serial): tuple(str(i) for i in ids) for serial, ids in state}

    def content(self) -> bytes:
        return b""


def _chain_order(finding: Finding) -> tuple[Any, ...]:
    return (
        finding.block_row,
        finding.transaction_index,
        *within_transaction(finding.ordinal),
        finding.rule,
        finding.subject,
    )
