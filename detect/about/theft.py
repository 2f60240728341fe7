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
    "sweeper_delegation": About(
        "Accounts that delegate to this code (EIP-7702) lose at once whatever arrives.",
        (
            "a wallet's own batching or recovery code that is on no list yet",
            "owners who moved to a new wallet and forward what still comes in",
        ),
        "Look whether one receiver gets it all, and whether the accounts' owners pay the gas.",
        "drainer",
    ),
}
