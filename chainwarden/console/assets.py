"""The console's files as routes. They are read once, at the start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from hashlib import blake2b
from importlib.resources import files
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = "/console/"
TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS: Final[Mapping[str, str]] = {
    # Asked for anew each time, so that page and process are of one version; 304 where they are.
    "Cache-Control": "no-cache",
    # Text of the chain cannot become markup: no string is ever parsed as any (Trusted Types).
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
}


def asset_routes(known: Mapping[str, object]) -> list[Route]:
    """``/``, and each file below ``/console/``; ``known`` is ``/console/known.json``."""
    page = "index.html"
    routes = [
        Route("/" if name == page else FOLDER + name, _giver(content, media_type))
        for name, media_type, content in _files()
    ]
    content = msgspec.json.encode(known)
    return [*routes, Route(f"{FOLDER}known.json", _giver(content, "application/json"))]


def _files() -> Iterator[tuple[str, str, bytes]]:
    for file in sorted(files("dashboards").joinpath("console").iterdir(), key=lambda f: f.name):
        media_type = TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None:
            yield file.name, media_type, file.read_bytes()


def _giver(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    tag = f'"{blake2b(content, digest_size=16).hexdigest()}"'
    headers = {**HEADERS, "ETag": tag}

    async def give(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "Content-Type": media_type})

    return give
