"""The attacks: one script each, and how many of each a run of a given length has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ingest.simulate.campaigns import (
    address_poisoning,
    contract_takeover,
    drainer_split,
    dusting,
    exchange_drain,
    flash_loan,
    free_buy,
    gas_spam,
    honeypot,
    ice_phishing,
    issuer_freeze,
    key_compromise,
    layering,
    malicious_deployment,
    mixer,
    native_claim,
    phishing_wallet,
    ponzi,
    rug_pull,
    safe_takeover,
    sanctions,
    sandwich,
    signature_phishing,
    sweeper_delegation,
    sybil,
    taint,
    wash_trading,
)
from ingest.simulate.draft import Script
from ingest.simulate.stage import Stage

# One of each kind for so many transactions, however many kinds there are.
TRANSACTIONS_PER_CAMPAIGN: Final = 21_600


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of attack: its script, about how many transactions one has, and what it is."""

    script: Callable[[Stage], Script]
    size: int
    note: str


SCRIPTED: Final[dict[str, Kind]] = {
    "ice_phishing": Kind(
        ice_phishing.script, 36, "allowances granted to a fresh EOA, then everything is taken"
    ),
    "signature_phishing": Kind(
        signature_phishing.script, 15, "signed transfers, submitted by who takes the tokens"
    ),
    "address_poisoning": Kind(
        address_poisoning.script, 17, "zero, dust and fake transfers from lookalikes, and payoffs"
    ),
    "drainer_split": Kind(
        drainer_split.script, 32, "a drainer kit's operator and its user share every loss"
    ),
    "free_buy": Kind(free_buy.script, 8, "orders that ask nothing for NFTs, and bulk transfers"),
    "exchange_drain": Kind(
        exchange_drain.script, 20, "a hot wallet pays fresh wallets ether and token after token"
    ),
    "dusting": Kind(dusting.script, 60, "worthless tokens, NFTs or a few wei for strangers"),
    "native_claim": Kind(
        native_claim.script, 19, "ether paid to claim() or SecurityUpdate() for nothing"
    ),
    "phishing_wallet": Kind(
        phishing_wallet.script, 26, "fan-in from strangers, then at least 80 % is cashed out"
    ),
    "layering": Kind(
        layering.script, 50, "a theft split, passed through fresh wallets, and peeled off"
    ),
    "sweeper_delegation": Kind(
        sweeper_delegation.script, 24, "leaked accounts delegate to code that forwards their income"
    ),
    "sybil": Kind(sybil.script, 172, "one funder, equal children, the same actions, one sink"),
    "wash_trading": Kind(
        wash_trading.script, 37, "the same few wallets trade one thing in a circle"
    ),
    "mixer": Kind(mixer.script, 20, "Tornado Cash in and out; the funded wallets act"),
    "malicious_deployment": Kind(
        malicious_deployment.script, 8, "a contract for an attack: a copy, or out of the mixer"
    ),
    "key_compromise": Kind(
        key_compromise.script, 22, "several people's wallets emptied to one fresh receiver"
    ),
    "rug_pull": Kind(
        rug_pull.script,
        45,
        "the makers of a token take out what others paid, in three ways",
    ),
    "flash_loan": Kind(
        flash_loan.script, 5, "a fresh contract drains a protocol with borrowed money"
    ),
    "ponzi": Kind(ponzi.script, 95, "a contract pays early investors with what later ones pay in"),
    "honeypot": Kind(honeypot.script, 45, "a token that only its makers can sell"),
    "sanctions": Kind(sanctions.script, 18, "transfers to and from a sanctioned wallet"),
    "sandwich": Kind(
        sandwich.script, 26, "a bot trades right before and after users, in V2, V3 or V4 pools"
    ),
    "taint": Kind(taint.script, 12, "a known thief's money goes through mules to an exchange"),
    "issuer_freeze": Kind(
        issuer_freeze.script, 8, "an issuer's blacklisting and the attempts to move after it"
    ),
    "contract_takeover": Kind(
        contract_takeover.script,
        9,
        "a stolen key gives a contract new code; it is emptied",
    ),
    "safe_takeover": Kind(
        safe_takeover.script, 14, "a Safe delegates to what is no MultiSend, and is emptied"
    ),
}
"""Attacks that are scripts of transactions, by typology."""

RARE: Final[dict[str, Kind]] = {
    "gas_spam": Kind(gas_spam.script, 140, "blocks filled with costly calls of one contract"),
}
"""Attacks on the chain that are scripts, too, and come once in half a day and more."""

FORKED: Final = ("double_spend", "reorg", "consensus", "builders")
"""What happens to the chain itself: see ``forks``. ``reorg`` is innocent and not in the truth."""

ALL: Final = (*SCRIPTED, *RARE, *FORKED)


def instances(transactions: int) -> int:
    """How many of each scripted kind a run of that many transactions has; at least one."""
    return max(1, transactions // TRANSACTIONS_PER_CAMPAIGN)


def rare_instances(blocks: int) -> int:
    """How many of each rare kind a run has; none in a run too short for one to end in."""
    return 1 + blocks // 5_000 if blocks >= 300 else 0
