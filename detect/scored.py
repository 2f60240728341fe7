"""A batch as the rules see it: the tables, the scores, and what was known at each event.

The facts are as of the event (read before update), so they do not depend on how blocks were
batched; a rule must never look into the wallet table itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import BlockBatch

PARTY_FACTS: Final = [
    ("first_seen", np.int64),  # block time of the wallet's first event; the event's own if new
    ("events", np.int32),  # flows it took part in before, on either side
    ("sent", np.int32),  # of them as sender
    ("received", np.int32),  # of them as receiver
    ("counterparties", np.float32),  # distinct, estimated
    ("nonce", np.int64),  # highest nonce seen from it, -1 unknown or none
    (
        "is_contract",
        np.bool_,
    ),  # known to have code: created in view, emitted a log, or left logs when called
    ("score", np.float64),  # the wallet's anomaly score as of now, NaN in warm-up
    ("funder", np.uint64),  # the keyed hash of the first that paid it coins, 0 unknown
    ("funder_fan_out", np.float32),  # how many that one had paid by then, scaled as the feature
    ("held", np.float64),  # coins that came in and have not left, in view; smallest units
]

FLOW_FACTS: Final = np.dtype(
    [(f"from_{name}", kind) for name, kind in PARTY_FACTS]
    + [(f"to_{name}", kind) for name, kind in PARTY_FACTS]
    + [
        ("from_hash", np.uint64),  # the parties' own keyed hashes: what funders are compared with
        ("to_hash", np.uint64),
        ("pair_events", np.int32),  # flows between the two before, either direction, estimated
        ("score", np.float64),  # the flow's anomaly score, NaN in warm-up
    ]
)
"""One row per flow of the batch."""

APPROVAL_FACTS: Final = np.dtype(
    [(f"owner_{name}", kind) for name, kind in PARTY_FACTS]
    + [(f"spender_{name}", kind) for name, kind in PARTY_FACTS]
)
"""One row per approval of the batch."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """A batch, its facts and its features.

    ``first_serial`` is the serial of the batch's first block: blocks are counted from 0 as they are
    processed, and a revert takes the last serial back. Block ``row`` of the batch has serial
    ``first_serial + row``. ``features`` has a row per flow (see ``chainwarden.schema.Detections``),
    and none for rules that read no score: whether their facts have scores by then is left open.
    """

    batch: BlockBatch
    first_serial: int
    flow_facts: np.ndarray
    approval_facts: np.ndarray
    features: pa.Table
