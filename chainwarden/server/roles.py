"""Who asks, what he may, and which route wants what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chainwarden.errors import RequestRefused, SettingsError
from chainwarden.server.conditional import conditional
from chainwarden.server.described import Described

CALLER: Final = "chainwarden.caller"
"""The key under which the guard notes in a request's scope who asks."""


class Role(IntEnum):
    """What a token allows; each role may do what those below it may."""

    VIEWER = 1
    """Reads everything that is answered."""
    ANALYST = 2
    """Also says what wallets are, and takes that back."""
    ADMIN = 3
    """Also promotes models and changes what the process does."""

    @property
    def text(self) -> str:
        """The name in lower case, as it is written."""
        return self.name.lower()

    @classmethod
    def named(cls, text: str) -> Self:
        """The role with that name. Raises SettingsError."""
        try:
            return cls[text.upper()]
        except KeyError:
            known = ", ".join(role.text for role in cls)
            raise SettingsError(f"no such role: {text[:64]!r}", hint=known) from None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``name`` is the token's; empty where what was shown names nobody in particular."""

    name: str
    role: Role


class GuardedRoute(Route):
    """A route with the role that it wants, which is never left to a default, and what it is."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        role: Role,
        described: Described,
        methods: Sequence[str] = ("GET",),
    ) -> None:
        async def answered(request: Request) -> Response:
            return conditional(request, await endpoint(request))

        super().__init__(path, answered, methods=list(methods))
        self.role = role
        self.described = described

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, if the caller may ask. Raises RequestRefused (403) if not."""
        caller: Caller = scope[CALLER]
        if caller.role < self.role:
            raise RequestRefused(
                f"a token of role {caller.role.text} may not do this",
                403,
                hint=f"it wants the role {self.role.text}: chainwarden token create makes one",
            )
        await super().handle(scope, receive, send)


def author_of(request: Request, said: str) -> str:
    """Whose act a request is: its token's, else whose it says it is."""
    caller: Caller = request.scope[CALLER]
    return caller.name or said
