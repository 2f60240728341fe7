"""What is known of tainted money: bounded, undone exactly, every coin of taint accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Hop
from detect.compiled import Array
from detect.journal import Undoable
from detect.kernels.table import COUNT
from detect.kernels.taint import (
    CLASSES,
    HOPS,
    LOTS,
    PAYMENTS,
    QUEUE,
    SUMS,
    TAINT,
    TaintFlows,
    TaintLimits,
    TaintOut,
    TaintState,
    TaintUndo,
)
from detect.kernels.taint_pass import close_pass, taint_pass
from detect.record_table import JournaledArray, RecordTable
from detect.rules.standing import PER_ETHER_WORTH
from detect.rules.trail import Trail

COINS: Final = len(PER_ETHER_WORTH)


@dataclass(frozen=True, slots=True)
class TaintConfig:
    """Thresholds in worth of ether, and bounds.

    ``floor_ether`` and ``floor_share``: taint below that much, or below that share of the payment
    it is in, is let go. ``alert_ether`` and ``alert_share``: what a wallet must have paid to
    services within ``window_seconds``, and its share of all it paid them. ``high_ether`` and
    ``high_share``: from here it is high. ``hub`` and ``contract_hub``: a wallet, or a contract,
    with that many counterparties is a service that nobody has labelled yet; taint is absorbed
    there without a word. ``wallets`` and ``queues``: wallets and coins followed by haircut, and by
    FIFO. ``hops``: a path reaches back that many hops of all taint.
    """

    floor_ether: float = 0.01
    floor_share: float = 0.001
    alert_ether: float = 1.0
    alert_share: float = 0.1
    high_ether: float = 10.0
    high_share: float = 0.5
    window_seconds: int = 86_400
    hub: int = 1_000
    contract_hub: int = 50
    wallets: int = 262_144
    queues: int = 50_000
    hops: int = 131_072

    def limits(self) -> TaintLimits:
        """What the kernels compare with, per coin."""
        return TaintLimits(
            floor=self.floor_ether * PER_ETHER_WORTH,
            floor_share=self.floor_share,
            alert=self.alert_ether * PER_ETHER_WORTH,
            alert_share=self.alert_share,
            window=self.window_seconds,
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment to a service with much taint in it. Amounts are in whole coins.

    ``flow`` is its place in the pass. ``taint`` is that of the payment, by class (see ``CLASSES``),
    ``fifo`` the same by FIFO, None where the sender has no queue. ``paid_taint`` and ``paid`` are
    what its sender has paid to services within the window, tainted and in all. ``source`` is where
    most of it came from, ``path`` the way from there to the sender.
    """

    flow: int
    taint: tuple[float, ...]
    fifo: float | None
    paid_taint: float
    paid: float
    source: bytes
    path: tuple[Hop, ...]


class TaintLedger:
    """Haircut balances, FIFO queues and the trail of hops, in ``parts``; and the sums of it all.

    For each method and coin, what entered is what is held, and what was absorbed, dropped below the
    floor and given up by eviction: see ``balance_of``.
    """

    def __init__(self, config: TaintConfig, secret: bytes = bytes(16)) -> None:
        self._config = config
        self._limits = config.limits()
        self._wallets = RecordTable(config.wallets, TAINT, secret)
        self._queues = RecordTable(config.queues, QUEUE, secret)
        self._sums = JournaledArray(np.zeros((2, COINS, SUMS)))
        self._trail = Trail(config.hops)
        self.parts: dict[str, Undoable] = {
            "wallets": self._wallets,
            "queues": self._queues,
            "sums": self._sums,
            "trail": self._trail,
        }

    def __len__(self) -> int:
        """How many wallets and coins have a record."""
        return len(self._wallets)

    def taint_of(self, wallet: bytes, coin: int) -> tuple[float, float]:
        """Whole coins of taint that a wallet has: by haircut, by FIFO."""
        words = np.frombuffer(wallet, "<u4").copy()
        words[4] ^= np.uint32((coin * 0x9E3779B1) & 0xFFFFFFFF)
        row, queue = self._wallets.get(words.tobytes()), self._queues.get(words.tobytes())
        return (
            0.0 if row is None else float(row["taint"].sum()),
            0.0 if queue is None else float(queue["taint"].sum()),
        )

    def balance_of(self, method: int, coin: int) -> tuple[float, float, float, float, float]:
        """Sourced, held, absorbed, dropped, evicted: the first is the sum of the others."""
        table = (self._wallets, self._queues)[method].table
        rows = table.rows[: table.state[COUNT]]
        held = rows["taint"][rows["coin"] == coin].sum()
        sourced, absorbed, dropped, evicted = self._sums.values[method, coin].tolist()
        return sourced, float(held), absorbed, dropped, evicted

    def advance(
        self,
        flows: TaintFlows,
        first_serial: int,
        blocks: int,
        hops_of: Callable[[Array, Array], Array],
    ) -> list[Payment]:
        """Move taint with the flows of whole blocks; the payments worth an alert, in order.

        ``hops_of`` gives places in the pass, and the hops they follow, as records of the trail.
        """
        count, window = len(flows.coin), self._config.hops
        undo = TaintUndo(
            self._wallets.open(first_serial, blocks, 2 * count),
            self._queues.open(first_serial, blocks, 2 * count),
            self._sums.open(first_serial, blocks),
        )
        state = TaintState(
            self._wallets.table,
            self._queues.table,
            self._sums.values,
            np.zeros((LOTS + 2, 2)),
            np.zeros(LOTS + 2, np.uint32),
            np.zeros(CLASSES),
            np.zeros((2, 5), np.uint32),
            np.zeros(5, np.uint32),
        )
        out = _empty_out(min(count, window))
        payments: list[Payment] = []
        for start in range(0, count, window):
            out.counts[[PAYMENTS, HOPS]] = 0
            stop, hops = min(count, start + window), self._trail.count
            taint_pass(flows, state, undo, self._limits, first_serial, start, stop, hops, out)
            added = int(out.counts[HOPS])
            places = out.hop_flow[:added]
            self._trail.add(
                hops_of(places, out.hop_before[:added]), first_serial + flows.block[places]
            )
            payments += [self._payment(out, n) for n in range(int(out.counts[PAYMENTS]))]
        close_pass(state, undo, blocks, out)
        self._wallets.close()
        self._queues.close()
        return payments

    def _payment(self, out: TaintOut, n: int) -> Payment:
        fifo = float(out.fifo[n])
        return Payment(
            flow=int(out.flow[n]),
            taint=tuple(out.taint[n].tolist()),
            fifo=None if np.isnan(fifo) else fifo,
            paid_taint=float(out.paid[n, 0]),
            paid=float(out.paid[n, 1]),
            source=out.source[n].tobytes(),
            path=self._trail.path(int(out.hop[n]), int(out.newest[n])),
        )


def _empty_out(most: int) -> TaintOut:
    return TaintOut(
        flow=np.empty(most, np.int64),
        taint=np.empty((most, CLASSES)),
        fifo=np.empty(most),
        paid=np.empty((most, 2)),
        hop=np.empty(most, np.int64),
        newest=np.empty(most, np.int64),
        source=np.empty((most, 5), np.uint32),
        hop_flow=np.empty(most, np.int64),
        hop_before=np.empty(most, np.int64),
        counts=np.zeros(3, np.int64),
    )
