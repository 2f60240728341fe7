"""Wallets that live on a mixer's money: whom it paid out, and whom those paid first, in turn.

A wallet counts by who *first* paid it, so that nobody can make another one look mixer-funded by
sending it coins: a wallet with a past stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import Hop
from detect.compiled import Array
from detect.journal import JournaledTable, Undoable
from detect.known.tokens import PER_ETHER
from detect.rules.arrow_arrays import bytes_of, fixed_bytes
from detect.rules.columns import Columns
from detect.rules.mixer_payouts import Payout, payouts_of


@dataclass(frozen=True, slots=True)
class FundingConfig:
    """``floor_wei``: what a mixer must have paid in all. ``hop_wei``: the least that is passed on.

    ``hops``: so many after the one the mixer paid. ``lookback_seconds``: between one payment and
    the next, or the deployment. ``hub``: a wallet with that many counterparties passes nothing on.
    ``wallets``: how many are remembered.
    """

    floor_wei: int = 2 * PER_ETHER
    hop_wei: int = PER_ETHER // 20
    hops: int = 3
    lookback_seconds: int = 3 * 86_400
    hub: int = 100
    wallets: int = 65_536


@dataclass(frozen=True, slots=True)
class Funded:
    """How a wallet got a mixer's money: hops after the first, wei out of the mixer, and the way."""

    hops: int
    amount: int
    path: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class FundingStep:
    """A payment that may fund a wallet: a mixer's payout, or a row of the batch's flows."""

    place: tuple[int, int]  # row of the block, transaction index
    payout: Payout | None
    flow: int = -1


class MixerFunding:
    """The mixer-funded wallets, undone with their blocks by their part ``funded``."""

    def __init__(self, config: FundingConfig) -> None:
        self._config = config
        # wallet -> (hops, time, payer, wei paid, transaction, wei out of the mixer at the start)
        self._funded = JournaledTable(config.wallets)
        self.parts: dict[str, Undoable] = {"funded": self._funded}

    def __len__(self) -> int:
        """How many wallets are remembered."""
        return len(self._funded)

    def steps(self, columns: Columns) -> list[FundingStep]:
        """The payments in coins of a batch that may fund a wallet, in chain order."""
        payouts = [p for p in payouts_of(columns) if any(p.recipient) and p.amount]
        found = [FundingStep(p.place[:2], p) for p in payouts]
        if payouts or len(self._funded):
            rows = self._rows(columns, {p.recipient for p in payouts})
            for row in rows.tolist():
                place = (int(columns.flow_row[row]), int(columns.flow_tx_index[row]))
                found.append(FundingStep(place, None, row))
        return sorted(found, key=lambda step: (step.place, step.flow))

    def take(self, columns: Columns, step: FundingStep, serial: int) -> None:
        """Note a payment, in the name of the block with that serial."""
        time = int(columns.block_times[step.place[0]])
        if step.payout is not None:
            self._take_payout(step.payout, serial, time)
        else:
            self._take_flow(columns, step.flow, serial, time)

    def funded(self, wallet: bytes, now: int) -> Funded | None:
        """How a mixer's money got to a wallet; None where it did not, not lately, or too little."""
        row = self._funded.get(wallet)
        if row is None or now - row[1] > self._config.lookback_seconds:
            return None
        start = int.from_bytes(row[5], "big")
        if start < self._config.floor_wei:
            return None
        return Funded(row[0], start, tuple(reversed(list(self._way(wallet)))))

    def _rows(self, columns: Columns, paid_out: set[bytes]) -> Array:
        # Coins for a wallet that nobody paid before, from a wallet that is funded, or is going to
        # be within this batch: as many rounds as there are hops.
        facts = columns.scored.flow_facts
        least = float(self._config.hop_wei)
        enough = (columns.flow_value >= least) & (columns.flow_coin == 0) & columns.flow_moved
        rows: Array = np.flatnonzero(enough)
        rows = rows[facts["to_funder"][rows] == 0]
        known_as = facts[rows]
        hub = known_as["from_counterparties"] >= self._config.hub
        rows = rows[~hub & ~known_as["to_is_contract"]]
        if not len(rows):
            return rows
        flows = columns.batch.flows
        senders = bytes_of(fixed_bytes(flows["from_address"], 20)[rows])
        receivers = bytes_of(fixed_bytes(flows["to_address"], 20)[rows])
        known, funded = set(paid_out), np.zeros(len(rows), np.bool_)
        for _ in range(self._config.hops):
            now = np.array([s in known or s in self._funded for s in senders])
            if (now == funded).all():
                break
            known |= {receivers[n] for n in np.flatnonzero(now & ~funded).tolist()}
            funded = now
        found: Array = rows[funded]
        return found

    def _take_payout(self, payout: Payout, serial: int, time: int) -> None:
        before = self._funded.get(payout.recipient)
        amount = total = payout.amount or 0
        lately = before is not None and time - before[1] <= self._config.lookback_seconds
        if before is not None and lately and before[0] == 0:
            total += int.from_bytes(before[5], "big")
        paid = amount.to_bytes(32, "big")
        row = (0, time, payout.pool, paid, payout.transaction, total.to_bytes(32, "big"))
        self._funded.put(serial, payout.recipient, row)

    def _take_flow(self, columns: Columns, flow: int, serial: int, time: int) -> None:
        flows = columns.cells("flows")
        sender, receiver = flows["from_address"][flow], flows["to_address"][flow]
        payer = self._funded.get(sender)
        if payer is None or payer[0] >= self._config.hops or receiver in self._funded:
            return
        if sender == receiver or time - payer[1] > self._config.lookback_seconds:
            return
        paid, hash_ = flows["value"][flow], flows["transaction_hash"][flow]
        self._funded.put(serial, receiver, (payer[0] + 1, time, sender, paid, hash_, payer[5]))

    def _way(self, wallet: bytes) -> Iterator[Hop]:
        # From the wallet back to the mixer, as far as it is remembered.
        for _ in range(self._config.hops + 1):
            row = self._funded.get(wallet)
            if row is None:
                return
            yield Hop(row[4], row[2], wallet, int.from_bytes(row[3], "big"))
            if row[0] == 0:
                return
            wallet = row[2]
