"""What a page answers: bytes of JSON, and errors as ``{error, hint}``."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from chainwarden.errors import RequestRefused

JSON = "application/json"


def json_answer(value: object, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type=JSON)


def error_answer(refused: RequestRefused) -> Response:
    """``{error, hint}`` with the refusal's status."""
    answer = json_answer({"error": refused.message, "hint": refused.hint}, refused.status)
    if refused.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if refused.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(refused.retry_after_seconds)
    return answer
