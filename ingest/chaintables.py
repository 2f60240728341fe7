"""Tables of a chain as ethereum-etl, cryo and AWS write them, to batches.

Transactions come with what there is of receipts, logs, token transfers and block headers, matched
by transaction index or hash. Pure; all rows are of the same whole blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import FileFormatError
from chainwarden.schema import CREATIONS, TRANSACTIONS, BlockBatch, Chain, FlowKind
from ingest import columns, shapes
from ingest.batches import KEYS, block_table, blocks_of, filled
from ingest.cells import Cells
from ingest.codec import contract_address
from ingest.columns import MAX_UINT64, Bytes, Index, Mask
from ingest.events import Logs
from ingest.rows import Chunk
from ingest.tables import FlowGroup, LogTables, Places, flow_table, log_tables

_INDEX_LIMIT = 2**22  # transactions in a block, and logs in a block: far below


def chain_batch(chain: Chain, chunks: Mapping[str, Chunk]) -> BlockBatch:
    """The blocks of ``transactions`` and ``blocks``, with what else there is.

    From logs come the same flows, approvals and ordinals as from a node. Token transfers without
    logs do not say whether they are fungible: they are ERC20, with 1 plus the log's index in the
    block as their ordinal.
    """
    headers = _Headers(chunks["blocks"]) if "blocks" in chunks else None
    if "transactions" not in chunks:
        if headers is None:
            raise FileFormatError("there are neither transactions nor blocks")
        own = headers.cells.seconds(*shapes.TIME)
        blocks = block_table(headers.numbers, own, headers.numbers[:0], headers.known())
        return BlockBatch.of(chain, blocks=blocks)
    txs = _Transactions(chunks["transactions"], headers, chunks.get("receipts"))
    groups = [txs.native()]
    tables: dict[str, pa.Table] = {}
    if "logs" in chunks:
        by_logs = _from_logs(txs, chunks["logs"])
        groups.append(by_logs.flows)
        tables = {"approvals": by_logs.approvals, "logs": by_logs.logs}
    elif "token_transfers" in chunks:
        groups.append(_from_token_transfers(txs, chunks["token_transfers"]))
    return BlockBatch.of(
        chain,
        blocks=txs.blocks(),
        transactions=txs.table(),
        flows=flow_table(txs.places, groups),
        creations=txs.creations(),
        **tables,
    )


class _Headers:
    """Block headers, one row a block."""

    def __init__(self, chunk: Chunk) -> None:
        self.cells = Cells(chunk)
        self.numbers = chunk.numbers
        twice = np.diff(chunk.numbers) == 0
        if twice.any():
            row = 1 + int(np.argmax(twice))
            self.cells.refuse(row, f"block {chunk.numbers[row]} is there twice")

    def known(self) -> dict[str, pa.Array]:
        """The columns of ``BLOCKS`` that headers have."""
        cells = self.cells
        whole = {
            "gas_limit": columns.MAX_INT64,
            "gas_used": columns.MAX_INT64,
            "base_fee_per_gas": MAX_UINT64,
            "blob_gas_used": columns.MAX_INT64,
            "excess_blob_gas": columns.MAX_INT64,
        }
        return {
            "block_hash": columns.fixed_array(*cells.fixed(32, "block_hash", "hash")),
            "parent_hash": columns.fixed_array(*cells.fixed(32, "parent_hash")),
            "miner": columns.fixed_array(*cells.fixed(20, *shapes.MINER)),
            "extra_data": cells.data("extra_data"),
            **{
                name: _whole(cells, (name,), limit, pa.uint64() if limit == MAX_UINT64 else None)
                for name, limit in whole.items()
            },
        }


def _whole(
    cells: Cells, names: tuple[str, ...], limit: int, kind: pa.DataType | None = None
) -> pa.Array:
    values, valid = cells.whole(*names, limit=limit)
    return columns.number_array(values, kind or pa.int64(), valid)


class _Transactions:
    """The transactions, with their receipts where there are any."""

    def __init__(self, chunk: Chunk, headers: _Headers | None, receipts: Chunk | None) -> None:
        chunk = in_order(chunk, "transaction_index")
        self.cells = cells = Cells(chunk)
        self.numbers = chunk.numbers
        self._headers = headers
        tx_index = self._indexes()
        self.hashes, self.has_hash = cells.fixed(32, *shapes.HASH)
        receipt_cells = Cells(receipts) if receipts is not None else cells
        self._receipts = receipt_cells
        self._receipt_at = self._rows_by_hash(receipt_cells) if receipts is not None else None
        status, has_status = self._picked(receipt_cells.flags(*shapes.STATUS))
        numbers, _, _ = blocks_of(self.numbers)
        if headers is not None:
            numbers = np.union1d(numbers, headers.numbers)
        self.places = Places(
            numbers=numbers,
            times=self._times(numbers),
            tx_block=np.searchsorted(numbers, self.numbers),
            tx_index=tx_index,
            hashes=self.hashes,
            has_hash=self.has_hash,
            status=status.astype(np.int64),
            has_status=has_status,
        )
        self._senders = cells.fixed(20, "from_address", required=True)[0]
        self._nonces, self._has_nonce = cells.whole("nonce", limit=MAX_UINT64)
        recipients, self._has_recipient = cells.fixed(20, "to_address")
        self._created = self._new_contracts()
        self._recipients = recipients.copy()
        for row, address in self._created.items():
            self._recipients[row] = np.frombuffer(address, np.uint8)
        self._values = cells.amounts(*shapes.VALUE)
        self._inputs = cells.data(*shapes.INPUT)

    def _indexes(self) -> Index:
        _, start, block = blocks_of(self.numbers)
        if not self.cells.has("transaction_index"):
            return np.arange(len(self.numbers)) - start[block]
        given, _ = self.cells.int64("transaction_index", required=True)
        if np.any(given >= _INDEX_LIMIT):
            row = int(np.argmax(given >= _INDEX_LIMIT))
            self.cells.refuse(row, f"{given[row]} is no transaction index")
        twice = (np.diff(given) == 0) & (np.diff(self.numbers) == 0)
        if twice.any():
            row = 1 + int(np.argmax(twice))
            self.cells.refuse(
                row, f"transaction {given[row]} of block {self.numbers[row]} is there twice"
            )
        return given

    def _times(self, numbers: Index) -> Index:
        """The time of every block: from its header, else from its transactions."""
        times = np.full(len(numbers), -1, np.int64)
        if self.cells.has(*shapes.TIME):
            own, start, _ = blocks_of(self.numbers)
            times[np.searchsorted(numbers, own)] = self.cells.seconds(*shapes.TIME)[start]
        if self._headers is not None:
            at = np.searchsorted(numbers, self._headers.numbers)
            times[at] = self._headers.cells.seconds(*shapes.TIME)
        if np.any(times < 0):
            number = numbers[int(np.argmax(times < 0))]
            row = int(np.searchsorted(self.numbers, number))
            self.cells.refuse(row, f"nothing tells the time of block {number}")
        return times

    def _rows_by_hash(self, other: Cells) -> Index:
        """For each transaction the row of ``other`` with its hash, or -1."""
        theirs = columns.fixed_array(*other.fixed(32, "transaction_hash", required=True))
        ours = columns.fixed_array(self.hashes, self.has_hash)
        found = pc.fill_null(pc.index_in(ours, value_set=theirs), -1)
        return np.asarray(found).astype(np.int64)

    def _picked(self, column: tuple[npt.NDArray[Any], Mask]) -> tuple[npt.NDArray[Any], Mask]:
        """A column of the receipts, in the transactions' order."""
        values, valid = column
        if self._receipt_at is None:
            return values, valid
        if not len(values):
            return np.zeros((len(self.numbers), *values.shape[1:]), values.dtype), self._nowhere()
        return values[self._receipt_at], valid[self._receipt_at] & (self._receipt_at >= 0)

    def _nowhere(self) -> Mask:
        return np.zeros(len(self.numbers), np.bool_)

    def _new_contracts(self) -> dict[int, bytes]:
        """The address of the contract that each creating transaction makes, if it can be known."""
        told, has_told = self._picked(self._receipts.fixed(20, *shapes.CONTRACT))
        made = {}
        for row in np.flatnonzero(~self._has_recipient).tolist():
            if self._has_nonce[row]:
                sender = self._senders[row].tobytes()
                made[row] = contract_address(sender, int(self._nonces[row]))
            elif has_told[row]:
                made[row] = told[row].tobytes()
        return made

    def row_of(self, other: Cells, numbers: Index) -> Index:
        """The row of the transaction that each row of ``other`` belongs to."""
        if other.has("transaction_index"):
            wanted, _ = other.int64("transaction_index", required=True)
            keys = self.numbers * _INDEX_LIMIT + self.places.tx_index
            place = np.searchsorted(keys, numbers * _INDEX_LIMIT + wanted)
            found = np.minimum(place, len(keys) - 1)
            missing = keys[found] != numbers * _INDEX_LIMIT + wanted
        else:
            ours = columns.fixed_array(self.hashes, self.has_hash)
            theirs = columns.fixed_array(*other.fixed(32, "transaction_hash", required=True))
            found = np.asarray(pc.fill_null(pc.index_in(theirs, value_set=ours), -1)).astype(
                np.int64
            )
            missing = found < 0
        if missing.any():
            row = int(np.argmax(missing))
            other.refuse(row, "belongs to a transaction that is not there")
        return found

    # --- tables --------------------------------------------------------------------------------

    def blocks(self) -> pa.Table:
        """Block rows, from headers or else with the hash that the transactions tell."""
        places = self.places
        if self._headers is not None:
            at = np.searchsorted(self._headers.numbers, places.numbers)
            at = np.minimum(at, len(self._headers.numbers) - 1)
            has = self._headers.numbers[at] == places.numbers
            rows = pa.array(np.where(has, at, 0), pa.int64(), mask=~has)
            known = {name: each.take(rows) for name, each in self._headers.known().items()}
        else:
            hashes, has_hash = self.cells.fixed(32, "block_hash")
            start = np.searchsorted(self.numbers, places.numbers)
            known = {"block_hash": columns.fixed_array(hashes[start], has_hash[start])}
        return block_table(places.numbers, places.times, self.numbers, known)

    def table(self) -> pa.Table:
        """The ``TRANSACTIONS`` table."""
        cells, count = self.cells, len(self.numbers)
        price = {"limit": MAX_UINT64, "kind": pa.uint64()}
        used, has_used = self._picked(
            self._receipts.whole(*shapes.GAS_USED, limit=columns.MAX_INT64)
        )
        paid, has_paid = self._picked(self._receipts.whole(*shapes.PAID, limit=MAX_UINT64))
        kinds, has_kind = cells.whole("transaction_type", limit=32_767)
        contracts, has_contract = self._made()
        return filled(
            TRANSACTIONS,
            count,
            {
                **dict(zip(KEYS, self.places.keys(np.arange(count)), strict=True)),
                "transaction_type": columns.number_array(kinds, pa.int16(), has_kind),
                "nonce": columns.number_array(self._nonces, pa.uint64(), self._has_nonce),
                "from_address": columns.fixed_array(self._senders),
                "to_address": columns.fixed_array(self._recipients, self._has_recipient),
                "value": columns.fixed_array(columns.big_endian(self._values)),
                "value_f64": pa.array(columns.float64_of(self._values)),
                "input": self._inputs,
                "gas": _whole(cells, ("gas", "gas_limit"), columns.MAX_INT64),
                "gas_price": _whole(cells, ("gas_price",), **price),
                "max_fee_per_gas": _whole(cells, ("max_fee_per_gas",), **price),
                "max_priority_fee_per_gas": _whole(cells, ("max_priority_fee_per_gas",), **price),
                "max_fee_per_blob_gas": _whole(cells, ("max_fee_per_blob_gas",), **price),
                "effective_gas_price": columns.number_array(paid, pa.uint64(), has_paid),
                "gas_used": columns.number_array(used, pa.int64(), has_used),
                "status": columns.number_array(
                    self.places.status, pa.int8(), self.places.has_status
                ),
                "contract_address": columns.fixed_array(contracts, has_contract),
            },
        )

    def _made(self) -> tuple[Bytes, Mask]:
        """What creations created, where the receipt tells that they succeeded."""
        contracts = np.zeros((len(self.numbers), 20), np.uint8)
        known = self._nowhere()
        for row, address in self._created.items():
            contracts[row] = np.frombuffer(address, np.uint8)
            known[row] = self.places.has_status[row] and self.places.status[row] == 1
        return contracts, known

    def creations(self) -> pa.Table:
        """Contracts created by transactions that did not fail, as far as it is known."""
        rows = np.array(
            [
                row
                for row in self._created
                if not self.places.has_status[row] or self.places.status[row] == 1
            ],
            np.int64,
        )
        contracts = b"".join([self._created[row] for row in rows.tolist()])
        return filled(
            CREATIONS,
            len(rows),
            {
                **dict(zip(KEYS, self.places.keys(rows), strict=True)),
                "ordinal": pa.array(np.zeros(len(rows), np.int32)),
                "creator": columns.fixed_array(self._senders[rows]),
                "contract_address": columns.fixed_array(
                    np.frombuffer(contracts, np.uint8).reshape(-1, 20)
                ),
                "init_code": self._inputs.take(pa.array(rows)),
            },
        )

    def native(self) -> FlowGroup:
        """The flow that every transaction has."""
        rows = np.arange(len(self.numbers))
        zero = np.zeros(len(rows), np.int64)
        return FlowGroup(
            place=rows * 4,
            block=self.places.tx_block,
            transaction=rows,
            ordinal=zero,
            item=zero,
            kind=zero + FlowKind.NATIVE,
            sender=self._senders,
            recipient=self._recipients,
            value=self._values,
        )


