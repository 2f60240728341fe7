"""Secrets that exist only to be looked for: none may be in anything that the product puts out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.rigs.receiver import SECRET
from tests.store.asking import TOKEN

USER: Final = "canary-user-5f1c"
# With a character that URLs write otherwise, so that both spellings are looked for.
PASSWORD: Final = "canary/pass-81d4"
PATH: Final = "canary-path-77a0"
QUERY: Final = "canary-query-93be"
BROKER: Final = "canary-broker-2c48"
HOOK_PATH: Final = "canary-hook-6e15"
API_TOKEN: Final = "canary-token-0b9f-0b9f"
HASH_KEY: Final = "cafe0b57c0de5eedcafe0b57c0de5eed"
_SIGNING: Final = b"canary-signing-key-32-bytes-long"
HOOK_SECRET: Final = "whsec_" + base64.b64encode(_SIGNING).decode()

PLANTED: Final = (
    USER, PASSWORD, PATH, QUERY, BROKER, HOOK_PATH, API_TOKEN, HASH_KEY, HOOK_SECRET,
    _SIGNING.decode(),
)  # fmt: skip
USED_BY_TESTS: Final = (SECRET, TOKEN)
"""Secrets of other tests: no test prints them, so nothing that a test captured may hold them."""


def _spellings(secret: str) -> Iterable[str]:
    """A secret, parts of it (a cut would leak, too), and how URLs and Basic write it."""
    body = secret.removeprefix("whsec_")
    yield from (body, body[: max(8, len(body) * 2 // 3)], quote(secret, safe=""))
    for prefix in ("", "x", "xx"):  # base64 of it wherever it stands in what was encoded
        coded = base64.b64encode((prefix + secret).encode()).decode()
        yield coded[4 * bool(prefix) + 4 : -4]


NEEDLES: Final[Mapping[str, str]] = {
    spelling: secret for secret in (*PLANTED, *USED_BY_TESTS) for spelling in _spellings(secret)
}
_BYTES: Final = {needle.encode(): secret for needle, secret in NEEDLES.items()}


def leaked(text: str | bytes) -> list[str]:
    """The secrets that a text holds, in some spelling."""
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return sorted({secret for needle, secret in _BYTES.items() if needle in content})


def leaks_under(folder: Path) -> dict[str, list[str]]:
    """The files below a folder that hold a secret, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (secrets := leaked(path.read_bytes())):
            found[str(path.relative_to(folder))] = secrets
    return found


def rpc_url(scheme: str, port: int) -> str:
    """A node's URL with a secret in every part that may hold one."""
    login = f"{USER}:{quote(PASSWORD, safe='')}"
    return f"{scheme}://{login}@127.0.0.1:{port}/v3/{PATH}?key={QUERY}"
