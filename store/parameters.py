"""What a request says: its parameters and its body, each checked; what is wrong is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar, cast, get_args
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from chainwarden.errors import RequestRefused
from chainwarden.schema import Severity
from store.alert_stream import Wanted
from store.answers import Answer
from store.lake_flows import Direction, FlowFilter, FlowPlace
from store.ledger import AlertFilter

B = TypeVar("B")
ReadAddress = Callable[[str], bytes]
"""Reads an address that a person typed; raises RequestRefused."""

MAX_PAGE: Final = 1000
COIN: Final = "coin"
"""How the chain's own coin is named where a token may be given."""
YES_OR_NO: Final = ("yes", "no")
_PAGE: Final = 100
_MAX_NUMBER: Final = 2**63 - 1
Status = Literal["active", "retracted", "all"]
Holding = Literal["holding", "all"]


def alerts_asked(
    request: Request, known: frozenset[str], address_of: ReadAddress
) -> tuple[AlertFilter, dict[str, str]]:
    """Which alerts a request asks for, and its parameters as they came."""
    query = query_of(request, known)
    wanted = AlertFilter(
        rule=query.get("rule"),
        min_severity=severity_of(query["severity"]) if "severity" in query else None,
        subject=address_of(query["subject"]) if "subject" in query else None,
        label=query.get("label"),
        since=time_of("since", query["since"]) if "since" in query else None,
        until=time_of("until", query["until"]) if "until" in query else None,
        first_block=block_of(query, "first_block"),
        last_block=block_of(query, "last_block"),
        status=cast(Status, _one_of("status", query.get("status", "active"), get_args(Status))),
        acknowledged=_yes_or_no(query, "acknowledged"),
        limit=limit_of(query),
        after=query.get("after"),
    )
    return wanted, query


def stream_asked(
    request: Request, known: frozenset[str], address_of: ReadAddress
) -> tuple[Wanted, str]:
    """Which alerts a listener wants, and where it was: the last event's id, empty for from now on.

    A browser sends the header when it comes back; who cannot set headers may begin with the
    parameter.
    """
    query = query_of(request, known)
    wanted = Wanted(
        query.get("rule"),
        severity_of(query["severity"]) if "severity" in query else None,
        address_of(query["subject"]) if "subject" in query else None,
    )
    return wanted, request.headers.get("last-event-id", query.get("last_event_id", ""))


def suppressions_asked(
    request: Request, known: frozenset[str]
) -> tuple[int, int | None, bool, dict[str, str]]:
    """How many suppressions a request asks for, before which, whether such as hold; parameters."""
    query = query_of(request, known)
    status = _one_of("status", query.get("status", "holding"), get_args(Holding))
    before = number_of("after", query["after"]) if "after" in query else None
    return limit_of(query), before, status == "holding", query


def flows_asked(
    request: Request, known: frozenset[str], address: bytes, address_of: ReadAddress
) -> tuple[FlowFilter, dict[str, str]]:
    """Which flows of a wallet a request asks for, and its parameters as they came."""
    query = query_of(request, known)
    token, after = query.get("token"), query.get("after")
    wanted = FlowFilter(
        address,
        direction=cast(
            Direction, _one_of("direction", query.get("direction", "any"), get_args(Direction))
        ),
        token=None if token is None else b"" if token == COIN else address_of(token),
        counterparty=address_of(query["counterparty"]) if "counterparty" in query else None,
        since=time_of("since", query["since"]) if "since" in query else None,
        until=time_of("until", query["until"]) if "until" in query else None,
        first_block=block_of(query, "first_block"),
        last_block=block_of(query, "last_block"),
        limit=limit_of(query),
        after=None if after is None else _place(after),
    )
    return wanted, query


def _place(text: str) -> FlowPlace:
    try:
        return FlowPlace.read(text)
    except ValueError as error:
        raise RequestRefused(
            f"after: {text[:64]!r} is no place in the chain", 422, hint="follow a page's next"
        ) from error


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise RequestRefused(f"no such {name}: {text[:64]}", 422, hint=", ".join(known))
    return text


def _yes_or_no(query: Mapping[str, str], name: str) -> bool | None:
    if name not in query:
        return None
    return _one_of(name, query[name], YES_OR_NO) == YES_OR_NO[0]


def address_reader(parse: Callable[[str], bytes]) -> ReadAddress:
    """``parse``, which raises ValueError for what is no address, and then refuses."""

    def read(text: str) -> bytes:
        try:
            return parse(text)
        except ValueError as error:
            raise RequestRefused(f"{text[:64]!r} is no address: {error}", 422) from error

    return read


async def body_of(request: Request, decoder: msgspec.json.Decoder[B], hint: str) -> B:
    """What was posted. Raises RequestRefused for what cannot be read."""
    query_of(request, frozenset())
    # A page of another origin may post forms and text, but not this, unless it is allowed to.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RequestRefused("the body must be application/json", 415)
    try:
        return decoder.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(f"the body cannot be read: {error}", 422, hint=hint) from error


def query_of(request: Request, known: frozenset[str]) -> dict[str, str]:
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


def linked(answer: Answer, path: str, query: Mapping[str, str]) -> Answer:
    """The answer with the address of the next page in place of where that begins."""
    after = answer["next"]
    link = None if after is None else f"{path}?{urlencode({**query, 'after': str(after)})}"
    return {**answer, "next": link}


def limit_of(query: Mapping[str, str]) -> int:
    """How many a page may have."""
    limit = number_of("limit", query.get("limit", str(_PAGE)))
    if not 1 <= limit <= MAX_PAGE:
        raise RequestRefused(f"limit is {limit}", 422, hint=f"1 to {MAX_PAGE}")
    return limit


def block_of(query: Mapping[str, str], name: str) -> int | None:
    """The number of a block, None where none is given."""
    return number_of(name, query[name]) if name in query else None


def number_of(name: str, text: str) -> int:
    """A number that the ledger can hold."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _MAX_NUMBER):
        raise RequestRefused(f"{name}: {text[:64]!r} is no number from 0 to 2^63-1", 422)
    return int(text)


def time_of(name: str, text: str) -> int:
    """Seconds since 1970, or a date, with a time or not; without an offset it is UTC."""
    if text.isdecimal():
        return number_of(name, text)
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise RequestRefused(
            f"{name}: {text[:64]!r} is no time", 422, hint="2026-01-31T12:00:00Z, or seconds"
        ) from error


def severity_of(text: str) -> Severity:
    """The severity of that name."""
    try:
        return Severity[text.upper()]
    except KeyError:
        known = ", ".join(level.text for level in Severity)
        raise RequestRefused(f"no such severity: {text[:64]}", 422, hint=known) from None
