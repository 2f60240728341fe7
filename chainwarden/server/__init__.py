"""The HTTP side of a process: metrics, health and, where it holds the ledger, the API.

``/healthz`` says that the process lives; ``/readyz`` says 503 with the reason until the pipeline
works, and again when it stalls. Binds to loopback unless told otherwise, and then wants a token for
everything but these two and ``/metrics``; each route says which role the token must have.
"""

from chainwarden.server.answers import error_answer, json_answer
from chainwarden.server.events import EventStream
from chainwarden.server.guard import Guard, Limits
from chainwarden.server.listen import Bind, HttpServer, MetricsServer
from chainwarden.server.pages import Readiness, Ready
from chainwarden.server.roles import GuardedRoute, Role, author_of

__all__ = [
    "Bind",
    "EventStream",
    "Guard",
    "GuardedRoute",
    "HttpServer",
    "Limits",
    "MetricsServer",
    "Readiness",
    "Ready",
    "Role",
    "author_of",
    "error_answer",
    "json_answer",
]
