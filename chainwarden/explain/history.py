"""What the lake knows of one wallet: since when, how much, with whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.report.facts import Counterparty
from chainwarden.report.neighbours import neighbourhood
from chainwarden.schema import FlowKind, LakeFile
from detect.known.tokens import VALUE_TOKENS
from store.lake import Lake

MOST_ROWS: Final = 10_000_000
"""Flows that are looked through, the newest first: a few seconds' work."""

PARTNERS: Final = 8

_SIDES: Final = ("from_address", "to_address")
_NEEDED: Final = (
    *_SIDES, "block_number", "block_timestamp", "kind", "token_address", "value", "value_f64",
    "status",
)  # fmt: skip

Amounts = tuple[tuple[bytes | None, int], ...]


@dataclass(frozen=True, slots=True)
class History:
    """A wallet's flows in the newest blocks of a lake; ``since`` is the first of these blocks.

    ``whole``: the lake has no older ones. ``flows_in`` and ``flows_out`` count what it was paid and
    what it paid; what it paid to itself is in both, and once in ``flows``. Sums are exact, of the
    coin and listed tokens only: anybody can log a transfer of a token of their own. ``partners``
    are those of the evidence, then the largest; ``others`` is how many more there are.
    """

    whole: bool
    since: int
    first_block: int
    first_time: int
    last_block: int
    last_time: int
    flows: int
    flows_in: int
    flows_out: int
    received: Amounts
    sent: Amounts
    partners: tuple[Counterparty, ...]
    others: int


def history_of(
    lake: Lake,
    manifest: Sequence[LakeFile],
    subject: bytes,
    evidence: frozenset[bytes],
    labels_of: Callable[[bytes], tuple[str, ...]],
    most_rows: int = MOST_ROWS,
    over: Callable[[], bool] = lambda: False,
) -> History | None:
    """The history of a wallet; None where those blocks have nothing of it.

    It ends at the file at which ``over`` says that it has taken long enough.

    Raises StoreError where the lake cannot be read.
    """
    files = sorted(
        (file for file in manifest if file.dataset == "flows"), key=lambda f: -f.last.number
    )
    rows, read, parts = 0, 0, []
    for file in files:
        if rows and (rows + file.rows > most_rows or over()):
            break
        rows, read = rows + file.rows, read + 1
        found = _touching(lake, file, subject)
        if found is not None:
            parts.append(found)
    if not parts:
        return None
    flows = pa.concat_tables(reversed(parts)).combine_chunks()
    around = neighbourhood(flows, subject, evidence, labels_of, PARTNERS)
    blocks, times = (pc.min_max(flows[name]) for name in ("block_number", "block_timestamp"))
    sent, received = (flows.filter(pc.equal(flows[side], subject)) for side in _SIDES)
    return History(
        whole=read == len(files),
        since=min(file.first.number for file in files[:read]),
        first_block=blocks["min"].as_py(),
        first_time=times["min"].as_py(),
        last_block=blocks["max"].as_py(),
        last_time=times["max"].as_py(),
        flows=flows.num_rows,
        flows_in=received.num_rows,
        flows_out=sent.num_rows,
        received=_sums(received),
        sent=_sums(sent),
        partners=around.counterparties if around else (),
        others=around.others if around else 0,
    )


def _touching(lake: Lake, file: LakeFile, subject: bytes) -> pa.Table | None:
    """The flows of a file that moved something from or to a wallet."""
    sides = lake.read([file], _SIDES)
    mask = pc.or_(*(pc.equal(sides[name], subject) for name in _SIDES))
    if not pc.any(mask).as_py():
        return None
    table = lake.read([file], _NEEDED).filter(mask)
    failed = pc.equal(pc.fill_null(table["status"], 1), 0)
    call = pc.and_(pc.equal(table["kind"], int(FlowKind.NATIVE)), pc.equal(table["value_f64"], 0.0))
    moved = table.filter(pc.invert(pc.or_(failed, call)))
    return moved if moved.num_rows else None


def _sums(flows: pa.Table) -> Amounts:
    totals: dict[bytes | None, int] = {}
    columns = (flows["token_address"].to_pylist(), flows["value"].to_pylist())
    for token, value in zip(*columns, strict=True):
        if token is None or token in VALUE_TOKENS:
            totals[token] = totals.get(token, 0) + int.from_bytes(value, "big")
    return tuple(sorted(totals.items(), key=lambda item: item[0] or b""))
