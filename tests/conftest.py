"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.anvil", "tests.chromium", "tests.kafka_broker"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real blocks, streams and lists that are kept beside the project, never in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data beside the project (../shared/data)")
    return folder
