"""How long a command takes to be there, caches warm: the help, and the first block scored.

The block is one of a simulated chain; the time is that of the whole command, from the start of the
process to its end: its verified block scored, lake and ledger on disk and closed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.table import Result
from ingest.simulate import SimulationConfig, write_chain

REPEATS: Final = 5


def run() -> list[Result]:
    """Seconds, against Python alone, and with the two libraries that everything stands on."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = SimulationConfig(blocks=1, transactions_per_block=50.0)
        blocks = write_chain(config, folder).blocks_file
        command = ["-m", "chainwarden.cli"]
        replay = [*command, "replay", str(blocks), "--out", str(folder / "out"), "--json"]
        help_, nothing, first, libraries = _medians(
            [
                [*command, "--help"],
                ["-c", "pass"],
                [*replay, "--overwrite"],
                ["-c", "import pyarrow, numba"],
            ],
            folder / "bytecode",
        )
    return [
        Result(
            benchmark="startup",
            what="chainwarden --help",
            unit="s",
            value=help_,
            baseline="python -c pass",
            baseline_value=nothing,
            less_is_better=True,
            asked=0.3,
        ),
        Result(
            benchmark="startup",
            what="A block replayed, from the start to the end of the command",
            unit="s",
            value=first,
            baseline="python -c 'import pyarrow, numba'",
            baseline_value=libraries,
            less_is_better=True,
            asked=3.0,
        ),
    ]


def _medians(commands: Sequence[Sequence[str]], bytecode: Path) -> list[float]:
    """The median seconds of each, taken in turns, after one that makes the caches warm.

    Python's own is the folder ``bytecode``: the environment may forbid it one in the source tree.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds: list[list[float]] = [[] for _ in commands]
    for number in range(1 + REPEATS):
        for command, times in zip(commands, seconds, strict=True):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, *command], env=environment, check=True, capture_output=True
            )
            if number:
                times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in seconds]
