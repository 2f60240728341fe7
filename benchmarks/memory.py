"""What ten million wallets cost: bytes, and what a flow costs among them.

Everything is on: models, risk model, every rule, policy. A process of its own meets so many
wallets, each in one flow with another that is as new; then flows between any two of them are timed.
One in ten has a row of its own. The others have a summary, and get a row again when they come
back: see ``detect.wallets``.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.crowd import acquaintances, strangers
from benchmarks.table import Result
from chainwarden.deployment import compile_kernels, make_detector, new_book
from chainwarden.schema import ETHEREUM
from chainwarden.settings import Settings
from detect.detector import Detector

FEW: Final = 100_000
MANY: Final = 10_000_000
ROWS: Final = 1_000_000
SUMMARIES: Final = 10_000_000
FLOWS_A_BLOCK: Final = 200
BLOCKS_A_BATCH: Final = 50
REPEATS: Final = 3
GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Crowded:
    """A detector that remembers a crowd: what its process holds, and what a flow costs."""

    remembered: int
    resident: int  # bytes, at most
    microseconds: float
    parts: dict[str, int]  # bytes of each rule, each model, the wallets …


def run() -> list[Result]:
    """Gigabytes and microseconds a flow at ten million wallets; megabytes by rule."""
    few, many = _apart(FEW), _apart(MANY)
    assert many.remembered > 0.99 * MANY
    return [
        Result(
            benchmark="memory",
            what=f"{MANY // 10**6} million wallets ({ROWS // 10**6} million rows, the others in "
            "summary), everything on",
            unit="GB",
            value=many.resident / GB,
            baseline=f"{FEW:,} wallets",
            baseline_value=few.resident / GB,
            less_is_better=True,
            asked=2.5,
        ),
        Result(
            benchmark="memory",
            what=f"a flow between any two of {MANY // 10**6} million wallets",
            unit="µs a flow",
            value=many.microseconds,
            baseline=f"{FEW:,} wallets",
            baseline_value=few.microseconds,
            less_is_better=True,
            asked_ratio=1 / 2.5,
        ),
        Result(
            benchmark="memory",
            what="a wallet, by the difference",
            unit="bytes",
            value=(many.resident - few.resident) / (many.remembered - few.remembered),
            less_is_better=True,
        ),
        *(
            Result(
                benchmark="memory",
                what=part,
                unit="MB",
                value=size / 1e6,
                baseline="the whole process",
                baseline_value=many.resident / 1e6,
                less_is_better=True,
            )
            for part, size in sorted(many.parts.items(), key=lambda item: -item[1])
        ),
    ]


def _apart(wallets: int) -> Crowded:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        return child.submit(crowded, wallets).result()


def crowded(wallets: int) -> Crowded:
    """Meet so many wallets, then see flows between any two of them."""
    settings = Settings()
    bounds = {"wallets": ROWS, "summaries": SUMMARIES}
    settings = msgspec.structs.replace(
        settings, detect=msgspec.structs.replace(settings.detect, **bounds)
    )
    compile_kernels(settings)
    detector = make_detector(settings, ETHEREUM, new_book()).detector
    for batch in strangers(wallets, FLOWS_A_BLOCK, BLOCKS_A_BATCH):
        detector.process(batch)
    stats = detector.stats()
    remembered = int(stats["wallets"] + stats["summaries"])
    seconds = []
    for repeat in range(1, REPEATS + 1):
        first = wallets + repeat * BLOCKS_A_BATCH
        batch = acquaintances(wallets, FLOWS_A_BLOCK, BLOCKS_A_BATCH, first, repeat)
        began = time.process_time()
        detector.process(batch)
        seconds.append(time.process_time() - began)
    return Crowded(
        remembered,
        _most_resident(),
        1e6 * statistics.median(seconds) / (FLOWS_A_BLOCK * BLOCKS_A_BATCH),
        dict(_parts(detector)),
    )


def _most_resident() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _parts(detector: Detector) -> Iterator[tuple[str, int]]:
    """The parts of a detector with the bytes that each alone holds; of what is shared, the first.

    Arrays count whole, also where no page of them was touched yet: these are the bounds.
    """
    seen = {id(detector.chain), id(detector.config)}
    for name, part in vars(detector).items():
        if name == "_rules":
            for rule in part:
                yield f"rule {rule.id}", bytes_of(rule, seen)
        elif not isinstance(part, (int, float, str)):
            yield name.strip("_").replace("_", " "), bytes_of(part, seen)


def bytes_of(root: object, seen: set[int]) -> int:
    """The bytes of an object and all that hangs on it, but for what was ``seen``."""
    total, todo = 0, deque([root])
    while todo:
        one = todo.pop()
        code = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
        if id(one) in seen or isinstance(one, code):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            if one.base is None:
                total += one.nbytes
            else:
                todo.append(one.base)
            continue
        total += sys.getsizeof(one, 0)
        todo.extend(_held_by(one))
    return total


def _held_by(one: Any) -> Iterator[object]:
    if isinstance(one, dict):
        yield from one.keys()
        yield from one.values()
    elif isinstance(one, (list, tuple, set, frozenset, deque)):
        yield from one
    else:
        yield from getattr(one, "__dict__", {}).values()
        for kind in type(one).__mro__:
            names = getattr(kind, "__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                if hasattr(one, name):
                    yield getattr(one, name)
