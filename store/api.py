"""The API over a ledger, for everybody but the process that has it open.

    GET    /api/v1/status              chain, head, counts by rule and severity, outbox
    GET    /api/v1/alerts              a page, newest first: rule, severity (at least), subject,
                                       status, since, until, first_block, last_block, after, limit
    GET    /api/v1/alerts/{id}         one alert, retracted or not; four digits of an id may do
    GET    /api/v1/alerts/{id}/explanation   all that is known of it, where there is an explainer
    GET    /api/v1/wallets/{address}   its newest alerts, its labels
    GET    /api/v1/labels              a page, oldest first: address, after, limit
    POST   /api/v1/labels              an analyst's: address, label, author, note, from_alert,
                                       valid_from, valid_to, every_chain
    DELETE /api/v1/labels              address, label, author, note: takes it back
    GET    /api/v1/labels/history      who gave and withdrew what, and lists: address, limit
    GET    /api/v1/models              the risk models, how good they are, who was promoted
    POST   /api/v1/models/promotions   makes the challenger the champion: author, note,
                                       configuration
    GET    /api/v1/deliveries          what receivers are owed: receiver, state, after, limit
    POST   /api/v1/deliveries/replay   tries letters again: id, receiver, or everything
    POST   /api/v1/deliveries/enable   sends to a disabled receiver again: receiver

Each route names the role it wants: to read, viewer; to label, analyst; to promote, to replay and to
enable, admin. Who acts is the name of the token that was shown; only where that names nobody, who
the request says.
Every value is bound, never put into a query; a read sees one moment and can write nothing; one that
takes too long is ended in the database, too. Errors are ``{error, hint}``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import get_ident
from typing import Final, Literal, TypeVar, cast
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainwarden.errors import RequestRefused
from chainwarden.schema import Severity
from chainwarden.server import GuardedRoute, Role, author_of, json_answer
from store.answers import (
    Answer,
    alert_answer,
    alerts_answer,
    no_alert,
    status_answer,
    wallet_answer,
)
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
from store.ledger import AlertFilter, Ledger
from store.model_answers import PromotionWord, models_answer, promote

T = TypeVar("T")
B = TypeVar("B")

MAX_PAGE: Final = 1000
_PAGE: Final = 100
_THREADS: Final = 2
_MAX_NUMBER: Final = 2**63 - 1
_ALERTS: Final = frozenset(
    [
        "rule", "severity", "subject", "status", "since", "until", "first_block", "last_block",
        "after", "limit",
    ]
)  # fmt: skip
Status = Literal["active", "retracted", "all"]
_STATUSES: Final = ("active", "retracted", "all")


class NewLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST to labels."""

    address: str
    label: str
    author: str = ""
    note: str = ""
    from_alert: str = ""
    valid_from: int | None = None
    valid_to: int | None = None
    every_chain: bool = False


_NEW_LABEL: Final = msgspec.json.Decoder(NewLabel)
_PROMOTION: Final = msgspec.json.Decoder(PromotionWord)
_REPLAY: Final = msgspec.json.Decoder(ReplayWord)
_ENABLE: Final = msgspec.json.Decoder(EnableWord)


