from __future__ import annotations

from pathlib import Path

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import encode_transaction
from ingest.encoding import keccak
from ingest.trie import EMPTY_ROOT, ordered_root
from tests.ingest.real_blocks import load


def textbook_root(items: list[bytes]) -> bytes:
    """The Yellow Paper's c(J, i) over any key-value map, word for word and slowly."""
    pairs = {tuple(nibbles_of(rlp.encode(index))): item for index, item in enumerate(items)}
    return keccak(rlp.encode(structure(pairs, 0)))


def nibbles_of(key: bytes) -> list[int]:
    """A key as half bytes."""
    return [nibble for byte in key for nibble in divmod(byte, 16)]


def hex_prefix(nibbles: tuple[int, ...], leaf: bool) -> bytes:
    """The Yellow Paper's HP(x, t)."""
    flag = 2 * leaf + len(nibbles) % 2
    head = [flag] if len(nibbles) % 2 else [flag, 0]
    path = [*head, *nibbles]
    return bytes(16 * path[n] + path[n + 1] for n in range(0, len(path), 2))


def structure(pairs: dict[tuple[int, ...], bytes], depth: int) -> list[object]:
    """The Yellow Paper's c(J, i), a node before it is encoded."""
    if len(pairs) == 1:
        ((key, value),) = pairs.items()
        return [hex_prefix(key[depth:], True), value]
    shared = depth
    while len({key[: shared + 1] for key in pairs}) == 1:
        shared += 1
    if shared > depth:
        some = next(iter(pairs))
        return [hex_prefix(some[depth:shared], False), node(pairs, shared)]
    children: list[object] = []
    for nibble in range(16):
        below = {key: value for key, value in pairs.items() if key[depth] == nibble}
        children.append(node(below, depth + 1) if below else b"")
    return [*children, b""]


def node(pairs: dict[tuple[int, ...], bytes], depth: int) -> object:
    """The Yellow Paper's n(J, i), a node as its parent holds it."""
    made = structure(pairs, depth)
    encoded = rlp.encode(made)
    return made if len(encoded) < 32 else keccak(encoded)


def test_the_empty_trie_has_the_known_root() -> None:
    """No items have the root that every empty block on Ethereum shows."""
    known = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert ordered_root([]).hex() == EMPTY_ROOT.hex() == known


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=300))
@settings(deadline=None, max_examples=60)
def test_the_root_is_the_textbooks(items: list[bytes]) -> None:
    """Any list has the root of the Yellow Paper's definition, short items within their parents."""
    if items:
        assert ordered_root(items) == textbook_root(items)


@pytest.mark.parametrize(
    "size", [1, 2, 15, 16, 17, 126, 127, 128, 129, 130, 255, 256, 257, 258, 1_030]
)
@pytest.mark.parametrize("width", [1, 2, 26, 27, 28, 29, 30, 31, 110])
def test_the_root_is_the_textbooks_where_keys_grow(size: int, width: int) -> None:
    """At every size where keys get longer, and width where a node gets a hash, the roots agree."""
    items = [index.to_bytes(2, "big")[-width:].rjust(width, b"\x07") for index in range(size)]
    assert ordered_root(items) == textbook_root(items)


def test_lists_longer_than_two_byte_keys_have_a_root() -> None:
    """70,000 items, whose keys have up to four bytes, have the textbook's root."""
    items = [index.to_bytes(3, "big") for index in range(70_000)]
    assert ordered_root(items) == textbook_root(items)


def test_order_and_count_matter() -> None:
    """Two items exchanged, one dropped or one repeated change the root."""
    items = [bytes([n]) * 40 for n in range(200)]
    root = ordered_root(items)
    swapped = [items[1], items[0], *items[2:]]
    assert root not in (
        ordered_root(swapped),
        ordered_root(items[:-1]),
        ordered_root(items[1:]),
        ordered_root([*items, items[-1]]),
    )


@pytest.mark.data
def test_real_transactions_have_the_root_of_their_header(shared_data: Path) -> None:
    """The transactions of every real block have its transactionsRoot."""
    for raw in load(shared_data / "blocks", "forks") + load(shared_data / "blocks", "run"):
        encoded = [encode_transaction(tx) for tx in raw.block.transactions]
        assert "0x" + ordered_root(encoded).hex() == raw.block.transactions_root
