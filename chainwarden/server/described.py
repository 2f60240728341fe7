"""What a route says of itself: what it is for, what it takes, what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from chainwarden.server.answers import JSON

Schema = Mapping[str, Any]
"""A JSON Schema, of the dialect of OpenAPI 3.1 (2020-12)."""

MAX_NUMBER: Final = 2**63 - 1
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
ADDRESS: Final[Schema] = {"type": "string", "pattern": "^0[xX][0-9a-fA-F]{40}$"}
TIME: Final[Schema] = {"anyOf": [NUMBER, {"type": "string", "format": "date-time"}]}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query, unless of the path: those are always needed.

    ``schema`` None is any text.
    """

    name: str
    what: str
    schema: Schema | None = None
    place: Literal["query", "path"] = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """What a route is.

    ``answers`` is what it answers with by status, a type that msgspec knows the schema of, None for
    an answer that is no JSON (then ``media_type`` says what it is). ``refusals`` are statuses
    beyond those of every route, and of every route with a body or a place in its path. ``tagged``:
    what is read has an ETag.
    """

    what: str
    answers: Mapping[int, Any]
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    refusals: tuple[int, ...] = ()
    media_type: str = JSON
    tagged: bool = True

    @property
    def query(self) -> frozenset[str]:
        """The names of the query's parameters."""
        return names_of(self.parameters)


def names_of(parameters: Iterable[Parameter]) -> frozenset[str]:
    """The names of those of the query."""
    return frozenset(one.name for one in parameters if one.place == "query")