class Api:
    """The routes over an open ledger. Close it before the ledger, after the server.

    ``parse_address`` reads what a person typed and raises ValueError; ``clock`` gives the newest
    block's time, from which labels hold that say no other. ``explain`` explains an alert by its id
    on a thread of the API's; without it there is no such page.
    """

    def __init__(
        self,
        ledger: Ledger,
        parse_address: Callable[[str], bytes],
        clock: Callable[[], float] = time.time,
        explain: Callable[[str], Answer] | None = None,
    ) -> None:
        self._ledger = ledger
        self._parse_address = parse_address
        self._clock = clock
        self._explain = explain
        # Few, and always the same ones: the ledger keeps a cursor for each thread.
        self._threads = ThreadPoolExecutor(_THREADS, "api")
        self.routes = [
            GuardedRoute("/api/v1/status", self._status, Role.VIEWER),
            GuardedRoute("/api/v1/alerts", self._alerts, Role.VIEWER),
            GuardedRoute("/api/v1/alerts/{id}", self._alert, Role.VIEWER),
            GuardedRoute("/api/v1/alerts/{id}/explanation", self._explanation, Role.VIEWER),
            GuardedRoute("/api/v1/wallets/{address}", self._wallet, Role.VIEWER),
            GuardedRoute("/api/v1/labels", self._labels, Role.VIEWER),
            GuardedRoute("/api/v1/labels/history", self._history, Role.VIEWER),
            GuardedRoute("/api/v1/models", self._models, Role.VIEWER),
            GuardedRoute("/api/v1/models/promotions", self._promote, Role.ADMIN, ["POST"]),
            GuardedRoute("/api/v1/deliveries", self._deliveries, Role.VIEWER),
            GuardedRoute("/api/v1/deliveries/replay", self._replay, Role.ADMIN, ["POST"]),
            GuardedRoute("/api/v1/deliveries/enable", self._enable, Role.ADMIN, ["POST"]),
            GuardedRoute("/api/v1/labels", self._label, Role.ANALYST, ["POST"]),
            GuardedRoute("/api/v1/labels", self._withdraw, Role.ANALYST, ["DELETE"]),
        ]

    def close(self) -> None:
        """Wait for what is being asked."""
        self._threads.shutdown(cancel_futures=True)

    # --- the pages -----------------------------------------------------------------------------

    async def _status(self, request: Request) -> Response:
        _query(request, frozenset())
        return json_answer(await self._read(status_answer))

    async def _alerts(self, request: Request) -> Response:
        query = _query(request, _ALERTS)
        wanted = self._filter(query)

        def ask(ledger: Ledger) -> Answer:
            if wanted.after is not None and ledger.record(wanted.after) is None:
                raise no_alert(wanted.after, 422)
            return alerts_answer(ledger, wanted)

        return json_answer(_linked(await self._read(ask), "/api/v1/alerts", query))

    async def _alert(self, request: Request) -> Response:
        _query(request, frozenset())
        alert_id: str = request.path_params["id"]
        return json_answer(await self._read(lambda ledger: alert_answer(ledger, alert_id)))

    async def _explanation(self, request: Request) -> Response:
        _query(request, frozenset())
        if self._explain is None:
            raise RequestRefused("nobody explains alerts here", 404)
        explain, one = self._explain, str(request.path_params["id"])
        return json_answer(await self._read(lambda _: explain(one)))

    async def _wallet(self, request: Request) -> Response:
        query = _query(request, frozenset(["limit"]))
        address = self._address(request.path_params["address"])
        limit = _limit(query)
        found = await self._read(lambda ledger: wallet_answer(ledger, address, limit))
        rest = {"subject": "0x" + address.hex(), "status": "all", "limit": str(limit)}
        return json_answer(_linked(found, "/api/v1/alerts", rest))

    async def _labels(self, request: Request) -> Response:
        query = _query(request, frozenset(["address", "after", "limit"]))
        address = self._address(query["address"]) if "address" in query else None
        limit, after = _limit(query), _number("after", query.get("after", "0"))
        found = await self._read(lambda ledger: labels_answer(ledger, limit, after, address))
        return json_answer(_linked(found, "/api/v1/labels", query))

    async def _label(self, request: Request) -> Response:
        hint = "{address, label}, and perhaps author, note, from_alert"
        body = await _body(request, _NEW_LABEL, hint)
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
        done = await self._write(lambda ledger: set_label(ledger, said, int(self._clock())))
        return json_answer(done, 201 if done["new"] else 200)

    async def _withdraw(self, request: Request) -> Response:
        query = _query(request, frozenset(["address", "label", "author", "note"]))
        if not {"address", "label"} <= query.keys():
            raise RequestRefused("give address and label", 422)
        address, label = self._address(query["address"]), query["label"]
        author = author_of(request, query.get("author", ""))
        said = AnalystWord(address, label, author, query.get("note", ""))
        return json_answer(await self._write(lambda ledger: withdraw_label(ledger, said)))

    async def _history(self, request: Request) -> Response:
        query = _query(request, frozenset(["address", "limit"]))
        address = self._address(query["address"]) if "address" in query else None
        limit = _limit(query)
        return json_answer(
            await self._read(lambda ledger: label_history_answer(ledger, limit, address))
        )

    async def _models(self, request: Request) -> Response:
        _query(request, frozenset())
        return json_answer(await self._read(models_answer))

    async def _promote(self, request: Request) -> Response:
        said = await _body(request, _PROMOTION, "perhaps author, note, configuration")
        said = msgspec.structs.replace(said, author=author_of(request, said.author))
        return json_answer(await self._write(lambda ledger: promote(ledger, said)), 201)

    async def _deliveries(self, request: Request) -> Response:
        query = _query(request, frozenset(["receiver", "state", "after", "limit"]))
        after = _number("after", query.get("after", "0"))
        wanted = LetterFilter(query.get("receiver"), query.get("state"), after, _limit(query))
        found = await self._read(lambda ledger: deliveries_answer(ledger, wanted))
        return json_answer(_linked(found, "/api/v1/deliveries", query))

    async def _replay(self, request: Request) -> Response:
        said = await _body(request, _REPLAY, "id, receiver, or everything")
        return json_answer(await self._write(lambda ledger: replay(ledger, said)))

    async def _enable(self, request: Request) -> Response:
        said = await _body(request, _ENABLE, "receiver")
        return json_answer(await self._write(lambda ledger: enable(ledger, said)))

    # --- inside --------------------------------------------------------------------------------

    async def _read(self, ask: Callable[[Ledger], T]) -> T:
        def reading() -> T:
            with self._ledger.reading():
                return ask(self._ledger)

        return await self._run(reading)

    async def _write(self, act: Callable[[Ledger], T]) -> T:
        return await self._run(lambda: act(self._ledger))

    async def _run(self, work: Callable[[], T]) -> T:
        """The work, on a thread of the API's; its query ends when this is given up."""
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

    def _filter(self, query: Mapping[str, str]) -> AlertFilter:
        status = query.get("status", "active")
        if status not in _STATUSES:
            raise RequestRefused(f"no such status: {status[:64]}", 422, hint=", ".join(_STATUSES))
        return AlertFilter(
            rule=query.get("rule"),
            min_severity=_severity(query["severity"]) if "severity" in query else None,
            subject=self._address(query["subject"]) if "subject" in query else None,
            since=_time("since", query["since"]) if "since" in query else None,
            until=_time("until", query["until"]) if "until" in query else None,
            first_block=_block(query, "first_block"),
            last_block=_block(query, "last_block"),
            status=cast(Status, status),
            limit=_limit(query),
            after=query.get("after"),
        )

    def _address(self, text: str) -> bytes:
        try:
            return self._parse_address(text)
        except ValueError as error:
            raise RequestRefused(f"{text[:64]!r} is no address: {error}", 422) from error


