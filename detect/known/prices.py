"""What a unit of a listed coin is worth, to the nearest order that thresholds in dollars need."""

from __future__ import annotations

from dataclasses import dataclass

from detect.known.tokens import NATIVE, VALUE_TOKENS


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per ether and per bitcoin; a listed stablecoin is a dollar.

    Constants, so that a replay needs no price feed and gives the same result for ever. They are
    meant for thresholds such as 10,000 dollars, which a price off by two makes no wrong order of
    magnitude of. Whoever replays 2018 sets his own.
    """

    ether: float = 2_500.0
    bitcoin: float = 60_000.0

    def worth(self, token: bytes | None, amount: float) -> float:
        """Dollars of an amount in token units (None: wei of the coin); 0 for what is not listed."""
        known = NATIVE if token is None else VALUE_TOKENS.get(token)
        if known is None:
            return 0.0
        each = {"ETH": self.ether, "WETH": self.ether, "WBTC": self.bitcoin}
        return amount / 10.0**known.decimals * each.get(known.symbol, 1.0)
