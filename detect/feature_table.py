"""The table of features that the detector gives: what the lake keeps of each flow."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import FLOWS, BlockBatch
from detect.compiled import Array
from detect.features import FLOW_FEATURES
from detect.kernels.arrays import Seen
from detect.kernels.risk import Rows

KEYS: Final = ("block_number", "transaction_hash", "transaction_index", "ordinal", "batch_index")
SCORES: Final = ("flow_score", "from_score", "to_score", "from_risk", "to_risk")


@cache
def feature_table_schema() -> pa.Schema:
    """The columns of ``Detections.features``: keys, scores (null in warm-up), features.

    Anomaly scores are those before the flow. ``from_risk`` and ``to_risk`` have it in: they are
    what the flow made of its parties, null where it is no milestone of theirs.
    """
    return pa.schema(
        [FLOWS.field(name) for name in KEYS]
        + [pa.field(name, pa.float64()) for name in SCORES]
        + [pa.field(name, pa.float32(), nullable=False) for name in FLOW_FEATURES]
    )


def feature_table(batch: BlockBatch, seen: Seen, rated: Rows | None) -> pa.Table:
    """A row per flow: its features as read, the scores, and what the risk model said."""
    columns = [batch.flows[name] for name in KEYS]
    scores = [np.ascontiguousarray(seen.flow_facts[n]) for n in ("score", "from_score", "to_score")]
    scores += [*_risks(seen, rated)]
    columns += [pa.array(values, mask=np.isnan(values)) for values in scores]
    rows = len(seen.flow_features)
    columns += [
        pa.Array.from_buffers(pa.float32(), rows, [None, pa.py_buffer(values)])
        for values in np.ascontiguousarray(seen.flow_features.T, np.float32)
    ]
    return pa.table(columns, schema=feature_table_schema())


def _risks(seen: Seen, rated: Rows | None) -> Array:
    """The risk of each flow's sender and receiver, (2, flows); NaN where none was scored."""
    risks = np.full((2, len(seen.flow_facts)), np.nan)
    if rated is not None:
        risks[np.where(seen.wallet_is_sender, 0, 1), seen.wallet_flow] = rated.risks
    return risks
