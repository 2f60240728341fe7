"""How findings write amounts. On-chain text (names, symbols) never gets into a sentence."""

from __future__ import annotations

from decimal import Decimal, localcontext

from chainwarden.schema import hex_of
from detect.known.tokens import NATIVE, VALUE_TOKENS

PLACES = 6


def amount_text(token: bytes | None, amount: int) -> str:
    """``1.5 ETH``, ``20 USDT``, or ``7 units of 0x…`` where the token is not a listed one.

    >>> amount_text(None, 15 * 10**17)
    '1.5 ETH'
    """
    known = NATIVE if token is None else VALUE_TOKENS.get(token)
    if known is None:
        return f"{amount} units of {hex_of(token)}"
    return f"{decimal_text(amount, known.decimals)} {known.symbol}"


def decimal_text(amount: int, decimals: int) -> str:
    """An exact amount in whole units, to six significant places after the first.

    >>> decimal_text(1, 18)
    '0.000000000000000001'
    >>> decimal_text(123456789012, 6)
    '123456.789012'
    """
    with localcontext() as context:
        context.prec = 90  # 2^256 has 78 digits
        value = Decimal(amount).scaleb(-decimals)
        if value >= 1:
            value = value.quantize(Decimal(1).scaleb(-PLACES))
        text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
