"""The money around a wallet as SVG: it in the middle, payers before it, payees behind it.

Two shapes of the same graph. Wide: payers to the left, payees to the right. Narrow: payers above,
payees below, for a phone held upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from chainwarden.report.facts import Counterparty, Neighbourhood, Transfers
from chainwarden.report.svg import element, label, picture
from chainwarden.report.words import amount_text, brief_transfers, plain, short

WIDTH: Final = 980.0
NARROW: Final = 304.0
_BOX: Final = 176.0
_ROW: Final = 50.0
_STRAIGHT: Final = 150.0

_Side = Sequence[tuple[Counterparty, Transfers]]


def describe(subject: bytes, near: Neighbourhood) -> str:
    """The graph in words: every edge with its direction and exact amount."""
    payers, payees = _sides(near)
    parts = [f"{short(one.address)} paid it {_amount(moved)}" for one, moved in payers]
    parts += [f"it paid {short(one.address)} {_amount(moved)}" for one, moved in payees]
    text = f"Around {short(subject)}: " + "; ".join(parts) + "."
    return text + (f" {near.others:,} more counterparties are not drawn." if near.others else "")


def wide_graph(subject: bytes, role: str, near: Neighbourhood, key: str) -> Markup:
    """Payers to the left of the subject, payees to its right."""
    payers, payees = _sides(near)
    height = max(len(payers), len(payees), 2) * _ROW + 12.0
    middle = height / 2
    centre = (WIDTH - _BOX) / 2
    parts = []
    for side, rows in ((-1, payers), (1, payees)):
        top = middle - len(rows) * _ROW / 2
        for row, (one, moved) in enumerate(rows):
            y = top + (row + 0.5) * _ROW
            # Arrows are spread over the subject's side, so that they stay apart.
            y_at = middle + ((row + 0.5) / len(rows) - 0.5) * min(30.0, 10.0 * len(rows))
            parts += _edge(side, y, y_at, centre, one, moved)
            x = 0.5 if side < 0 else WIDTH - _BOX - 0.5
            parts += _box(x, y, _BOX, one.address, _words(one), _kind(one))
    parts += _box(centre, middle, _BOX, subject, role, "subject")
    return picture(key, "Money flows", describe(subject, near), (WIDTH, height), parts)


def narrow_graph(subject: bytes, role: str, near: Neighbourhood, key: str) -> Markup:
    """Payers above the subject, payees below it, all on one line down the left."""
    payers, payees = _sides(near)
    row_height, x, trunk = 64.0, 40.5, 18.0
    middle = len(payers) * row_height + 30.0
    parts = []
    for rows, start in ((payers, 0.0), (payees, middle + 30.0)):
        for row, (one, moved) in enumerate(rows):
            y = start + row * row_height + 38.0
            inward = start == 0.0
            class_ = "edge hot" if one.in_evidence else "edge"
            # In: along the row, then down the trunk. Out: down the trunk, then along the row.
            into, out = f"M{x} {y} H{trunk} V{middle - 24}", f"M{trunk} {middle + 17} V{y} H{x - 6}"
            tip = element("title", _told(one, moved, inward))
            parts.append(element("path", tip, d=into if inward else out, class_=class_))
            if not inward:
                parts.append(_arrow(x, y, 0, class_))
            parts.append(label(x, y - 21, brief_transfers(moved), class_="amount"))
            parts += _box(x, y, NARROW - x - 0.5, one.address, _words(one), _kind(one))
    if payers:
        hot = any(one.in_evidence for one, _ in payers)
        parts.append(_arrow(trunk, middle - 17, 90, "edge hot" if hot else "edge"))
    parts += _box(0.5, middle, NARROW - 1, subject, role, "subject")
    height = middle + 30.0 + len(payees) * row_height
    return picture(key, "Money flows", describe(subject, near), (NARROW, height), parts)


def _sides(near: Neighbourhood) -> tuple[_Side, _Side]:
    payers = [(one, one.to_subject) for one in near.counterparties if one.to_subject]
    payees = [(one, one.from_subject) for one in near.counterparties if one.from_subject]
    return payers, payees


def _edge(
    side: int, y: float, y_at: float, centre: float, one: Counterparty, moved: Transfers
) -> list[Markup]:
    """From the box at the rim, straight as far as the amount is long, then to the subject."""
    rim = _BOX + 0.5 if side < 0 else WIDTH - _BOX - 0.5
    knee = rim - side * _STRAIGHT
    at = centre if side < 0 else centre + _BOX
    bend = abs(at - knee) / 2
    class_ = "edge hot" if one.in_evidence else "edge"
    if side < 0:
        tail = at - 6
        path = f"M{rim} {y} H{knee} C{knee + bend} {y} {tail - bend} {y_at} {tail} {y_at}"
    else:
        path = f"M{at} {y_at} C{at + bend} {y_at} {knee - bend} {y} {knee} {y} H{rim - 6}"
    tip = element("title", _told(one, moved, side < 0))
    text_at = rim - side * 8
    return [
        element("path", tip, d=path, class_=class_),
        _arrow(at if side < 0 else rim, y_at if side < 0 else y, 0, class_),
        label(text_at, y - 5, brief_transfers(moved), "start" if side < 0 else "end", "amount"),
    ]


def _arrow(x: float, y: float, turned: int, class_: str) -> Markup:
    return element(
        "path", d="M0 0 L-9 -4.5 L-9 4.5 Z",
        transform=f"translate({x:.1f} {y:.1f}) rotate({turned})",
        class_=class_.replace("edge", "arrow"),
    )  # fmt: skip


def _box(x: float, y: float, width: float, address: bytes, words: str, class_: str) -> list[Markup]:
    """A wallet: the ends of its address, and below it what it is."""
    half = 17.0
    room = int(width / 6.4)
    below = words if len(words) <= room else words[: room - 1] + "…"
    parts = [
        element(
            "rect", element("title", f"0x{address.hex()} {words}".strip()),
            x=x, y=y - half, width=width, height=2 * half, rx=5, class_=f"node {class_}",
        ),
        label(x + width / 2, y + (-2.0 if below else 4.5), short(address), "middle", "address"),
    ]  # fmt: skip
    if below:
        parts.append(label(x + width / 2, y + 12.0, below, "middle", "what"))
    return parts


def _kind(one: Counterparty) -> str:
    return "hot" if one.in_evidence else "other"


def _words(one: Counterparty) -> str:
    return plain(", ".join(one.labels))


def _told(one: Counterparty, moved: Transfers, inward: bool) -> str:
    where = "from" if inward else "to"
    return f"{where} 0x{one.address.hex()}: {_amount(moved)}"


def _amount(moved: Transfers) -> str:
    texts = [amount_text(token, units) for token, units in moved.amounts[:3]]
    if len(moved.amounts) > 3:
        texts.append(f"{len(moved.amounts) - 3:,} more tokens")
    return f"{' and '.join(texts)} in {moved.count:,} transfer{'s' if moved.count > 1 else ''}"
