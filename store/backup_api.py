"""The API's routes about backups of the installation that it is of."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainwarden.errors import ChainwardenError, RequestRefused
from chainwarden.server import GuardedRoute, Role, json_answer
from store import api_pages as pages
from store.answers import Answer
from store.backup import Backup, back_up, backups, default_name, place_of
from store.ledger import Ledger
from store.ledger_threads import LedgerThreads
from store.parameters import body_of, query_of

log = logging.getLogger(__name__)

_NEW: Final = msgspec.json.Decoder(pages.NewBackup)


class BackupRoutes:
    """The routes over an open ledger and its folder; one backup is made at a time.

    A request waits for none: it says that one is begun, and the list how it went. Close this before
    the ledger, after the server.
    """

    def __init__(self, ledger: Ledger, out: Path) -> None:
        self._ledger = ledger
        self._out = out
        self._threads = LedgerThreads(ledger, 1, "backups")
        self._maker = ThreadPoolExecutor(1, "backup")
        self._beginning = Lock()
        self._last: tuple[str, Future[Backup]] | None = None
        self.routes = [
            GuardedRoute("/api/v1/backups", self._list, Role.VIEWER, pages.BACKUPS),
            GuardedRoute("/api/v1/backups", self._begin, Role.ADMIN, pages.BACK_UP, ["POST"]),
        ]

    def close(self) -> None:
        """Wait for the backup that is under way."""
        self._threads.close()
        self._maker.shutdown()

    def begin(self, name: str, keep: int | None = None) -> str:
        """Begin one, with the moment as its name where none is given. Returns the name.

        Raises RequestRefused where it cannot be called so, and while another is under way.
        """
        with self._beginning:
            name = name or default_name(self._ledger.now())
            place_of(self._out, name)
            if self._last is not None and not self._last[1].done():
                raise RequestRefused(
                    f"backup {self._last[0]} is under way", 409, hint="one at a time: ask later"
                )
            self._last = name, self._maker.submit(self._make, name, keep)
        return name

    def answer(self) -> Answer:
        """``{backups, under_way, failed}``: those there are, and how the last one goes or went."""
        under_way, failed = None, None
        if self._last is not None:
            name, made = self._last
            if not made.done():
                under_way = name
            elif error := made.exception():
                failed = {"name": name, "reason": str(error)}
        found = [msgspec.to_builtins(one) for one in backups(self._out)]
        return {"backups": found, "under_way": under_way, "failed": failed}

    def _make(self, name: str, keep: int | None) -> Backup:
        try:
            made = back_up(self._ledger, self._out, name, keep)
        except ChainwardenError as error:
            log.error("backup %s failed: %s", name, error)
            raise
        log.info("backup %s: %d files, %d bytes", name, made.files, made.size_bytes)
        return made

    async def _list(self, request: Request) -> Response:
        query_of(request, pages.BACKUPS.query)
        return json_answer(await self._threads.run(self.answer))

    async def _begin(self, request: Request) -> Response:
        body = await body_of(request, _NEW, "perhaps name and keep")
        name = await self._threads.run(lambda: self.begin(body.name, body.keep))
        return json_answer({"name": name}, 202)
