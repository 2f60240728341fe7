"""The money around some wallets, as a graph: who paid whom how much of what, and when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.explain.reading import SIDES, Over, touching
from chainwarden.report.neighbours import neighbourhood
from chainwarden.schema import ADDRESS, HASH, ZERO_ADDRESS, Alert, LakeFile, hex_of
from detect.known.tokens import VALUE_TOKENS
from store.lake import Lake

PARTNERS: Final = 8
"""Counterparties of a wallet that are drawn; how many more there are is said."""
MOST_EDGES: Final = 64
MOST_AMOUNTS: Final = 8  # of an edge
MOST_TRANSACTIONS: Final = 4  # of an edge
_MOST_ADDRESSES: Final = 16

_ROW: Final = (
    *SIDES, "token_address", "value", "block_number", "block_timestamp", "transaction_hash",
)  # fmt: skip

Answer = dict[str, Any]


@dataclass(slots=True)
class _Edge:
    """All that went from one wallet to another."""

    count: int = 0
    amounts: dict[bytes | None, int] = field(default_factory=dict)
    first_block: int = 0
    first_time: int = 0
    last_block: int = 0
    last_time: int = 0
    transactions: list[bytes] = field(default_factory=list)
    in_evidence: bool = False


def money_around(
    lake: Lake,
    manifest: Sequence[LakeFile],
    centre: bytes,
    labels_of: Callable[[Iterable[bytes]], dict[bytes, list[str]]],
    alert: Alert | None = None,
    over: Over = lambda: False,
) -> Answer:
    """The documented graph around ``centre``, or around an alert, whose subject that is.

    Its edges are all transfers between the wallet and its ``PARTNERS`` foremost counterparties (see
    ``neighbourhood``), and, for an alert, whatever its transactions moved between wallets that it
    names, subject or not. Sums are exact and go back to ``since_block``: to the file at which
    ``over`` says that it has taken long enough. Raises StoreError where the lake cannot be read.
    """
    named, hashes = _named_by(alert)
    wanted = list(dict.fromkeys([centre, *named]))[:_MOST_ADDRESSES]
    flows, since, whole = touching(lake, manifest, wanted, over, ["transaction_hash"])
    around = neighbourhood(flows, centre, frozenset(named), lambda _: (), PARTNERS)
    partners = [one.address for one in around.counterparties] if around else []
    proof = pa.array(sorted(hashes), HASH)
    edges = _edges(_drawn(flows, centre, partners, proof), frozenset(proof.to_pylist()))
    kept = sorted(edges.items(), key=lambda item: _rank(item, centre))[:MOST_EDGES]
    met = {end for ends in edges if centre in ends for end in ends}
    drawn = {end for ends, _ in kept for end in ends}
    addresses = [
        centre,
        *(
            one
            for one in dict.fromkeys([*partners, *sorted(drawn)])
            if one in drawn and one != centre
        ),
    ]
    words = labels_of(addresses)
    return {
        "centre": hex_of(centre),
        "since_block": since,
        "whole": whole,
        "others": (around.others if around else 0) - len(met - {centre, *partners}),
        "edges_left_out": len(edges) - len(kept),
        "nodes": [
            {
                "address": hex_of(address),
                "labels": words.get(address, []),
                "in_evidence": address in named,
            }
            for address in addresses
        ],
        "edges": [_edge(ends, edge) for ends, edge in kept],
    }


def _named_by(alert: Alert | None) -> tuple[list[bytes], set[bytes]]:
    """The wallets an alert names, in its order, and its transactions."""
    if alert is None:
        return [], set()
    path = alert.evidence.path
    ends = [end for hop in path for end in (hop.sender, hop.receiver)]
    hops = [hop.transaction for hop in path]
    hashes = {one for one in (alert.transaction_hash, *alert.evidence.transactions, *hops) if one}
    return list(dict.fromkeys([*alert.evidence.addresses, *ends])), hashes


def _proven(flows: pa.Table, proof: pa.Array) -> pa.Table:
    """The rows of some transactions that go from one wallet to another."""
    return flows.filter(
        pc.and_(
            pc.fill_null(pc.is_in(flows["transaction_hash"], proof), False),
            pc.not_equal(flows[SIDES[0]], flows[SIDES[1]]),
        )
    )


def _between(flows: pa.Table, centre: bytes, others: Collection[bytes]) -> pa.Table:
    """The rows between a wallet and some others."""
    wanted = pa.array(sorted(others), ADDRESS)
    sender, receiver = (flows[name] for name in SIDES)
    out = pc.and_(pc.equal(sender, centre), pc.is_in(receiver, wanted))
    into = pc.and_(pc.equal(receiver, centre), pc.is_in(sender, wanted))
    return flows.filter(pc.or_(out, into))


def _drawn(flows: pa.Table, centre: bytes, partners: Sequence[bytes], proof: pa.Array) -> pa.Table:
    """What is drawn, in the order of the chain; between the centre and another it is everything."""
    proven = _proven(flows, proof)
    sender, receiver = (proven[name] for name in SIDES)
    touches = pc.or_(pc.equal(sender, centre), pc.equal(receiver, centre))
    near = proven.filter(touches)
    ends = {end for name in SIDES for end in near[name].to_pylist()} - {centre}
    return pa.concat_tables(
        [_between(flows, centre, ends.union(partners)), proven.filter(pc.invert(touches))]
    )


def _edges(flows: pa.Table, proof: frozenset[bytes]) -> dict[tuple[bytes, bytes], _Edge]:
    edges: dict[tuple[bytes, bytes], _Edge] = {}
    for sender, receiver, token, value, block, time, transaction in zip(
        *(flows[name].to_pylist() for name in _ROW), strict=True
    ):
        edge = edges.get((sender, receiver))
        if edge is None:
            edge = edges[sender, receiver] = _Edge(first_block=block, first_time=time)
        edge.count += 1
        edge.amounts[token] = edge.amounts.get(token, 0) + int.from_bytes(value, "big")
        edge.last_block, edge.last_time = block, time
        is_proof = transaction in proof
        edge.in_evidence |= is_proof
        if transaction is not None and transaction not in edge.transactions:
            # Those of the evidence first, then the newest.
            edge.transactions.insert(0, transaction)
            edge.transactions.sort(key=lambda one: one not in proof)
            del edge.transactions[MOST_TRANSACTIONS:]
    return edges


def _rank(item: tuple[tuple[bytes, bytes], _Edge], centre: bytes) -> tuple[bool, bool, int, bytes]:
    """Evidence first, then what touches the centre, then the most transfers."""
    ends, edge = item
    return not edge.in_evidence, centre not in ends, -edge.count, b"".join(ends)


def _edge(ends: tuple[bytes, bytes], edge: _Edge) -> Answer:
    amounts = sorted(edge.amounts.items(), key=lambda item: _listed_first(item[0]))
    return {
        "from": hex_of(ends[0]),
        "to": hex_of(ends[1]),
        "in_evidence": edge.in_evidence,
        "count": edge.count,
        "amounts": [
            {"token": hex_of(token), "amount": str(amount)}
            for token, amount in amounts[:MOST_AMOUNTS]
        ],
        "tokens": len(amounts),
        "first_block": edge.first_block,
        "first_time": edge.first_time,
        "last_block": edge.last_block,
        "last_time": edge.last_time,
        "transactions": [hex_of(one) for one in edge.transactions],
    }


def _listed_first(token: bytes | None) -> tuple[bool, bool, bytes]:
    return token is not None, token not in VALUE_TOKENS, token or b""


def centre_of(alert: Alert) -> bytes | None:
    """The wallet in the middle of an alert's graph; None where it is about the chain itself."""
    if alert.subject != ZERO_ADDRESS:
        return alert.subject
    return alert.evidence.addresses[0] if alert.evidence.addresses else None
