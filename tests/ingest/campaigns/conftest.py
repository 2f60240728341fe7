"""The chain that the tests of campaigns look at."""

from __future__ import annotations

import pytest

from ingest.simulate import SimulationConfig
from tests.ingest.simulated import Run, run


@pytest.fixture(scope="session")
def chain() -> Run:
    """Six hours with three of every attack, so that every variant occurs."""
    return run(SimulationConfig(seed=21, blocks=1_900))
