"""Threads that ask a ledger, for those who answer on an event loop and may not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident
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
        self._ending = Lock()

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
        at_it: list[int] = []

        def noted() -> T:
            at_it.append(get_ident())
            try:
                return work()
            finally:
                with self._ending:
                    at_it.clear()

        future = self._threads.submit(noted)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # A thread that has ended the work may be at somebody else's question already.
            with self._ending:
                for thread in at_it:
                    self._ledger.interrupt(thread)
            raise