async def _body(request: Request, decoder: msgspec.json.Decoder[B], hint: str) -> B:
    """What was posted. Raises RequestRefused for what cannot be read."""
    _query(request, frozenset())
    # A page of another origin may post forms and text, but not this, unless it is allowed to.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RequestRefused("the body must be application/json", 415)
    try:
        return decoder.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(f"the body cannot be read: {error}", 422, hint=hint) from error


def _query(request: Request, known: frozenset[str]) -> dict[str, str]:
    """The query's parameters, each known and there once."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise RequestRefused(
                f"unknown parameter {name[:64]!r}",
                422,
                hint=f"known: {', '.join(sorted(known)) or 'none'}",
            )
        if name in found:
            raise RequestRefused(f"{name} is given twice", 422)
        found[name] = value
    return found


def _linked(answer: Answer, path: str, query: Mapping[str, str]) -> Answer:
    """The answer with the address of the next page in place of where that begins."""
    after = answer["next"]
    link = None if after is None else f"{path}?{urlencode({**query, 'after': str(after)})}"
    return {**answer, "next": link}


def _limit(query: Mapping[str, str]) -> int:
    limit = _number("limit", query.get("limit", str(_PAGE)))
    if not 1 <= limit <= MAX_PAGE:
        raise RequestRefused(f"limit is {limit}", 422, hint=f"1 to {MAX_PAGE}")
    return limit


def _block(query: Mapping[str, str], name: str) -> int | None:
    return _number(name, query[name]) if name in query else None


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _MAX_NUMBER):
        raise RequestRefused(f"{name}: {text[:64]!r} is no number from 0 to 2^63-1", 422)
    return int(text)


def _time(name: str, text: str) -> int:
    """Seconds since 1970, or a date, with a time or not; without an offset it is UTC."""
    if text.isdecimal():
        return _number(name, text)
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise RequestRefused(
            f"{name}: {text[:64]!r} is no time", 422, hint="2026-01-31T12:00:00Z, or seconds"
        ) from error


def _severity(text: str) -> Severity:
    try:
        return Severity[text.upper()]
    except KeyError:
        known = ", ".join(level.text for level in Severity)
        raise RequestRefused(f"no such severity: {text[:64]}", 422, hint=known) from None
