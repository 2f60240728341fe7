"""What every test may use."""

from __future__ import annotations

import importlib
import signal
from pathlib import Path

import pytest

from ingest.recursion import kept_recursion_limit

# Once, before any test module does: see ``ingest.recursion``.
with kept_recursion_limit():
    importlib.import_module("web3")

# Who runs the tests in the background has Ctrl-C ignored there, and in what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.anvil",
    "tests.chromium",
    "tests.figures",
    "tests.kafka_broker",
    "tests.watch_secrets",
]

ROOT = Path(__file__).resolve().parent.parent

# Files of which each takes minutes: begun last, one would go on when all other processes are done.
LONGEST_FIRST = (
    "tests/test_kills.py",
    "tests/test_forks.py",
    "tests/test_pipeline.py",
    "tests/benchmarks/test_evasion.py",
    "tests/test_kafka_faults.py",
    "tests/test_canaries.py",
    "tests/test_explain.py",
    "tests/test_evaluation.py",
    "tests/test_replay.py",
    "tests/test_deep_forks.py",
    "tests/ingest/test_nodes.py",
    "tests/test_soak.py",
    "tests/test_models.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; ``make test`` tells xdist to keep the order."""
    rank = {ROOT / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real blocks, streams and lists that are kept beside the project, never in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data beside the project (../shared/data)")
    return folder
