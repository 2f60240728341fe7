"""Takeovers and stolen keys."""

from __future__ import annotations

from typing import Final

from detect.about.text import About

ABOUT: Final[dict[str, About]] = {
    "safe_delegatecall": About(
        "A Safe ran code in its own context that is none of the published Safe libraries.",
        (
            "a new release of a Safe library, or a module its owners audited and use on purpose",
            "a contract that only looks like a Safe",
        ),
        "Ask the owners whether they know the target; if not, the Safe is lost to it: warn them.",
        "exploit",
    ),
    "contract_takeover": About(
        "A watched contract changed its code or its owner, or a Safe's own code was replaced.",
        (
            "an upgrade its makers announced somewhere else than in a timelock",
            "a handover to a new owner, or to a multisig that is in no list yet",
            "a Safe that moves to a release which is too new to be known here",
        ),
        "Ask the makers at once whether it was they; read what the new code can move.",
        "exploit",
    ),
    "exchange_drain": About(
        "Far more than usual left an exchange or a treasury, and to wallets it never paid before.",
        (
            "a rotation into new cold wallets, of which nobody has told yet",
            "a run on the exchange: many customers withdraw at once",
        ),
        "Call the exchange; follow what left, and ask the issuers of the tokens for a freeze.",
        "heist",
    ),
    "malicious_deployment": About(
        "A contract was made whose code, and whose maker, look like those made for an attack.",
        (
            "a searcher's or an auditor's bot, which calls the same functions",
            "a maker who came out of a mixer for privacy's sake",
        ),
        "Simulate what it can do to the protocols that it names; warn them before it is called.",
        "exploit",
    ),
    "sweeper_delegation": About(
        "Accounts that delegate to this code (EIP-7702) lose at once whatever arrives.",
        (
            "a wallet's own batching or recovery code that is on no list yet",
            "owners who moved to a new wallet and forward what still comes in",
        ),
        "Look whether one receiver gets it all, and whether the accounts' owners pay the gas.",
        "drainer",
    ),
    "key_compromise": About(
        "Several unrelated wallets were emptied into one fresh wallet within hours.",
        (
            "an exchange that sweeps its deposit addresses",
            "one owner who moves his own wallets together, or to a Safe",
        ),
        "Look for one first funder of all; without one, warn others who use that wallet app.",
        "exploit",
    ),
    "sybil": About(
        "One funder's many wallets do the same things for one reward.",
        (
            "an exchange's hot wallet or a faucet that funds strangers",
            "payroll, a paymaster or a bridge",
        ),
        "Compare what the children do and where their money ends.",
        "sybil",
    ),
}
