"""Label lists as files: what is known of a list, reading it whole, and what was odd about it."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chainwarden.errors import LabelError
from chainwarden.schema import Label
from detect.label_lists import Defaults, Entry, Rejected, read_csv, read_json
from detect.label_words import Verdict, problem_of, word_verdict

LARGEST_LIST: Final = 256 * 1024 * 1024
MOST_LABELS: Final = 1_000_000
MOST_REJECTED: Final = 1_000
"""So many refused lines are told one by one; the rest is counted."""

_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list: where it is, who says so, under which licence, and what holds where it is silent.

    ``chain`` None: on every chain. Times are seconds since 1970. ``licence`` is noted, not judged.
    """

    path: Path
    source: str | None = None
    licence: str = ""
    chain: str | None = None
    valid_from: int = 0
    valid_to: int | None = None

    @property
    def name(self) -> str:
        """What the list is called wherever it is told of: its path as it was given."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What became of a list: its format, how many labels it gave, what was refused and why.

    ``rejected`` has the first ``MOST_REJECTED`` of ``refused`` lines. ``duplicates`` are labels
    that the list has already, ``contradictory`` wallets that it calls both bad and good,
    ``unread`` columns that nobody knows.
    """

    path: str
    format: str
    loaded: int
    rejected: tuple[Rejected, ...]
    refused: int = 0
    duplicates: int = 0
    contradictory: int = 0
    unread: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """What an analyst should know, a line each, the list's own lines first."""
        for one in self.rejected:
            yield f"{self.path}, line {one.line}: {one.reason}: {one.text!r}"
        if self.refused > len(self.rejected):
            yield f"{self.path}: {self.refused - len(self.rejected):,} more lines were refused"
        if self.duplicates:
            yield f"{self.path}: {self.duplicates:,} labels are there more than once"
        if self.contradictory:
            yield (
                f"{self.path}: {self.contradictory:,} wallets are called bad and good: bad counts"
            )
        if self.unread:
            yield f"{self.path}: columns that nobody knows are not read: {', '.join(self.unread)}"


@dataclass(frozen=True, slots=True)
class ListContent:
    """A list as it was read: its labels, each once, and the lines they stand on; the report; the
    bytes of the file, and a digest of them and the info.
    """

    info: ListInfo
    labels: tuple[Label, ...]
    lines: tuple[int, ...]
    report: LabelReport
    data: bytes
    digest: str


def read_list_file(info: ListInfo) -> ListContent:
    """Read a list whole. Lines that cannot be used are reported, never fatal.

    Raises LabelError for a file that cannot be read or is no list.
    """
    path = info.path
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise LabelError(f"{path}: larger than {LARGEST_LIST >> 20} MiB, that is no label list")
        data = path.read_bytes()
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_list(info, data)


def parse_list(info: ListInfo, data: bytes) -> ListContent:
    """Like ``read_list_file``, from the bytes of the file."""
    text = _decoded(info.name, data)
    defaults = Defaults(info.source, info.valid_from, info.valid_to, info.chain)
    unread: tuple[str, ...] = ()
    if text.lstrip()[:1] in ("[", "{"):
        kind, entries = read_json(info.name, text, defaults)
    else:
        kind, entries, unread = read_csv(info.name, text, defaults)
    return _content(info, data, kind, entries, unread)


def digest_of_list(info: ListInfo, data: bytes) -> str:
    """Equal digests, equal labels: of the bytes, and of what holds where they are silent."""
    silent = repr((info.source, info.chain, info.valid_from, info.valid_to)).encode()
    return hashlib.sha256(hashlib.sha256(data).digest() + silent).hexdigest()


def _decoded(name: str, data: bytes) -> str:
    if data.startswith(_UTF_16):
        raise LabelError(f"{name}: UTF-16 text", hint="save the list as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabelError(
            f"{name}, line {line}: no label list: not UTF-8 text", hint="save the list as UTF-8"
        ) from error


def _content(
    info: ListInfo,
    data: bytes,
    kind: str,
    entries: Iterable[Entry | Rejected],
    unread: tuple[str, ...],
) -> ListContent:
    found: dict[tuple[object, ...], tuple[Label, int]] = {}
    verdicts: dict[bytes, set[Verdict]] = {}
    rejected: list[Rejected] = []
    refused = duplicates = 0

    def refuse(line: int, text: str, reason: str) -> None:
        nonlocal refused
        refused += 1
        if len(rejected) < MOST_REJECTED:
            rejected.append(Rejected(line, text, reason))

    for entry in entries:
        if isinstance(entry, Rejected):
            refuse(entry.line, entry.text, entry.reason)
            continue
        for label in entry.labels:
            problem = problem_of(label)
            if not problem and len(found) >= MOST_LABELS:
                problem = f"beyond the first {MOST_LABELS:,} labels"
            if problem:
                refuse(entry.line, "0x" + label.address.hex(), problem)
                break
            key = (label.address, label.label, label.source, label.chain, label.valid_from)
            duplicates += key in found
            found[key] = (label, entry.line)
            verdicts.setdefault(label.address, set()).add(word_verdict(label.label))
    report = LabelReport(
        path=info.name,
        format=kind,
        loaded=len(found),
        rejected=tuple(rejected),
        refused=refused,
        duplicates=duplicates,
        contradictory=sum(1 for v in verdicts.values() if {Verdict.BAD, Verdict.GOOD} <= v),
        unread=unread,
    )
    labels, lines = zip(*found.values(), strict=True) if found else ((), ())
    return ListContent(info, labels, lines, report, data, digest_of_list(info, data))
