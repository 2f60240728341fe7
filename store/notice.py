"""What a person is told of an alert on a phone: made once, written by each sink in its own way.

On-chain text is hostile. Here it is made harmless as text: no control characters, no characters
that turn or hide others, no lone surrogates, no mention that a chat would ring for, no address that
a client would make a link of (``evil[.]com``, as security teams write them), and no more of it than
a screen holds. What a markup means in one sink, that sink escapes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from store.outbox_rows import DIGEST, MOVED, RETRACTED

TITLE_CHARACTERS: Final = 140
SENTENCE_CHARACTERS: Final = 900
FIELD_CHARACTERS: Final = 200
_REASONS: Final = 5
_TRANSACTIONS: Final = 3
_COUNTS: Final = 12
_NOT_SHOWN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_DOTS: Final = re.compile(r"(?<=[^\W_])\.(?=[^\W\d_])")
_RINGING: Final = str.maketrans({"@": "＠", "<": "‹", ">": "›"})
_SCHEMES: Final = re.compile(r"(?<=[A-Za-z]):(?=/|[A-Za-z])")


def safe_text(text: str, most: int) -> str:
    """One line of harmless text, cut to ``most`` characters.

    >>> safe_text("@everyone see http://evil.com\\r\\nBcc: x", 80)
    '＠everyone see http[:]//evil[.]com Bcc: x'
    """
    # Far more than can be shown, and all that a megabyte is looked at.
    shown = "".join(
        " " if char.isspace() else "" if unicodedata.category(char) in _NOT_SHOWN else char
        for char in text[: 4 * most]
    )
    shown = _SCHEMES.sub("[:]", _DOTS.sub("[.]", " ".join(shown.split()))).translate(_RINGING)
    shown = shown or "–"
    return shown if len(shown) <= most and len(text) <= 4 * most else shown[: most - 1] + "…"


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert, its retraction, or a digest, in words. All but the links is harmless text.

    ``key`` is the same for everything that is told of one alert; ``link`` is a page that we named.
    ``reasons`` are those of the field of that name, one by one.
    """

    key: str
    kind: str
    severity: str
    title: str
    sentence: str
    fields: tuple[tuple[str, str], ...]
    link: str | None = None
    timestamp: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def withdrawn(self) -> bool:
        """Whether the alert was taken back."""
        return self.kind == RETRACTED

    def plain(self) -> str:
        """The least that says it: for a receiver that would not have more."""
        return safe_text(f"{self.title}. {self.sentence}", 300)


def notice_of(body: bytes, explorer: str = "") -> Notice:
    """The notice of a message's body. ``explorer`` is a block explorer's address, or empty."""
    message = msgspec.json.decode(body)
    if message["type"] == DIGEST:
        return _digest(message)
    data = message["data"]
    word = {RETRACTED: "Withdrawn: ", MOVED: "Moved: "}.get(message["type"], "")
    severity = str(data["severity"])
    title = f"{word}{severity.upper()} {data['typology']} ({data['rule']})".replace("_", " ")
    subject = data.get("subject")
    return Notice(
        key=str(data["id"]),
        kind=message["type"],
        severity=severity,
        title=safe_text(title, TITLE_CHARACTERS),
        sentence=safe_text(str(data["sentence"]), SENTENCE_CHARACTERS),
        fields=tuple(_fields(data)),
        link=f"{explorer.rstrip('/')}/{_page(data)}" if explorer and subject else None,
        timestamp=message["timestamp"],
        reasons=tuple(safe_text(text, FIELD_CHARACTERS) for text in _reasons(data)),
    )


def _reasons(data: dict[str, Any]) -> list[str]:
    return [
        f"{reason['feature']} = {_figure(reason.get('value'))}"
        for reason in data["reasons"][:_REASONS]
    ]


def _page(data: dict[str, Any]) -> str:
    transaction = data.get("transaction_hash")
    return f"tx/{transaction}" if transaction else f"address/{data['subject']}"


def _fields(data: dict[str, Any]) -> list[tuple[str, str]]:
    chain = data["chain"]
    name = chain["name"] if isinstance(chain, dict) else chain
    found = [
        ("Wallet", f"{data['subject']} ({data['role']})"),
        ("Score", f"{data['score']:.2f}"),
        ("Block", f"{data['block_number']} on {name}"),
    ]
    if data.get("retraction_reason"):
        found.append(("Why withdrawn", str(data["retraction_reason"])))
    if reasons := _reasons(data):
        found.append(("Reasons", "; ".join(reasons)))
    transactions = data["evidence"]["transactions"]
    if transactions:
        total = data["evidence"].get("truncated", {}).get("transactions", len(transactions))
        more = f" and {total - _TRANSACTIONS} more" if total > _TRANSACTIONS else ""
        found.append(("Evidence", ", ".join(transactions[:_TRANSACTIONS]) + more))
    found.append(("Alert", str(data["id"])))
    return [(name, safe_text(text, FIELD_CHARACTERS + 80)) for name, text in found]


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _digest(message: dict[str, Any]) -> Notice:
    data = message["data"]
    counts = sorted(
        (
            (count, kind.removeprefix("alert."), rule, severity)
            for kind, rules in data["counts"].items()
            for rule, severities in rules.items()
            for severity, count in severities.items()
        ),
        reverse=True,
    )
    shown = [
        (f"{rule}, {severity}", f"{count} {kind}")
        for count, kind, rule, severity in counts[:_COUNTS]
    ]
    if rest := sum(count for count, *_ in counts[_COUNTS:]):
        shown.append(("others", str(rest)))
    return Notice(
        key=str(data["id"]),
        kind=DIGEST,
        severity=str(data["severity"]),
        title=f"{data['total']} alerts in one digest",
        sentence=(
            f"More came than this receiver's rate allows: {data['total']} notifications about "
            f"{data['subjects']} wallets, blocks {data['first_block']} to {data['last_block']}."
        ),
        fields=tuple(
            (safe_text(name.replace("_", " "), 80), safe_text(text, 80)) for name, text in shown
        ),
        timestamp=message["timestamp"],
    )
