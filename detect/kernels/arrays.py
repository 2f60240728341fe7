"""What the pass over a batch is given and gives: tuples of arrays."""

from __future__ import annotations

from typing import Final, NamedTuple

from detect.compiled import Array
from detect.kernels.summaries import Summaries, SummaryUndo
from detect.kernels.table import Table, TableUndo
from detect.kernels.update import Pairs, PairUndo

NO_TRANSACTION: Final = 2**30  # the transaction index of withdrawals: after all others


class Events(NamedTuple):
    """A batch as arrays. ``*_starts`` (blocks + 1,) cut each table into blocks."""

    flow_starts: Array
    flow_time: Array  # int64
    flow_transaction: Array  # int64
    flow_ordinal: Array  # int32
    flow_kind: Array  # int8
    flow_from: Array  # uint32 (n, 5)
    flow_to: Array
    flow_token: Array
    flow_is_token: Array  # bool
    flow_value: Array  # float64
    flow_status: Array  # int8, -1 unknown
    transaction_starts: Array
    transaction_index: Array  # int32
    transaction_nonce: Array  # int64, -1 unknown
    transaction_input: Array  # int64, bytes, -1 unknown
    transaction_gas_price: Array  # float64, NaN unknown
    transaction_gas_share: Array  # float64, NaN unknown
    transaction_logs: Array  # int32, -1 unknown
    approval_starts: Array
    approval_time: Array
    approval_transaction: Array
    approval_ordinal: Array
    approval_owner: Array
    approval_spender: Array
    approval_token: Array
    creation_starts: Array
    creation_time: Array
    creation_transaction: Array
    creation_creator: Array
    creation_contract: Array
    log_starts: Array
    log_time: Array
    log_transaction: Array
    log_ordinal: Array
    log_address: Array


class State(NamedTuple):
    """What the pass reads and changes."""

    wallets: Table
    tokens: Table
    pairs: Pairs
    gas: Array  # float64 (2,): running mean of the log gas price, transactions counted
    summaries: Summaries  # of wallets that were evicted


class Undo(NamedTuple):
    """What takes the journalled blocks of a pass back."""

    wallets: TableUndo
    tokens: TableUndo
    pairs: PairUndo
    gas: Array  # float64 (blocks, 2)
    summaries: SummaryUndo


class Seen(NamedTuple):
    """What the pass gives, in blocks cut by ``*_starts``.

    ``*_score_row`` is 1 + the wallet row of this pass whose score is the party's, 0 for none.
    """

    flow_starts: Array  # int64 (blocks + 1,)
    flow_facts: Array
    from_score_row: Array
    to_score_row: Array
    flow_features: Array  # float32 (flows, features)
    approval_facts: Array
    owner_score_row: Array
    spender_score_row: Array
    wallet_features: Array  # float32 (rows, features)
    wallet_row: Array  # int32 (rows,): the wallet's row in the table
    wallet_flow: Array  # int32 (rows,): the flow it was read at
    wallet_is_sender: Array  # bool (rows,)
    wallet_value: Array  # float64 (rows,): coins it has received and sent
    wallet_starts: Array  # int64 (blocks + 1,)
