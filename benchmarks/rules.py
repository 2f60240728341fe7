"""What each part of the detector costs a flow: every rule, the models, the features, the policy.

Each part's own calls are timed within one and the same run over the simulated chain, with every
attack in it and everything on; the baseline of each is the whole detector. What is in no part
(Arrow columns shared by the rules, undo let go of) is its own line.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from benchmarks.replay import winning_batches
from benchmarks.table import Result
from chainwarden.deployment import compile_kernels, make_detector, new_book
from chainwarden.schema import ETHEREUM, BlockBatch
from chainwarden.settings import Settings
from detect import detector as detector_module
from detect.alerts import AlertPolicy
from detect.learning import DepthLearner
from detect.risk import RiskModel
from detect.rules import default_rules
from detect.rules.rule import HearsBlocks
from detect.wallets import WalletTable

REPEATS: Final = 3
OTHER: Final = "columns, undo and all else"

# The parts beside the rules: where each is called, and its name in the table.
PARTS: Final = (
    (detector_module, "events_of", "features"),
    (detector_module, "feature_table", "features"),
    (WalletTable, "observe", "features"),
    (WalletTable, "settle", "features"),
    (DepthLearner, "advance", "flow and wallet models"),
    (detector_module, "wallet_rows", "risk model"),
    (RiskModel, "advance", "risk model"),
    (detector_module, "flow_findings", "findings of the models"),
    (detector_module, "wallet_findings", "findings of the models"),
    (detector_module, "risk_findings", "findings of the models"),
    (detector_module, "parting_findings", "findings of the models"),
    (AlertPolicy, "decide", "policy"),
)


def run() -> list[Result]:
    """Microseconds a flow by part, the dearest first."""
    compile_kernels(Settings())
    batches = winning_batches()
    flows = sum(batch.flows.num_rows for batch in batches)
    runs = [_spent(batches) for _ in range(REPEATS)]
    spent = {
        part: 1e6 * statistics.median(one.get(part, 0.0) for one in runs) / flows
        for part in {part for one in runs for part in one}
    }
    whole = sum(spent.values())
    return [
        Result(
            benchmark="rules",
            what=f"{part}: {cost / whole:.1%} of the detector",
            unit="µs a flow",
            value=cost,
            baseline="the whole detector",
            baseline_value=whole,
            less_is_better=True,
        )
        for part, cost in sorted(spent.items(), key=lambda item: -item[1])
    ]


def _spent(batches: Sequence[BlockBatch]) -> dict[str, float]:
    """Processor seconds by part of one run."""
    spent: dict[str, float] = defaultdict(float)
    kinds = {type(rule): rule.id for rule in default_rules(new_book(), ETHEREUM)}
    with ExitStack() as stack:
        for owner, name, part in PARTS:
            stack.enter_context(_timed(owner, name, part, spent))
        for kind, rule in kinds.items():
            stack.enter_context(_timed(kind, "evaluate", f"rule {rule}", spent))
            if issubclass(kind, HearsBlocks):
                stack.enter_context(_timed(kind, "advance", f"rule {rule}", spent))
        detector = make_detector(Settings(), ETHEREUM, new_book()).detector
        began = time.process_time()
        for batch in batches:
            detector.process(batch)
        whole = time.process_time() - began
    spent[OTHER] = whole - sum(spent.values())
    return spent


@contextmanager
def _timed(owner: Any, name: str, part: str, spent: dict[str, float]) -> Iterator[None]:
    """Count what calls of ``owner.name`` take, while it lasts."""
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*given: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return inner(*given, **named)
        finally:
            spent[part] += time.thread_time() - began

    own = name in vars(owner)
    setattr(owner, name, outer)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, inner)
        else:
            delattr(owner, name)
