"""The API over a ledger, for everybody but the process that has it open.

    GET    /api/v1/openapi.json        all of this, as an OpenAPI 3.1 document
    GET    /api/v1/health              whether the process works, how far behind it is
    GET    /api/v1/status              chain, head, counts by rule and severity, outbox
    GET    /api/v1/alerts              a page, newest first: rule, severity (at least), subject,
                                       label, status, acknowledged, since, until, first_block,
                                       last_block, after, limit
    GET    /api/v1/alerts/stream       server-sent events, one for each alert that is raised, moved,
                                       retracted, taken in hand: rule, severity, subject,
                                       last_event_id
    GET    /api/v1/alerts/{id}         one alert, retracted or not; four digits of an id may do
    GET    /api/v1/alerts/{id}/explanation   all that is known of it, where there is an explainer
    GET    /api/v1/alerts/{id}/evidence   the same with the lake's rows and checksums, as a ZIP
    POST   /api/v1/alerts/{id}/acknowledgement   says who has it in hand: author, note
    DELETE /api/v1/alerts/{id}/acknowledgement   says that nobody has any more: author, note
    GET    /api/v1/suppressions        a page, newest first: status, after, limit
    POST   /api/v1/suppressions        has nobody told of some alerts: rule, subject, until, author,
                                       note
    DELETE /api/v1/suppressions/{id}   has people told again: author
    GET    /api/v1/wallets/{address}   its newest alerts, its labels; where there is a lake its
                                       scores, features, history
    GET    /api/v1/wallets/{address}/flows   a page, newest first: direction, token, counterparty,
                                       since, until, first_block, last_block, after, limit
    GET    /api/v1/labels              a page, oldest first: address, after, limit
    POST   /api/v1/labels              an analyst's: address, label, author, note, from_alert,
                                       valid_from, valid_to, every_chain
    DELETE /api/v1/labels              address, label, author, note: takes it back
    GET    /api/v1/labels/history      who gave and withdrew what, and lists: address, limit
    GET    /api/v1/models              the risk models, how good they are, who was promoted
    POST   /api/v1/models/promotions   makes the challenger the champion: author, note,
                                       configuration
    GET    /api/v1/audit               the end of the audit chain: entries
    GET    /api/v1/audit/verification  whether every record still is what was written
    GET    /api/v1/deliveries          what receivers are owed: receiver, state, after, limit
    POST   /api/v1/deliveries/replay   tries letters again: id, receiver, or everything
    POST   /api/v1/deliveries/enable   sends to a disabled receiver again: receiver

Each route names the role it wants: to read, viewer; to label, to acknowledge and to suppress,
analyst; to promote, to replay, to enable and to have all verified, admin. Who acts is the name of
the token that was shown; only where that names nobody, who the request says.
Every value is bound, never put into a query; a read sees one moment and can write nothing; one that
takes too long is ended in the database, too. Errors are ``{error, hint}``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainwarden.errors import RequestRefused
from chainwarden.server import EventStream, GuardedRoute, Readiness, Role, author_of, json_answer
from chainwarden.server.answers import JSON
from chainwarden.server.openapi import document
from store import api_pages as pages
from store.alert_stream import Listeners
from store.answers import (
    Answer,
    alert_answer,
    alerts_answer,
    health_answer,
    no_alert,
    status_answer,
    wallet_answer,
)
from store.audit_api import AuditRoutes
from store.delivery_answers import (
    EnableWord,
    LetterFilter,
    ReplayWord,
    deliveries_answer,
    enable,
    replay,
)
from store.label_answers import (
    AnalystWord,
    label_history_answer,
    labels_answer,
    set_label,
    withdraw_label,
)
from store.lake_flows import FlowFilter
from store.ledger import Ledger
from store.ledger_threads import LedgerThreads
from store.model_answers import PromotionWord, models_answer, promote
from store.parameters import (
    address_reader,
    alerts_asked,
    body_of,
    flows_asked,
    limit_of,
    linked,
    number_of,
    query_of,
    stream_asked,
)
from store.triage_api import TriageRoutes

_THREADS: Final = 2
_LAKE_THREADS: Final = 2
_DISPOSITION: Final = "Content-Disposition"


class Explaining(Protocol):
    """Whoever explains alerts. Asked from a thread of the API's, by an id or how it begins."""

    def explain(self, alert_id: str) -> Answer:
        """All that is known of an alert."""
        ...

    def evidence(self, alert_id: str) -> tuple[str, bytes]:
        """The alert's whole id, and the evidence for it as a ZIP."""
        ...


