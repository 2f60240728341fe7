"""The root of the Merkle-Patricia trie that commits to an ordered list (Yellow Paper, D)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ingest.encoding import keccak, rlp_integer, rlp_list, rlp_string

EMPTY_ROOT: Final = keccak(b"\x80")
"""The root of an empty trie."""


def ordered_root(items: Sequence[bytes]) -> bytes:
    """The root of the trie that maps ``rlp(index)`` to each item.

    Nodes are built bottom-up, each once: the keys of a list are known and sorted in advance, and
    none is a prefix of another, so no branch carries a value.
    """
    count = len(items)
    if not count:
        return EMPTY_ROOT
    # In key order: 0x01 … 0x7f, then 0x80 (which is index 0), then 0x8180 and so on.
    order = [*range(1, min(count, 128)), 0, *range(128, count)]
    keys = [_nibbles(index) for index in order]
    values = [rlp_string(items[index]) for index in order]
    return keccak(_node(keys, values, 0, count, 0))


def _node(keys: list[bytes], values: list[bytes], low: int, high: int, depth: int) -> bytes:
    """The RLP of the node for the keys from ``low`` to ``high``, which agree up to ``depth``."""
    first = keys[low]
    if high - low == 1:
        return rlp_list(_compact(first[depth:], True) + values[low])
    last = keys[high - 1]  # sorted: what first and last share, all share
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    children = [b"\x80"] * 17  # the seventeenth is the value, which no branch has here
    start = low
    while start < high:
        nibble = keys[start][fork]
        end = start + 1
        while end < high and keys[end][fork] == nibble:
            end += 1
        if end - start == 1:  # most: a leaf
            node = rlp_list(_compact(keys[start][fork + 1 :], True) + values[start])
        else:
            node = _node(keys, values, start, end, fork + 1)
        children[nibble] = node if len(node) < 32 else b"\xa0" + keccak(node)
        start = end
    branch = rlp_list(b"".join(children))
    if fork == depth:
        return branch
    return rlp_list(_compact(first[depth:fork], False) + _reference(branch))


def _reference(node: bytes) -> bytes:
    """How a parent points to a node: a short one stands in its place, a long one by its hash."""
    return node if len(node) < 32 else b"\xa0" + keccak(node)


@lru_cache(maxsize=65_536)
def _nibbles(index: int) -> bytes:
    return bytes([nibble for byte in rlp_integer(index) for nibble in (byte >> 4, byte & 15)])


@lru_cache(maxsize=4_096)
def _compact(nibbles: bytes, is_leaf: bool) -> bytes:
    """The RLP of the hex-prefix encoding of a path."""
    flag = 2 * is_leaf
    padded = bytes([flag + 1]) if len(nibbles) % 2 else bytes([flag, 0])
    path = padded + nibbles
    pairs = zip(path[::2], path[1::2], strict=True)
    return rlp_string(bytes([high << 4 | low for high, low in pairs]))