def in_order(chunk: Chunk, *keys: str) -> Chunk:
    """Rows sorted by block, then by those of the keys that are there; as they are where equal."""
    cells = Cells(chunk)
    present = [cells.int64(key, required=True)[0] for key in keys if cells.has(key)]
    order = np.lexsort([*reversed(present), chunk.numbers])
    return chunk if np.all(np.diff(order) == 1) else chunk.take(order)


def _from_logs(txs: _Transactions, chunk: Chunk) -> LogTables:
    chunk = in_order(chunk, "transaction_index", "log_index")
    cells = Cells(chunk)
    rows = txs.row_of(cells, chunk.numbers)
    if np.any(np.diff(rows) < 0):  # no transaction_index: the hash has told the transaction
        order = np.argsort(rows, kind="stable")
        chunk, rows = chunk.take(order), rows[order]
        cells = Cells(chunk)
    first = np.searchsorted(rows, rows)
    if cells.has("topic0"):
        topics, count = _topic_columns(cells)
    else:
        topics, count = _topic_lists(cells, chunk)
    data = cells.data("data")
    start = np.frombuffer(data.buffers()[1], np.int32)[data.offset : data.offset + len(data) + 1]
    chars = data.buffers()[2]
    logs = Logs(
        address=cells.fixed(20, "address", required=True)[0],
        topics=topics,
        topic_start=4 * np.arange(len(chunk)),
        topic_count=count,
        data=np.zeros(0, np.uint8) if chars is None else np.frombuffer(chars, np.uint8),
        data_offset=start.astype(np.int64),
    )
    return log_tables(txs.places, logs, rows, 1 + np.arange(len(rows)) - first)


