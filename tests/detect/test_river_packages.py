"""River's packages, which wait until somebody asks for what is in them."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

SCRIPT = """
import sys
import detect.models, detect.drift, detect.watch
unused = {"scipy.stats", "sklearn", "pandas", "river.datasets"}
assert not unused & set(sys.modules), unused & set(sys.modules)
import river.tree
from river import anomaly, drift
assert anomaly.HalfSpaceTrees in detect.models.HalfSpaceTrees.__mro__
assert drift.ADWIN is detect.drift.ADWIN
for package in (anomaly, drift, river.tree):
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert missing in ([], ["PeriodicTrigger"]), missing  # which River itself has not
try:
    anomaly.NoSuchThing
except AttributeError as error:
    assert "NoSuchThing" in str(error)
else:
    raise AssertionError
"""


def test_nothing_is_imported_of_river_but_what_is_used() -> None:
    """The detector's models import neither SciPy's statistics nor data sets; asked for, all of
    River is there, with the same classes.
    """
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
