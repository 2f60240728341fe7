"""The arrays that several rules need of one batch, each computed once and only if asked for."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import FlowKind, Position, column
from detect.compiled import Array
from detect.kernels.flows import Flows
from detect.known.calls import NATIVE_CLAIMS
from detect.known.tokens import ETHER, VALUE_TOKENS
from detect.rules.arrow_arrays import (
    RowsByKey,
    address_words,
    among,
    bytes_of,
    fixed_bytes,
    last_bytes,
    nullable,
    nulls,
    rows_by_topic,
    variable_bytes,
)
from detect.rules.block_log import headers_of
from detect.rules.cells import Cells
from detect.scored import ScoredBatch

UNKNOWN_STATUS: Final = -1
AFTER_ALL_TRANSACTIONS: Final = 2**31 - 1  # where a withdrawal sorts within its block

_NO_NONCE: Final = 2**64 - 1

_NEEDED: Final = {
    "input": "safe_delegatecall and native_claim stand aside, permits are not seen",
    "log_count": "what needs receipts (freezes, mixer withdrawals, tokens) is not seen",
}

_TOKEN_UNITS: Final = tuple(VALUE_TOKENS.values())
_COINS: Final = {token: number for number, token in enumerate(VALUE_TOKENS, start=1)}


log = logging.getLogger(__name__)


class Columns:
    """NumPy views of a batch. Nothing here makes a Python object per row."""

    def __init__(self, scored: ScoredBatch) -> None:
        self.scored = scored
        self.batch = scored.batch
        self.first_serial = scored.first_serial
        self._cells: dict[str, Cells] = {}
        self._ends: dict[tuple[str, str], Array] = {}

    def cells(self, table: str) -> Cells:
        """A table of the batch, to be read cell by cell."""
        cells = self._cells.get(table)
        if cells is None:
            cells = self._cells[table] = Cells(getattr(self.batch, table))
        return cells

    # --- blocks

    def position(self, row: int) -> Position:
        """The position of a block of the batch."""
        return Position(
            self.block_numbers.data[row], self.cells("blocks")["block_hash"][row] or b""
        )

    @cached_property
    def block_numbers(self) -> Array:
        """Block numbers, int64."""
        return self.batch.numbers()

    @cached_property
    def block_times(self) -> Array:
        """Block times, int64 seconds."""
        return column(self.batch.blocks, "block_timestamp")

    @cached_property
    def headers(self) -> Array:
        """The blocks as records of ``block_log.HEADER``."""
        return headers_of(self.batch, self.first_serial)

    # --- transactions

    @cached_property
    def tx_block(self) -> Array:
        """Block number per transaction."""
        return column(self.batch.transactions, "block_number")

    @cached_property
    def tx_index(self) -> Array:
        """Index within the block per transaction."""
        return column(self.batch.transactions, "transaction_index")

    @cached_property
    def tx_from(self) -> Array:
        """Signer per transaction as five big-endian uint32 words."""
        return address_words(self.batch.transactions["from_address"])

    @cached_property
    def tx_to_key(self) -> Array:
        """The first eight bytes of what each transaction calls, uint64; 0 for a creation."""
        names = self.batch.transactions["to_address"]
        words = address_words(names)
        key: Array = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
        if names.null_count:
            key[nulls(names)] = 0
        return key

    @cached_property
    def tx_to(self) -> Array:
        """Whom each transaction calls, as ``tx_from``; nonsense where it creates a contract."""
        return address_words(self.batch.transactions["to_address"])

    @cached_property
    def tx_value(self) -> Array:
        """Native value per transaction, float64 wei."""
        return column(self.batch.transactions, "value_f64")

    @cached_property
    def tx_status(self) -> Array:
        """1, 0, or -1 where it is unknown, per transaction."""
        return nullable(self.batch.transactions["status"], UNKNOWN_STATUS)

    @cached_property
    def tx_nonce(self) -> Array:
        """Nonce per transaction, int64; -1 where the source gives none."""
        nonces = nullable(self.batch.transactions["nonce"], _NO_NONCE)
        known = np.minimum(nonces, np.uint64(2**62)).astype(np.int64)
        return np.where(nonces == _NO_NONCE, -1, known)

    @cached_property
    def _inputs(self) -> tuple[Array, Array, Array]:
        return variable_bytes(self.batch.transactions["input"])

    @cached_property
    def input_lengths(self) -> Array:
        """Bytes of calldata per transaction; -1 where the source gives none."""
        return self._inputs[0]

    @cached_property
    def selectors(self) -> Array:
        """The first four bytes of the calldata as a big-endian uint32; 0 where there are fewer."""
        lengths, offsets, data = self._inputs
        out = np.zeros(len(lengths), np.uint32)
        rows = np.flatnonzero(lengths >= 4)
        if len(rows):
            heads = data[offsets[rows][:, None] + np.arange(4)]
            out[rows] = heads.view(">u4").reshape(-1)
        return out

    def transactions_with(self, selectors: Iterable[int]) -> Array:
        """Rows of the transactions that call one of these selectors, in order."""
        return self._selector_rows.of(selectors)

    @cached_property
    def _selector_rows(self) -> RowsByKey:
        rows = np.flatnonzero(self.input_lengths >= 4)
        return RowsByKey(self.selectors[rows], rows)

    @cached_property
    def native_claims(self) -> Array:
        """Rows of the transactions that call a claim bait, in order."""
        return self.transactions_with(NATIVE_CLAIMS)

    # --- flows

    @cached_property
    def flow_count(self) -> int:
        """How many flows."""
        return int(self.batch.flows.num_rows)

    @cached_property
    def flow_ordinal(self) -> Array:
        """Ordinal within its transaction per flow."""
        return column(self.batch.flows, "ordinal")

    @cached_property
    def flow_block(self) -> Array:
        """Block number per flow."""
        return column(self.batch.flows, "block_number")

    @cached_property
    def flow_row(self) -> Array:
        """Row of its block in the batch, per flow."""
        return self.block_row(self.flow_block)

    @cached_property
    def flow_kind(self) -> Array:
        """``FlowKind`` per flow, int8."""
        return column(self.batch.flows, "kind")

    @cached_property
    def flow_value(self) -> Array:
        """Value per flow, float64 wei or token units."""
        return column(self.batch.flows, "value_f64")

    def amount(self, row: int) -> int:
        """What a flow moves, exactly, in the smallest unit."""
        return int.from_bytes(self.cells("flows")["value"][row], "big")

    @cached_property
    def flow_tx_index(self) -> Array:
        """Transaction index per flow; withdrawals sort after all transactions."""
        return nullable(self.batch.flows["transaction_index"], AFTER_ALL_TRANSACTIONS)

    @cached_property
    def flow_stands(self) -> Array:
        """Whether its transaction is not known to have failed, per flow."""
        status = self.batch.flows["status"]
        if status.null_count == len(status):
            return np.ones(len(status), np.bool_)
        stands: Array = nullable(status, UNKNOWN_STATUS) != 0
        return stands

    @cached_property
    def flow_moved(self) -> Array:
        """Whether value moved: more than 0, in a transaction not known to have failed."""
        moved: Array = self.flow_stands & (self.flow_value > 0)
        return moved

    @cached_property
    def flow_coin(self) -> Array:
        """What moved: 0 the chain's coin, 1 and up a listed value token, -1 anything else.

        The numbers are those of ``VALUE_TOKENS``, counted from 1.
        """
        kind = self.flow_kind
        native = (
            (kind == FlowKind.NATIVE) | (kind == FlowKind.INTERNAL) | (kind == FlowKind.WITHDRAWAL)
        )
        out = np.where(native, 0, -1).astype(np.int8)
        rows = np.flatnonzero(kind == FlowKind.ERC20)
        if len(rows):
            tokens = bytes_of(fixed_bytes(self.batch.flows["token_address"], 20)[rows])
            out[rows] = [_COINS.get(token, -1) for token in tokens]
        return out

    @cached_property
    def flow_units(self) -> Array:
        """Value in whole coins (ether, dollars, bitcoin); NaN where the coin is not listed."""
        scale = np.array([ETHER, *(10.0**token.decimals for token in _TOKEN_UNITS), np.nan])
        units: Array = self.flow_value / scale[self.flow_coin]
        return units

    @cached_property
    def flow_from(self) -> Array:
        """Sender per flow as five big-endian uint32 words."""
        return address_words(self.batch.flows["from_address"])

    @cached_property
    def flow_to(self) -> Array:
        """Receiver per flow as five big-endian uint32 words."""
        return address_words(self.batch.flows["to_address"])

    @cached_property
    def flow_sender(self) -> Array:
        """Sender per flow as five little-endian uint32 words, as kernels see keys; no copy."""
        return _key_words(self.batch.flows["from_address"])

    @cached_property
    def flow_receiver(self) -> Array:
        """Receiver per flow as five little-endian uint32 words, as kernels see keys; no copy."""
        return _key_words(self.batch.flows["to_address"])

    @cached_property
    def flow_tx(self) -> Array:
        """Row of its transaction per flow; -1 for a withdrawal."""
        return self.tx_rows(self.flow_block, self.flow_tx_index)

    @cached_property
    def flow_minted(self) -> Array:
        """Whether nobody sends it, per flow."""
        return np.logical_not(self.flow_from.any(axis=1))

    @cached_property
    def flow_burnt(self) -> Array:
        """Whether nobody receives it, per flow."""
        return np.logical_not(self.flow_to.any(axis=1))

    @cached_property
    def flow_signed(self) -> Array:
        """Whether its sender signed its transaction, per flow; not so where there is none."""
        if not len(self.tx_from):
            return np.zeros(self.flow_count, np.bool_)
        own: Array = (self.tx_from[self.flow_tx] == self.flow_from).all(axis=1)
        return own & (self.flow_tx >= 0)

    @cached_property
    def flow_worth(self) -> Array:
        """Whether the chain's coin or a listed token moved, per flow."""
        worth: Array = self.flow_moved & (self.flow_coin >= 0)
        return worth

    @cached_property
    def flow_token(self) -> Array:
        """Whether an ERC-20 token moved in a transaction of the batch, per flow."""
        token: Array = self.flow_moved & (self.flow_kind == FlowKind.ERC20) & (self.flow_tx >= 0)
        return token

    @cached_property
    def flows(self) -> Flows:
        """What the compiled rules need, as one tuple."""
        return Flows(
            facts=_frozen(self.scored.flow_facts),
            moved=_frozen(self.flow_moved),
            own=_frozen((self.flow_kind == FlowKind.NATIVE) & (self.flow_tx >= 0)),
            coin=_frozen(self.flow_coin),
            units=_frozen(self.flow_units),
            values=_frozen(self.flow_value),
            senders=_frozen(self.flow_from),
            receivers=_frozen(self.flow_to),
            times=_frozen(self.block_times[self.flow_row].astype(np.int64)),
            blocks=_frozen(self.flow_row.astype(np.int64)),
            tx=_frozen(self.flow_tx.astype(np.int64)),
            signers=_frozen(self.tx_from),
            nonces=_frozen(self.tx_nonce),
            selectors=_frozen(self.selectors),
            lengths=_frozen(self.input_lengths),
        )

    def flows_of(self, tx: int) -> tuple[int, int]:
        """The first row of a transaction's flows, and the row behind the last."""
        first, stop = self._flow_bounds
        return first[tx], stop[tx]

    def facts_of(self, tx: int) -> np.void:
        """What was known of a transaction's two sides before it: the facts of its own flow.

        All zero, as of wallets known for ever, where its flows are not there: an orphan that was
        read back has none.
        """
        (first, stop), facts = self.flows_of(tx), self.scored.flow_facts
        known: np.void = facts[first] if first < stop else np.zeros(1, facts.dtype)[0]
        return known

    @cached_property
    def _flow_bounds(self) -> tuple[Sequence[int], Sequence[int]]:
        keys = ((self.flow_block - self._base) << 31) | self.flow_tx_index.astype(np.int64)
        return (
            np.searchsorted(keys, self._tx_keys, "left").data,
            np.searchsorted(keys, self._tx_keys, "right").data,
        )

    @cached_property
    def received(self) -> dict[int, dict[bytes, list[int]]]:
        """Rows of what moved, by transaction and receiver: where ``settlement`` needed them."""
        return {}

    @cached_property
    def arbitrages(self) -> dict[int, bool]:
        """What ``settlement.is_arbitrage`` has said, by transaction."""
        return {}

    # --- logs

    @cached_property
    def log_ordinal(self) -> Array:
        """Ordinal within its transaction per log."""
        return column(self.batch.logs, "ordinal")

    def logs_with(self, topics: Iterable[bytes]) -> Array:
        """Rows of the logs with one of these topics, in order (the whole topic agrees)."""
        return self._topic_rows.of(topics)

    @cached_property
    def _topic_rows(self) -> RowsByKey:
        return rows_by_topic(self.batch.logs)

    # --- creations

    @cached_property
    def creation_tx(self) -> Array:
        """Row of its transaction per creation; -1 where there is none."""
        made = self.batch.creations
        return self.tx_rows(column(made, "block_number"), column(made, "transaction_index"))

    # --- where rows meet

    def block_row(self, numbers: Array) -> Array:
        """Row in the batch of each block number."""
        return np.searchsorted(self.block_numbers, numbers)

    def row_of_block(self, number: int) -> int:
        """Row in the batch of that block."""
        return bisect_left(self._block_list, number)

    def tx_rows(self, blocks: Array, indexes: Array) -> Array:
        """Row of the transaction at each (block, index); -1 where there is none."""
        keys, base = self._tx_keys, self._base
        wanted = ((blocks - base) << 31) | indexes.astype(np.int64)
        rows = np.searchsorted(keys, wanted)
        found = rows < len(keys)
        found[found] = keys[rows[found]] == wanted[found]
        rows[~found] = -1
        return rows

    def tx_row(self, number: int, index: int) -> int:
        """Row of one transaction; -1 where there is none."""
        key = ((number - self._base) << 31) | index
        keys = self._tx_list
        row = bisect_left(keys, key)
        return row if row < len(keys) and keys[row] == key else -1

    # A search of one number: in a memoryview it costs a fifth of what NumPy's does.

    @cached_property
    def _block_list(self) -> Sequence[int]:
        return self.block_numbers.data

    @cached_property
    def _tx_list(self) -> Sequence[int]:
        return self._tx_keys.data

    @cached_property
    def _base(self) -> int:
        return int(self.block_numbers[0]) if len(self.block_numbers) else 0

    @cached_property
    def _tx_keys(self) -> Array:
        # (block, index) as one number, in order; relative to the first block, so that it fits.
        keys: Array = ((self.tx_block - self._base) << 31) | self.tx_index.astype(np.int64)
        return keys

    def members(self, table: str, name: str, addresses: pa.Array) -> Array:
        """Per row of a table whether the address in that column is one of these."""
        values, ends = getattr(self.batch, table)[name], self._ends.get((table, name))
        if ends is None:
            ends = self._ends[table, name] = last_bytes(values)
        return among(values, ends, addresses)


