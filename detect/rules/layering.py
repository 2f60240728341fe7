"""Money that is passed through one fresh wallet after another: pass-through, peeling, splitting.

Nearly half of all addresses live for an hour, so one temporary wallet is nothing, and neither are
two. What counts is a chain of them, each emptied within a day of being paid, with much money in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Evidence, Hop, Reason, Role, Severity, hex_of, path_of
from detect.compiled import Array
from detect.journal import Journaled
from detect.kernels.layering import (
    BAD_ORIGIN,
    DEEP,
    FOUND,
    HOPS,
    LAYER,
    SERVICE_ORIGIN,
    LayerFlows,
    LayerLimits,
    LayerOut,
    layering_pass,
    open_rest,
)
from detect.labels import LabelBook
from detect.record_table import RecordTable
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding
from detect.rules.standing import BAD, MIXER, PER_ETHER_WORTH, SERVICE, Standings
from detect.rules.trail import Trail, hops_of
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

_DAY: Final = 86_400
_ORIGINS: Final = {BAD_ORIGIN: "labelled", SERVICE_ORIGIN: "a service"}


@dataclass(frozen=True, slots=True)
class LayeringConfig:
    """Thresholds, in worth of ether and in shares of what a wallet got, and bounds.

    ``least_ether``: smaller payments are not followed. ``alert_ether``: what must get ``hops``
    fresh wallets deep from one root (``service_hops`` where it came from a service), branches added
    up. A wallet passes on ``passed`` of it and keeps at most ``rest`` and ``fee_ether``; or peels
    off at most ``peeled_most`` and passes on ``peeled_on``; or pays ``equals`` fresh wallets the
    same, give or take ``equal``, or nearly all to fresh wallets. It does so within
    ``window_seconds`` of being paid and of being first seen. Fresh is who took part in fewer than
    ``fresh_events`` flows in ``fresh_seconds``. ``hub``: with that many counterparties a wallet is
    a service. ``wallets`` and ``trail`` bound what is kept.
    """

    least_ether: float = 0.5
    alert_ether: float = 10.0
    hops: int = 3
    service_hops: int = 4
    passed: float = 0.9
    rest: float = 0.01
    fee_ether: float = 0.02
    peeled_most: float = 0.2
    peeled_on: float = 0.75
    equal: float = 0.02
    equals: int = 5
    window_seconds: int = _DAY
    fresh_events: int = 5
    fresh_seconds: int = 5 * _DAY
    hub: int = 1_000
    wallets: int = 131_072
    trail: int = 131_072

    def limits(self) -> LayerLimits:
        """What the kernels compare with, per coin."""
        return LayerLimits(
            window=self.window_seconds,
            passed=self.passed,
            rest=self.rest,
            fee=self.fee_ether * PER_ETHER_WORTH,
            peeled_most=self.peeled_most,
            peeled_on=self.peeled_on,
            equal=self.equal,
            equals=self.equals,
            hops=self.hops,
            service_hops=self.service_hops,
            alert=self.alert_ether * PER_ETHER_WORTH,
        )


class Layering(Journaled):
    """Finds chains of fresh wallets that pass much money on; the subject is the first of them.

    ==========================================  =========================================
    what happened                               severity
    ==========================================  =========================================
    three layers, money of a labelled wallet    high
    three layers                                medium
    four layers, money from a known service     low
    an equal split to five fresh wallets        low, of a labelled wallet's money medium
    ==========================================  =========================================

    The chain ends at services, hubs and contracts. Ether that contracts move is followed where the
    source gives traces.
    """

    id = "layering"
    version = 1

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        standings: Standings | None = None,
        config: LayeringConfig | None = None,
        secret: bytes = bytes(16),
    ) -> None:
        self._config = config or LayeringConfig()
        self._limits = self._config.limits()
        self._cache = cache
        self._standings = standings or Standings(labels, secret)
        self._wallets = RecordTable(self._config.wallets, LAYER, secret)
        self._trail = Trail(self._config.trail)
        super().__init__({"wallets": self._wallets, "trail": self._trail})

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not columns.flow_count:
            return ()
        rows, flows = self._large(columns)
        if not len(rows):
            return ()
        first, blocks = columns.first_serial, len(columns.batch)
        count, window = len(rows), self._config.trail
        undo = self._wallets.open(first, blocks, 4 * count)
        out = _empty_out(min(2 * count, 2 * window))
        table, findings = self._wallets.table, []
        for start in range(0, count, window):
            out.counts[[FOUND, HOPS]] = 0
            stop, hops = min(count, start + window), self._trail.count
            layering_pass(flows, table, undo, self._limits, first, start, stop, hops, out)
            added = int(out.counts[HOPS])
            places = out.hop_flow[:added]
            self._trail.add(
                hops_of(columns.batch.flows, rows[places], out.hop_before[:added]),
                first + flows.block[places],
            )
            findings += [
                self._finding(columns, int(rows[out.flow[n]]), out, n, flows)
                for n in range(int(out.counts[FOUND]))
            ]
        open_rest(table, undo, blocks, out)
        self._wallets.close()
        return findings

    def _large(self, columns: Columns) -> tuple[Array, LayerFlows]:
        """The flows to follow: large ones that a fresh wallet gets or a young one pays."""
        config, all_flows = self._config, self._standings.flows(columns)
        facts = columns.scored.flow_facts
        least = (config.least_ether * PER_ETHER_WORTH)[all_flows.coin]
        large = np.flatnonzero(all_flows.units >= least)
        rows, time = all_flows.rows[large], all_flows.time[large]
        young = time - facts["from_first_seen"][rows] <= config.window_seconds
        fresh = time - facts["to_first_seen"][rows] <= config.fresh_seconds
        fresh &= facts["to_events"][rows] < config.fresh_events
        chosen = np.flatnonzero(fresh | young)
        material, young, fresh = all_flows.at(large[chosen]), young[chosen], fresh[chosen]
        rows = material.rows
        # Who has sent more than was seen is older than the view.
        young &= _nonces(columns, rows) <= facts["from_sent"][rows] + config.fresh_events
        fresh &= facts["to_nonce"][rows] <= facts["to_sent"][rows] + config.fresh_events
        stops = (material.receiver_bits & (SERVICE | MIXER)) != 0
        stops |= facts["to_counterparties"][rows] >= config.hub
        stops |= facts["to_is_contract"][rows]
        young &= ~facts["from_is_contract"][rows]
        hub = facts["from_counterparties"][rows] >= config.hub
        origin = np.where(hub | ((material.sender_bits & SERVICE) != 0), SERVICE_ORIGIN, 0)
        origin = np.where((material.sender_bits & BAD) != 0, BAD_ORIGIN, origin)
        return rows, LayerFlows(
            coin=material.coin,
            units=material.units,
            time=material.time,
            block=material.block,
            sender=material.sender,
            receiver=material.receiver,
            origin_is=origin.astype(np.uint8),
            young=young,
            fresh=fresh & ~stops,
            stops=stops,
        )

    def _finding(
        self, columns: Columns, row: int, out: LayerOut, n: int, flows: LayerFlows
    ) -> Finding:
        i, deep = int(out.flow[n]), int(out.why[n]) == DEEP
        coin, depth, kind = int(flows.coin[i]), int(out.depth[n]), int(out.origin_is[n])
        last = _hop(columns, row)
        root, origin = out.root[n].tobytes(), out.origin[n].tobytes()
        worth = float(out.amount[n]) / float(PER_ETHER_WORTH[coin])
        score, reasons = self._reasons(depth, worth, kind, deep)
        words = self._standings.words_at(origin, int(flows.time[i]), columns.batch.chain.name)
        said = words or _ORIGINS.get(kind, "nobody known")
        what = (
            f"passed through {depth} fresh wallets, the last of which paid "
            f"{amount_text(last.token, last.amount)} to {hex_of(last.receiver)}"
            if deep
            else f"were split by {hex_of(last.sender)} among {self._config.equals} fresh wallets"
        )
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="layering",
            severity=_severity(kind, deep),
            score=score,
            subject=root,
            role=Role.ATTACKER,
            block_row=int(flows.block[i]),
            transaction_index=int(columns.flow_tx_index[row]),
            transaction_hash=last.transaction,
            ordinal=int(columns.flow_ordinal[row]),
            sentence=(
                f"About {worth:.1f} ETH worth that {hex_of(root)} got from {hex_of(origin)} "
                f"({said}) {what}."
            ),
            reasons=reasons,
            evidence=Evidence(
                transactions=() if last.transaction is None else (last.transaction,),
                addresses=tuple(a for a in (last.sender, last.receiver, origin) if a != root),
                amounts=((last.token, last.amount),),
                path=path_of((*self._trail.path(int(out.hop[n]), int(out.newest[n])), last)),
            ),
        )

    def _reasons(
        self, depth: int, worth: float, kind: int, deep: bool
    ) -> tuple[float, tuple[Reason, ...]]:
        config = self._config
        needed = config.service_hops if kind == SERVICE_ORIGIN else config.hops
        bad = float(kind == BAD_ORIGIN)
        size = min(1.0, float(np.log10(max(1.0, worth))) / 3.0)
        layers = (
            Reason("layers", float(depth), 0.4, float(needed))
            if deep
            else Reason("equal_payments", float(config.equals), 0.1, float(config.equals))
        )
        reasons = (
            layers,
            Reason("ether_worth", worth, 0.3 * size, config.alert_ether),
            Reason("origin_is_labelled_bad", bad, 0.3 * bad),
        )
        return sum(reason.contribution for reason in reasons), reasons


def _severity(kind: int, deep: bool) -> Severity:
    if kind == BAD_ORIGIN:
        return Severity.HIGH if deep else Severity.MEDIUM
    return Severity.MEDIUM if deep and kind != SERVICE_ORIGIN else Severity.LOW


def _nonces(columns: Columns, rows: Array) -> Array:
    """The highest nonces known of the senders of flows, their transactions' own; -1: none is."""
    known: Array = columns.scored.flow_facts["from_nonce"][rows]
    if not len(columns.tx_block):
        return known
    nonces = columns.tx_nonce[columns.flow_tx[rows]]
    return np.where(columns.flow_signed[rows], np.maximum(known, nonces), known)


def _hop(columns: Columns, row: int) -> Hop:
    flows = columns.cells("flows")
    return Hop(
        flows["transaction_hash"][row],
        flows["from_address"][row],
        flows["to_address"][row],
        columns.amount(row),
        flows["token_address"][row],
    )


def _empty_out(most: int) -> LayerOut:
    return LayerOut(
        flow=np.empty(most, np.int64),
        why=np.empty(most, np.int64),
        amount=np.empty(most),
        depth=np.empty(most, np.int64),
        origin_is=np.empty(most, np.int64),
        hop=np.empty(most, np.int64),
        newest=np.empty(most, np.int64),
        root=np.empty((most, 5), np.uint32),
        origin=np.empty((most, 5), np.uint32),
        hop_flow=np.empty(most, np.int64),
        hop_before=np.empty(most, np.int64),
        counts=np.zeros(3, np.int64),
        key=np.zeros((3, 5), np.uint32),
    )
