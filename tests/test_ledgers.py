"""A ledger that somebody looks into at the moment, and one that a process keeps."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import pytest

from chainwarden.detecting import detecting
from chainwarden.errors import LedgerLocked
from chainwarden.ledgers import PATIENCE_SECONDS, once_free, open_ledger
from chainwarden.schema import ETHEREUM
from chainwarden.server.whereabouts import published
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from store.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger of a folder, in which nobody is."""
    path = tmp_path / "ledger.duckdb"
    Ledger.open(path, ETHEREUM, "replay").close()
    return path


def test_a_moments_look_is_waited_for(path: Path) -> None:
    """However often it has to be tried; then the ledger is open."""
    waited: list[float] = []
    opened = partial(Ledger.open, path, ETHEREUM, "replay")
    with Ledger.open(path, ETHEREUM, "replay") as held:

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                held.close()

        with once_free(path.parent, opened, wait) as ledger:
            assert ledger.cursor() is None
    assert len(waited) == 3


def test_whoever_keeps_it_is_not_waited_for_long(path: Path) -> None:
    """Not at all where the folder says that its holder answers, else for five seconds: what another
    process left there, or nobody can read, says nothing of this holder."""
    waited: list[float] = []
    opened = partial(Ledger.open, path, ETHEREUM, "replay")
    with Ledger.open(path, ETHEREUM, "replay"):
        with published(path.parent, "127.0.0.1", 1), pytest.raises(LedgerLocked):
            once_free(path.parent, opened, waited.append)
        assert waited == []
        for said in (
            b'{"host":"127.0.0.1","port":1,"pid":1}',
            b'{"host":"127.0.0.1","port":0,"pid":%d}' % os.getpid(),
            b"{",
            b"",
        ):
            (path.parent / "server.json").write_bytes(said)
            waited.clear()
            with pytest.raises(LedgerLocked):
                once_free(path.parent, opened, waited.append)
            assert sum(waited) == pytest.approx(PATIENCE_SECONDS, abs=0.1), said


@pytest.mark.parametrize("command", ["serve", "run"])
def test_a_process_starts_while_somebody_looks(path: Path, command: str) -> None:
    """It waits for the look to end, and has the ledger then."""
    settings = Settings(store=StoreSettings(out=str(path.parent)), server=ServerSettings(port=0))
    look = Ledger.open(path, ETHEREUM, "replay")
    ending = threading.Timer(0.3, look.close)
    ending.start()
    try:
        if command == "serve":
            open_ledger(path.parent, settings).close()
        else:
            with detecting(settings, ETHEREUM, threading.Event()) as behind:
                assert behind.stores.ledger.cursor() is None
    finally:
        ending.join()
