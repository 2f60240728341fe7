"""Approvals, drainers, baits and lookalikes: whoever talks victims into paying."""

from __future__ import annotations

from typing import Final

from detect.about.text import About

ABOUT: Final[dict[str, About]] = {
    "ice_phishing": About(
        "Strangers approved this spender, or it moved approved tokens away from their owners.",
        (
            "a new router, vault or marketplace that is on no list yet: look who created it",
            "a custodian that sweeps deposit wallets, all funded by the same wallet",
            "a relayer that moves tokens to a contract the owners use anyway",
        ),
        "Look where the tokens went and whether the owners got anything back; warn the approvers.",
        "phishing",
    ),
    "signature_phishing": About(
        "Transfers that owners signed off-chain were submitted by whoever takes their tokens.",
        (
            "a relayer or payment facilitator that is new and serves one merchant",
            "a filler of orders that pays on another chain, as bridges do",
            "a friend who pays the gas for somebody's transfer",
        ),
        "Look whether the owners keep something and come back: payers do, victims do not.",
        "phishing",
    ),
    "drainer_split": About(
        "Losses of several victims were split at once, and this wallet took the same small share.",
        (
            "a marketplace or a launchpad that takes a fixed fee and is on no list yet",
            "a payroll or royalty contract that splits what its owner pays in",
        ),
        "Compare the victims: did they sign the transfers, and did they get anything for it?",
        "drainer",
    ),
    "marketplace_phishing": About(
        "NFTs of strangers were taken for nothing, by an order, a bulk transfer or proxy code.",
        (
            "a gift, or a move to another wallet of the same owner",
            "a sale whose price was paid somewhere else, or in a token that is on no list",
        ),
        "Ask the owners whether they meant it; warn them to cancel their open orders.",
        "phishing",
    ),
    "native_claim": About(
        "Ether was sent along with a bare claim-like call, and nothing came back.",
        (
            "a real mint or game whose payment function has such a name",
            "a project that is new and pays out later",
        ),
        "Look what the target does with the ether: one that passes it on at once is a thief.",
        "phishing",
    ),
    "address_poisoning": About(
        "A lookalike of somebody's peer was planted in that somebody's history.",
        (
            "two wallets of one owner, made by the same vanity generator",
            "dust that a token or a game sends to everybody",
        ),
        "Nothing is lost yet. Label the lookalike, so that a payment to it is known at once.",
        "poisoning",
    ),
    "poisoning_payoff": About(
        "Real value went to a lookalike of a wallet that the sender really deals with.",
        (
            "the sender's own second wallet that resembles the first by chance or by design",
            "a deposit address of the same vanity series at the same service",
        ),
        "Tell the victim and the issuer of the token at once: a freeze may still come in time.",
        "poisoning",
    ),
    "phishing_wallet": About(
        "Many strangers paid a wallet within days, and it cashed out within a day.",
        (
            "a payee: a shop, a presale, a DAO or a donation address",
            "an OTC desk, or a deposit address of an exchange",
        ),
        "Ask whether the payers know each other, and where the cash-out went.",
        "phishing",
    ),
    "dusting": About(
        "Worthless pieces were sent to a hundred wallets or more within a day.",
        ("an airdrop that somebody asked for", "gas drips of a faucet or an app"),
        "Look for what follows: a lookalike that waits, a token whose name is a link.",
        "scam",
    ),
}
