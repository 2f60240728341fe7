"""A batch of blocks as the arrays that kernels loop over; nothing is copied where it can be."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.schema import BlockBatch, column
from detect.compiled import Array
from detect.kernels.arrays import NO_TRANSACTION, Events

ADDRESS_WORDS: Final = 5


def events_of(batch: BlockBatch) -> Events:
    """The batch's events as arrays, all read-only and contiguous (kernels compile once)."""
    numbers = batch.numbers()
    flows, transactions = batch.flows, batch.transactions
    approvals, creations, logs = batch.approvals, batch.creations, batch.logs
    return Events(
        flow_starts=_starts(flows, numbers),
        flow_time=_times(flows),
        flow_transaction=_filled(flows, "transaction_index", NO_TRANSACTION, np.int64),
        flow_ordinal=_plain(flows, "ordinal", np.int32),
        flow_kind=_plain(flows, "kind", np.int8),
        flow_from=_addresses(flows, "from_address"),
        flow_to=_addresses(flows, "to_address"),
        flow_token=_addresses(flows, "token_address"),
        flow_is_token=_frozen(_known(flows["token_address"]), np.bool_),
        flow_value=_plain(flows, "value_f64", np.float64),
        flow_status=_filled(flows, "status", -1, np.int8),
        transaction_starts=_starts(transactions, numbers),
        transaction_index=_plain(transactions, "transaction_index", np.int32),
        transaction_nonce=_nonces(transactions),
        transaction_input=_lengths(transactions, "input"),
        transaction_gas_price=_gas_prices(transactions),
        transaction_gas_share=_frozen(
            _floats(transactions, "gas_used") / np.maximum(_floats(transactions, "gas"), 1.0),
            np.float64,
        ),
        transaction_logs=_filled(transactions, "log_count", -1, np.int32),
        approval_starts=_starts(approvals, numbers),
        approval_time=_times(approvals),
        approval_transaction=_plain(approvals, "transaction_index", np.int64),
        approval_ordinal=_plain(approvals, "ordinal", np.int32),
        approval_owner=_addresses(approvals, "owner"),
        approval_spender=_addresses(approvals, "spender"),
        approval_token=_addresses(approvals, "token_address"),
        creation_starts=_starts(creations, numbers),
        creation_time=_times(creations),
        creation_transaction=_plain(creations, "transaction_index", np.int64),
        creation_creator=_addresses(creations, "creator"),
        creation_contract=_addresses(creations, "contract_address"),
        log_starts=_starts(logs, numbers),
        log_time=_times(logs),
        log_transaction=_plain(logs, "transaction_index", np.int64),
        log_ordinal=_plain(logs, "ordinal", np.int32),
        log_address=_addresses(logs, "address"),
    )


def address_key(address: bytes) -> Array:
    """A 20-byte address as kernels see it: five little-endian uint32."""
    return np.frombuffer(address, "<u4")


def _frozen(array: Array, kind: Any) -> Array:
    array = np.asarray(array, kind)
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = array.copy()
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def _numpy(values: pa.ChunkedArray) -> Array:
    if values.num_chunks == 1:
        return np.asarray(values.chunk(0).to_numpy(zero_copy_only=False))
    return np.asarray(values.to_numpy())


def _known(values: pa.ChunkedArray) -> Array:
    """Per row whether there is a value."""
    return _numpy(values.is_valid()) if values.null_count else np.ones(len(values), np.bool_)


def _plain(table: pa.Table, name: str, kind: Any) -> Array:
    return _frozen(column(table, name), kind)


def _times(table: pa.Table) -> Array:
    """Block times, within the 32 bits that rows keep (to the year 2106)."""
    times = column(table, "block_timestamp")
    return _frozen(np.minimum(np.maximum(times, 0), 2**32 - 1), np.int64)


def _filled(table: pa.Table, name: str, missing: int, kind: Any) -> Array:
    values = table[name]
    if values.null_count:
        values = pc.fill_null(values, missing)
    return _frozen(_numpy(values), kind)


def _lengths(table: pa.Table, name: str) -> Array:
    lengths = pc.binary_length(table[name])
    if lengths.null_count:
        lengths = pc.fill_null(lengths, -1)
    return _frozen(_numpy(lengths), np.int64)


def _floats(table: pa.Table, name: str) -> Array:
    values = table[name]
    if not values.null_count:
        return _numpy(values).astype(np.float64)
    return _numpy(pc.fill_null(pc.cast(values, pa.float64(), safe=False), float("nan")))


def _gas_prices(transactions: pa.Table) -> Array:
    """The effective price where a receipt gives it, else the price bid."""
    paid = _floats(transactions, "effective_gas_price")
    if not transactions["effective_gas_price"].null_count:
        return _frozen(paid, np.float64)
    bid = _floats(transactions, "gas_price")
    return _frozen(np.where(np.isnan(paid), bid, paid), np.float64)


def _nonces(transactions: pa.Table) -> Array:
    """Nonces, -1 where the source lacks them; uint64 ones saturate."""
    nonces = transactions["nonce"]
    if not nonces.null_count:
        return _frozen(np.minimum(_numpy(nonces), np.uint64(2**62)), np.int64)
    values = np.minimum(_numpy(pc.fill_null(nonces, 0)), np.uint64(2**62))
    return _frozen(np.where(_known(nonces), values.astype(np.int64), -1), np.int64)


def _starts(table: pa.Table, numbers: Array) -> Array:
    """Where each block's rows start; one more, the end."""
    rows = column(table, "block_number")
    starts = np.empty(len(numbers) + 1, np.int64)
    starts[:-1] = rows.searchsorted(numbers)
    starts[-1] = len(rows)
    return _frozen(starts, np.int64)


def _addresses(table: pa.Table, name: str) -> Array:
    """Addresses as (n, 5) uint32; what stands in a null row means nothing."""
    chunked = table[name]
    array = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if not len(array):
        return _frozen(np.empty((0, ADDRESS_WORDS), np.uint32), np.uint32)
    words = np.frombuffer(array.buffers()[1], "<u4")
    start = array.offset * ADDRESS_WORDS
    return _frozen(
        words[start : start + len(array) * ADDRESS_WORDS].reshape(-1, ADDRESS_WORDS), np.uint32
    )
