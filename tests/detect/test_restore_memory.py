from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# In a process of its own, for what it has held at most. Half a million wallets are 150 MB, against
# which what else a process allocates is little.
RESTORED_TWICE = """
from pathlib import Path
from benchmarks.crowd import strangers
from chainwarden.schema import ETHEREUM
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.detector_config import DetectorConfig

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

def new_detector():
    return Detector(ETHEREUM, DetectorConfig(), (), AlertPolicy(ETHEREUM))

full = new_detector()
for batch in strangers(500_000, flows_a_block=1_000, blocks_a_batch=10):
    full.process(batch)
digest, state = full.digest(), full.snapshot()
del full
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
before = status("VmRSS") - len(state)
copy = new_detector()
peaks = []
for _ in range(2):
    copy.restore(state)
    peaks.append((status("VmHWM") - before) / len(state))
assert copy.digest() == digest
print(len(state), *peaks)
"""


def test_restoring_takes_twice_the_state() -> None:
    """The snapshot and the state made of it, and no third one: also over a state of before (R9)."""
    done = subprocess.run(
        [sys.executable, "-c", RESTORED_TWICE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    size, first, second = map(float, done.stdout.split())
    assert size > 100e6
    assert first < 2.5
    assert second < 2.5