class ColumnCache:
    """The columns of the batch seen last: rules that share one compute nothing twice."""

    def __init__(self) -> None:
        self._last: Columns | None = None
        self._said: set[str] = set()

    def of(self, scored: ScoredBatch) -> Columns:
        """The columns of that batch."""
        if self._last is None or self._last.scored is not scored:
            self._last = Columns(scored)
            self._say_what_is_missing(scored)
        return self._last

    def _say_what_is_missing(self, scored: ScoredBatch) -> None:
        transactions = scored.batch.transactions
        for name, lost in _NEEDED.items():
            values = transactions[name]
            if name not in self._said and len(values) and values.null_count == len(values):
                self._said.add(name)
                log.info("the source has no %s: %s", name, lost)


def within_transaction(ordinal: int) -> tuple[int, int]:
    """Where an ordinal stands in its transaction: native, then internal calls, then logs.

    >>> sorted([2, -1, 0, -2, 1], key=within_transaction)
    [0, -1, -2, 1, 2]
    """
    return (ordinal > 0) - (ordinal == 0), abs(ordinal)


def _key_words(values: pa.ChunkedArray) -> Array:
    return np.require(fixed_bytes(values, 20), requirements=["C", "A"]).view("<u4")


def _frozen(array: Array) -> Array:
    # All read-only and contiguous: kernels compile once, wherever an array came from.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
