"""The API's routes by which people take alerts in hand, and hear no more of some."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainwarden.server import GuardedRoute, Role, author_of, json_answer
from store import api_pages as pages
from store.ledger_threads import LedgerThreads
from store.parameters import (
    ReadAddress,
    body_of,
    linked,
    number_of,
    query_of,
    suppressions_asked,
)
from store.triage_answers import (
    AcknowledgeWord,
    SuppressWord,
    acknowledge,
    end_suppression,
    suppress,
    suppressions_answer,
    unacknowledge,
)

_NEW_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(pages.NewAcknowledgement)
_NEW_SUPPRESSION: Final = msgspec.json.Decoder(pages.NewSuppression)


class TriageRoutes:
    """The routes over an open ledger, asked on some threads."""

    def __init__(self, threads: LedgerThreads, address_of: ReadAddress) -> None:
        self._threads = threads
        self._address = address_of
        self.routes = [
            GuardedRoute(
                "/api/v1/alerts/{id}/acknowledgement",
                self._acknowledge,
                Role.ANALYST,
                pages.ACKNOWLEDGE,
                ["POST"],
            ),
            GuardedRoute(
                "/api/v1/alerts/{id}/acknowledgement",
                self._unacknowledge,
                Role.ANALYST,
                pages.UNACKNOWLEDGE,
                ["DELETE"],
            ),
            GuardedRoute(
                "/api/v1/suppressions", self._suppressions, Role.VIEWER, pages.SUPPRESSIONS
            ),
            GuardedRoute(
                "/api/v1/suppressions", self._suppress, Role.ANALYST, pages.SUPPRESS, ["POST"]
            ),
            GuardedRoute(
                "/api/v1/suppressions/{id}",
                self._end_suppression,
                Role.ANALYST,
                pages.END_SUPPRESSION,
                ["DELETE"],
            ),
        ]

    async def _acknowledge(self, request: Request) -> Response:
        body = await body_of(request, _NEW_ACKNOWLEDGEMENT, "perhaps author, note")
        author = author_of(request, body.author)
        said = AcknowledgeWord(request.path_params["id"], author, body.note)
        return json_answer(await self._threads.write(lambda ledger: acknowledge(ledger, said)))

    async def _unacknowledge(self, request: Request) -> Response:
        query = query_of(request, pages.UNACKNOWLEDGE.query)
        author = author_of(request, query.get("author", ""))
        said = AcknowledgeWord(request.path_params["id"], author, query.get("note", ""))
        return json_answer(await self._threads.write(lambda ledger: unacknowledge(ledger, said)))

    async def _suppressions(self, request: Request) -> Response:
        limit, before, holding, query = suppressions_asked(request, pages.SUPPRESSIONS.query)
        found = await self._threads.read(
            lambda ledger: suppressions_answer(ledger, limit, before, holding=holding)
        )
        return json_answer(linked(found, "/api/v1/suppressions", query))

    async def _suppress(self, request: Request) -> Response:
        hint = "{until}, rule or subject, and perhaps author, note"
        body = await body_of(request, _NEW_SUPPRESSION, hint)
        subject = self._address(body.subject) if body.subject else None
        author = author_of(request, body.author)
        said = SuppressWord(body.rule, subject, body.until, author, body.note)
        return json_answer(await self._threads.write(lambda ledger: suppress(ledger, said)), 201)

    async def _end_suppression(self, request: Request) -> Response:
        query = query_of(request, pages.END_SUPPRESSION.query)
        serial = number_of("id", request.path_params["id"])
        author = author_of(request, query.get("author", ""))
        return json_answer(
            await self._threads.write(lambda ledger: end_suppression(ledger, serial, author))
        )
