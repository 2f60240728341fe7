"""Tokens whose transfers count as value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from detect.known.text import at as _at

ETHER: Final = 1e18
PER_ETHER: Final = 10**18


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose transfers count as value: its symbol, its decimals, roughly a dollar's worth.

    ``dust`` is what a transfer must exceed to count as a real one, in whole units.
    """

    symbol: str
    decimals: int
    dust: float


# Identity is the address, never the symbol: anyone can call a token USDT.
USDT: Final = _at("0xdAC17F958D2ee523a2206206994597C13D831ec7")
USDC: Final = _at("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
DAI: Final = _at("0x6B175474E89094C44Da98b954EedeAC495271d0F")
WETH: Final = _at("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
WBTC: Final = _at("0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599")

VALUE_TOKENS: Final[dict[bytes, Token]] = {
    USDT: Token("USDT", 6, 1.0),
    USDC: Token("USDC", 6, 1.0),
    DAI: Token("DAI", 18, 1.0),
    WETH: Token("WETH", 18, 0.0005),
    WBTC: Token("WBTC", 8, 0.00002),
}
NATIVE: Final = Token("ETH", 18, 0.0005)

# Whole units that make one theft a large one: about 100,000 dollars.
LARGE: Final[dict[bytes | None, int]] = {
    None: 30,
    USDT: 100_000,
    USDC: 100_000,
    DAI: 100_000,
    WETH: 30,
    WBTC: 1,
}


def is_large(token: bytes | None, amount: int) -> bool:
    """Whether that much of a token, or of the chain's coin (None), is a large theft."""
    known = NATIVE if token is None else VALUE_TOKENS.get(token)
    return known is not None and amount >= LARGE[token] * 10**known.decimals
