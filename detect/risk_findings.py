"""What the risk model found, as findings that say which features moved the risk.

A wallet is told of when its risk first reaches the alert level, and once more at the grave one. The
model explains itself in log odds, exactly; here those shares are scaled to probability, so that
they sum to the score: the risk that nothing in particular speaks for, and what each feature adds.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.anomaly import NAMED, WEI_PER_ETHER
from detect.compiled import Array
from detect.features import MEANINGS, RISK_FEATURES
from detect.kernels.risk import Rows
from detect.kernels.scaling import probability
from detect.rules.columns import AFTER_ALL_TRANSACTIONS
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

RISK_RULE: Final = "wallet_risk"
VERSION: Final = 1
STAKE: Final = "stake"
NAMES: Final = (*RISK_FEATURES, STAKE)
STAKE_MEANING: Final = "share of its early income that is foretold to be still to come"


def risk_findings(scored: ScoredBatch, rows: Rows, established: int) -> list[Finding]:
    """The wallets whose risk rose to a level in this batch, in chain order.

    Wallets with more flows than ``established`` have a reputation and are left to people.
    """
    findings = []
    for n in range(int(rows.told_used[0])):
        row = int(rows.told_row[n])
        flow = scored.batch.flows.slice(int(rows.flow[row]), 1).to_pylist()[0]
        facts = scored.flow_facts[rows.flow[row]]
        side = "from" if rows.sends[row] else "to"
        if facts[f"{side}_events"] < established:
            findings.append(_finding(scored, rows, row, rows.told[n], flow, side))
    return findings


def contributions(shares: Array) -> tuple[float, Array]:
    """Shares of log odds as shares of the probability: the usual risk, and each feature's part.

    ``shares`` are each name's, the last nobody's. What is nobody's alone would give the usual risk;
    the way from there to the risk is divided among the features as the log odds are.
    """
    nobody, logit = float(shares[-1]), float(shares.sum())
    usual, risk = probability(nobody), probability(logit)
    moved = logit - nobody
    slope = (risk - usual) / moved if abs(moved) > 1e-9 else risk * (1.0 - risk)
    return usual, shares[:-1] * slope


def _finding(
    scored: ScoredBatch, rows: Rows, row: int, shares: Array, flow: dict[str, Any], side: str
) -> Finding:
    usual, parts = contributions(shares)
    risk = float(rows.risks[row])
    values = np.append(rows.features[row], math.nan)
    # Stable, so that equal shares keep the declared order.
    top = np.argsort(-parts, kind="stable")[:NAMED].tolist()
    reasons = [
        Reason("usual_risk", usual, usual),
        *(Reason(NAMES[k], _told(float(values[k])), float(parts[k])) for k in top),
    ]
    named = sum(reason.contribution for reason in reasons)
    reasons.append(Reason("other_features", float(len(parts) - len(top)), risk - named))
    words = ", ".join(f"{_meaning(NAMES[k])} ({_told(float(values[k])):.2f})" for k in top[:3])
    subject, amount = flow[f"{side}_address"], int.from_bytes(flow["value"], "big")
    assert isinstance(subject, bytes)
    transaction, index = flow["transaction_hash"], flow["transaction_index"]
    grave = risk >= GRAVE
    moved = "" if flow["token_address"] else f" of {amount / WEI_PER_ETHER:,.4g} ether"
    return Finding(
        rule=RISK_RULE,
        rule_version=VERSION,
        typology="phishing_wallet",
        severity=Severity.HIGH if grave else Severity.MEDIUM,
        score=risk,
        subject=subject,
        role=Role.ATTACKER,
        block_row=int(np.searchsorted(scored.batch.numbers(), flow["block_number"])),
        transaction_index=AFTER_ALL_TRANSACTIONS if index is None else index,
        transaction_hash=transaction,
        ordinal=flow["ordinal"],
        sentence=(
            f"Wallet {hex_of(subject)} behaves like wallets that turned out bad: risk {risk:.2f} "
            f"after a flow{moved}. What speaks for it most: {words}."
        ),
        reasons=tuple(reasons),
        evidence=Evidence(
            transactions=() if transaction is None else (transaction,),
            addresses=(flow["from_address"], flow["to_address"]),
            amounts=((flow["token_address"], amount),),
        ),
    )


GRAVE: Final = 0.9
"""From this risk on an alert is high."""


def _meaning(name: str) -> str:
    return STAKE_MEANING if name == STAKE else MEANINGS[name]


def _told(value: float) -> float:
    return 0.0 if math.isnan(value) else value
