"""Label lists in the formats people keep them in, told apart by content, none trusted.

From text to labels; ``label_files`` reads the files.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import sha3

from chainwarden.errors import LabelError
from chainwarden.schema import Label
from detect.known.mixers import TORNADO, TORNADO_DELISTED, TORNADO_LISTED
from detect.label_words import PROJECT_KINDS

LONGEST_TEXT: Final = 200  # of a note, a source, an author
SHOWN: Final = 80  # how much of a refused text a report repeats


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was refused: the line (or the item of a JSON list, from 1), its text, the reason."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The labels one line gives."""

    line: int
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a list does not say."""

    source: str | None
    valid_from: int
    valid_to: int | None
    chain: str | None

    def label(
        self, address: bytes, word: str, source: str, *, since: int | None = None, note: str = ""
    ) -> Label:
        """A label of that word, with what the list does not say."""
        return Label(
            address,
            word,
            _clean(self.source or source),
            self.valid_from if since is None else since,
            self.valid_to,
            self.chain,
            note=_clean(note),
        )


class BadEntry(ValueError):
    """Why one line is refused."""


def parse_address(text: str) -> bytes:
    """20 bytes of ``0x…`` text. Raises BadEntry for a wrong length, digit or EIP-55 checksum."""
    digits = text.strip()
    if digits[:2].lower() != "0x":
        raise BadEntry("an address starts with 0x")
    digits = digits[2:]
    if len(digits) != 40:
        raise BadEntry(f"an address has 40 hex digits, this has {len(digits)}")
    if not digits.isascii() or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise BadEntry("not hexadecimal")
    mixed = digits != digits.lower() and digits != digits.upper()
    if mixed and digits != checksummed(digits):
        raise BadEntry("the EIP-55 checksum is wrong: mistyped")
    return bytes.fromhex(digits)


def checksummed(digits: str) -> str:
    """40 hex digits in the letter case EIP-55 gives them."""
    lower = digits.lower()
    nibbles = sha3.keccak_256(lower.encode()).hexdigest()
    return "".join(c.upper() if int(n, 16) > 7 else c for c, n in zip(lower, nibbles, strict=False))


def parse_time(text: str) -> int | None:
    """Unix seconds, or an ISO date or time (UTC where it has no zone); None for empty text."""
    text = text.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadEntry(f"neither unix seconds nor an ISO date: {text[:SHOWN]!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


# --- JSON --------------------------------------------------------------------------------------


def read_json(name: str, text: str, defaults: Defaults) -> tuple[str, Iterator[Entry | Rejected]]:
    """The format's name and its items in order. Raises LabelError for what is no list."""
    try:
        document = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        place = re.search(r"\(byte (\d+)\)", str(error))
        at = f", line {text.encode().count(10, 0, int(place[1])) + 1}" if place else ""
        raise LabelError(f"{name}{at}: no label list: broken JSON ({error})") from error
    if isinstance(document, list) and document and all(isinstance(i, str) for i in document):
        return "ofac", _each(document, _ofac, defaults)
    if (
        isinstance(document, list)
        and document
        and all(isinstance(i, dict) and "address" in i and "comment" in i for i in document)
    ):
        return "ethereum-lists-darklist", _each(document, _darklist, defaults)
    if (
        isinstance(document, dict)
        and document
        and all(isinstance(v, dict) and "labels" in v for v in document.values())
    ):
        return "etherscan-labels", _each(list(document.items()), _etherscan, defaults)
    raise LabelError(
        f"{name}: no label list: JSON of a shape nobody knows",
        hint="OFAC addresses, ethereum-lists or etherscan-labels; or use the CSV form",
    )


def _each(
    items: list[Any], read: Callable[[Any, Defaults], tuple[Label, ...]], defaults: Defaults
) -> Iterator[Entry | Rejected]:
    for number, item in enumerate(items, start=1):
        try:
            yield Entry(number, read(item, defaults))
        except BadEntry as error:
            shown = item.get("address") if isinstance(item, dict) else item
            shown = shown[0] if isinstance(shown, tuple) else shown
            yield Rejected(number, str(shown)[:SHOWN], str(error))


def _ofac(item: str, defaults: Defaults) -> tuple[Label, ...]:
    return (_sanction(parse_address(item), "ofac", defaults),)


def _sanction(address: bytes, source: str, defaults: Defaults) -> Label:
    # A list says who is on it today. Of one listing the dates are known.
    label = defaults.label(address, "sanctioned", source)
    if address in TORNADO:
        return replace(label, valid_from=TORNADO_LISTED, valid_to=TORNADO_DELISTED, chain=None)
    return label


