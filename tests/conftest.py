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

pytest_plugins = ["tests.anvil", "tests.chromium", "tests.kafka_broker", "tests.watch_secrets"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real blocks, streams and lists that are kept beside the project, never in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data beside the project (../shared/data)")
    return folder
