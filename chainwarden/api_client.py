"""Asks the API of the process that holds the ledger, from the same machine."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from chainwarden.errors import RequestRefused, SettingsError, StoreError
from chainwarden.settings import Secret

TIMEOUT_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Unreachable(StoreError):
    """Nobody answers there, or it is not chainwarden."""


class ApiClient:
    """One process' API. No proxy is asked and no redirect followed.

    Every call raises RequestRefused for what the API refuses, SettingsError where it wants another
    token, and Unreachable where nobody answers.
    """

    def __init__(self, host: str, port: int, token: Secret) -> None:
        self.address = f"{host}:{port}"
        self._place = (host, port)
        self._token = token

    def get(self, path: str, query: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The answer of a page."""
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""))

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a body."""
        return self._ask("POST", path, msgspec.json.encode(body))

    def delete(self, path: str, query: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a deletion."""
        return self._ask("DELETE", f"{path}?{urlencode(query)}")

    def _ask(self, method: str, target: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        connection = http.client.HTTPConnection(*self._place, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER_BYTES)
            tree = msgspec.json.decode(content, type=dict[str, Any])
        except (OSError, http.client.HTTPException, *_UNREADABLE) as error:
            raise Unreachable(f"no API answers at {self.address}") from error
        finally:
            connection.close()
        if answer.status == 401:
            raise SettingsError(
                f"the process at {self.address} wants its token",
                hint="give its settings, or your own token: --config, or CHAINWARDEN_SERVER_TOKEN",
            )
        if answer.status >= 500:
            raise StoreError(str(tree.get("error", "")), hint=str(tree.get("hint", "")))
        if answer.status >= 400:
            raise RequestRefused(
                str(tree.get("error", "")), answer.status, hint=str(tree.get("hint", ""))
            )
        return tree
