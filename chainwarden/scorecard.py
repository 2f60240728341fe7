"""Alerts against the truth of a simulated chain: precision and recall, rule by rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.errors import FileFormatError
from chainwarden.schema import ZERO_ADDRESS, Alert

# An alert of this typology may be about any campaign.
ANY: Final = "anomaly"

# Rules about the chain look back that far: two epochs.
DISTURBED_BLOCKS: Final = 64

RULES: Final = {
    "address_poisoning": "address_poisoning",
    "base_fee_spike": "gas_spam",
    "builder_majority": "builders",
    "builder_shift": "builders",
    "contract_takeover": "contract_takeover",
    "double_spend": "double_spend",
    "drainer_split": "drainer_split",
    "exchange_drain": "exchange_drain",
    "dropped_by_reorg": "double_spend",
    "empty_blocks": "empty_blocks",
    "failure_spike": "gas_spam",
    "dusting": "dusting",
    "finality_delay": "finality",
    "flow_anomaly": ANY,
    "full_blocks": "gas_spam",
    "flash_loan": "flash_loan",
    "honeypot": "honeypot",
    "gas_hog": "gas_spam",
    "ice_phishing": "ice_phishing",
    "inactivity_leak": "finality",
    "issuer_freeze": "issuer_freeze",
    "jit_liquidity": "jit_liquidity",
    "key_compromise": "key_compromise",
    "layering": "layering",
    "marketplace_phishing": "free_buy",
    "malicious_deployment": "malicious_deployment",
    "missed_slots": "consensus",
    "mixer_link": "mixer",
    "mixer_touch": "mixer",
    "native_claim": "native_claim",
    "phishing_wallet": "phishing_wallet",
    "poisoning_payoff": "address_poisoning",
    "reorg_depth": "reorg",
    "safe_delegatecall": "safe_takeover",
    "sanctions_list": "sanctions",
    "sanctions_touch": "sanctions",
    "ponzi": "ponzi",
    "rug_pull": "rug_pull",
    "sandwich": "sandwich",
    "signature_phishing": "signature_phishing",
    "sweeper_delegation": "sweeper_delegation",
    "taint": "taint",
    "selector_spike": "gas_spam",
    "sybil": "sybil",
    "wallet_anomaly": ANY,
    "wallet_risk": ANY,
    "wash_trading": "wash_trading",
    "wrong_fee": "wrong_fee",
}
"""The kind of campaign that each rule looks for."""

ALSO: Final[Mapping[str, frozenset[str]]] = {
    "contract_takeover": frozenset({"safe_takeover"}),
    "drainer_split": frozenset({"ice_phishing"}),
    "ice_phishing": frozenset({"drainer_split"}),
    # Money of any attack may be layered.
    "layering": frozenset(
        {"taint", "safe_takeover", "sanctions", "phishing_wallet", "key_compromise", "rug_pull"}
    ),
    "marketplace_phishing": frozenset({"ice_phishing"}),
    "signature_phishing": frozenset({"drainer_split", "ice_phishing"}),
    "mixer_touch": frozenset({"malicious_deployment"}),
    "taint": frozenset({"sanctions", "mixer", "malicious_deployment"}),
}
"""Kinds that a rule's alerts may rightly be about as well: hits, but nothing to be found."""


class Campaign(msgspec.Struct, frozen=True):
    """An attack that took place; ``addresses`` by role and ``transactions`` are 0x text."""

    id: str
    typology: str
    start_block: int
    end_block: int
    addresses: dict[str, list[str]]
    transactions: list[str]
    note: str = ""


class RuleScore(msgspec.Struct, frozen=True):
    """How a rule did.

    ``hits`` are alerts that touch a campaign of the rule's typology (an anomaly: any campaign):
    their transaction, evidence, path of funds or subject belongs to it. A disturbance of the chain
    itself has none of these, nor has an alert about the chain itself: alerts in its blocks, or
    within 64 after, touch it. ``found`` of ``campaigns`` were touched by at least one alert of the
    rule. ``blocks_to_alert`` is the median, from a campaign's first block to its first alert.
    """

    rule: str
    typology: str
    alerts: int
    hits: int
    found: int
    campaigns: int
    blocks_to_alert: float | None

    @property
    def precision(self) -> float | None:
        """Share of the alerts that are hits; None without alerts."""
        return self.hits / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """Share of the campaigns that were found; None where there are none."""
        return self.found / self.campaigns if self.campaigns else None


def read_truth(path: Path) -> list[Campaign]:
    """The campaigns of a truth file. Raises FileFormatError where it is none."""

    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Campaign])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{path}: no truth file: {error}") from error


def score_rules(
    alerts: Sequence[Alert], campaigns: Sequence[Campaign], rules: Mapping[str, str] = RULES
) -> list[RuleScore]:
    """A score for every rule; ``rules`` gives the typology of each by its id."""
    by_rule: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_rule[alert.rule].append(alert)
    members = {campaign.id: _members(campaign) for campaign in campaigns}
    scores = []
    for rule, typology in sorted(rules.items()):
        wanted = [c for c in campaigns if typology in (c.typology, ANY)]
        also = [c for c in campaigns if c.typology in ALSO.get(rule, ())]
        hits = 0
        first: dict[str, int] = {}
        for alert in by_rule[rule]:
            touched = [c for c in wanted if _touches(alert, c, members[c.id])]
            hits += bool(touched) or any(_touches(alert, c, members[c.id]) for c in also)
            for campaign in touched:
                first.setdefault(campaign.id, alert.position.number - campaign.start_block)
        delays = sorted(max(0, d) for d in first.values())
        scores.append(
            RuleScore(
                rule=rule,
                typology=typology,
                alerts=len(by_rule[rule]),
                hits=hits,
                found=len(first),
                campaigns=len(wanted),
                blocks_to_alert=float(delays[len(delays) // 2]) if delays else None,
            )
        )
    return scores


def hits(
    alerts: Sequence[Alert], campaigns: Sequence[Campaign], rules: Mapping[str, str] = RULES
) -> list[bool | None]:
    """Whether each alert touches a campaign that its rule looks for; None for an unknown rule."""
    members = {campaign.id: _members(campaign) for campaign in campaigns}
    return [
        None
        if alert.rule not in rules
        else any(
            _touches(alert, campaign, members[campaign.id])
            for campaign in campaigns
            if rules[alert.rule] in (campaign.typology, ANY)
            or campaign.typology in ALSO.get(alert.rule, ())
        )
        for alert in alerts
    ]


def _members(campaign: Campaign) -> set[bytes]:
    texts = [*campaign.transactions, *(a for who in campaign.addresses.values() for a in who)]
    return {bytes.fromhex(text[2:]) for text in texts}


def _touches(alert: Alert, campaign: Campaign, members: set[bytes]) -> bool:
    about_chain = alert.subject == ZERO_ADDRESS and not alert.evidence.transactions
    if members and not about_chain:
        return not members.isdisjoint(_traces(alert))
    last = campaign.end_block + DISTURBED_BLOCKS
    return campaign.start_block <= alert.position.number <= last


def _traces(alert: Alert) -> set[bytes]:
    traces = {alert.subject, *alert.evidence.transactions}
    traces.update(hop.transaction for hop in alert.evidence.path if hop.transaction)
    if alert.transaction_hash:
        traces.add(alert.transaction_hash)
    return traces