def _topic_columns(cells: Cells) -> tuple[Bytes, Index]:
    """topic0 to topic3 as four rows a log, and how many of them there are."""
    topics = np.zeros((len(cells), 4, 32), np.uint8)
    count = np.zeros(len(cells), np.int64)
    for position in range(4):
        topics[:, position], valid = cells.fixed(32, f"topic{position}")
        gap = valid & (count != position)
        if gap.any():
            cells.refuse(int(np.argmax(gap)), f"topic{position} without the one before it")
        count += valid
    return topics.reshape(-1, 32), count


def _topic_lists(cells: Cells, chunk: Chunk) -> tuple[Bytes, Index]:
    """The same from one column of lists, or of texts with commas between the topics."""
    lists = cells.array("topics")
    if pa.types.is_string(lists.type) or pa.types.is_large_string(lists.type):
        lists = pc.if_else(pc.equal(lists, ""), pa.scalar(None, lists.type), lists)
        lists = pc.split_pattern(lists, ",")
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        cells.refuse(0, f"column topics holds no lists but {lists.type}")
    count = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    if np.any(count > 4):
        cells.refuse(int(np.argmax(count > 4)), "a log has more than 4 topics")
    names = [f"topic{position}" for position in range(4)]
    flat = pc.list_flatten(lists)
    start = np.cumsum(count) - count
    arrays = [
        flat.take(pa.array(np.where(count > p, start + p, 0), pa.int64(), mask=count <= p))
        for p in range(4)
    ]
    table = pa.Table.from_arrays(arrays, names)
    return _topic_columns(Cells(Chunk(table, chunk.files, chunk.file, chunk.row, chunk.numbers)))


def _from_token_transfers(txs: _Transactions, chunk: Chunk) -> FlowGroup:
    chunk = in_order(chunk, "transaction_index", "log_index")
    cells = Cells(chunk)
    rows = txs.row_of(cells, chunk.numbers)
    index, has_index = cells.int64("log_index")
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order])
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - first
    return FlowGroup(
        place=rows * 4 + 2,
        block=txs.places.tx_block[rows],
        transaction=rows,
        ordinal=1 + np.where(has_index, index, rank),
        item=np.zeros(len(rows), np.int64),
        kind=np.full(len(rows), FlowKind.ERC20, np.int64),
        sender=cells.fixed(20, "from_address", required=True)[0],
        recipient=cells.fixed(20, "to_address", required=True)[0],
        value=cells.amounts(*shapes.VALUE),
        token=cells.fixed(20, *shapes.TOKEN, required=True)[0],
    )
