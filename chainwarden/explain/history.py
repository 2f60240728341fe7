"""What the lake knows of one wallet: since when, how much, with whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.explain.reading import MOST_ROWS, SIDES, Over, touching
from chainwarden.report.facts import Counterparty
from chainwarden.report.neighbours import neighbourhood
from chainwarden.schema import LakeFile
from detect.known.tokens import VALUE_TOKENS
from store.lake import Lake

PARTNERS: Final = 8

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
    over: Over = lambda: False,
) -> History | None:
    """The history of a wallet; None where those blocks have nothing of it.

    It ends at the file at which ``over`` says that it has taken long enough.

    Raises StoreError where the lake cannot be read.
    """
    flows, since, whole = touching(lake, manifest, [subject], over, most_rows=most_rows)
    if since is None or not flows.num_rows:
        return None
    around = neighbourhood(flows, subject, evidence, labels_of, PARTNERS)
    blocks, times = (pc.min_max(flows[name]) for name in ("block_number", "block_timestamp"))
    sent, received = (flows.filter(pc.equal(flows[side], subject)) for side in SIDES)
    return History(
        whole=whole,
        since=since,
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


def _sums(flows: pa.Table) -> Amounts:
    totals: dict[bytes | None, int] = {}
    columns = (flows["token_address"].to_pylist(), flows["value"].to_pylist())
    for token, value in zip(*columns, strict=True):
        if token is None or token in VALUE_TOKENS:
            totals[token] = totals.get(token, 0) + int.from_bytes(value, "big")
    return tuple(sorted(totals.items(), key=lambda item: item[0] or b""))
