"""What models find, and the digest of what was held back."""

from __future__ import annotations

from typing import Final

from detect.about.text import About

ABOUT: Final[dict[str, About]] = {
    "flow_anomaly": About(
        "A payment that is unlike what the model has seen, and large.",
        (
            "a service's own transfer between wallets that are on no list yet",
            "something new and harmless: the model knows rare, not bad",
        ),
        "Look at the features that moved the score; label services, so that they are known.",
        "malicious",
    ),
    "wallet_anomaly": About(
        "A wallet that behaves unlike those the model has seen, and moves much.",
        (
            "a service's wallet that is on no list yet: an exchange, a bridge, a market maker",
            "something new and harmless: the model knows rare, not bad",
        ),
        "Look at the features that moved the score; label services, so that they are known.",
        "malicious",
    ),
    "alert_digest": About(
        "More alerts than the hourly budget: those beyond it are only counted here.",
        ("one noisy rule: suppress it, or raise alerts.budget_per_hour",),
        "See which rule it was; critical alerts are never held back.",
    ),
    "wallet_risk": About(
        "A wallet that behaves like those that turned out bad, as the model has learnt so far.",
        (
            "a busy new payee: a shop, a token sale, a donation address",
            "somebody who was paid by a bad wallet, or paid one",
        ),
        "Look at what moved the risk and where the money goes; the model learns your label.",
        "phishing",
    ),
    "model_parting": About(
        "The risk model calls harmless what its fixed reference, an older copy, calls risky.",
        (
            "an attack of then has gone out of use, and its look-alikes are harmless by now",
            "labels that were wrong were withdrawn, and the model follows",
        ),
        "Look who labelled what in the last weeks: chainwarden labels. Withdraw what is false.",
    ),
}
