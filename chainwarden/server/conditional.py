"""Answers that a client has already: ``ETag`` and ``If-None-Match`` (RFC 9110, section 13.1.2)."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_READS: Final = ("GET", "HEAD")


def conditional(request: Request, answer: Response) -> Response:
    """The answer with its tag; 304 and nothing, where the client says that it has just that one.

    The tag is strong: equal tags, equal bytes. Only what is read, whole and found has one.
    """
    if request.method not in _READS or answer.status_code != 200 or not answer.body:
        return answer
    tag = f'"{hashlib.blake2b(answer.body, digest_size=16).hexdigest()}"'
    if _matches(request.headers.getlist("if-none-match"), tag):
        kept = {
            name: answer.headers[name]
            for name in ("cache-control", "content-disposition")
            if name in answer.headers
        }
        answer = Response(status_code=304, headers=kept)
    answer.headers["ETag"] = tag
    return answer


def _matches(said: list[str], tag: str) -> bool:
    """Whether a tag is among those of the header; weak ones count, as a proxy may weaken them."""
    shown = [one.strip().removeprefix("W/") for line in said for one in line.split(",")]
    return tag in shown or "*" in shown
