"""How a report writes numbers, times, amounts and addresses, in every format alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from chainwarden.report.facts import Amount, Summary, Transfers
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.rules.words import amount_text

__all__ = ["NONE", "amount_text"]

NONE: Final = "–"
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str) -> str:
    """The text on one line, with ``�`` for what would be invisible or turn the line around.

    >>> plain("a" + chr(0x202e) + "b" + chr(10) + "c")
    'a�b c'
    """
    text = text.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return "".join("�" if unicodedata.category(c) in _UNSEEN else c for c in text)


def short(address: bytes) -> str:
    """The ends of an address, as explorers show it.

    >>> short(bytes(range(20)))
    '0x00010203…10111213'
    """
    text = address.hex()
    return f"0x{text[:8]}…{text[-8:]}"


def moment(timestamp: int | None) -> str:
    """A block time in UTC.

    >>> moment(0)
    '1970-01-01 00:00:00'
    """
    if timestamp is None:
        return NONE
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")


def lasted(first: int | None, last: int | None) -> str:
    """How long it is from one time to another, in its two largest units.

    >>> lasted(0, 93_784)
    '1 d 2 h'
    """
    if first is None or last is None:
        return NONE
    rest = max(0, last - first)
    parts: list[str] = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count or (unit == "s" and not parts):
            parts.append(f"{count:,} {unit}")
    return " ".join(parts[:2])


def count_of(number: int | None) -> str:
    """A count with its thousands, or a dash where it is not known."""
    return NONE if number is None else f"{number:,}"


def share(number: float | None) -> str:
    """A share as a percentage.

    >>> share(0.5), share(None)
    ('50.0%', '–')
    """
    return NONE if number is None else f"{number:.1%}"


def decimal(number: float | None) -> str:
    """A measure to four significant digits.

    >>> decimal(0.15033), decimal(4096.0), decimal(1234567.8), decimal(None)
    ('0.1503', '4,096', '1,234,568', '–')
    """
    if number is None:
        return NONE
    if abs(number) >= 10_000 and abs(number) < 1e15:
        return f"{number:,.0f}"
    return f"{number:,.4g}"


def brief_amount(amount: Amount) -> str:
    """An amount to four significant digits, for a place with little room.

    >>> brief_amount((None, 15 * 10**17))
    '1.5 ETH'
    """
    token, units = amount
    known = NATIVE if token is None else VALUE_TOKENS.get(token)
    if known is None:
        return f"{decimal(float(units))} units of 0x{(token or b'').hex()[:4]}…"
    return f"{decimal(units / 10**known.decimals)} {known.symbol}"


def brief_transfers(transfers: Transfers) -> str:
    """The first amount, how many other tokens there were, and how many transfers."""
    text = brief_amount(transfers.amounts[0])
    if len(transfers.amounts) > 1:
        more = len(transfers.amounts) - 1
        text += f" + {more:,} token{'s' if more > 1 else ''}"
    return text if transfers.count == 1 else f"{text} ({transfers.count:,}×)"


def all_amounts(amounts: Sequence[Amount], at_most: int = 6) -> str:
    """Exact amounts, and how many more there are."""
    texts = [amount_text(token, units) for token, units in amounts[:at_most]]
    if len(amounts) > at_most:
        texts.append(f"{len(amounts) - at_most:,} more tokens")
    return ", ".join(texts) or NONE


def summary_rows(summary: Summary) -> list[tuple[str, str]]:
    """What was replayed, as names and values."""
    blocks = count_of(summary.blocks)
    if summary.kept_blocks not in (None, summary.blocks):
        blocks += f" scored, {count_of(summary.kept_blocks)} on the chain at the end"
    verified = NONE
    if summary.kept_blocks and summary.verified_blocks is not None:
        part = summary.verified_blocks / summary.kept_blocks
        verified = f"{share(part)} ({summary.verified_blocks:,} of {summary.kept_blocks:,} blocks)"
    first = NONE if summary.first_block is None else str(summary.first_block)
    last = NONE if summary.last_block is None else str(summary.last_block)
    return [
        ("Chain", f"{plain(summary.chain.name)} (id {summary.chain.id})"),
        ("Blocks", blocks),
        ("From block", f"{first}, {moment(summary.first_time)} UTC"),
        ("To block", f"{last}, {moment(summary.last_time)} UTC"),
        ("Time span", lasted(summary.first_time, summary.last_time)),
        ("Verified", verified),
        ("Transactions", count_of(summary.transactions)),
        ("Flows", count_of(summary.flows)),
        ("Wallets", count_of(summary.wallets)),
        ("Alerts", count_of(summary.alerts)),
        ("Taken back", count_of(summary.retracted)),
        *([("Throughput", throughput(summary))] if summary.seconds else []),
    ]


def throughput(summary: Summary) -> str:
    """How fast it was replayed."""
    if not summary.seconds:
        return NONE
    rates = [
        f"{decimal(round(count / summary.seconds, 1))} {name}/s"
        for name, count in (
            ("flows", summary.flows),
            ("transactions", summary.transactions),
            ("blocks", summary.blocks),
        )
    ]
    return f"{', '.join(rates)} in {summary.seconds:,.1f} s"
