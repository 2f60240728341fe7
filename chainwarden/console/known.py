"""What the console needs to know to write what the API says: tokens, label words, rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from chainwarden.schema import Chain, Severity, hex_of
from detect.about import ABOUT
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.label_words import BAD_LABELS, FALSE_POSITIVE, TRUSTED

EXPLORERS: Final[dict[int, str]] = {
    1: "https://etherscan.io",
    10: "https://optimistic.etherscan.io",
    56: "https://bscscan.com",
    137: "https://polygonscan.com",
    8453: "https://basescan.org",
    42161: "https://arbiscan.io",
    17000: "https://holesky.etherscan.io",
    11155111: "https://sepolia.etherscan.io",
}
"""Block explorers by chain id, where the settings name none."""


def known(chain: Chain, explorer: str, paths: Iterable[str]) -> dict[str, Any]:
    """As JSON: nothing in it comes from the chain, or is a secret.

    ``paths`` are the routes of the API, so that the page asks for none that is not there.
    """
    return {
        "paths": sorted(set(paths)),
        "chain": {"name": chain.name, "id": chain.id},
        "explorer": (explorer or EXPLORERS.get(chain.id, "")).rstrip("/"),
        "coin": {"symbol": NATIVE.symbol, "decimals": NATIVE.decimals},
        "tokens": {
            hex_of(address): {"symbol": token.symbol, "decimals": token.decimals}
            for address, token in VALUE_TOKENS.items()
        },
        "severities": [severity.text for severity in sorted(Severity)],
        "rules": sorted(ABOUT),
        "bad_labels": sorted(BAD_LABELS),
        "good_labels": sorted(TRUSTED),
        "false_positive": sorted(FALSE_POSITIVE),
    }
