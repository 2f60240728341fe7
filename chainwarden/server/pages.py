"""``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Readiness = Callable[[], str]
"""Empty text when ready, else why not; or as what, where it is ``Ready``."""


class Ready(str):
    """What a process is ready as, where it is not to do the work itself: no reason to page."""

    __slots__ = ()


def pages(registry: CollectorRegistry, not_ready: Readiness) -> list[Route]:
    """The three open pages."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        reason = not_ready()
        status = 503 if reason and not isinstance(reason, Ready) else 200
        return PlainTextResponse(f"{reason or 'ready'}\n", status)

    return [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
