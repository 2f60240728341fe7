"""What spam tokens carry in their names: where to go, and what to do there."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = 0x06FDDE03
SYMBOL: Final = 0x95D89B41
SELECTORS: Final[dict[int, str]] = {NAME: "name()", SYMBOL: "symbol()"}

_SITES: Final = rb"com|org|net|io|xyz|app|finance|site|gift|gifts|claim|claims|events|fund|us|cc"
URL: Final = re.compile(
    rb"https?://|www\.|\bt\.me/|t\.ly/|\b[a-z0-9-]{2,}\.(?:" + _SITES + rb")\b", re.IGNORECASE
)
"""A link in any text. In code it takes a scheme or a host that people can type."""
WORDS: Final = re.compile(rb"\bclaim|\bvisit\b|\breward|\bairdrop|\bvoucher", re.IGNORECASE)
"""What such a name asks to do; innocent in code, telling in a token's name."""
IN_CODE: Final = re.compile(rb"https?://[a-z0-9-]{2,}\.|\bt\.me/|\bwww\.[a-z0-9-]{2,}\.", re.I)


def is_bait(name: bytes) -> bool:
    """Whether a token's name or symbol sends its reader somewhere.

    >>> is_bait(b"$1000 gift at usd-claims.com"), is_bait(b"Tether USD")
    (True, False)
    """
    return URL.search(name) is not None or WORDS.search(name) is not None
