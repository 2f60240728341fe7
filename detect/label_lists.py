"""Reads label lists in the formats people keep them in, told apart by content, none trusted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import sha3

from chainwarden.errors import LabelError
from chainwarden.schema import Label
from detect.known.mixers import TORNADO, TORNADO_DELISTED, TORNADO_LISTED

LARGEST_LIST: Final = 256 * 1024 * 1024
SHOWN: Final = 80  # how much of a refused text a report repeats

# etherscan-labels words -> ours, where a project's name says what kind of service it is.
_KINDS: Final[dict[str, frozenset[str]]] = {
    "exchange": frozenset(
        [
            "exchange",
            "binance",
            "huobi",
            "okx",
            "coinbase",
            "kucoin",
            "poloniex",
            "bitfinex",
            "kraken",
            "gemini",
            "bitstamp",
            "bittrex",
            "gate-io",
            "crypto-com",
            "bithumb",
            "upbit",
            "hitbtc",
            "bitmart",
            "deribit",
            "ascendex",
            "korbit",
            "coinone",
            "hotbit",
            "ftx",
            "liquid",
            "latoken",
            "paribu",
            "coinsquare",
            "hoo-com",
            "digifinex",
            "coss-io",
            "bitmex",
            "changenow",
        ]
    ),
    "dex": frozenset(
        [
            "dex",
            "uniswap",
            "sushiswap",
            "balancer",
            "curve-fi",
            "1inch",
            "kyberswap",
            "bancor",
            "0x-protocol",
            "paraswap",
            "airswap",
            "cow-protocol",
            "loopring",
            "tokenlon",
            "pancakeswap",
            "idex",
            "router",
        ]
    ),
    "lending": frozenset(["aave", "compound", "maker", "dydx", "morpho"]),
    "bridge": frozenset(
        [
            "bridge",
            "hop-protocol",
            "multichain",
            "synapse",
            "celer-network",
            "connext",
            "wormhole",
            "across-protocol",
        ]
    ),
    "marketplace": frozenset(["marketplace", "opensea", "looksrare", "rarible", "superrare"]),
    "builder": frozenset(["mev-builder"]),
    "phishing": frozenset(["phish-hack", "phishing", "fake-phishing"]),
    "mixer": frozenset(["tornado-cash", "ethereum-mixer", "typhoon-cash"]),
    "frozen": frozenset(["blocked"]),
    "sanctioned": frozenset(["ofac-sanctions-lists"]),
}


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
    chain: str | None


class BadEntry(ValueError):
    """Why one line is refused."""


def read_list(
    path: Path, *, source: str | None, valid_from: int, chain: str | None
) -> tuple[str, list[Entry | Rejected]]:
    """The format's name and its lines in order. Raises LabelError for a file that is no list."""
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise LabelError(f"{path}: larger than {LARGEST_LIST >> 20} MiB, that is no label list")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: no label list: not UTF-8 text") from error
    defaults = Defaults(source, valid_from, chain)
    start = text.lstrip()[:1]
    if start in ("[", "{"):
        return _read_json(path, text, defaults)
    return _read_csv(path, text, defaults)


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


