"""What a Seaport order's log says: who gave which items, to whom, and for how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from detect.known.marketplaces import ERC20_ITEM, NATIVE_ITEM, NFT_ITEMS
from detect.known.tokens import NATIVE, VALUE_TOKENS

WORD: Final = 32
MOST_ITEMS: Final = 256  # of an order that are read


@dataclass(frozen=True, slots=True)
class Order:
    """A fulfilled order. ``items`` are (collection, id) of the NFTs that were offered.

    ``paid`` says whether the offerer got anything: an NFT, a token that nobody lists (its worth is
    not known), or more of a listed one, or of ether, than dust.
    """

    offerer: bytes
    recipient: bytes
    items: tuple[tuple[bytes, int], ...]
    paid: bool


def order_of(offerer: bytes, data: bytes) -> Order | None:
    """The order in the data of an ``OrderFulfilled`` log, None where it is malformed."""
    if len(data) < 4 * WORD:
        return None
    recipient = data[WORD + 12 : 2 * WORD]
    offered, asked = _number(data, 2), _number(data, 3)
    items = tuple(
        (token, number)
        for kind, token, number, _, _ in _tuples(data, offered, 4)
        if kind in NFT_ITEMS
    )
    paid = any(
        to == offerer and _is_worth(kind, token, amount)
        for kind, token, _, amount, to in _tuples(data, asked, 5)
    )
    return Order(offerer, recipient, items, paid)


def _is_worth(kind: int, token: bytes, amount: int) -> bool:
    if kind in NFT_ITEMS:
        return amount > 0
    known = NATIVE if kind == NATIVE_ITEM else VALUE_TOKENS.get(token)
    if known is None or kind not in (NATIVE_ITEM, ERC20_ITEM):
        return amount > 0
    return bool(amount > known.dust * 10**known.decimals)


def _number(data: bytes, word: int) -> int:
    return int.from_bytes(data[word * WORD : (word + 1) * WORD], "big")


def _tuples(data: bytes, offset: int, words: int) -> Iterator[tuple[int, bytes, int, int, bytes]]:
    # Items as (type, token, id, amount, recipient or b""); slices never run over the end.
    count = int.from_bytes(data[offset : offset + WORD], "big") if offset < len(data) else 0
    start = offset + WORD
    for place in range(min(count, MOST_ITEMS)):
        at = start + place * words * WORD
        if at + words * WORD > len(data):
            return
        fields = [data[at + n * WORD : at + (n + 1) * WORD] for n in range(words)]
        kind, number, amount = (int.from_bytes(fields[n], "big") for n in (0, 2, 3))
        yield kind, fields[1][12:], number, amount, fields[4][12:] if words == 5 else b""
