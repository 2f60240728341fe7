"""Raw blocks to Arrow tables: transactions, flows, approvals, creations, logs, authorizations.

Pure, and total over verified blocks. Columns are built in bulk from the hex text of the structs.
What no root commits to is not taken where it can be computed: gas used comes from the cumulative
gas, the address of a new contract from its creator and nonce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from chainwarden.errors import BadBlock
from chainwarden.schema import (
    AUTHORIZATIONS,
    BLOCKS,
    CREATIONS,
    TRANSACTIONS,
    BlockBatch,
    Chain,
    FlowKind,
)
from ingest import columns
from ingest.calls import Created, Moved, follow_calls
from ingest.codec import (
    ACCESS_LIST,
    BLOB,
    DEPOSIT,
    LEGACY,
    SET_CODE,
    TRANSACTION_TYPES,
    contract_address,
    data_of,
    quantity_of,
    shown,
)
from ingest.columns import Bytes, Index, Mask, Texts, Words
from ingest.events import Logs
from ingest.raw import RawBlock, RpcReceipt, RpcTransaction, RpcWithdrawal
from ingest.senders import recover_authority
from ingest.tables import FlowGroup, LogTables, Places, flow_table, log_tables

_GWEI: Final = 10**9

# Fields that a type does not have are in no root: whoever sends them all the same may say anything.
# They are taken from types that have them, and from types nobody knows.
_NO_BASE_FEE: Final = frozenset({LEGACY, ACCESS_LIST, DEPOSIT})
_NO_BLOBS: Final = frozenset(TRANSACTION_TYPES) - {BLOB}
_NO_AUTHORIZATIONS: Final = frozenset(TRANSACTION_TYPES) - {SET_CODE}


def decode_blocks(chain: Chain, raws: Sequence[RawBlock], verified: Sequence[bool]) -> BlockBatch:
    """The blocks as one batch; ``verified[i]`` says whether the roots of ``raws[i]`` were checked.

    Numbers must increase (ValueError). Raises BadBlock for the first block with a field that is not
    what its name says; a block whose every field the verifier recomputed has none.
    """
    if not raws:
        return BlockBatch.of(chain)
    try:
        return _Decoder(raws, verified).batch(chain)
    except (ValueError, OverflowError) as error:
        _blame(raws, error)
        raise


def _blame(raws: Sequence[RawBlock], error: Exception) -> None:
    """Raises BadBlock for the first block that cannot be decoded alone, if one is to blame."""
    for raw in raws:
        try:
            _Decoder([raw], [False])
        except (ValueError, OverflowError) as own:
            number, where = raw.block.number, raw.where
            known = int(number, 16) if _is_number(number) else None
            raise BadBlock(
                f"cannot be decoded: {own}",
                where=where or f"block {shown(number)}",
                reason="malformed",
                number=known,
            ) from error


def _is_number(text: str) -> bool:
    try:
        quantity_of(text, "number", 63)
    except ValueError:
        return False
    return True


def _fixed(name: str, cells: Sequence[str | None], width: int) -> Bytes:
    return _named(name, lambda: columns.fixed(Texts.of(cells), width))


def _quantities(name: str, cells: Sequence[str | None]) -> Words:
    return _named(name, lambda: columns.quantities(Texts.of(cells)))


def _data(name: str, cells: Sequence[str]) -> tuple[Bytes, Index]:
    return _named(name, lambda: columns.data(Texts.of(cells)))


Converted = TypeVar("Converted")


def _named(name: str, convert: Callable[[], Converted]) -> Converted:
    try:
        return convert()
    except columns.BadCell as error:
        raise ValueError(f"{name} {error.problem}") from error


def _int64(name: str, cells: Sequence[str | None]) -> Index:
    return columns.saturated(_quantities(name, cells), columns.MAX_INT64).astype(np.int64)


def _uint64(name: str, cells: Sequence[str | None]) -> Words:
    return columns.saturated(_quantities(name, cells), columns.MAX_UINT64)


def _saturated(name: str, cell: str, kind: pa.DataType) -> int:
    """A quantity, or the largest number of that type where it is larger."""
    limit = columns.MAX_UINT64 if kind == pa.uint64() else columns.MAX_INT64
    return min(quantity_of(cell, name), limit)


def _given(cells: Sequence[object]) -> Mask:
    return np.array([cell is not None for cell in cells], np.bool_)


class _Decoder:
    """The tables of some blocks. Everything is decoded by the constructor."""

    def __init__(self, raws: Sequence[RawBlock], verified: Sequence[bool]) -> None:
        self._raws = raws
        blocks = [raw.block for raw in raws]
        numbers = [quantity_of(block.number, "number", 63) for block in blocks]
        self._numbers = np.array(numbers, np.int64)
        times = [_saturated("timestamp", block.timestamp, pa.int64()) for block in blocks]
        self._times = np.array(times, np.int64)
        self._txs = [tx for block in blocks for tx in block.transactions]
        self._counts = np.array([len(block.transactions) for block in blocks], np.int64)
        self._behind = np.cumsum(self._counts)
        self._tx_block = np.repeat(np.arange(len(blocks)), self._counts)
        self._tx_index = np.arange(len(self._txs)) - (self._behind - self._counts)[self._tx_block]
        types = np.minimum(_uint64("type", [tx.type for tx in self._txs]), 32_767)
        self._types: list[int] = types.tolist()
        self._senders = _fixed("from", [tx.from_ for tx in self._txs], 20)
        self._receipts = self._receipts_of_all()
        self._status, self._has_status = self._statuses()
        self._places = Places(
            numbers=self._numbers,
            times=self._times,
            tx_block=self._tx_block,
            tx_index=self._tx_index,
            hashes=_fixed("transaction hash", [tx.hash for tx in self._txs], 32),
            has_hash=None,
            status=self._status,
            has_status=self._has_status,
        )
        self._created = self._creations_by_transactions()
        self._recipients = self._recipients_of_all()
        self._values = _quantities("value", [tx.value for tx in self._txs])
        moved, created = self._calls()
        by_logs = self._log_tables()
        flows = [self._native(), self._internal(moved), by_logs.flows, self._withdrawals()]
        self._tables = {
            "blocks": self._block_table(verified),
            "transactions": self._transaction_table(),
            "flows": flow_table(self._places, flows),
            "approvals": by_logs.approvals,
            "creations": self._creation_table(created),
            "logs": by_logs.logs,
            "authorizations": self._authorization_table(),
        }

    def batch(self, chain: Chain) -> BlockBatch:
        if np.any(np.diff(self._numbers) <= 0):
            raise ValueError("block numbers must increase within a batch")
        return BlockBatch.of(chain, **self._tables)

    # --- blocks and transactions ---------------------------------------------------------------

    def _block_table(self, verified: Sequence[bool]) -> pa.Table:
        # A cell at a time: there are few blocks, and each step for a whole column costs as much as
        # dozens of cells.
        blocks = [raw.block for raw in self._raws]

        def data(name: str, cells: Sequence[str], width: int) -> pa.Array:
            return pa.array([data_of(cell, name, width) for cell in cells], pa.binary(width))

        def numbers(name: str, cells: Sequence[str | None], kind: pa.DataType) -> pa.Array:
            found = [None if cell is None else _saturated(name, cell, kind) for cell in cells]
            return pa.array(found, kind)

        return pa.Table.from_arrays(
            [
                pa.array(self._numbers),
                data("hash", [b.hash for b in blocks], 32),
                data("parentHash", [b.parent_hash for b in blocks], 32),
                pa.array(self._times),
                data("miner", [b.miner for b in blocks], 20),
                numbers("gasLimit", [b.gas_limit for b in blocks], pa.int64()),
                numbers("gasUsed", [b.gas_used for b in blocks], pa.int64()),
                numbers("baseFeePerGas", [b.base_fee_per_gas for b in blocks], pa.uint64()),
                numbers("blobGasUsed", [b.blob_gas_used for b in blocks], pa.int64()),
                numbers("excessBlobGas", [b.excess_blob_gas for b in blocks], pa.int64()),
                pa.array([data_of(b.extra_data, "extraData") for b in blocks], pa.binary()),
                pa.array(self._counts.astype(np.int32)),
                pa.array(list(verified), pa.bool_()),
            ],
            schema=BLOCKS,
        )

    def _transaction_table(self) -> pa.Table:
        txs = self._txs
        types = self._types
        blobs = [
            None if kind in _NO_BLOBS else tx.blob_versioned_hashes
            for tx, kind in zip(txs, types, strict=True)
        ]
        self._inputs = columns.data_array(*_data("input", [tx.input for tx in txs]))
        return pa.Table.from_arrays(
            [
                *self._places.keys(np.arange(len(txs))),
                columns.number_array(np.array(types, np.int16), pa.int16()),
                columns.number_array(_uint64("nonce", [tx.nonce for tx in txs]), pa.uint64()),
                columns.fixed_array(self._senders),
                columns.fixed_array(self._recipients, _given([tx.to for tx in txs])),
                columns.fixed_array(columns.big_endian(self._values)),
                columns.number_array(columns.float64_of(self._values), pa.float64()),
                self._inputs,
                columns.number_array(_int64("gas", [tx.gas for tx in txs]), pa.int64()),
                self._price("gasPrice", [tx.gas_price for tx in txs]),
                self._fee("maxFeePerGas", [tx.max_fee_per_gas for tx in txs], _NO_BASE_FEE),
                self._fee(
                    "maxPriorityFeePerGas",
                    [tx.max_priority_fee_per_gas for tx in txs],
                    _NO_BASE_FEE,
                ),
                self._fee("maxFeePerBlobGas", [tx.max_fee_per_blob_gas for tx in txs], _NO_BLOBS),
                pa.array([None if b is None else min(len(b), 32_767) for b in blobs], pa.int16()),
                *self._receipt_columns(),
            ],
            schema=TRANSACTIONS,
        )

    def _fee(self, name: str, cells: Sequence[str | None], without: frozenset[int]) -> pa.Array:
        """A price, null for the types that do not have it."""
        kept = [
            None if kind in without else cell for cell, kind in zip(cells, self._types, strict=True)
        ]
        return self._price(name, kept)

    @staticmethod
    def _price(name: str, cells: Sequence[str | None]) -> pa.Array:
        return columns.number_array(_uint64(name, cells), pa.uint64(), _given(cells))

    # --- receipts ------------------------------------------------------------------------------

    def _receipts_of_all(self) -> list[RpcReceipt | None]:
        receipts: list[RpcReceipt | None] = []
        for raw in self._raws:
            count = len(raw.block.transactions)
            if raw.receipts is None:
                receipts.extend([None] * count)
            elif len(raw.receipts) != count:
                raise ValueError(f"{count} transactions have {len(raw.receipts)} receipts")
            else:
                receipts.extend(raw.receipts)
        return receipts

    def _statuses(self) -> tuple[Index, Mask]:
        cells = [None if r is None else r.status for r in self._receipts]
        status = _int64("status", cells)
        if np.any(status > 1):
            raise ValueError("status is neither 0 nor 1")
        return status, _given(cells)

    def _receipt_columns(self) -> list[pa.Array]:
        receipts, has = self._receipts, _given(self._receipts)
        prices = [None if r is None else r.effective_gas_price for r in receipts]
        cumulative = _int64(
            "cumulativeGasUsed", [None if r is None else r.cumulative_gas_used for r in receipts]
        )
        used = np.diff(cumulative, prepend=0)
        used[self._tx_index == 0] = cumulative[self._tx_index == 0]
        log_counts = np.array([0 if r is None else len(r.logs) for r in receipts], np.int64)
        contracts = np.zeros((len(receipts), 20), np.uint8)
        made = np.zeros(len(receipts), np.bool_)
        for row, address in self._created.items():
            contracts[row] = np.frombuffer(address, np.uint8)
            # Before Byzantium a receipt does not say whether the creation succeeded.
            made[row] = bool(has[row]) and not self._failed(row)
        return [
            self._price("effectiveGasPrice", prices),
            columns.number_array(used, pa.int64(), has),
            columns.number_array(self._status, pa.int8(), self._has_status),
            columns.fixed_array(contracts, made),
            columns.number_array(log_counts, pa.int32(), has),
        ]

    def _failed(self, row: int) -> bool:
        return bool(self._has_status[row]) and int(self._status[row]) == 0

    # --- creations -----------------------------------------------------------------------------

    def _creations_by_transactions(self) -> dict[int, bytes]:
        """The address of the contract that each creating transaction makes, or would have made."""
        return {
            row: _new_contract(tx, self._receipts[row], self._senders[row].tobytes())
            for row, tx in enumerate(self._txs)
            if tx.to is None
        }

    def _recipients_of_all(self) -> Bytes:
        recipients = _fixed("to", [tx.to for tx in self._txs], 20)
        for row, address in self._created.items():
            recipients = recipients if recipients.flags.writeable else recipients.copy()
            recipients[row] = np.frombuffer(address, np.uint8)
        return recipients

    def _calls(self) -> tuple[list[Moved], list[Created]]:
        moved: list[Moved] = []
        created: list[Created] = []
        for block, raw in enumerate(self._raws):
            if raw.calls:
                first = int(self._behind[block] - self._counts[block])
                rows = {tx.hash: first + i for i, tx in enumerate(raw.block.transactions)}
                found = follow_calls(raw.calls, rows, self._failed)
                moved += found[0]
                created += found[1]
        return moved, created

    def _creation_table(self, by_calls: Sequence[Created]) -> pa.Table:
        made = [
            Created(row, 0, self._senders[row].tobytes(), address, None)
            for row, address in self._created.items()
            if not self._failed(row)
        ]
        made = sorted([*made, *by_calls], key=lambda c: (c.transaction, -c.ordinal))
        rows = np.array([c.transaction for c in made], np.int64)
        codes = [
            self._inputs[c.transaction].as_py() if c.ordinal == 0 else c.init_code for c in made
        ]
        return pa.Table.from_arrays(
            [
                *self._places.keys(rows),
                pa.array([c.ordinal for c in made], pa.int32()),
                pa.array([c.creator for c in made], pa.binary(20)),
                pa.array([c.contract for c in made], pa.binary(20)),
                pa.array(codes, pa.binary()),
            ],
            schema=CREATIONS,
        )

    # --- flows ---------------------------------------------------------------------------------

    def _native(self) -> FlowGroup:
        rows = np.arange(len(self._txs))
        zero = np.zeros(len(rows), np.int64)
        return FlowGroup(
            place=rows * 4,
            block=self._tx_block,
            transaction=rows,
            ordinal=zero,
            item=zero,
            kind=zero + FlowKind.NATIVE,
            sender=self._senders,
            recipient=self._recipients,
            value=self._values,
        )

    def _internal(self, moved: Sequence[Moved]) -> FlowGroup:
        rows = np.array([m.transaction for m in moved], np.int64)
        value = b"".join([m.value for m in moved])
        return FlowGroup(
            place=rows * 4 + 1,
            block=self._tx_block[rows],
            transaction=rows,
            ordinal=np.array([m.ordinal for m in moved], np.int64),
            item=np.zeros(len(rows), np.int64),
            kind=np.full(len(rows), FlowKind.INTERNAL, np.int64),
            sender=_matrix([m.sender for m in moved], 20),
            recipient=_matrix([m.recipient for m in moved], 20),
            value=columns.words_of(np.frombuffer(value, np.uint8).reshape(-1, 32)),
        )

    def _withdrawals(self) -> FlowGroup:
        owed: list[tuple[int, int, RpcWithdrawal]] = [
            (block, position, each)
            for block, raw in enumerate(self._raws)
            for position, each in enumerate(raw.block.withdrawals or ())
        ]
        block = np.array([b for b, _, _ in owed], np.int64)
        wei = [quantity_of(each.amount, "amount", 64) * _GWEI for _, _, each in owed]
        joined = b"".join([amount.to_bytes(32, "big") for amount in wei])
        return FlowGroup(
            place=(self._behind[block] - 1) * 4 + 3,  # behind the last transaction up to here
            block=block,
            transaction=np.full(len(owed), -1, np.int64),
            ordinal=np.array([position for _, position, _ in owed], np.int64),
            item=np.zeros(len(owed), np.int64),
            kind=np.full(len(owed), FlowKind.WITHDRAWAL, np.int64),
            sender=np.zeros((len(owed), 20), np.uint8),
            recipient=_fixed("withdrawal address", [each.address for _, _, each in owed], 20),
            value=columns.words_of(np.frombuffer(joined, np.uint8).reshape(-1, 32)),
        )

    # --- logs ----------------------------------------------------------------------------------

    def _log_tables(self) -> LogTables:
        per_tx = np.array([0 if r is None else len(r.logs) for r in self._receipts], np.int64)
        every = [log for r in self._receipts if r is not None for log in r.logs]
        topic_count = np.array([len(log.topics) for log in every], np.int64)
        if np.any(topic_count > 4):
            raise ValueError("a log has more than 4 topics")
        data, offsets = _data("log data", [log.data for log in every])
        logs = Logs(
            address=_fixed("log address", [log.address for log in every], 20),
            topics=_fixed("topic", [topic for log in every for topic in log.topics], 32),
            topic_start=np.cumsum(topic_count) - topic_count,
            topic_count=topic_count,
            data=data,
            data_offset=offsets,
        )
        ordinals = 1 + np.arange(len(every)) - np.repeat(np.cumsum(per_tx) - per_tx, per_tx)
        return log_tables(self._places, logs, np.repeat(np.arange(len(per_tx)), per_tx), ordinals)

    # --- authorizations ------------------------------------------------------------------------

    def _authorization_table(self) -> pa.Table:
        signed = [
            (row, position, each)
            for row, tx in enumerate(self._txs)
            if tx.authorization_list and self._types[row] not in _NO_AUTHORIZATIONS
            for position, each in enumerate(tx.authorization_list)
        ]
        entries = [each for _, _, each in signed]
        chain_ids = _quantities("authorizationList.chainId", [a.chain_id for a in entries])
        delegates = _fixed("authorizationList.address", [a.address for a in entries], 20)
        return pa.Table.from_arrays(
            [
                *self._places.keys(np.array([row for row, _, _ in signed], np.int64)),
                pa.array([position for _, position, _ in signed], pa.int32()),
                columns.fixed_array(columns.big_endian(chain_ids)),
                columns.fixed_array(delegates),
                pa.array(_uint64("authorizationList.nonce", [a.nonce for a in entries])),
                pa.array([recover_authority(a) for a in entries], pa.binary(20)),
            ],
            schema=AUTHORIZATIONS,
        )


def _new_contract(tx: RpcTransaction, receipt: RpcReceipt | None, sender: bytes) -> bytes:
    nonce = tx.nonce
    if quantity_of(tx.type, "type", 64) == DEPOSIT and receipt is not None:
        # A deposit carries no nonce of its own; since Regolith its receipt tells the one it took.
        if receipt.deposit_nonce is None and receipt.contract_address is not None:
            return data_of(receipt.contract_address, "contractAddress", 20)
        nonce = receipt.deposit_nonce or nonce
    return contract_address(sender, quantity_of(nonce, "nonce", 64))


def _matrix(cells: Sequence[bytes], width: int) -> Bytes:
    return np.frombuffer(b"".join(cells), np.uint8).reshape(-1, width)