def _read_json(path: Path, text: str, defaults: Defaults) -> tuple[str, list[Entry | Rejected]]:
    try:
        document = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise LabelError(f"{path}: no label list: broken JSON ({error})") from error
    if isinstance(document, list) and document and all(isinstance(i, str) for i in document):
        return "ofac", list(_each(document, _ofac, defaults))
    if (
        isinstance(document, list)
        and document
        and all(isinstance(i, dict) and "address" in i and "comment" in i for i in document)
    ):
        return "ethereum-lists-darklist", list(_each(document, _darklist, defaults))
    if (
        isinstance(document, dict)
        and document
        and all(isinstance(v, dict) and "labels" in v for v in document.values())
    ):
        return "etherscan-labels", list(_each(list(document.items()), _etherscan, defaults))
    raise LabelError(
        f"{path}: no label list: JSON of a shape nobody knows",
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
    return (_sanction(parse_address(item), defaults.source or "ofac", defaults),)


def _sanction(address: bytes, source: str, defaults: Defaults) -> Label:
    # A list says who is on it today. Of one listing the dates are known.
    if address in TORNADO:
        return Label(address, "sanctioned", source, TORNADO_LISTED, TORNADO_DELISTED)
    return Label(address, "sanctioned", source, defaults.valid_from, chain=defaults.chain)


def _darklist(item: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    address = parse_address(_text(item, "address"))
    since = _us_date(_text(item, "date"))
    return (
        Label(
            address,
            "scam",
            defaults.source or "ethereum-lists",
            defaults.valid_from if since is None else since,
            chain=defaults.chain,
            note=_text(item, "comment")[:200],
        ),
    )


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
    source = defaults.source or "etherscan"
    named = {w.strip().lower() for w in words}
    named |= {kind for kind, names in _KINDS.items() if names & named}
    note = str(item[1].get("name") or "")[:200]
    labels = []
    for word in sorted(named):
        if word == "sanctioned":
            labels.append(_sanction(address, source, defaults))
        else:
            labels.append(
                Label(address, word, source, defaults.valid_from, None, defaults.chain, note=note)
            )
    return tuple(labels)


# --- CSV ---------------------------------------------------------------------------------------


def _read_csv(path: Path, text: str, defaults: Defaults) -> tuple[str, list[Entry | Rejected]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=False)
    try:
        header = [name.strip().lower() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise LabelError(f"{path}: no label list: {error}") from error
    columns = set(header)
    if {"address", "label"} <= columns:
        kind, read = "chainwarden", _own
    elif {"address", "etherscan_tag"} <= columns:
        kind, read = "forta-phishing", _forta_phishing
    elif {"contract_address", "contract_tag", "contract_creator"} <= columns:
        kind, read = "forta-malicious-contracts", _forta_contracts
    else:
        raise LabelError(
            f"{path}: no label list: its first line names neither address,label nor a known set",
            hint="the header of the CSV form is address,label,source,valid_from,valid_to,chain,"
            "author,note",
        )
    reader.fieldnames = header
    return kind, list(_csv_lines(reader, read, defaults))


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
            yield Entry(reader.line_num, read(row, defaults))
        except BadEntry as error:
            shown = _text(row, "address") or _text(row, "contract_address")
            yield Rejected(reader.line_num, shown[:SHOWN], str(error))


def _own(row: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    address = parse_address(_text(row, "address"))
    word = _text(row, "label").strip().lower()
    if not word:
        raise BadEntry("the label is empty")
    since, until = parse_time(_text(row, "valid_from")), parse_time(_text(row, "valid_to"))
    return (
        Label(
            address,
            word,
            _text(row, "source").strip() or defaults.source or "list",
            defaults.valid_from if since is None else since,
            until,
            _text(row, "chain").strip() or defaults.chain,
            _text(row, "author").strip(),
            _text(row, "note").strip(),
        ),
    )


def _forta_phishing(row: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    address = parse_address(_text(row, "address"))
    source, note = defaults.source or "forta", _text(row, "etherscan_tag")[:200]
    return (
        Label(address, "phishing", source, defaults.valid_from, chain=defaults.chain, note=note),
    )


def _forta_contracts(row: dict[str, Any], defaults: Defaults) -> tuple[Label, ...]:
    source, note = defaults.source or "forta", _text(row, "contract_tag")[:200]
    labels = []
    for name in ("contract_address", "contract_creator"):
        text = _text(row, name).strip()
        if text or name == "contract_address":
            labels.append(
                Label(
                    parse_address(text),
                    "malicious",
                    source,
                    defaults.valid_from,
                    chain=defaults.chain,
                    note=note,
                )
            )
    return tuple(labels)


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
