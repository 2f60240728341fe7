"""Who paid the subject of a case and whom it paid: the largest counterparties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.report.facts import Amount, Counterparty, Neighbourhood, Transfers
from detect.known.tokens import VALUE_TOKENS

SHOWN: Final = 8

_Sums = dict[tuple[bytes, bytes | None], tuple[float, int]]


def neighbourhood(
    flows: pa.Table,
    subject: bytes,
    evidence: AbstractSet[bytes],
    labels_of: Callable[[bytes], tuple[str, ...]],
    shown: int = SHOWN,
) -> Neighbourhood | None:
    """The ``shown`` largest counterparties of ``subject`` in a table of flows; None without any.

    Those that the evidence names come first, then those with the largest share of what the subject
    moved in the coin or in a listed token (anyone can emit a transfer of any amount of an unlisted
    one), then those with the most transfers. Sums are exact.
    """
    is_from, is_to = (
        pc.equal(flows["from_address"], subject),
        pc.equal(flows["to_address"], subject),
    )
    out = flows.filter(pc.and_not(is_from, is_to))
    into = flows.filter(pc.and_not(is_to, is_from))
    sums = (_sums(into, "from_address"), _sums(out, "to_address"))
    share, count = _weights(sums)
    if not count:
        return None
    ranked = sorted(count, key=lambda a: (a not in evidence, -share.get(a, 0.0), -count[a], a))
    chosen = ranked[:shown]
    received = _exact(into, "from_address", chosen)
    sent = _exact(out, "to_address", chosen)
    return Neighbourhood(
        tuple(
            Counterparty(a, labels_of(a), received.get(a), sent.get(a), a in evidence)
            for a in chosen
        ),
        len(ranked) - len(chosen),
    )


def _sums(flows: pa.Table, side: str) -> _Sums:
    """By counterparty and token: about how much, and how many transfers."""
    # One thread: the order in which floats are added shows in their last bits.
    grouped = flows.group_by([side, "token_address"], use_threads=False).aggregate(
        [("value_f64", "sum"), ("value_f64", "count")]
    )
    columns = (side, "token_address", "value_f64_sum", "value_f64_count")
    rows = zip(*(grouped[name].to_pylist() for name in columns), strict=True)
    return {(address, token): (value, count) for address, token, value, count in rows}


def _weights(sums: Sequence[_Sums]) -> tuple[Mapping[bytes, float], Mapping[bytes, int]]:
    """For each counterparty: its largest share of a listed asset, and its transfers."""
    totals: dict[bytes | None, float] = defaultdict(float)
    moved: dict[tuple[bytes, bytes | None], float] = defaultdict(float)
    count: dict[bytes, int] = defaultdict(int)
    # In an order of their own: sums of floats depend on it.
    for side in sums:
        for (address, token), (value, transfers) in sorted(side.items(), key=_order):
            count[address] += transfers
            if token is None or token in VALUE_TOKENS:
                totals[token] += value
                moved[address, token] += value
    share: dict[bytes, float] = defaultdict(float)
    for (address, token), value in moved.items():
        if totals[token]:
            share[address] = max(share[address], value / totals[token])
    return share, count


def _order(item: tuple[tuple[bytes, bytes | None], tuple[float, int]]) -> tuple[bytes, bytes]:
    (address, token), _ = item
    return address, token or b""


def _exact(flows: pa.Table, side: str, chosen: Sequence[bytes]) -> dict[bytes, Transfers]:
    """What the chosen ones moved, to the last unit: the coin first, then listed tokens."""
    rows = flows.filter(pc.is_in(flows[side], pa.array(chosen, flows[side].type)))
    columns = (rows[name].to_pylist() for name in (side, "token_address", "value"))
    count: dict[bytes, int] = defaultdict(int)
    amounts: dict[bytes, dict[bytes | None, int]] = defaultdict(lambda: defaultdict(int))
    for address, token, value in zip(*columns, strict=True):
        count[address] += 1
        amounts[address][token] += int.from_bytes(value, "big")
    return {
        address: Transfers(count[address], tuple(sorted(amounts[address].items(), key=_rank)))
        for address in chosen
        if count[address]
    }


def _rank(amount: Amount) -> tuple[bool, bool, bytes]:
    token, _ = amount
    return token is not None, token not in VALUE_TOKENS, token or b""
