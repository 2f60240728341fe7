from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock
from ingest.raw import RawBlock
from ingest.verify import Verifier
from tests.ingest.made_blocks import made_block, op_stack_block, unknown_type_block
from tests.ingest.real_blocks import load
from tests.ingest.verdicts import REASONS, Site, all_sites, verdict

# --- one digit ---------------------------------------------------------------------------------


def changed_digit(text: str, rng: random.Random) -> str:
    """The hex text with one digit changed to another."""
    place = rng.randrange(2, len(text))
    digit = rng.choice([d for d in "0123456789abcdef" if d != text[place].lower()])
    return text[:place] + digit + text[place + 1 :]


def undetected_changes(raw: RawBlock, sites: list[Site], rng: random.Random) -> Counter[str]:
    """By kind of field, the sites at which a changed digit goes through; the block is as before."""
    through: Counter[str] = Counter()
    number = int(raw.block.number, 16)
    for site in sites:
        before = site.get()
        if len(before) <= 2:
            continue
        site.set(changed_digit(before, rng))
        found = verdict(raw)
        site.set(before)
        if isinstance(found, bool):
            through[site.kind] += 1
            continue
        assert found.reason in REASONS
        assert found.where == raw.where
        if site.holder is not raw.block or site.key != "number":
            assert found.number == number
            assert f"block {number} (" in str(found)
    return through


# What a changed digit may do unseen, and why.
UNSEEN = {
    # Counted within the block: nodes get it wrong, so nothing here uses it.
    "Log.log_index",
    # Answers of eth_simulateV1, which only a verifier that is told to takes: without a signature
    # nothing proves the sender.
    "Transaction unsigned.from_",
}


@pytest.mark.data
def test_one_changed_digit_anywhere_rejects_the_block(shared_data: Path) -> None:
    """One digit changed at random in a real block is noticed, whatever the field and the fork.

    Three random fields of every block, and six of each kind of field of each type of transaction
    wherever they are, so that no kind is left out. What goes through is exactly ``UNSEEN``.
    """
    rng = random.Random(7)
    raws = load(shared_data / "blocks", "run") + load(shared_data / "blocks", "forks")
    chosen: list[list[Site]] = []
    by_kind: dict[str, list[tuple[int, Site]]] = {}
    for position, raw in enumerate(raws):
        sites = all_sites(raw)
        chosen.append(rng.sample(sites, min(3, len(sites))))
        if len(raw.block.transactions) <= 150:  # to be quick
            for site in rng.sample(sites, min(400, len(sites))):
                by_kind.setdefault(site.kind, []).append((position, site))
    for found in by_kind.values():
        for position, site in rng.sample(found, min(6, len(found))):
            chosen[position].append(site)
    through: Counter[str] = Counter()
    for raw, sites in zip(raws, chosen, strict=True):
        through += undetected_changes(raw, sites, rng)
    assert sum(map(len, chosen)) > 900
    assert set(through) == UNSEEN


def test_one_changed_digit_anywhere_rejects_a_made_block() -> None:
    """In a block of every kind of transaction, every field is noticed at several digits."""
    rng = random.Random(11)
    for raw in (made_block(), op_stack_block()):
        assert Verifier().verify(raw)
        for _ in range(8):
            assert not undetected_changes(raw, all_sites(raw), rng)
        assert Verifier().verify(raw)


# --- anything at all ---------------------------------------------------------------------------

nasty = st.one_of(
    st.sampled_from(
        [
            *("", "0x", "0", "0x0 1", "0xzz", "-0x1", "0x1_0", "0X1", "0x\n", "٣", "0x٣", "\x00"),
            *("0x" + "1" * 5_000, "1" * 5_000, "0x" + "f" * 63, "0x" + "f" * 64, "0x" + "f" * 65),
            *("0x" + "0" * 64, "0x" + "00" * 33, "0x" + "ff" * 20, "0x" + "ff" * 256, "NaN"),
            *("0x5", "0x6a", "0x7e", "0x7f", "0x80", "0x3", "0x" + "00" * 8, "0x8000000000000000"),
        ]
    ),
    st.text(max_size=80),
    st.from_regex(r"0x[0-9a-f]{0,70}", fullmatch=True),
)

MADE = {"made": made_block(), "op_stack": op_stack_block(), "unknown": unknown_type_block()}
SITES = {name: all_sites(raw) for name, raw in MADE.items()}


@given(
    st.sampled_from(sorted(MADE)),
    st.lists(st.tuples(st.integers(0, 10**6), nasty), min_size=1, max_size=4),
    st.booleans(),
)
@settings(deadline=None, max_examples=1_500)
def test_nothing_but_bad_block_is_ever_raised(
    name: str, changes: list[tuple[int, str]], unknown_field: bool
) -> None:
    """Whatever text stands in whatever fields, the answer is a verdict or BadBlock."""
    raw, sites = MADE[name], SITES[name]
    picked = [(sites[number % len(sites)], text) for number, text in changes]
    before = [(site, site.get()) for site, _ in picked]
    raw.unknown_fields = ("unknown",) if unknown_field else ()
    for site, text in picked:
        site.set(text)
    found = verdict(raw)
    for site, text in reversed(before):
        site.set(text)
    if isinstance(found, BadBlock):
        assert found.reason in REASONS
        assert len(str(found)) < 1_000
        assert str(found).isprintable()


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_missing_parts_are_never_a_crash(data: st.DataObject) -> None:
    """Optional fields taken away, in any transaction or receipt, end in a verdict or BadBlock."""
    raw = made_block() if data.draw(st.booleans()) else op_stack_block()
    items: list[Any] = [raw.block, *raw.block.transactions, *(raw.receipts or ())]
    for _ in range(data.draw(st.integers(1, 4))):
        item = data.draw(st.sampled_from(items))
        optional = [field.name for field in msgspec.structs.fields(item) if field.default is None]
        setattr(item, data.draw(st.sampled_from(optional)), None)
    found = verdict(raw)
    assert isinstance(found, bool) or found.reason in REASONS
