"""What the detector and the plain one said of the same flows, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from detect.compiled import Array
from detect.feature_table import SCORES
from detect.features import FLOW_FEATURES, RISK_FEATURES, WALLET_FEATURES
from tests.detect.plain.detector import Said


def differences(features: pa.Table, said: Sequence[Said]) -> dict[str, float]:
    """The largest difference by column; infinite where only one of them says something."""
    assert features.num_rows == len(said)
    columns: dict[str, list[float | None]] = {
        name: [one.features[name] for one in said] for name in FLOW_FEATURES
    }
    columns |= {name: [getattr(one, name) for one in said] for name in SCORES}
    return {
        name: _largest(features[name].to_numpy(zero_copy_only=False), plain)
        for name, plain in columns.items()
    }


def milestone_differences(
    own: Array, seen: Array, risks: Array, said: Iterable[Said]
) -> dict[str, float]:
    """The same of wallets at their milestones: their features, those of the risk model, risks."""
    rows = [row for one in said for row in one.milestones]
    assert len(own) == len(seen) == len(risks) == len(rows)
    found = {
        name: _largest(own[:, n], [at.own[name] for at, _ in rows])
        for n, name in enumerate(WALLET_FEATURES)
    }
    rated = [one for _, one in rows if one is not None]
    for n, name in enumerate(RISK_FEATURES):
        found[f"risk: {name}"] = _largest(seen[:, n], [one.features[name] for one in rated])
    return found | {"risk": _largest(risks, [one.risk for one in rated])}


def _largest(ours: Array, plain: Sequence[float | None]) -> float:
    """Both in double precision; None and NaN are nothing said."""
    assert len(ours) == len(plain)
    a, b = ours.astype(float), np.array(plain, float)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0.0))
