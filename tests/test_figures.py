from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

MEASURED = """
import pytest

@pytest.mark.parametrize("n", [2, 1])
def test_it(tell, n):
    tell(f"{n} of 2")
    assert n < 2
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_figures_are_told_at_the_end_by_whichever_process(tmp_path: Path, processes: str) -> None:
    """Of passed tests and of failed ones, which are marked; in order, once each."""
    (tmp_path / "test_measured.py").write_text(MEASURED)
    command = [sys.executable, "-m", "pytest", "-p", "tests.figures", "-p", "xdist.plugin"]
    command += ["--numprocesses", processes, "--rootdir", str(tmp_path), str(tmp_path)]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    told = ran.stdout.rpartition("= figures =")[2].partition("\n=")[0].splitlines()[1:]
    assert told == ["test_measured.py: 1 of 2", "test_measured.py: 2 of 2 (FAILED)"], ran.stdout
    assert ran.returncode == 1
