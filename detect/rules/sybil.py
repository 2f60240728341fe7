"""Sybil farms: many wallets of one person that pose as many people, for airdrops and votes.

Three shapes give them away. A star: one wallet funds many with about the same, and they all do the
same. A chain: each wallet funds the next with what it has left, and each acts. A sink: many that
did the same send what they have to one wallet. The size of a cluster is the Arbitrum Foundation's
(more than 20); sketches are MinHash (Broder, 1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import FlowKind, Reason, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.kernels.sybil import (
    ACTING,
    ALIKE,
    CHAIN,
    CHILD,
    CHILDREN,
    GROUP,
    HOPS,
    OUTSIDE_SHARE,
    PLACES,
    SINK,
    SPREAD,
    YOUNG_SECONDS,
    scan_sybil,
)
from detect.known.calls import DISPERSE_ETHER
from detect.labels import LabelBook
from detect.records import DEFAULT_SECRET, WORDS, RecordTable, Secret, address_of, key_of
from detect.rules.columns import ColumnCache, Columns
from detect.rules.disperse import dispersed
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch


@dataclass(frozen=True, slots=True)
class SybilConfig:
    """Thresholds and bounds.

    ``children``: what makes a cluster. ``spread``: coefficient of variation of what they were
    given, at most. ``alike``: share of the sampled pairs that agree in ``places`` of 16.
    ``hops``: links of a chain, ``acting`` of which called contracts. ``outside``: share of the
    children that others may have paid. ``young_seconds``: how long a wallet is watched.
    ``watched``, ``funders``, ``sinks``: how many of each are remembered.
    """

    children: int = 20
    spread: float = 0.05
    alike: float = 0.7
    places: int = 13
    hops: int = 5
    acting: int = 3
    outside: float = 0.3
    young_seconds: int = 30 * 86_400
    watched: int = 262_144
    funders: int = 65_536
    sinks: int = 32_768
    secret: Secret = DEFAULT_SECRET


class Sybil(Journaled):
    """Finds farms by their funder (star), their sink, or a link of their chain.

    Only wallets whose first transaction had nonce 0 count, and only where others than the funder
    paid few of them: exchange deposits, payroll and users of a faucet have lives of their own. A
    star is low, and medium once its children send to one sink; a sink or a chain alone is low.
    Funders and sinks that are services are left alone.
    """

    id = "sybil"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: SybilConfig | None = None
    ) -> None:
        self._config = config = config or SybilConfig()
        self._children = RecordTable(config.watched, CHILD, config.secret)
        self._funders = RecordTable(config.funders, GROUP, config.secret)
        self._sinks = RecordTable(config.sinks, GROUP, config.secret)
        self._stars = JournaledTable(config.funders)  # funder -> children when it was told
        super().__init__(
            {
                "children": self._children,
                "funders": self._funders,
                "sinks": self._sinks,
                "stars": self._stars,
            }
        )
        self._labels = labels
        self._cache = cache
        limits = {
            CHILDREN: config.children,
            SPREAD: config.spread,
            ALIKE: config.alike,
            PLACES: config.places,
            HOPS: config.hops,
            ACTING: config.acting,
            OUTSIDE_SHARE: config.outside,
            YOUNG_SECONDS: config.young_seconds,
        }
        self._limits = np.array([float(limits[place]) for place in range(len(limits))])

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        count, blocks = columns.flow_count, len(scored.batch)
        listed, receivers, values = _dispersed(columns)
        children = self._children.begin(blocks, 2 * count + len(listed))
        funders = self._funders.begin(blocks, 2 * count + len(listed))
        sinks = self._sinks.begin(blocks, 2 * count)
        hits, shape = np.empty((3 * count, 6), np.int64), np.empty((3 * count, 3))
        who = np.empty((3 * count, 5), np.uint32)
        found = scan_sybil(
            columns.flows,
            listed,
            receivers,
            values,
            scored.first_serial,
            self._limits,
            self._children.table,
            children,
            self._funders.table,
            funders,
            self._sinks.table,
            sinks,
            hits,
            shape,
            who,
        )
        self._children.end(children, scored.first_serial)
        self._funders.end(funders, scored.first_serial)
        self._sinks.end(sinks, scored.first_serial)
        findings: dict[tuple[int, bytes], Finding] = {}
        for number, hit in enumerate(hits[:found].tolist()):
            funder, its = address_of(who[number]), shape[number].tolist()
            finding = self._look_at(columns, hit, its, funder)
            if finding is not None:  # of two about one wallet at one place, the later says more
                findings[(hit[0], finding.subject)] = finding
        return list(findings.values())

    def _look_at(
        self, columns: Columns, hit: list[int], its: list[float], funder: bytes
    ) -> Finding | None:
        row, kind, members, verified, pairs, agree = hit
        number, time = int(columns.flow_row[row]), int(columns.block_times[columns.flow_row[row]])
        actor, chain = address_of(columns.flow_from[row]), columns.batch.chain.name
        if kind == SINK:
            sink = address_of(columns.flow_to[row])
            if self._labels.is_service(sink, time, chain):
                return None
            return self._sink(columns, row, funder, sink, members, (pairs, agree))
        if self._labels.is_service(funder, time, chain):
            return None
        if kind == CHAIN:
            return _finding(
                columns, row, actor, Severity.LOW, 0.5,
                f"{hex_of(actor)} is link {members} of a chain of wallets that each funded the "
                f"next with most of what it had and called contracts in between.",
                (
                    Reason("hops", float(members), 0.3, float(self._config.hops)),
                    Reason("acting_hops", float(verified), 0.2, float(self._config.acting)),
                ),
                (funder,),
            )  # fmt: skip
        self._stars.put(columns.first_serial + number, funder, (members,))
        return self._star(columns, row, funder, actor, hit, its)

    def _star(
        self, columns: Columns, row: int, funder: bytes, child: bytes, hit: list[int],
        its: list[float],
    ) -> Finding:  # fmt: skip
        _, _, members, verified, pairs, agree = hit
        config = self._config
        return _finding(
            columns, row, funder, Severity.LOW, 0.6,
            f"{hex_of(funder)} funded {members} new wallets with about "
            f"{amount_text(None, int(its[2]))} each, and they do the same: {agree} of {pairs} "
            f"sampled pairs have like first actions.",
            (
                Reason("children", float(verified), 0.2, float(config.children)),
                Reason("amount_spread", its[0], 0.2, config.spread),
                Reason("alike_pairs", agree / pairs, 0.2, config.alike),
            ),
            (child,),
        )  # fmt: skip

    def _sink(
        self, columns: Columns, row: int, funder: bytes, sink: bytes, members: int,
        alike: tuple[int, int],
    ) -> Finding:  # fmt: skip
        pairs, agree = alike
        star = self._stars.get(funder)
        severity, score = (Severity.LOW, 0.4) if star is None else (Severity.MEDIUM, 0.8)
        by = "" if star is None else f", children of {hex_of(funder)},"
        return _finding(
            columns, row, sink if star is None else funder, severity, score,
            f"{members} new wallets{by} that did the same sent what they had to {hex_of(sink)}.",
            (
                Reason("children", float(members), score / 2, float(self._config.children)),
                Reason("alike_pairs", agree / pairs, score / 4, self._config.alike),
                Reason("one_funder", float(star is not None), score / 4, 1.0),
            ),
            (sink,) if star is not None else (funder,),
        )  # fmt: skip


def _dispersed(columns: Columns) -> tuple[Array, Array, Array]:
    """Whom disperse calls pay: for each the call's own flow, the receiver and the wei, in order."""
    flows: list[int] = []
    receivers: list[Array] = []
    values: list[float] = []
    transactions = columns.cells("transactions")
    calls = columns.transactions_with([DISPERSE_ETHER])
    for tx in calls[columns.tx_status[calls] != 0].tolist():
        low, high = columns.flows_of(tx)
        native = np.flatnonzero(columns.flow_kind[low:high] == FlowKind.NATIVE)
        if not len(native):  # it paid nothing, or its flows are not known, as an orphan's
            continue
        own = low + int(native[0])
        value = int.from_bytes(transactions["value"][tx], "big")
        for receiver, wei in dispersed(transactions["input"][tx], value):
            flows.append(own)
            receivers.append(key_of(receiver))
            values.append(float(wei))
    words = np.array(receivers, np.uint32).reshape(-1, WORDS)
    return np.array(flows, np.int64), words, np.array(values)


def _finding(
    columns: Columns, row: int, subject: bytes, severity: Severity, score: float, sentence: str,
    reasons: tuple[Reason, ...], others: tuple[bytes, ...],
) -> Finding:  # fmt: skip
    return about_flow(
        columns,
        row,
        rule=Sybil.id,
        rule_version=Sybil.version,
        typology="sybil",
        severity=severity,
        score=score,
        subject=subject,
        sentence=sentence,
        reasons=reasons,
        addresses=others,
    )
