"""Tables below the block, put in chain order: what blocks of a node and rows of a file share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chainwarden.schema import APPROVALS, FLOWS, LOGS
from ingest import columns
from ingest.columns import Bytes, Index, Mask, Words
from ingest.events import Grants, Logs, decode_logs


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is: the blocks, and the transactions in them, in chain order.

    ``tx_block`` is the row of each transaction's block. Masks say what is known; a ``has_hash`` of
    None means all.
    """

    numbers: Index
    times: Index
    tx_block: Index
    tx_index: Index
    hashes: Bytes
    has_hash: Mask | None
    status: Index
    has_status: Mask

    def keys(self, rows: Index) -> list[pa.Array]:
        """block_number, block_timestamp, transaction_hash, transaction_index of transactions."""
        block = self.tx_block[rows]
        known = None if self.has_hash is None else self.has_hash[rows]
        return [
            columns.number_array(self.numbers[block], pa.int64()),
            columns.number_array(self.times[block], pa.int64()),
            columns.fixed_array(self.hashes[rows], known),
            columns.number_array(self.tx_index[rows], pa.int32()),
        ]


@dataclass(frozen=True, slots=True)
class FlowGroup:
    """Flows of one origin. ``place`` sorts all of them: 4 times the transaction, plus a class.

    Classes are 0 native, 1 internal, 2 log-borne, 3 withdrawals (of the last transaction up to the
    block's end). ``block`` and ``transaction`` are rows; -1 is no transaction. Without a token the
    coin moved.
    """

    place: Index
    block: Index
    transaction: Index
    ordinal: Index
    item: Index
    kind: Index
    sender: Bytes
    recipient: Bytes
    value: Words
    token: Bytes | None = None
    token_id: Bytes | None = None
    has_id: Mask | None = None

    def __len__(self) -> int:
        return len(self.place)


def flow_table(places: Places, groups: Sequence[FlowGroup]) -> pa.Table:
    """The flows of all groups in chain order. Within a place, groups keep their own order."""

    def joined(name: str) -> Any:
        parts = [getattr(group, name) for group in groups]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def optional(name: str, width: int) -> Bytes:
        parts = [getattr(group, name) for group in groups]
        return np.concatenate(
            [
                np.zeros((len(group), width), np.uint8) if part is None else part
                for group, part in zip(groups, parts, strict=True)
            ]
        )

    order = np.argsort(joined("place"), kind="stable")
    block, transaction = joined("block")[order], joined("transaction")[order]
    # A withdrawal has row -1, which gathers the extra row at the end and is masked.
    of_tx = transaction >= 0
    has_hash = np.ones(len(places.hashes), np.bool_) if places.has_hash is None else places.has_hash
    hashes = np.concatenate([places.hashes, np.zeros((1, 32), np.uint8)])[transaction]
    has_token = np.repeat([g.token is not None for g in groups], [len(g) for g in groups])
    has_id = np.concatenate(
        [np.zeros(len(g), np.bool_) if g.has_id is None else g.has_id for g in groups]
    )
    value = joined("value")[order]
    known = np.append(places.has_status, False)[transaction]
    return pa.Table.from_arrays(
        [
            columns.number_array(places.numbers[block], pa.int64()),
            columns.number_array(places.times[block], pa.int64()),
            columns.fixed_array(hashes, np.append(has_hash, False)[transaction]),
            columns.number_array(np.append(places.tx_index, 0)[transaction], pa.int32(), of_tx),
            columns.number_array(joined("ordinal")[order], pa.int32()),
            columns.number_array(joined("item")[order], pa.int32()),
            columns.number_array(joined("kind")[order], pa.int8()),
            columns.fixed_array(optional("token", 20)[order], has_token[order]),
            columns.fixed_array(optional("token_id", 32)[order], has_id[order]),
            columns.fixed_array(joined("sender")[order]),
            columns.fixed_array(joined("recipient")[order]),
            columns.fixed_array(columns.big_endian(value)),
            columns.number_array(columns.float64_of(value), pa.float64()),
            columns.number_array(np.append(places.status, 0)[transaction], pa.int8(), known),
        ],
        schema=FLOWS,
    )


@dataclass(frozen=True, slots=True)
class LogTables:
    """What logs became: flows of tokens, approvals, and all that is neither."""

    flows: FlowGroup
    approvals: pa.Table
    logs: pa.Table


def log_tables(places: Places, logs: Logs, log_tx: Index, ordinals: Index) -> LogTables:
    """Decodes logs; ``log_tx`` is the row of each log's transaction, ``ordinals`` its ordinal."""
    transfers, grants, rest = decode_logs(logs)
    rows = log_tx[transfers.log]
    flows = FlowGroup(
        place=rows * 4 + 2,
        block=places.tx_block[rows],
        transaction=rows,
        ordinal=ordinals[transfers.log],
        item=transfers.item,
        kind=transfers.kind,
        sender=transfers.sender,
        recipient=transfers.recipient,
        value=columns.words_of(transfers.value),
        token=transfers.token,
        token_id=transfers.token_id,
        has_id=transfers.has_id,
    )
    left = pa.Table.from_arrays(
        [
            *places.keys(log_tx[rest]),
            columns.number_array(ordinals[rest], pa.int32()),
            columns.fixed_array(logs.address[rest]),
            *_topic_columns(logs, rest),
            columns.data_array(logs.data, logs.data_offset).take(pa.array(rest)),
        ],
        schema=LOGS,
    )
    return LogTables(flows, _approval_table(places, grants, log_tx, ordinals), left)


def _approval_table(places: Places, grants: Grants, log_tx: Index, ordinals: Index) -> pa.Table:
    value = columns.float64_of(columns.words_of(grants.value))
    return pa.Table.from_arrays(
        [
            *places.keys(log_tx[grants.log]),
            columns.number_array(ordinals[grants.log], pa.int32()),
            columns.number_array(grants.kind, pa.int8()),
            columns.fixed_array(grants.token),
            columns.fixed_array(grants.token_id, grants.has_id),
            columns.fixed_array(grants.owner),
            columns.fixed_array(grants.spender),
            columns.fixed_array(grants.value, grants.has_value),
            columns.number_array(value, pa.float64(), grants.has_value),
            pa.array(grants.approved),
        ],
        schema=APPROVALS,
    )


def _topic_columns(logs: Logs, rows: Index) -> list[pa.Array]:
    """The columns topic0 to topic3 of the logs in those rows."""
    start, count = logs.topic_start[rows], logs.topic_count[rows]
    arrays = []
    for position in range(4):
        has = count > position
        topics = np.zeros((len(rows), 32), np.uint8)
        topics[has] = logs.topics[start[has] + position]
        arrays.append(columns.fixed_array(topics, has))
    return arrays