def _darklist(item: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    address, since = parse_address(_text(item, "address")), _us_date(_text(item, "date"))
    note = _text(item, "comment")
    return (defaults.label(address, "scam", "ethereum-lists", since=since, note=note),)


def _us_date(text: str) -> int | None:
    # That list also writes 7/18/17 for 2017-07-18.
    parts = text.strip().split("/")
    if len(parts) == 3 and all(p.isascii() and p.isdigit() and len(p) <= 2 for p in parts):
        month, day, year = parts
        text = f"20{year:0>2}-{month:0>2}-{day:0>2}"
    return parse_time(text)


def _etherscan(item: tuple[str, dict[str, Any]], defaults: Defaults) -> tuple[Label, ...]:
    address = parse_address(item[0])
    words = item[1].get("labels")
    if not isinstance(words, list) or not all(isinstance(w, str) and w.strip() for w in words):
        raise BadEntry("labels are a list of words")
    named = {w.strip().lower() for w in words}
    named |= {kind for kind, names in PROJECT_KINDS.items() if names & named}
    note = str(item[1].get("name") or "")
    return tuple(
        _sanction(address, "etherscan", defaults)
        if word == "sanctioned"
        else defaults.label(address, word, "etherscan", note=note)
        for word in sorted(named)
    )


# --- CSV ---------------------------------------------------------------------------------------


def read_csv(
    name: str, text: str, defaults: Defaults
) -> tuple[str, Iterator[Entry | Rejected], tuple[str, ...]]:
    """The format's name, its lines in order, and the columns that are not read.

    Raises LabelError for what is no list.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=False)
    try:
        header = [column.strip().lower() for column in reader.fieldnames or []]
    except csv.Error as error:
        raise LabelError(f"{name}: no label list: {error}") from error
    columns = set(header)
    twice = sorted(column for column, count in Counter(header).items() if count > 1)
    found = next((one for one in _CSV_FORMATS if one[1] <= columns), None)
    if found is None:
        raise LabelError(
            f"{name}: no label list: its first line names neither address,label nor a known set",
            hint=f"the header of the CSV form is {','.join(OWN_COLUMNS)}",
        )
    kind, _, known, read = found
    if twice:
        raise LabelError(f"{name}: its first line names {', '.join(twice)[:SHOWN]} twice")
    reader.fieldnames = header
    unread = tuple(column[:SHOWN] for column in header if column not in known)
    return kind, _csv_lines(reader, read, defaults), unread if kind == "chainwarden" else ()


def _csv_lines(
    reader: csv.DictReader[str],
    read: Callable[[dict[str, Any], Defaults], tuple[Label, ...]],
    defaults: Defaults,
) -> Iterator[Entry | Rejected]:
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield Rejected(reader.line_num, "", str(error))
            continue
        if row is None:
            return
        try:
            if len(row) > len(reader.fieldnames or ()):  # the rest is under a key of its own
                raise BadEntry(f"more cells than the {len(row) - 1} columns of the first line")
            yield Entry(reader.line_num, read(row, defaults))
        except BadEntry as error:
            shown = _text(row, "address") or _text(row, "contract_address")
            yield Rejected(reader.line_num, shown[:SHOWN], str(error))


def _own(row: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    address = parse_address(_text(row, "address"))
    word = _text(row, "label").strip().lower()
    if not word:
        raise BadEntry("the label is empty")
    until = parse_time(_text(row, "valid_to"))
    since = parse_time(_text(row, "valid_from"))
    label = defaults.label(address, word, "list", since=since, note=_text(row, "note").strip())
    return (
        replace(
            label,
            source=_clean(_text(row, "source").strip()) or label.source,
            valid_to=label.valid_to if until is None else until,
            chain=_clean(_text(row, "chain").strip()) or label.chain,
            author=_clean(_text(row, "author").strip()),
        ),
    )


def _forta_phishing(row: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    address, note = parse_address(_text(row, "address")), _text(row, "etherscan_tag")
    return (defaults.label(address, "phishing", "forta", note=note),)


def _forta_contracts(row: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    texts = [_text(row, name).strip() for name in ("contract_address", "contract_creator")]
    note = _text(row, "contract_tag")
    return tuple(
        defaults.label(parse_address(text), "malicious", "forta", note=note)
        for place, text in enumerate(texts)
        if text or not place
    )


OWN_COLUMNS: Final = (
    "address", "label", "source", "valid_from", "valid_to", "chain", "author", "note",
)  # fmt: skip
_CSV_FORMATS: Final = (
    ("chainwarden", {"address", "label"}, frozenset(OWN_COLUMNS), _own),
    ("forta-phishing", {"address", "etherscan_tag"}, frozenset[str](), _forta_phishing),
    (
        "forta-malicious-contracts",
        {"contract_address", "contract_tag", "contract_creator"},
        frozenset[str](),
        _forta_contracts,
    ),
)


def _clean(text: str) -> str:
    """Text of a list on one line, without what cannot be printed, at most ``LONGEST_TEXT``."""
    text = text[:LONGEST_TEXT]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
