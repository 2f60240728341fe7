"""Server-sent events: an answer that does not end, to listeners that come back where they left off.

What it is made of is WHATWG HTML, section 9.2 (the ``EventSource`` of every browser): events with
an id, which a listener that was cut off sends back as ``Last-Event-ID``, and comments that keep
the connection alive where nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chainwarden.errors import ChainwardenError, RequestRefused

log = logging.getLogger(__name__)

SESSION: Final = "chainwarden.session"
"""The key under which the guard puts a request's ``Session`` into its scope."""

HEARTBEAT_SECONDS: Final = 15.0
"""How long nothing is sent at most: below what proxies and browsers cut idle connections at."""

SEND_SECONDS: Final = 10.0
"""How long a listener may leave unread what was sent to him before he is cut off."""

RETRY_MILLISECONDS: Final = 3000


@dataclass(frozen=True, slots=True)
class Session:
    """What an answer without end needs of the server: when to end it, and whether it may go on.

    ``ending`` is set when the server closes. ``check`` raises RequestRefused once the token that
    was shown is no more. ``endless`` lifts the limit on how long the answer may take.
    """

    ending: asyncio.Event
    check: Callable[[], None]
    endless: Callable[[], None]


class Feed(Protocol):
    """Whatever is told to one listener, as encoded events."""

    async def read(self) -> bytes:
        """What there is to tell now, no more than a page of it; nothing, where there is nothing."""
        ...

    async def changed(self) -> None:
        """Return as soon as there may be more than ``read`` has given."""
        ...


class EventStream(Response):
    """Tells a feed until the listener goes, is too slow, loses the right to it, or the server ends.

    Nothing is queued for a listener: what he has not taken stays where the feed reads it. Pages are
    sent one after the other, and one that is not taken within ``SEND_SECONDS`` is the last.
    ``closed`` is called at the end, however that comes.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        feed: Feed,
        closed: Callable[[], None],
        heartbeat: float = HEARTBEAT_SECONDS,
        patience: float = SEND_SECONDS,
    ) -> None:
        super().__init__(None)
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"
        self._feed = feed
        self._closed = closed
        self._heartbeat = heartbeat
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; see the class."""
        session: Session = scope[SESSION]
        session.endless()
        waiting: set[asyncio.Task[Any]] = set()

        def begun(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
            task = asyncio.ensure_future(work)
            waiting.add(task)
            return task

        async def told(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(self._patience):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            if scope["method"] == "HEAD":
                await told(b"", more=False)
                return
            ends = {begun(_gone(receive)), begun(session.ending.wait())}
            await told(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
            while not any(task.done() for task in ends):
                body = await self._feed.read()
                session.check()
                if body:
                    await told(body)
                    continue
                more = begun(self._feed.changed())
                done, _ = await asyncio.wait(
                    {*ends, more}, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED
                )
                more.cancel()
                waiting.discard(more)
                if not done:
                    await told(b": nothing new\n\n")
            await told(b"", more=False)
        except ChainwardenError as error:
            log.info("a listener is told no more: %s", error)
            await told(b"", more=False)
        except TimeoutError:
            log.info("a listener is cut off: he does not read what he is sent")
            raise
        finally:
            for task in waiting:
                task.cancel()
            self._closed()


async def _gone(receive: Receive) -> None:
    """Return when the listener has."""
    with suppress(RequestRefused):
        while (await receive())["type"] != "http.disconnect":
            pass


def event(name: str, event_id: str, data: bytes) -> bytes:
    """One event. ``data`` is JSON, which has no line break.

    >>> event("alert.raised", "a-1", b"{}")
    b'id: a-1\\nevent: alert.raised\\ndata: {}\\n\\n'
    """
    return b"".join(
        (b"id: ", event_id.encode(), b"\nevent: ", name.encode(), b"\ndata: ", data, b"\n\n")
    )


def place(event_id: str) -> bytes:
    """No event, but where a listener goes on that is cut off before the next one.

    >>> place("a-1")
    b'id: a-1\\n\\n'
    """
    return f"id: {event_id}\n\n".encode()