class Wallets(Protocol):
    """Whoever knows of a wallet what is not in the ledger. Asked from a thread of the API's."""

    def about(self, address: bytes) -> Answer:
        """Its scores, features, history."""
        ...

    def flows(self, wanted: FlowFilter) -> Answer:
        """``{flows, next}``: a page of what moved from and to it, the newest first."""
        ...


_NEW_LABEL: Final = msgspec.json.Decoder(pages.NewLabel)
_PROMOTION: Final = msgspec.json.Decoder(PromotionWord)
_REPLAY: Final = msgspec.json.Decoder(ReplayWord)
_ENABLE: Final = msgspec.json.Decoder(EnableWord)


class Api:
    """The routes over an open ledger. Close it before the ledger, after the server.

    ``parse_address`` reads what a person typed and raises ValueError; ``clock`` gives the newest
    block's time, from which labels hold that say no other. ``explainer`` and
    ``wallets`` know what the lake has, both on threads of the API's that what else is asked does
    not wait for; without them there are no such pages. ``ready`` says whether the process works.
    """

    def __init__(
        self,
        ledger: Ledger,
        parse_address: Callable[[str], bytes],
        clock: Callable[[], float] = time.time,
        explainer: Explaining | None = None,
        wallets: Wallets | None = None,
        ready: Readiness = lambda: "",
    ) -> None:
        self._ledger = ledger
        self._address = address_reader(parse_address)
        self._clock = clock
        self._explainer = explainer
        self._ready = ready
        self._wallets = wallets
        self._threads = LedgerThreads(ledger, _THREADS, "api")
        self._lake_threads = LedgerThreads(ledger, _LAKE_THREADS, "api-lake")
        self._listeners = Listeners(ledger, self._threads.read)
        self.routes = [
            GuardedRoute("/api/v1/openapi.json", self._openapi, Role.VIEWER, pages.OPENAPI),
            GuardedRoute("/api/v1/health", self._health, Role.VIEWER, pages.HEALTH),
            GuardedRoute("/api/v1/status", self._status, Role.VIEWER, pages.STATUS),
            GuardedRoute("/api/v1/alerts", self._alerts, Role.VIEWER, pages.ALERTS),
            GuardedRoute("/api/v1/alerts/stream", self._stream, Role.VIEWER, pages.STREAM),
            GuardedRoute("/api/v1/alerts/{id}", self._alert, Role.VIEWER, pages.ALERT),
            GuardedRoute(
                "/api/v1/alerts/{id}/explanation", self._explanation, Role.VIEWER, pages.EXPLANATION
            ),
            GuardedRoute(
                "/api/v1/alerts/{id}/evidence", self._evidence, Role.VIEWER, pages.EVIDENCE
            ),
            GuardedRoute("/api/v1/wallets/{address}", self._wallet, Role.VIEWER, pages.WALLET),
            GuardedRoute("/api/v1/wallets/{address}/flows", self._flows, Role.VIEWER, pages.FLOWS),
            GuardedRoute("/api/v1/labels", self._labels, Role.VIEWER, pages.LABELS),
            GuardedRoute("/api/v1/labels/history", self._history, Role.VIEWER, pages.HISTORY),
            GuardedRoute("/api/v1/models", self._models, Role.VIEWER, pages.MODELS),
            GuardedRoute(
                "/api/v1/models/promotions", self._promote, Role.ADMIN, pages.PROMOTE, ["POST"]
            ),
            GuardedRoute("/api/v1/deliveries", self._deliveries, Role.VIEWER, pages.DELIVERIES),
            GuardedRoute(
                "/api/v1/deliveries/replay", self._replay, Role.ADMIN, pages.REPLAY, ["POST"]
            ),
            GuardedRoute(
                "/api/v1/deliveries/enable", self._enable, Role.ADMIN, pages.ENABLE, ["POST"]
            ),
            GuardedRoute("/api/v1/labels", self._label, Role.ANALYST, pages.LABEL, ["POST"]),
            GuardedRoute(
                "/api/v1/labels", self._withdraw, Role.ANALYST, pages.WITHDRAW, ["DELETE"]
            ),
        ]
        self.routes += TriageRoutes(self._threads, self._address).routes
        self.routes += AuditRoutes(self._threads, self._lake_threads).routes
        self._document = b""

    def close(self) -> None:
        """Wait for what is being asked."""
        self._listeners.close()
        for threads in (self._threads, self._lake_threads):
            threads.close()

    # --- the pages -----------------------------------------------------------------------------

    async def _openapi(self, request: Request) -> Response:
        query_of(request, pages.OPENAPI.query)
        self._document = self._document or msgspec.json.encode(document(self.routes))
        known = {"Cache-Control": "no-cache"}  # it says nothing of anybody
        return Response(self._document, media_type=JSON, headers=known)

    async def _health(self, request: Request) -> Response:
        query_of(request, pages.HEALTH.query)
        ready, clock = self._ready(), self._clock
        found = await self._threads.read(lambda ledger: health_answer(ledger, ready, int(clock())))
        return json_answer({**found, "listeners": len(self._listeners)})

    async def _status(self, request: Request) -> Response:
        query_of(request, pages.STATUS.query)
        return json_answer(await self._threads.read(status_answer))

    async def _alerts(self, request: Request) -> Response:
        wanted, query = alerts_asked(request, pages.ALERTS.query, self._address)

        def ask(ledger: Ledger) -> Answer:
            if wanted.after is not None and ledger.record(wanted.after) is None:
                raise no_alert(wanted.after, 422)
            return alerts_answer(ledger, wanted)

        return json_answer(linked(await self._threads.read(ask), "/api/v1/alerts", query))

    async def _stream(self, request: Request) -> Response:
        wanted, last_event_id = stream_asked(request, pages.STREAM.query, self._address)
        feed = self._listeners.admit(wanted, last_event_id)
        return EventStream(feed, lambda: self._listeners.leave(feed))

    async def _alert(self, request: Request) -> Response:
        query_of(request, pages.ALERT.query)
        alert_id: str = request.path_params["id"]
        return json_answer(await self._threads.read(lambda ledger: alert_answer(ledger, alert_id)))

    async def _explanation(self, request: Request) -> Response:
        query_of(request, pages.EXPLANATION.query)
        explain, one = self._explaining().explain, str(request.path_params["id"])
        return json_answer(await self._lake_threads.read(lambda _: explain(one)))

    async def _evidence(self, request: Request) -> Response:
        query_of(request, pages.EVIDENCE.query)
        evidence, one = self._explaining().evidence, str(request.path_params["id"])
        alert_id, content = await self._lake_threads.read(lambda _: evidence(one))
        name = f'attachment; filename="evidence-{alert_id}.zip"'
        return Response(content, media_type="application/zip", headers={_DISPOSITION: name})

    async def _wallet(self, request: Request) -> Response:
        query = query_of(request, pages.WALLET.query)
        address = self._address(request.path_params["address"])
        limit = limit_of(query)
        found = await self._threads.read(lambda ledger: wallet_answer(ledger, address, limit))
        rest = {"subject": "0x" + address.hex(), "status": "all", "limit": str(limit)}
        answer = linked(found, "/api/v1/alerts", rest)
        if self._wallets is not None:
            about = self._wallets.about
            answer |= await self._lake_threads.run(lambda: about(address))
        return json_answer(answer)

    async def _flows(self, request: Request) -> Response:
        address = self._address(request.path_params["address"])
        wanted, query = flows_asked(request, pages.FLOWS.query, address, self._address)
        if self._wallets is None:
            raise RequestRefused("nobody reads the lake here", 404)
        flows = self._wallets.flows
        found = await self._lake_threads.run(lambda: flows(wanted))
        path = f"/api/v1/wallets/0x{address.hex()}/flows"
        return json_answer(linked(found, path, query))

    async def _labels(self, request: Request) -> Response:
        query = query_of(request, pages.LABELS.query)
        address = self._address(query["address"]) if "address" in query else None
        limit, after = limit_of(query), number_of("after", query.get("after", "0"))
        found = await self._threads.read(
            lambda ledger: labels_answer(ledger, limit, after, address)
        )
        return json_answer(linked(found, "/api/v1/labels", query))

    async def _label(self, request: Request) -> Response:
        hint = "{address, label}, and perhaps author, note, from_alert"
        body = await body_of(request, _NEW_LABEL, hint)
        said = AnalystWord(
            self._address(body.address),
            body.label,
            author_of(request, body.author),
            body.note,
            body.from_alert,
            body.valid_from,
            body.valid_to,
            body.every_chain,
        )
        done = await self._threads.write(lambda ledger: set_label(ledger, said, int(self._clock())))
        return json_answer(done, 201 if done["new"] else 200)

    async def _withdraw(self, request: Request) -> Response:
        query = query_of(request, pages.WITHDRAW.query)
        if not {"address", "label"} <= query.keys():
            raise RequestRefused("give address and label", 422)
        address, label = self._address(query["address"]), query["label"]
        author = author_of(request, query.get("author", ""))
        said = AnalystWord(address, label, author, query.get("note", ""))
        return json_answer(await self._threads.write(lambda ledger: withdraw_label(ledger, said)))

    async def _history(self, request: Request) -> Response:
        query = query_of(request, pages.HISTORY.query)
        address = self._address(query["address"]) if "address" in query else None
        limit = limit_of(query)
        return json_answer(
            await self._threads.read(lambda ledger: label_history_answer(ledger, limit, address))
        )

    async def _models(self, request: Request) -> Response:
        query_of(request, pages.MODELS.query)
        return json_answer(await self._threads.read(models_answer))

    async def _promote(self, request: Request) -> Response:
        said = await body_of(request, _PROMOTION, "perhaps author, note, configuration")
        said = msgspec.structs.replace(said, author=author_of(request, said.author))
        return json_answer(await self._threads.write(lambda ledger: promote(ledger, said)), 201)

    async def _deliveries(self, request: Request) -> Response:
        query = query_of(request, pages.DELIVERIES.query)
        after = number_of("after", query.get("after", "0"))
        wanted = LetterFilter(query.get("receiver"), query.get("state"), after, limit_of(query))
        found = await self._threads.read(lambda ledger: deliveries_answer(ledger, wanted))
        return json_answer(linked(found, "/api/v1/deliveries", query))

    async def _replay(self, request: Request) -> Response:
        said = await body_of(request, _REPLAY, "id, receiver, or everything")
        return json_answer(await self._threads.write(lambda ledger: replay(ledger, said)))

    async def _enable(self, request: Request) -> Response:
        said = await body_of(request, _ENABLE, "receiver")
        return json_answer(await self._threads.write(lambda ledger: enable(ledger, said)))

    # --- inside --------------------------------------------------------------------------------

    def _explaining(self) -> Explaining:
        if self._explainer is None:
            raise RequestRefused("nobody explains alerts here", 404)
        return self._explainer
