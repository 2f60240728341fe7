"""The wallets at their milestones in a batch, and its flows, as the risk model takes them."""

from __future__ import annotations

import numpy as np

from chainwarden.schema import BlockBatch, column
from detect.compiled import Array
from detect.features import RISK_FEATURES
from detect.kernels.arrays import Events, Seen
from detect.kernels.risk import Flows, Rows
from detect.kernels.scaling import TOKEN_TOP, WEI_TOP
from detect.risk import WalletRows


def wallet_rows(
    batch: BlockBatch,
    events: Events,
    seen: Seen,
    flow_scores: Array,
    wallet_scores: Array,
    life_seconds: int,
) -> WalletRows:
    """What the pass over a batch saw. The scores are the anomaly models', NaN in warm-up."""
    facts, sends, flow = seen.flow_facts, seen.wallet_is_sender, seen.wallet_flow
    flows = _flows(events, seen, flow_scores, life_seconds)
    at, count = events.flow_time[flow], len(flow)
    first_seen = np.where(sends, facts["from_first_seen"][flow], facts["to_first_seen"][flow])
    return WalletRows(
        flows=flows,
        rows=Rows(
            starts=np.ascontiguousarray(seen.wallet_starts, np.int64),
            flow=flow,
            sends=sends,
            own=seen.wallet_features,
            anomaly=wallet_scores,
            held=np.full(count, -1, np.int64),
            features=np.empty((count, len(RISK_FEATURES)), np.float32),
            bins=np.empty((count, len(RISK_FEATURES)), np.uint8),
            risks=np.empty(count),
            told=np.empty((count, len(RISK_FEATURES) + 2)),
            told_row=np.empty(count, np.int64),
            told_used=np.zeros(1, np.int64),
        ),
        keys=np.where(sends[:, None], events.flow_from[flow], events.flow_to[flow]),
        hashed=np.where(sends, facts["from_hash"][flow], facts["to_hash"][flow]),
        at=at,
        ages=np.maximum(0, at - first_seen),
        times=column(batch.blocks, "block_timestamp").astype(np.int64),
    )


def _flows(events: Events, seen: Seen, scores: Array, life_seconds: int) -> Flows:
    facts, at = seen.flow_facts, events.flow_time
    top = np.where(events.flow_is_token, TOKEN_TOP, WEI_TOP)
    value = np.where(events.flow_value > 0.0, np.minimum(events.flow_value, top), 0.0)
    return Flows(
        starts=np.ascontiguousarray(seen.flow_starts, np.int64),
        at=at,
        sender=np.ascontiguousarray(facts["from_hash"]),
        receiver=np.ascontiguousarray(facts["to_hash"]),
        no_sender=(events.flow_from == 0).all(axis=1),
        no_receiver=(events.flow_to == 0).all(axis=1),
        value=value,
        is_coin=~events.flow_is_token,
        moved=events.flow_status != 0,
        met=facts["pair_events"] > 0,
        early=at - facts["to_first_seen"] <= life_seconds,
        features=seen.flow_features,
        scores=scores,
    )
