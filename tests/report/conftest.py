from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from chainwarden.replay import replay
from chainwarden.settings import DetectSettings, Settings
from ingest.simulate import SimulationConfig, Written, write_chain


@dataclass(frozen=True)
class Replays:
    """A simulated chain replayed twice: with its labels, and without any."""

    written: Written
    labelled: Path
    plain: Path


@pytest.fixture(scope="session")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Replays:
    """Two replays of one small chain, forks and every campaign included."""
    folder = tmp_path_factory.mktemp("report")
    config = SimulationConfig(seed=4, blocks=200, transactions_per_block=8.0)
    written = write_chain(config, folder / "chain")
    settings = Settings(detect=DetectSettings(labels=[str(written.labels_file)]))
    found = Replays(written, folder / "labelled", folder / "plain")
    replay(written.blocks_file, found.labelled, settings, batch_blocks=64)
    replay(written.blocks_file, found.plain, Settings(), batch_blocks=64)
    return found
