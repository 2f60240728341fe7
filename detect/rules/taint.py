"""Stolen, phished or mixed money that reaches a service, however many wallets it went through.

Taint enters where a wallet with a bad label in force pays, and where a mixer pays out. It moves
with the chain's coin and with listed tokens, and is absorbed at services, mixers, labelled wallets
and hubs. Nobody is told about for being paid: only for paying on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from chainwarden.schema import Evidence, FlowKind, Hop, Reason, Role, Severity, hex_of, path_of
from detect.compiled import Array
from detect.journal import Journaled
from detect.kernels.taint import PAYS_SERVICE, SINK, SOURCE_BAD, SOURCE_MIXER, TaintFlows
from detect.known.mixers import TORNADO_POOLS
from detect.known.tokens import ETHER
from detect.labels import LabelBook
from detect.rules.arrow_arrays import address_set
from detect.rules.columns import ColumnCache, Columns
from detect.rules.mixer_payouts import Payout, payouts_of
from detect.rules.rule import Finding
from detect.rules.standing import BAD, MIXER, PER_ETHER_WORTH, SERVICE, Standings
from detect.rules.taint_ledger import Payment, TaintConfig, TaintLedger
from detect.rules.trail import HOP, hop_record, hops_of
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

_POOLS: Final = address_set(TORNADO_POOLS)
_NO_ROW: Final = -1


class Taint(Journaled):
    """Finds wallets that pay tainted money to services: an exchange, a router, a bridge, a mixer.

    Two measures: haircut (what leaves is as tainted as the balance it leaves) and FIFO (what came
    first leaves first). Balances are those in view: what came in and has not left, of tokens since
    the wallet was first tainted; where more leaves than that, all taint leaves with it.

    ==================================  ========================================================
    what was paid within the window     severity
    ==================================  ========================================================
    ≥ 10 ETH worth and ≥ 50 % tainted   high, out of mixers alone medium
    ≥ 1 ETH worth and ≥ 10 % tainted    medium, out of mixers alone low
    … and FIFO finds it clean           one lower
    ==================================  ========================================================
    """

    id = "taint"
    version = 1

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        standings: Standings | None = None,
        config: TaintConfig | None = None,
        secret: bytes = bytes(16),
    ) -> None:
        self._config = config or TaintConfig()
        self._cache = cache
        self._standings = standings or Standings(labels, secret)
        self.ledger = TaintLedger(self._config, secret)
        super().__init__(self.ledger.parts)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not columns.flow_count:
            return ()
        payouts = [p for p in payouts_of(columns) if any(p.recipient) and p.amount]
        material = self._standings.flows(columns)
        if not len(self.ledger) and not payouts and not _paid(material.sender_bits).any():
            return ()
        moved = _Moved(columns, self._standings, self._config, payouts)
        payments = self.ledger.advance(
            moved.flows, columns.first_serial, len(columns.batch), moved.hops
        )
        return [self._finding(columns, moved, payment) for payment in payments]

    def _finding(self, columns: Columns, moved: _Moved, payment: Payment) -> Finding:
        last = moved.hop(payment.flow)
        flows, i = moved.flows, payment.flow
        row, coin = int(moved.rows[i]), int(flows.coin[i])
        time, chain = int(flows.time[i]), columns.batch.chain.name
        worth = payment.paid_taint / float(PER_ETHER_WORTH[coin])
        mixed = payment.taint[1] > payment.taint[0]
        share = sum(payment.taint) / float(flows.units[i])
        fifo = None if payment.fifo is None else payment.fifo / float(flows.units[i])
        score, reasons = self._reasons(worth, share, fifo, mixed)
        source = "a mixer" if mixed else "a labelled wallet"
        said = self._standings.words_at(payment.source, time, chain) or source
        sink = self._standings.words_at(last.receiver, time, chain) or "a known service"
        hops = len(payment.path)
        way = f"{hops} hop{'s' * (hops > 1)} from" if hops else "directly from"
        by_fifo = "" if fifo is None else f", {fifo:.0%} by FIFO"
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="taint",
            severity=self._severity(worth, payment.paid_taint / payment.paid, fifo, mixed),
            score=score,
            subject=last.sender,
            role=Role.ATTACKER if last.sender == payment.source else Role.UNKNOWN,
            block_row=int(flows.block[i]),
            transaction_index=int(columns.flow_tx_index[row]),
            transaction_hash=last.transaction,
            ordinal=int(columns.flow_ordinal[row]),
            sentence=(
                f"{hex_of(last.sender)} paid {amount_text(last.token, last.amount)} to "
                f"{hex_of(last.receiver)} ({sink}); {share:.0%} of it by haircut{by_fifo} is "
                f"{way} {hex_of(payment.source)} ({said}), going by the balances in view."
            ),
            reasons=reasons,
            evidence=Evidence(
                transactions=() if last.transaction is None else (last.transaction,),
                addresses=tuple(a for a in (last.receiver, payment.source) if a != last.sender),
                amounts=((last.token, last.amount),),
                path=path_of((*payment.path, last)),
            ),
        )

    def _severity(self, worth: float, share: float, fifo: float | None, mixed: bool) -> Severity:
        config = self._config
        much = worth >= config.high_ether and share >= config.high_share
        level = int(Severity.HIGH if much else Severity.MEDIUM)
        level -= mixed
        level -= fifo is not None and fifo < config.alert_share
        return Severity(max(int(Severity.LOW), level))

    def _reasons(
        self, worth: float, share: float, fifo: float | None, mixed: bool
    ) -> tuple[float, tuple[Reason, ...]]:
        # A mixer is a privacy tool: the same money weighs less.
        weight = 0.6 if mixed else 1.0
        size = min(1.0, float(np.log10(1.0 + worth)) / 2.0)
        reasons = [
            Reason("tainted_share_haircut", share, weight * 0.4 * share, self._config.alert_share),
            Reason("tainted_ether_worth", worth, weight * 0.4 * size, self._config.alert_ether),
        ]
        if fifo is not None:
            share_of_fifo = weight * 0.2 * fifo
            reasons.append(
                Reason("tainted_share_fifo", fifo, share_of_fifo, self._config.alert_share)
            )
        return sum(reason.contribution for reason in reasons), tuple(reasons)


class _Moved:
    """The material flows of a batch as taint sees them, a mixer's payouts among them."""

    def __init__(
        self,
        columns: Columns,
        standings: Standings,
        config: TaintConfig,
        payouts: list[Payout],
    ) -> None:
        self._columns = columns
        self._payouts: dict[int, Payout] = {}
        material = standings.flows(columns)
        facts = columns.scored.flow_facts
        keep = np.ones(len(material.rows), np.bool_)
        # The coins that a pool pays out are told by its event, and its fee is the relayer's own.
        inside = np.flatnonzero(columns.flow_kind[material.rows] == FlowKind.INTERNAL)
        if len(inside):
            from_pool = columns.members("flows", "from_address", _POOLS)
            keep[inside[from_pool[material.rows[inside]]]] = False
        rows = material.rows[keep]
        counterparties = facts["to_counterparties"][rows]
        hub = (counterparties >= config.hub) | (
            facts["to_is_contract"][rows] & (counterparties >= config.contract_hub)
        )
        receives = np.where(hub, SINK, 0).astype(np.uint8) | _received(material.receiver_bits[keep])
        # A mixer's own payments, between its contracts or out, are ``mixer_touch``'s to tell.
        receives[(material.sender_bits[keep] & MIXER) != 0] &= ~np.uint8(PAYS_SERVICE)
        self.rows = rows
        self.flows = TaintFlows(
            coin=material.coin[keep],
            units=material.units[keep],
            time=material.time[keep],
            block=material.block[keep],
            sender=material.sender[keep],
            receiver=material.receiver[keep],
            sender_held=facts["from_held"][rows] / ETHER,
            receiver_held=facts["to_held"][rows] / ETHER,
            sender_is=_paid(material.sender_bits[keep]),
            receiver_is=receives,
        )
        if payouts:
            self._insert(payouts, standings)

    def hops(self, places: Array, before: Array) -> Array:
        """Flows of the pass, and the hops they follow, as records of a trail."""
        rows = self.rows[places]
        hops = np.zeros(len(rows), HOP)
        real = rows != _NO_ROW
        hops[real] = hops_of(self._columns.batch.flows, rows[real], before[real])
        for at in np.flatnonzero(~real).tolist():
            payout = self._payouts[int(places[at])]
            hops[at] = hop_record(
                Hop(payout.transaction, payout.pool, payout.recipient, payout.amount or 0),
                int(before[at]),
            )
        return hops

    def hop(self, place: int) -> Hop:
        """One flow of the pass, which no payout is."""
        flows, row = self._columns.cells("flows"), int(self.rows[place])
        return Hop(
            flows["transaction_hash"][row],
            flows["from_address"][row],
            flows["to_address"][row],
            self._columns.amount(row),
            flows["token_address"][row],
        )

    def _insert(self, payouts: list[Payout], standings: Standings) -> None:
        columns, chain = self._columns, self._columns.batch.chain.name
        times = [int(columns.block_times[p.place[0]]) for p in payouts]
        order = self.flows.block << 32 | columns.flow_tx_index[self.rows]
        wanted = np.array([p.place[0] << 32 | p.place[1] for p in payouts], np.int64)
        at = np.searchsorted(order, wanted)
        for n, place in enumerate((at + np.arange(len(at))).tolist()):
            self._payouts[place] = payouts[n]
        self.rows = np.insert(self.rows, at, _NO_ROW)
        pools = [standings.at(p.pool, time, chain) for p, time in zip(payouts, times, strict=True)]
        receives = [
            standings.at(p.recipient, time, chain) for p, time in zip(payouts, times, strict=True)
        ]
        told = TaintFlows(
            coin=np.zeros(len(at), np.int64),
            units=np.array([(p.amount or 0) / ETHER for p in payouts]),
            time=np.array(times, np.int64),
            block=np.array([p.place[0] for p in payouts], np.int64),
            sender=_words([p.pool for p in payouts]),
            receiver=_words([p.recipient for p in payouts]),
            sender_held=np.zeros(len(at)),
            receiver_held=np.zeros(len(at)),
            sender_is=_paid(np.array(pools, np.uint8)),
            receiver_is=_received(np.array(receives, np.uint8)) & ~np.uint8(PAYS_SERVICE),
        )
        self.flows = TaintFlows(
            *(
                np.insert(ours, at, theirs, axis=0)
                for ours, theirs in zip(self.flows, told, strict=True)
            )
        )


def _paid(bits: Array) -> Array:
    """What bits of standing make a sender."""
    return np.where(bits & BAD, SOURCE_BAD, 0).astype(np.uint8) | np.where(
        bits & MIXER, SOURCE_MIXER, 0
    ).astype(np.uint8)


def _received(bits: Array) -> Array:
    """What bits of standing make a receiver."""
    sinks = np.where(bits & (SERVICE | MIXER), SINK | PAYS_SERVICE, 0).astype(np.uint8)
    return _paid(bits) | sinks


def _words(addresses: list[bytes]) -> Array:
    return np.frombuffer(b"".join(addresses), "<u4").reshape(-1, 5).astype(np.uint32)
