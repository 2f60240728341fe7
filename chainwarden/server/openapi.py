"""The OpenAPI 3.1 document of some routes: made of what they say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from chainwarden import __version__
from chainwarden.server.answers import JSON
from chainwarden.server.described import Described, Parameter
from chainwarden.server.roles import GuardedRoute

REFUSALS: Final[Mapping[int, str]] = {
    401: "No token was shown, or one that is wrong, revoked or expired.",
    403: "The token's role may not do this.",
    404: "There is no such thing.",
    405: "The route does not know the method.",
    409: "It does not fit what there is.",
    413: "The body is above its bound.",
    415: "The body is not application/json.",
    422: "A parameter or the body cannot be read, or cannot be right.",
    429: "Asked more often than the limit; Retry-After says when.",
    503: "It cannot be answered now, or took too long.",
    507: "There are as many as are kept.",
}
_EVERY: Final = (401, 403, 405, 413, 422, 429, 503)
_WITH_BODY: Final = (404, 409, 415)
_ETAG: Final = {
    "description": "A tag of the answer: equal tags, equal answers.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The tag of an answer that is there already: 304 where it is the same still.",
    "required": False,
    "schema": {"type": "string"},
}
_REFERENCE: Final = "#/components/schemas/{name}"


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a request was refused, and what would be right."""

    error: str
    hint: str


def document(routes: Sequence[GuardedRoute]) -> dict[str, Any]:
    """The document. Equal routes, equal document."""
    types = _types(routes)
    made, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schemas = dict(zip(map(_key, types), made, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(route.path, {})[method.lower()] = _operation(route, method, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chainwarden",
            "version": __version__,
            "description": "Alerts, wallets, labels, models and deliveries of one chain. Amounts "
            "are exact, as decimal text; times are block times in seconds since 1970, unless a "
            "name says otherwise. Pages are followed by their next.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of chainwarden token create. On loopback none is "
                    "wanted until there is one.",
                }
            },
        },
    }


def _operation(route: GuardedRoute, method: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    said = route.described
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}{_words(route.path)}",
        "summary": said.what,
        "description": f"{said.what} Wants the role {route.role.text}.",
        "x-role": route.role.text,
        "parameters": [
            *map(_parameter, said.parameters),
            *([_IF_NONE_MATCH] if method == "GET" and said.tagged else []),
        ],
        "responses": _responses(said, method, schemas),
    }
    if said.body is not None:
        content = {JSON: {"schema": schemas[_key(said.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(said: Described, method: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, answer in said.answers.items():
        schema = {"type": "string"} if answer is None else schemas[_key(answer)]
        content = {said.media_type: {"schema": schema}}
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    if method == "GET" and said.tagged:
        found["200"]["headers"] = {"ETag": _ETAG}
        found["304"] = {"description": "Just what If-None-Match names.", "headers": {"ETag": _ETAG}}
    placed = any(one.place == "path" for one in said.parameters)
    statuses = {*_EVERY, *said.refusals, *([404] if placed else [])}
    for status in sorted(statuses | set(_WITH_BODY if said.body is not None else ())):
        content = {JSON: {"schema": schemas[_key(Refusal)]}}
        found[str(status)] = {"description": REFUSALS[status], "content": content}
    return found


def _parameter(one: Parameter) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": one.place,
        "description": one.what,
        "required": one.required or one.place == "path",
        "schema": {"type": "string"} if one.schema is None else dict(one.schema),
    }


def _types(routes: Sequence[GuardedRoute]) -> list[Any]:
    """Everything that has a schema, once."""
    found: dict[str, Any] = {_key(Refusal): Refusal}
    for route in routes:
        said = route.described
        for one in (*said.answers.values(), said.body):
            if one is not None:
                found.setdefault(_key(one), one)
    return list(found.values())


def _key(kind: Any) -> str:
    return str(kind)


def _words(path: str) -> str:
    """A path as part of a name: ``/api/v1/alerts/{id}`` is ``AlertsId``."""
    parts = path.removeprefix("/api/v1").replace("{", "").replace("}", "").split("/")
    return "".join(word.replace(".", "_").capitalize() for word in parts)
