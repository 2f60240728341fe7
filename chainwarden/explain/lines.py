"""How labels, amounts and addresses of the JSON forms read on a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chainwarden.report.words import amount_text, moment, plain, short

WIDTH: Final = 100

Node = Mapping[str, Any]


def label_text(label: Node) -> str:
    """A label, who said so, and while it holds."""
    until = "" if label["valid_to"] is None else f" until {moment(label['valid_to'])[:10]}"
    since = f" from {moment(label['valid_from'])[:10]}" if label["valid_from"] > 0 else ""
    return plain(f"{label['label']} ({label['author'] or label['source']}{since}{until})")


def sums(amounts: Sequence[Node]) -> str:
    """The first three amounts, exactly, and how many more there are."""
    texts = [amount_text(*pair(one)) for one in amounts[:3]]
    if len(amounts) > 3:
        texts.append(f"{len(amounts) - 3} more")
    return plain(", ".join(texts)) or "nothing of known value"


def pair(amount: Node) -> tuple[bytes | None, int]:
    """An amount of the JSON form as token and units."""
    return data_of(amount["token"]), int(amount["amount"])


def data_of(text: str | None) -> bytes | None:
    """The bytes of ``0x…`` text."""
    return None if text is None else bytes.fromhex(text[2:])


def brief(address: str) -> str:
    """The ends of an address."""
    return short(bytes.fromhex(address[2:]))


def cut(line: str) -> str:
    """The line, in at most ``WIDTH`` columns."""
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
