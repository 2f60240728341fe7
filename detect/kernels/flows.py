"""A batch's flows as the kernels of rules loop over them; see ``Columns.flows``."""

from __future__ import annotations

from typing import NamedTuple

from detect.compiled import Array, compiled
from detect.kernels.rows import same_key


class Flows(NamedTuple):
    """Arrays in chain order, read-only: a row per flow, and the last four per transaction."""

    facts: Array  # FLOW_FACTS
    moved: Array  # bool: more than 0, and not known to have failed
    own: Array  # bool: the transaction's own native flow
    coin: Array  # int8: 0 the chain's coin, 1 and up a listed token, -1 anything else
    units: Array  # float64, whole coins; NaN where the coin is not listed
    values: Array  # float64, smallest units
    senders: Array  # uint32 (n, 5)
    receivers: Array  # uint32 (n, 5)
    times: Array  # int64, of its block
    blocks: Array  # int64, row of its block in the batch
    tx: Array  # int64, row of its transaction; -1 for a withdrawal
    signers: Array  # uint32 (m, 5)
    nonces: Array  # int64; -1 unknown
    selectors: Array  # uint32
    lengths: Array  # int64, bytes of calldata; -1 unknown


@compiled
def signed(senders: Array, receivers: Array, signers: Array, i: int, tx: int) -> bool:
    """Whether the sender of flow ``i`` signed transaction ``tx``, and pays somebody else."""
    return bool(
        tx >= 0 and same_key(signers[tx], senders[i]) and not same_key(senders[i], receivers[i])
    )
