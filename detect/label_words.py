"""What label words mean: which call a wallet bad, which good, and which of them weighs more.

A wallet is *bad*, *good* or nothing is known of it, at a block time and on a chain. In this order:

1. The word of an analyst that was said last decides, if it is a verdict: a person looked.
   ``benign`` beats any list, and ``phishing`` beats an exchange's label.
2. Else any bad word of a list, or of the chain itself, makes it bad: a sanctioned exchange is no
   innocent bystander, and of two lists the one that warns is the cheaper to be wrong about.
3. Else a service's word, or being a known service, makes it good.
4. Else nothing is known. Words that are no verdict (``mixer``, ``bot``, ``token``) say nothing.

Labels that were withdrawn, have ended, are of another chain or of the future are not asked.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

from chainwarden.schema import ANALYST, Label
from detect.known.services import SERVICE_LABELS

LONGEST_WORD: Final = 64
_EARLIEST, _LATEST = -(2**40), 2**40

SANCTIONED: Final = "sanctioned"
FROZEN: Final = "frozen"
BAD_LABELS: Final = frozenset(
    {
        SANCTIONED, FROZEN, "phishing", "scam", "exploit", "heist", "malicious", "drainer",
        "poisoning", "ponzi", "rug_pull", "honeypot", "launderer", "sybil", "wash_trading", "thief",
    }
)  # fmt: skip
"""Words that call a wallet bad."""

TRUSTED: Final = frozenset({"benign", "good", "trusted"})
"""An analyst's words that clear a wallet: it is treated as a known service."""

FALSE_POSITIVE: Final = frozenset({"false_positive", "false-positive", "false positive"})
"""An analyst's words that an alert was wrong: good to learn from, but no licence for later."""

PROJECT_KINDS: Final[dict[str, frozenset[str]]] = {
    "exchange": frozenset(
        [
            "exchange",
            "binance",
            "huobi",
            "okx",
            "coinbase",
            "kucoin",
            "poloniex",
            "bitfinex",
            "kraken",
            "gemini",
            "bitstamp",
            "bittrex",
            "gate-io",
            "crypto-com",
            "bithumb",
            "upbit",
            "hitbtc",
            "bitmart",
            "deribit",
            "ascendex",
            "korbit",
            "coinone",
            "hotbit",
            "ftx",
            "liquid",
            "latoken",
            "paribu",
            "coinsquare",
            "hoo-com",
            "digifinex",
            "coss-io",
            "bitmex",
            "changenow",
        ]
    ),
    "dex": frozenset(
        [
            "dex",
            "uniswap",
            "sushiswap",
            "balancer",
            "curve-fi",
            "1inch",
            "kyberswap",
            "bancor",
            "0x-protocol",
            "paraswap",
            "airswap",
            "cow-protocol",
            "loopring",
            "tokenlon",
            "pancakeswap",
            "idex",
            "router",
        ]
    ),
    "lending": frozenset(["aave", "compound", "maker", "dydx", "morpho"]),
    "bridge": frozenset(
        [
            "bridge",
            "hop-protocol",
            "multichain",
            "synapse",
            "celer-network",
            "connext",
            "wormhole",
            "across-protocol",
        ]
    ),
    "marketplace": frozenset(["marketplace", "opensea", "looksrare", "rarible", "superrare"]),
    "builder": frozenset(["mev-builder"]),
    "phishing": frozenset(["phish-hack", "phishing", "fake-phishing"]),
    "mixer": frozenset(["tornado-cash", "ethereum-mixer", "typhoon-cash"]),
    "frozen": frozenset(["blocked"]),
    "sanctioned": frozenset(["ofac-sanctions-lists"]),
}
"""Words of etherscan-labels by ours, where a project's name says what kind of thing it is."""


class Verdict(enum.IntEnum):
    """What is known of a wallet. Only ``BAD`` is bad: compare, do not ask for truth."""

    UNKNOWN = 0
    GOOD = 1
    BAD = 2


def word_verdict(word: str) -> Verdict:
    """What one word says.

    >>> [word_verdict(w).name for w in ("phishing", "false_positive", "exchange", "mixer")]
    ['BAD', 'GOOD', 'GOOD', 'UNKNOWN']
    """
    if word in BAD_LABELS:
        return Verdict.BAD
    if word in TRUSTED or word in FALSE_POSITIVE or word in SERVICE_LABELS:
        return Verdict.GOOD
    return Verdict.UNKNOWN


def analysts_word(labels: Iterable[Label]) -> Label | None:
    """The last label of an analyst that is a verdict, of labels in the order they were said."""
    last: Label | None = None
    for label in labels:
        if label.source == ANALYST and word_verdict(label.label) != Verdict.UNKNOWN:
            last = label
    return last


def problem_of(label: Label) -> str:
    """Why a label cannot be kept; empty where it can."""
    word = label.label
    if len(label.address) != 20:
        return f"an address has 20 bytes, this has {len(label.address)}"
    if not word or word != word.strip().lower():
        return f"a label is a lower-case word, not {word[:64]!r}"
    if len(word) > LONGEST_WORD or not word.isprintable():
        return f"a label has at most {LONGEST_WORD} characters, all printable"
    if not _EARLIEST <= label.valid_from <= _LATEST:
        return f"valid from {label.valid_from}: no time in seconds"
    if label.valid_to is not None and not label.valid_from <= label.valid_to <= _LATEST:
        return f"{word}: valid to {label.valid_to}, before {label.valid_from}"
    return ""


def verdict_of(labels: Iterable[Label], known_service: bool) -> Verdict:
    """The verdict of labels that are all in force; see the module."""
    held = tuple(labels)
    said = analysts_word(held)
    if said is not None:
        return word_verdict(said.label)
    verdicts = {word_verdict(label.label) for label in held}
    if Verdict.BAD in verdicts:
        return Verdict.BAD
    return Verdict.GOOD if known_service or Verdict.GOOD in verdicts else Verdict.UNKNOWN


def service_of(labels: Iterable[Label], known_service: bool) -> bool:
    """Whether labels in force make a wallet a service that nobody calls bad.

    An analyst's ``benign`` makes any wallet one. ``false_positive`` makes none: that alert was
    wrong, the next may be right.
    """
    held = tuple(labels)
    words = {label.label for label in held}
    said = analysts_word(held)
    if said is not None:
        if said.label in BAD_LABELS:
            return False
        if said.label in TRUSTED:
            return True
    elif words & BAD_LABELS:
        return False
    return known_service or bool(words & SERVICE_LABELS)
