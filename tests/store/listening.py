"""Somebody who listens to server-sent events over a real socket, and reads them as browsers do."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from chainwarden.server import HttpServer

SECONDS: Final = 30.0
"""How long a listener waits for the next event before the test has failed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event."""

    id: str
    name: str
    data: Any


@dataclass
class Listener:
    """An open stream. ``last_id`` is what a browser would come back with."""

    answer: http.client.HTTPResponse
    last_id: str = ""
    comments: int = 0
    retry: str = ""
    _lines: list[str] = field(default_factory=list)

    def heard(self, count: int) -> list[Heard]:
        """The next ``count`` events."""
        found = []
        for _ in range(count):
            event = self.next()
            assert event is not None, "the stream ended"
            found.append(event)
        return found

    def next(self) -> Heard | None:
        """The next event, None where the stream ended as it should."""
        name, data, event_id = "message", "", self.last_id
        deadline = time.monotonic() + SECONDS
        while line := self.line():
            # Lines come for ever where no event does: a comment is followed by an empty one.
            assert data or time.monotonic() < deadline, f"no event for {SECONDS:.0f} s"
            field_name, _, value = line.rstrip("\n").partition(": ")
            match field_name:
                case "":
                    self.last_id = event_id
                    if data:
                        return Heard(event_id, name, json.loads(data))
                    name = "message"
                case "id":
                    event_id = value
                case "event":
                    name = value
                case "data":
                    data += value
                case "retry":
                    self.retry = value
                case _:
                    raise AssertionError(f"no field of an event: {line!r}")
        return None

    def line(self) -> str:
        """The next line that is no comment, empty at the end."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            line = self.answer.readline().decode()
            if not line.startswith(":"):
                return line
            self.comments += 1
        raise AssertionError(f"nothing but comments for {SECONDS:.0f} s")


@contextmanager
def listening(
    server: HttpServer, target: str, headers: Mapping[str, str] | None = None
) -> Iterator[Listener]:
    """A stream that is open, and at its place, while the block lasts."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=SECONDS)
    try:
        connection.request("GET", target, headers=dict(headers or {}))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers.get_content_type() == "text/event-stream"
        listener = Listener(answer)
        while not listener.last_id:  # the first lines say where it begins
            line = listener.line().rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "retry":
                listener.retry = value
            elif name == "id":
                listener.last_id = value
            else:
                assert not line, line
        yield listener
        answer.close()
    finally:
        connection.close()
