"""Threads that ask a ledger, for those who answer on an event loop and may not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import TypeVar

from store.ledger import Ledger

T = TypeVar("T")


class LedgerThreads:
    """A few threads, and always the same ones: the ledger keeps a cursor for each.

    What is asked waits while all are busy; whoever gives up a question ends its query, too.
    """

    def __init__(self, ledger: Ledger, count: int, name: str) -> None:
        self._ledger = ledger
        self._threads = ThreadPoolExecutor(count, name)

    def close(self) -> None:
        """Wait for what is being asked."""
        self._threads.shutdown(cancel_futures=True)

    async def read(self, ask: Callable[[Ledger], T]) -> T:
        """The answer, of one moment. Nothing can be written meanwhile."""

        def reading() -> T:
            with self._ledger.reading():
                return ask(self._ledger)

        return await self.run(reading)

    async def write(self, act: Callable[[Ledger], T]) -> T:
        """Do something to the ledger."""
        return await self.run(lambda: act(self._ledger))

    async def run(self, work: Callable[[], T]) -> T:
        """Do some work."""
        thread: list[int] = []

        def noted() -> T:
            thread.append(get_ident())
            return work()

        future = self._threads.submit(noted)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if thread and not future.done():
                self._ledger.interrupt(thread[0])
            raise
