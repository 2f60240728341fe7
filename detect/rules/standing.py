"""The flows that move real value, and what the labels say of their parties at each flow's time.

A book may hold a million labels and a batch fifty thousand flows: addresses are looked up compiled,
and the book is asked only about those it knows. Rules that follow money share one look-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from detect.compiled import Array
from detect.kernels.standing import enter_all, look_up
from detect.known.mixers import TORNADO_POOLS
from detect.known.services import SERVICE_ADDRESSES, SERVICE_LABELS
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.label_store import FOREVER
from detect.label_words import BAD_LABELS, TRUSTED, Verdict
from detect.labels import LabelBook
from detect.rules.arrow_arrays import address_set, fixed_bytes
from detect.rules.columns import Columns

BAD: Final = 1  # its money is others': a label in force says so
SERVICE: Final = 2  # an exchange, router, bridge … that nobody calls bad
MIXER: Final = 4  # a mixer's pool, or labelled a mixer
MIXER_LABEL: Final = "mixer"

PER_ETHER_WORTH: Final = np.array([t.dust / NATIVE.dust for t in (NATIVE, *VALUE_TOKENS.values())])
"""Roughly how much of each coin (as ``Columns.flow_coin`` counts them) one ether is worth."""

MATERIAL_ETHER: Final = 0.01
"""Below that much worth a flow is dust to the rules that follow money."""

PROCEEDS: Final = BAD_LABELS - {"sybil", "wash_trading"}
"""Bad words that say whose money it is; farming and wash trading are done with one's own."""

_WORDS: Final = PROCEEDS | SERVICE_LABELS | TRUSTED | {MIXER_LABEL}


@dataclass(frozen=True, slots=True)
class MaterialFlows:
    """Flows of the coin or a listed token worth at least ``MATERIAL_ETHER``, in chain order.

    A flow to oneself, or into or out of nothing, moves no money between wallets and is none.
    """

    rows: Array  # int64, in the batch's flows
    coin: Array  # int64
    units: Array  # float64, whole coins
    time: Array  # int64
    block: Array  # int64, rows of the batch's blocks
    sender: Array  # uint32 (n, 5)
    receiver: Array
    sender_bits: Array  # uint8, bits of standing
    receiver_bits: Array

    def at(self, places: Array) -> MaterialFlows:
        """Some of them."""
        return MaterialFlows(*(getattr(self, name)[places] for name in self.__slots__))


class Standings:
    """A book of labels, looked up for whole batches. Keeps nothing that a result depends on."""

    def __init__(self, labels: LabelBook, secret: bytes = bytes(16)) -> None:
        self._labels = labels
        self._secret = np.frombuffer(secret, "<u8").copy()
        self._state: tuple[int, int] | None = None
        self._keys = np.empty((0, 5), np.uint32)
        self._slots = np.zeros(1, np.int32)
        # Per key: bits of standing, and from when until before when they are those.
        self._since = self._until = np.empty(0, np.int64)
        self._held = np.empty(0, np.uint8)
        self._last: tuple[Columns, MaterialFlows] | None = None

    def flows(self, columns: Columns) -> MaterialFlows:
        """The material flows of a batch; computed once for all rules that ask."""
        if self._last is None or self._last[0] is not columns or self._changed:
            self._last = (columns, self._material(columns))
        return self._last[1]

    def at(self, address: bytes, time: int, chain: str) -> int:
        """Bits of standing of one address at that time."""
        words = {label.label for label in self._labels.labels_at(address, time, chain)}
        bits = 0
        if words & PROCEEDS and self._labels.verdict_at(address, time, chain) == Verdict.BAD:
            bits = BAD
        if self._labels.is_service(address, time, chain):
            bits |= SERVICE
        if MIXER_LABEL in words or address in TORNADO_POOLS:
            bits |= MIXER
        return bits

    def words_at(self, address: bytes, time: int, chain: str) -> str:
        """What the labels in force say of an address, for a sentence; empty for nothing."""
        held = self._labels.labels_at(address, time, chain)
        return ", ".join(sorted({label.label for label in held}))

    @property
    def _changed(self) -> bool:
        return self._state != self._labels.state

    def _material(self, columns: Columns) -> MaterialFlows:
        coin = columns.flow_coin
        least = (MATERIAL_ETHER * PER_ETHER_WORTH)[coin]
        between = ~(columns.flow_minted | columns.flow_burnt)
        rows = np.flatnonzero(columns.flow_worth & (columns.flow_units >= least) & between)
        sender, receiver = columns.flow_sender[rows], columns.flow_receiver[rows]
        others = (sender != receiver).any(axis=1)
        if not others.all():
            rows, sender, receiver = rows[others], sender[others], receiver[others]
        block = columns.flow_row[rows]
        time = columns.block_times[block]
        chain = columns.batch.chain.name
        self._refresh()
        return MaterialFlows(
            rows,
            coin[rows].astype(np.int64),
            columns.flow_units[rows],
            time,
            block.astype(np.int64),
            sender,
            receiver,
            self._bits(sender, time, chain),
            self._bits(receiver, time, chain),
        )

    def _bits(self, parties: Array, times: Array, chain: str) -> Array:
        found = np.empty(len(parties), np.int32)
        look_up(self._keys, self._slots, self._secret, parties, found)
        out = np.zeros(len(parties), np.uint8)
        left = np.flatnonzero(found >= 0)
        while len(left):
            rows, at = found[left], times[left]
            known = (self._since[rows] <= at) & (at < self._until[rows])
            out[left[known]] = self._held[rows[known]]
            left = left[~known]
            for row, time in dict(
                zip(found[left].tolist(), times[left].tolist(), strict=True)
            ).items():
                self._ask(row, time, chain)
        return out

    def _ask(self, row: int, time: int, chain: str) -> None:
        # What the book says of an address, and between which moments that stays true.
        address = self._keys[row].tobytes()
        moments = [
            moment
            for label in self._labels.labels_of(address)
            for moment in (label.valid_from, label.valid_to)
            if moment is not None
        ]
        self._since[row] = max((m for m in moments if m <= time), default=-FOREVER)
        self._until[row] = min((m for m in moments if m > time), default=FOREVER)
        self._held[row] = self.at(address, time, chain)

    def _refresh(self) -> None:
        if not self._changed:
            return
        known = self._labels.addresses_with(_WORDS, -FOREVER, FOREVER)
        built_in = address_set(SERVICE_ADDRESSES | set(TORNADO_POOLS))
        raw = [fixed_bytes(pa.chunked_array([part]), 20) for part in (known, built_in)]
        keys = np.concatenate(raw).view("<u4").astype(np.uint32)
        slots = np.zeros(1 << (2 * len(keys)).bit_length(), np.int32)
        enter_all(keys, slots, self._secret)
        self._keys, self._slots, self._state = keys, slots, self._labels.state
        self._since, self._until = np.ones(len(keys), np.int64), np.zeros(len(keys), np.int64)
        self._held = np.zeros(len(keys), np.uint8)
