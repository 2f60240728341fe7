"""What is remembered of wallets, tokens and pairs: bounded, undone exactly, block by block.

A wallet that has to give up its row leaves a summary of 64 bytes, and begins its next row with it.

A wallet is one record of 264 bytes, with its key, index and stamp 300: a record to a row is four
times as fast to update as a column to a field, since a flow touches most fields of two wallets.
Memory is touched as rows come into use, so a small run is small whatever the capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chainwarden.errors import DeepReorg, DetectError, SnapshotRefused
from detect.compiled import Array
from detect.events import address_key
from detect.features import (
    FLOW_FEATURES,
    PAIR,
    SUMMARY,
    TOKEN,
    WALLET,
    WALLET_FEATURES,
)
from detect.growing import first_of
from detect.kernels.arrays import Events, Seen, State, Undo
from detect.kernels.observe import observe
from detect.kernels.scores import settle_rows, settle_undo
from detect.kernels.summaries import SET, Summaries, SummaryUndo, place_of, undo_summaries
from detect.kernels.table import (
    COUNT,
    EVICTED,
    Table,
    TableUndo,
    find,
    rebuild_index,
    siphash,
    undo_block,
)
from detect.kernels.update import WAYS, Pairs, PairUndo, undo_pairs
from detect.scored import APPROVAL_FACTS, FLOW_FACTS
from detect.snapshot import digest_of, pack, unpack

MIN_CAPACITY: Final = 16
RECORDS: Final = {
    "wallet_rows": WALLET,
    "token_rows": TOKEN,
    "pair_rows": PAIR,
    "summary_rows": SUMMARY,
}
SCHEMA: Final = digest_of(
    *(str(kind).encode() for kind in (WALLET, TOKEN, PAIR, SUMMARY)),
    "\n".join(FLOW_FEATURES).encode(),
    "\n".join(WALLET_FEATURES).encode(),
)


@dataclass(frozen=True, slots=True)
class WalletBounds:
    """How much is remembered, for how long it can be undone, and the key addresses hash under."""

    wallets: int = 1_000_000
    tokens: int = 65_536
    pairs: int = 1_048_576
    summaries: int = 0
    undo_depth: int = 64
    secret: bytes = bytes(16)

    def __post_init__(self) -> None:
        if min(self.wallets, self.tokens) < MIN_CAPACITY:
            raise DetectError(f"a table holds at least {MIN_CAPACITY} rows")
        if self.pairs < WAYS or self.pairs & (self.pairs - 1):
            raise DetectError("the pair table's size must be a power of two")
        if self.summaries < 0 or self.summaries % SET:
            raise DetectError(f"summaries come in sets of {SET}")
        if len(self.secret) != 16 or self.undo_depth < 0:
            raise DetectError("the hash key is 16 bytes, the undo depth not negative")


@dataclass(slots=True)
class _Undoable:
    """The undo of the blocks ``first`` to ``first + blocks - 1``."""

    first: int
    blocks: int
    undo: Undo

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in _flat(self.undo).values())


class WalletTable:
    """The state that features are read from.

    Results depend on nothing but the blocks in order: not on how they were batched, reverted or
    snapshotted in between. A full table evicts by risk, value and age, never the zero address,
    which has no row at all.
    """

    def __init__(self, bounds: WalletBounds | None = None) -> None:
        self.bounds = bounds or WalletBounds()
        self._state = _empty_state(self.bounds)
        self._undo: list[_Undoable] = []
        self._forgotten = -1  # blocks up to this serial cannot be reverted

    def __len__(self) -> int:
        """How many wallets have a row."""
        return int(self._state.wallets.state[COUNT])

    @property
    def tokens(self) -> int:
        """How many tokens have a row."""
        return int(self._state.tokens.state[COUNT])

    @property
    def evictions(self) -> int:
        """How many wallets have been evicted."""
        return int(self._state.wallets.state[EVICTED])

    @property
    def summaries(self) -> int:
        """How many wallets without a row have a summary."""
        return int(self._state.summaries.number[0])

    @property
    def undo_bytes(self) -> int:
        """The size of the undo."""
        return sum(chunk.nbytes for chunk in self._undo)

    def row(self, address: bytes) -> Any:
        """The record of a wallet (a copy), or None."""
        wallets, key = self._state.wallets, address_key(address)
        hashed = np.uint64(siphash(wallets.secret, key))
        row = find(wallets.keys, wallets.slots, key, hashed)
        return None if row < 0 else wallets.rows[row].copy()

    def summary(self, address: bytes) -> Any:
        """What is kept of a wallet that was evicted (a copy), or None."""
        summaries = self._state.summaries
        if not len(summaries.rows):
            return None
        hashed = np.uint64(siphash(self._state.wallets.secret, address_key(address)))
        place = place_of(summaries, hashed)
        return None if place < 0 else summaries.rows[place].copy()

    def observe(self, events: Events, first_serial: int) -> Seen:
        """Pass over whole blocks with serials from ``first_serial``: read, then update.

        Only the last ``undo_depth`` blocks of the batch are journalled: those before them cannot
        be reverted any more once the batch is in.
        """
        blocks = len(events.flow_starts) - 1
        journal_from = max(0, blocks - self.bounds.undo_depth)
        undo = _empty_undo(events, blocks, journal_from, self.bounds.summaries)
        out = _empty_seen(events, blocks)
        scratch = np.zeros(3, np.int64)
        rows = observe(events, self._state, undo, first_serial, journal_from, scratch, out)
        self._undo.append(
            _Undoable(first_serial + journal_from, blocks - journal_from, _trimmed(undo))
        )
        self.forget(first_serial + blocks - 1 - self.bounds.undo_depth)
        return out._replace(
            wallet_features=out.wallet_features[:rows],
            wallet_row=out.wallet_row[:rows],
            wallet_flow=out.wallet_flow[:rows],
            wallet_is_sender=out.wallet_is_sender[:rows],
            wallet_value=out.wallet_value[:rows],
        )

    def settle(self, seen: Seen, scores: Array) -> None:
        """Give the wallets of the last pass their scores (float32, one per wallet row)."""
        settle_rows(self._state.wallets.rows, seen.wallet_row, scores)
        if self._undo:
            settle_undo(self._undo[-1].undo.wallets.rows, scores)

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, which must be the last one.

        Raises DeepReorg when its undo was forgotten.
        """
        if not self._undo or serial <= self._forgotten:
            raise DeepReorg(f"block serial {serial} can no longer be undone")
        last = self._undo[-1]
        if last.first + last.blocks - 1 != serial:
            raise DetectError(f"block serial {serial} is not the last one")
        block = last.blocks - 1
        undo_block(self._state.wallets, last.undo.wallets, block)
        undo_block(self._state.tokens, last.undo.tokens, block)
        undo_pairs(self._state.pairs, last.undo.pairs, block)
        undo_summaries(self._state.summaries, last.undo.summaries, block)
        self._state.gas[:] = last.undo.gas[block]
        last.blocks = block
        if not block:
            self._undo.pop()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self._forgotten = max(self._forgotten, serial)
        self._undo = [c for c in self._undo if c.first + c.blocks - 1 > self._forgotten]

    def digest(self) -> str:
        """A digest of what is remembered, undo excluded."""
        return digest_of(*self._content().values())

    def snapshot(self) -> bytes:
        """The state, undo included."""
        arrays = self._content()
        for number, chunk in enumerate(self._undo):
            arrays |= {f"{number}.{name}": a for name, a in _flat(chunk.undo).items()}
        meta = {
            "bounds": self._sizes(),
            "forgotten": self._forgotten,
            "undo": [[chunk.first, chunk.blocks] for chunk in self._undo],
        }
        return pack("wallets", SCHEMA, meta, arrays)

    def restore(self, data: bytes | memoryview) -> None:
        """Take over a snapshot. Raises SnapshotRefused for one of other bounds or features.

        Then nothing has changed. What was remembered is let go of before the snapshot is read, so
        there are never two states beside it.
        """
        meta, arrays = unpack(data, "wallets", SCHEMA, RECORDS, copied=False)
        self._refuse_other(meta, arrays)
        del self._state
        self._undo = []
        self._state = _empty_state(self.bounds)
        self._load(meta, arrays)

    def _content(self) -> dict[str, Array]:
        """The logical state: rows in use, the eviction hands, pairs, the usual gas price."""
        content = {}
        for name in ("wallet", "token"):
            table: Table = getattr(self._state, f"{name}s")
            used = table.state[COUNT]
            content[f"{name}_state"] = table.state
            content[f"{name}_keys"] = table.keys[:used]
            content[f"{name}_rows"] = table.rows[:used]
        places = np.flatnonzero(self._state.pairs.rows["key"])
        content["pair_places"] = places
        content["pair_rows"] = self._state.pairs.rows[places]
        if self.summaries:
            places = np.flatnonzero(self._state.summaries.keys)
            content["summary_places"] = places
            content["summary_keys"] = self._state.summaries.keys[places]
            content["summary_rows"] = self._state.summaries.rows[places]
        content["secret"] = self._state.wallets.secret
        content["gas"] = self._state.gas
        return content

    def _sizes(self) -> list[int]:
        bounds = self.bounds
        return [bounds.wallets, bounds.tokens, bounds.pairs, bounds.summaries]

    def _refuse_other(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        bounds = self._sizes()
        if meta["bounds"] != bounds or bytes(arrays["secret"]) != self.bounds.secret:
            raise SnapshotRefused(
                f"the snapshot has the bounds {meta['bounds']} and its own hash key, not {bounds}",
                hint="start with the settings it was written with, or rebuild",
            )

    def _load(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        for name in ("wallet", "token"):
            table: Table = getattr(self._state, f"{name}s")
            used = len(arrays[f"{name}_keys"])
            table.state[:] = arrays[f"{name}_state"]
            table.keys[:used] = arrays[f"{name}_keys"]
            table.rows[:used] = arrays[f"{name}_rows"]
            rebuild_index(table)
        self._state.pairs.rows[arrays["pair_places"]] = arrays["pair_rows"]
        if "summary_rows" in arrays:
            places = arrays["summary_places"]
            self._state.summaries.keys[places] = arrays["summary_keys"]
            self._state.summaries.rows[places] = arrays["summary_rows"]
            self._state.summaries.number[0] = len(arrays["summary_rows"])
        self._state.gas[:] = arrays["gas"]
        self._forgotten = meta["forgotten"]
        for number, (first, blocks) in enumerate(meta["undo"]):
            self._undo.append(_Undoable(first, blocks, _undo_of(arrays, number)))


# --- the arrays ---------------------------------------------------------------------------------


def _empty_state(bounds: WalletBounds) -> State:
    secret = np.frombuffer(bounds.secret, "<u8").copy()
    return State(
        _table(bounds.wallets, WALLET, secret),
        _table(bounds.tokens, TOKEN, secret),
        Pairs(np.zeros(bounds.pairs, PAIR)),
        np.zeros(2),
        Summaries(
            np.zeros(bounds.summaries, np.uint64),
            np.zeros(bounds.summaries, SUMMARY),
            np.zeros(1, SUMMARY),
            np.zeros(1, np.int64),
        ),
    )


def _table(capacity: int, kind: np.dtype[Any], secret: Array) -> Table:
    # Zeroed by the operating system as pages are touched: capacity costs nothing until it is used.
    slots = 1 << (2 * capacity - 1).bit_length()
    return Table(
        np.zeros((capacity, 5), np.uint32),
        np.zeros(capacity + 1, kind),
        np.zeros(slots, np.int32),
        np.zeros(capacity, np.int64),
        np.zeros(3, np.int64),
        secret,
    )


def _empty_seen(events: Events, blocks: int) -> Seen:
    flows, approvals = len(events.flow_time), len(events.approval_time)
    return Seen(
        events.flow_starts,
        np.zeros(flows, FLOW_FACTS),
        np.zeros(flows, np.int32),
        np.zeros(flows, np.int32),
        np.empty((flows, len(FLOW_FEATURES)), np.float32),
        np.zeros(approvals, APPROVAL_FACTS),
        np.zeros(approvals, np.int32),
        np.zeros(approvals, np.int32),
        np.empty((2 * flows, len(WALLET_FEATURES)), np.float32),
        np.empty(2 * flows, np.int32),
        np.empty(2 * flows, np.int32),
        np.empty(2 * flows, np.bool_),
        np.empty(2 * flows),
        np.zeros(blocks + 1, np.int64),
    )


def _empty_undo(events: Events, blocks: int, journal_from: int, summaries: int) -> Undo:
    """Room for the most that the journalled blocks can change."""

    def rows(starts: Array) -> int:
        return int(starts[-1] - starts[journal_from]) if blocks else 0

    flows = rows(events.flow_starts)
    wallets = (
        3 * flows
        + rows(events.approval_starts)
        + 2 * rows(events.creation_starts)
        + rows(events.log_starts)
    )
    marked = blocks - journal_from
    return Undo(
        _empty_table_undo(wallets, WALLET, marked),
        _empty_table_undo(flows, TOKEN, marked),
        PairUndo(
            np.empty(2 * flows, np.int64),
            np.empty(2 * flows, PAIR),
            np.zeros(1, np.int64),
            np.zeros(marked, np.int64),
        ),
        np.zeros((marked, 2)),
        SummaryUndo(
            np.empty(2 * wallets if summaries else 0, np.int64),
            np.empty(2 * wallets if summaries else 0, np.uint64),
            np.empty(2 * wallets if summaries else 0, SUMMARY),
            np.zeros(1, np.int64),
            np.zeros(marked, np.int64),
        ),
    )


def _empty_table_undo(rows: int, kind: np.dtype[Any], blocks: int) -> TableUndo:
    return TableUndo(
        np.empty(rows, np.int32),
        np.empty((rows, 5), np.uint32),
        np.empty(rows, kind),
        np.empty(rows, np.bool_),
        np.zeros(1, np.int64),
        np.zeros((blocks, 4), np.int64),
    )


def _trimmed(undo: Undo) -> Undo:
    """The undo without the room it did not need."""

    def table(t: TableUndo) -> TableUndo:
        n = int(t.used[0])
        return TableUndo(
            first_of(t.slots, n),
            first_of(t.keys, n),
            first_of(t.rows, n),
            first_of(t.existed, n),
            t.used,
            t.marks,
        )

    n = int(undo.pairs.used[0])
    pairs = undo.pairs._replace(
        places=first_of(undo.pairs.places, n), rows=first_of(undo.pairs.rows, n)
    )
    n = int(undo.summaries.used[0])
    summaries = undo.summaries._replace(
        places=first_of(undo.summaries.places, n),
        keys=first_of(undo.summaries.keys, n),
        rows=first_of(undo.summaries.rows, n),
    )
    return Undo(table(undo.wallets), table(undo.tokens), pairs, undo.gas, summaries)


def _flat(undo: Undo) -> dict[str, Array]:
    """The undo's arrays by name; record arrays end as ``RECORDS`` names them."""
    flat = {f"wallet_{name}": a for name, a in undo.wallets._asdict().items()}
    flat |= {f"token_{name}": a for name, a in undo.tokens._asdict().items()}
    flat |= {f"pair_{name}": a for name, a in undo.pairs._asdict().items()}
    flat |= {f"summary_{name}": a for name, a in undo.summaries._asdict().items()}
    return flat | {"gas": undo.gas}


def _undo_of(arrays: dict[str, Array], number: int) -> Undo:
    def part(name: str, fields: tuple[str, ...]) -> list[Array]:
        return [arrays[f"{number}.{name}_{field}"].copy() for field in fields]

    return Undo(
        TableUndo(*part("wallet", TableUndo._fields)),
        TableUndo(*part("token", TableUndo._fields)),
        PairUndo(*part("pair", PairUndo._fields)),
        arrays[f"{number}.gas"].copy(),
        SummaryUndo(*part("summary", SummaryUndo._fields)),
    )
