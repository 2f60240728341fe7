"""Questions to a ledger from an event loop: given up, they end, and nobody else's does."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM
from store.ledger import Ledger
from store.ledger_threads import LedgerThreads

FOREVER = "SELECT count(*) FROM range(1000000000000)"


def forever(ledger: Ledger, began: threading.Event) -> None:
    """A query that ends by an interrupt alone."""
    began.set()
    ledger.outbox._database.cursor().execute(FOREVER).fetchall()


def test_a_question_that_is_given_up_ends(tmp_path: Path) -> None:
    """Its query is ended in the database, so its thread is free for the next one."""

    async def ask(threads: LedgerThreads) -> int:
        began = threading.Event()
        first = asyncio.create_task(threads.read(lambda ledger: forever(ledger, began)))
        await asyncio.to_thread(began.wait)
        await asyncio.sleep(0.2)  # so that it is at its query, not before
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await threads.run(lambda: 7)

    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        threads = LedgerThreads(ledger, 1, "test")
        assert asyncio.run(asyncio.wait_for(ask(threads), 60)) == 7
        threads.close()


def test_who_gives_up_ends_nobody_elses_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where his own ends at that moment: its thread does not begin another meanwhile."""
    may_end, next_began, seen = threading.Event(), threading.Event(), list[bool]()

    def interrupt(_: int) -> None:
        may_end.set()
        seen.append(next_began.wait(0.5))

    async def ask(threads: LedgerThreads) -> None:
        began = threading.Event()

        def work() -> None:
            began.set()
            may_end.wait()

        first = asyncio.create_task(threads.run(work))
        await asyncio.to_thread(began.wait)
        second = asyncio.create_task(threads.run(next_began.set))
        await asyncio.sleep(0)
        first.cancel()
        await second

    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        monkeypatch.setattr(ledger, "interrupt", interrupt)
        threads = LedgerThreads(ledger, 1, "test")
        asyncio.run(asyncio.wait_for(ask(threads), 60))
        threads.close()
    assert seen == [False]


def test_an_error_is_who_asked_s(tmp_path: Path) -> None:
    """It is raised where the answer was awaited, and the thread goes on."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        threads = LedgerThreads(ledger, 1, "test")

        def write(ledger: Ledger) -> None:
            ledger.outbox._database.cursor().execute("DELETE FROM ledger.alerts")

        with pytest.raises(StoreError, match="read-only"):
            asyncio.run(threads.read(write))
        assert asyncio.run(threads.run(lambda: 7)) == 7
        threads.close()
