"""The API's routes about the audit chain."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from chainwarden.server import GuardedRoute, Role, json_answer
from store import api_pages as pages
from store.audit_answers import head_answer, verification_answer
from store.ledger_threads import LedgerThreads
from store.parameters import number_of, query_of


class AuditRoutes:
    """The routes over an open ledger; ``slow`` are threads that may be at work for long."""

    def __init__(self, threads: LedgerThreads, slow: LedgerThreads) -> None:
        self._threads = threads
        self._slow = slow
        self.routes = [
            GuardedRoute("/api/v1/audit", self._head, Role.VIEWER, pages.AUDIT),
            GuardedRoute(
                "/api/v1/audit/verification", self._verification, Role.ADMIN, pages.VERIFICATION
            ),
        ]

    async def _head(self, request: Request) -> Response:
        query = query_of(request, pages.AUDIT.query)
        entries = number_of("entries", query["entries"]) if "entries" in query else None
        return json_answer(await self._threads.read(lambda ledger: head_answer(ledger, entries)))

    async def _verification(self, request: Request) -> Response:
        query_of(request, pages.VERIFICATION.query)
        return json_answer(await self._slow.read(verification_answer))
