"""What stands out of the anomaly scores, as findings that say which features moved them.

A score stands out when it is above the running quantile of the scores before it. A gate on value
and activity keeps what nobody would look at from being reported: statistical oddness alone is
common, and never critical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.compiled import Array
from detect.features import FLOW_FEATURES, MEANINGS, WALLET_FEATURES
from detect.kernels.arrays import Seen
from detect.learning import DepthLearner, ScoredRows
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

FLOW_RULE: Final = "flow_anomaly"
WALLET_RULE: Final = "wallet_anomaly"
VERSION: Final = 1
NAMED: Final = 5  # features named in a finding; the others are one sum
WEI_PER_ETHER: Final = 10**18


@dataclass(frozen=True, slots=True)
class AnomalyGates:
    """What an anomaly must be about to be reported; values in wei of the chain's coin.

    A wallet with more flows than ``established`` has a reputation (Forta's scam detector draws the
    line there, too): exchanges and pools are rare among wallets, and no news.
    """

    flow_value: float = 1e19
    wallet_value: float = 1e19
    wallet_events: int = 8
    established: int = 2_000
    low_value: float = 1e20
    medium_value: float = 1e21

    def severity(self, value: float) -> Severity:
        """Never above medium: a score says that something is odd, not that it is wrong."""
        if value >= self.medium_value:
            return Severity.MEDIUM
        return Severity.LOW if value >= self.low_value else Severity.INFO


def flow_findings(
    scored: ScoredBatch, rows: ScoredRows, learner: DepthLearner, gates: AnomalyGates
) -> list[Finding]:
    """Coin flows that succeeded, are worth a look, and score above the running quantile."""
    flows = scored.batch.flows
    odd = np.flatnonzero(rows.scores > rows.thresholds)
    findings = []
    for i in odd.tolist():
        flow = flows.slice(i, 1).to_pylist()[0]
        if (
            flow["token_address"] is not None
            or flow["value_f64"] < gates.flow_value
            or flow["status"] == 0
            or flow["transaction_index"] is None
            or scored.flow_facts["from_events"][i] > gates.established
        ):
            continue
        values = np.array([scored.features[name][i].as_py() for name in FLOW_FEATURES])
        amount = int.from_bytes(flow["value"], "big")
        reasons, words = _explained(learner, rows, i, values, FLOW_FEATURES)
        score = float(rows.scores[i])
        findings.append(
            Finding(
                rule=FLOW_RULE,
                rule_version=VERSION,
                typology="anomaly",
                severity=gates.severity(flow["value_f64"]),
                score=score,
                subject=flow["from_address"],
                role=Role.UNKNOWN,
                block_row=_block_row(scored, flow["block_number"]),
                transaction_index=flow["transaction_index"],
                transaction_hash=flow["transaction_hash"],
                ordinal=flow["ordinal"],
                sentence=(
                    f"{amount / WEI_PER_ETHER:,.4g} ether from {hex_of(flow['from_address'])} to "
                    f"{hex_of(flow['to_address'])} is unusual: score {score:.3f}, above "
                    f"{learner.config.level:.2%} of recent flows ({rows.thresholds[i]:.3f}). "
                    f"What stands out: {words}."
                ),
                reasons=reasons,
                evidence=_evidence(flow, amount),
            )
        )
    return findings


def wallet_findings(
    scored: ScoredBatch,
    seen: Seen,
    rows: ScoredRows,
    learner: DepthLearner,
    gates: AnomalyGates,
) -> list[Finding]:
    """Wallets that have done enough, moved enough, and score above the running quantile."""
    flows = scored.batch.flows
    findings = []
    for n in np.flatnonzero(rows.scores > rows.thresholds).tolist():
        i, is_sender = int(seen.wallet_flow[n]), bool(seen.wallet_is_sender[n])
        side = "from" if is_sender else "to"
        # The facts are as of before the flow, which itself is the event the wallet is read at.
        events = int(scored.flow_facts[f"{side}_events"][i]) + 1
        value = float(seen.wallet_value[n])
        flow = flows.slice(i, 1).to_pylist()[0]
        if (
            not gates.wallet_events <= events <= gates.established
            or value < gates.wallet_value
            or flow["transaction_index"] is None
        ):
            continue
        subject = flow[f"{side}_address"]
        reasons, words = _explained(learner, rows, n, seen.wallet_features[n], WALLET_FEATURES)
        score = float(rows.scores[n])
        findings.append(
            Finding(
                rule=WALLET_RULE,
                rule_version=VERSION,
                typology="anomaly",
                severity=gates.severity(value),
                score=score,
                subject=subject,
                role=Role.UNKNOWN,
                block_row=_block_row(scored, flow["block_number"]),
                transaction_index=flow["transaction_index"],
                transaction_hash=flow["transaction_hash"],
                ordinal=flow["ordinal"],
                sentence=(
                    f"Wallet {hex_of(subject)} is unusual after {events} flows and "
                    f"{value / WEI_PER_ETHER:,.4g} ether: score {score:.3f}, above "
                    f"{learner.config.level:.2%} of recent wallets ({rows.thresholds[n]:.3f}). "
                    f"What stands out: {words}."
                ),
                reasons=reasons,
                evidence=_evidence(flow, int.from_bytes(flow["value"], "big")),
            )
        )
    return findings


def _explained(
    learner: DepthLearner, rows: ScoredRows, row: int, values: Array, names: Sequence[str]
) -> tuple[tuple[Reason, ...], str]:
    """The reasons, whose contributions sum to the score, and the top ones in words."""
    shares = learner.explain(rows, row)
    usual, shares = float(shares[-1]), shares[:-1]
    # Stable, so that equal shares keep the declared order.
    top = np.argsort(-shares, kind="stable")[:NAMED].tolist()
    reasons = [
        Reason("usual_score", usual, usual, float(rows.thresholds[row])),
        *(Reason(names[k], float(values[k]), float(shares[k])) for k in top),
    ]
    named = sum(reason.contribution for reason in reasons)
    others = float(rows.scores[row]) - named
    reasons.append(Reason("other_features", float(len(names) - len(top)), others))
    words = ", ".join(f"{MEANINGS[names[k]]} ({values[k]:.2f})" for k in top[:3])
    return tuple(reasons), words


def _evidence(flow: dict[str, Any], amount: int) -> Evidence:
    transaction = flow["transaction_hash"]
    return Evidence(
        transactions=() if transaction is None else (transaction,),
        addresses=(flow["from_address"], flow["to_address"]),
        amounts=((flow["token_address"], amount),),
    )


def _block_row(scored: ScoredBatch, number: int) -> int:
    return int(np.searchsorted(scored.batch.numbers(), number))
