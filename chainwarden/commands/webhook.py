"""``chainwarden webhook``: for those who write a receiver, or wonder why theirs gets nothing."""

from __future__ import annotations

import base64
import json as text_json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from chainwarden.commands.alerts import time_of
from chainwarden.errors import DeliveryError, SettingsError
from chainwarden.receivers import contact_sender, webhook_receiver, with_webhook
from chainwarden.settings import Settings, configured_chain, load_settings
from chainwarden.terminal import print_json, print_line
from store.message import message_schema
from store.sample import KINDS, sample_message
from store.trial import Outcome, try_hard, try_once
from store.verification import PREFIX, Part, key_of, signature_of, verify
from store.webhook import WebhookSender

SECRET: Final = "CHAINWARDEN_WEBHOOK_SECRET"
_LONGEST_MESSAGE: Final = 1024 * 1024
_DO: Final = "test URL or NAME; verify FILE; sample; schema; secret"


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done. ``kind`` is a type of message, with or without ``alert.``."""

    word: str
    target: str = ""
    kind: str = "raised"
    strict: bool = False
    signed: bool = False
    headers: Path | None = None
    at: str | None = None


def webhook(act: Act, *, config: Path | None, json: bool) -> None:
    """Do it. Exits with 9 where a receiver or a signature does not do."""
    acts = {"test": _test, "verify": _verify, "sample": _sample}
    if act.word == "schema" and not act.target:
        sys.stdout.write(schema_text())
    elif act.word == "secret" and not act.target:
        print_line(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())
    elif act.word in acts:
        acts[act.word](act, config, json)
    else:
        raise SettingsError(f"webhook cannot do that: {act.word} {act.target}".strip(), hint=_DO)


def schema_text() -> str:
    """The JSON Schema as it is kept in docs."""
    return text_json.dumps(message_schema(), indent=2) + "\n"


# --- test ---------------------------------------------------------------------------------------


def _test(act: Act, config: Path | None, json: bool) -> None:
    if not act.target:
        raise SettingsError("which receiver?", hint="a URL, or the name of one of the settings")
    url = act.target if act.target.startswith(("http://", "https://")) else None
    settings = load_settings(config, with_webhook(os.environ, url), {})
    outcomes = []
    for outcome in _outcomes(act, settings, "default" if url else act.target):
        outcomes.append(outcome)
        if not json:
            print_line(line_of(outcome))
    if json:
        print_json([asdict(outcome) for outcome in outcomes])
    if not all(outcome.well for outcome in outcomes):
        sys.exit(DeliveryError.exit_code)


def _outcomes(act: Act, settings: Settings, name: str) -> Iterator[Outcome]:
    now = time.time()
    message_id, body = sample_message(_kind(act), configured_chain(settings), now)
    for one in settings.webhooks:
        if one.name == name and act.strict:
            yield from try_hard(webhook_receiver(one), message_id, body, now)
            return
        if one.name == name:
            with closing(WebhookSender(webhook_receiver(one))) as sender:
                yield try_once(sender, "signed", message_id, body, now)
            return
    for other in settings.receivers:
        if other.name == name:
            if act.strict:
                raise SettingsError(f"{name} verifies no signature", hint="leave out --strict")
            with closing(contact_sender(settings, other)) as teller:
                yield try_once(teller, "as people are told", message_id, body, now)
            return
    known = ", ".join(one.name for one in settings.told())
    raise SettingsError(
        f"the settings have no receiver {name}",
        hint=f"there are {known}" if known else "give its URL",
    )


def line_of(outcome: Outcome) -> str:
    """The outcome on one line.

    >>> line_of(Outcome("signed", False, "ops: answered 404", "the path is wrong", 0.02))
    'failed   signed: ops: answered 404 in 20 ms (the path is wrong)'
    """
    word = "ok" if outcome.well else "failed"
    hint = f" ({outcome.mend})" if outcome.mend else ""
    milliseconds = round(outcome.seconds * 1000)
    return f"{word:<8} {outcome.sent}: {outcome.answer} in {milliseconds} ms{hint}"


# --- verify -------------------------------------------------------------------------------------


def _verify(act: Act, config: Path | None, json: bool) -> None:
    given = _read(act.target)
    if act.headers is None:
        head, body = _split(given)
        headers = _headers(head)
    else:
        headers, body = _headers(_read(str(act.headers))), given
    at = time_of("--at", act.at)
    parts = verify(headers, body, _secrets(config), time.time() if at is None else float(at))
    if json:
        print_json([asdict(part) for part in parts])
    else:
        for part in parts:
            print_line(line_of_part(part))
    if not all(part.holds for part in parts):
        sys.exit(DeliveryError.exit_code)


def line_of_part(part: Part) -> str:
    """The part on one line.

    >>> line_of_part(Part("id", True, "msg-1"))
    'holds    id: msg-1'
    """
    word = "holds" if part.holds else "failed"
    hint = f" ({part.hint})" if part.hint else ""
    return f"{word:<8} {part.name}: {part.found}{hint}"


def _read(name: str) -> bytes:
    try:
        if name in ("", "-"):
            data = sys.stdin.buffer.read(_LONGEST_MESSAGE + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_LONGEST_MESSAGE + 1)
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}", hint="give a readable file") from error
    if len(data) > _LONGEST_MESSAGE:
        raise SettingsError(f"{name or 'stdin'} is larger than a megabyte: no message is")
    return data


def _split(message: bytes) -> tuple[bytes, bytes]:
    """Headers and body of a message as HTTP has it: an empty line between them."""
    found = [(message.find(mark), mark) for mark in (b"\r\n\r\n", b"\n\n") if mark in message]
    if not found:
        raise SettingsError(
            "there is no empty line between headers and body",
            hint="give the headers in a file of their own with --headers",
        )
    at, mark = min(found)
    return message[:at], message[at + len(mark) :]


def _headers(text: bytes) -> dict[str, str]:
    """Headers by lower-case name, from ``Name: value`` lines or one JSON object."""
    try:
        tree = text_json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    pairs: Iterable[tuple[str, object]]
    if isinstance(tree, Mapping):
        pairs = tree.items()
    else:
        lines = text.decode("latin-1").splitlines()
        pairs = [(name, value) for name, mark, value in (x.partition(":") for x in lines) if mark]
    return {name.strip().lower(): str(value).strip() for name, value in pairs}


def _secrets(config: Path | None) -> dict[str, str]:
    """Every secret that may have signed, by the name of its receiver."""
    environment = dict(os.environ)
    found: dict[str, str] = {}
    if "CHAINWARDEN_WEBHOOK_URL" not in environment:
        found = _named(SECRET, environment.pop(SECRET, ""))
    for one in load_settings(config, environment, {}).webhooks:
        found |= _named(one.name, one.secret.reveal())
    if not found:
        raise SettingsError("there is no secret to verify with", hint=f"set {SECRET}")
    return found


def _named(name: str, text: str) -> dict[str, str]:
    keys = text.split()
    for key in keys:
        try:
            key_of(key)
        except ValueError:
            raise SettingsError(f"{name}: a secret is not whsec_ and base64") from None
    return {name if len(keys) == 1 else f"{name} ({at})": key for at, key in enumerate(keys, 1)}


# --- sample -------------------------------------------------------------------------------------


def _sample(act: Act, config: Path | None, json: bool) -> None:
    if act.target:
        raise SettingsError("sample sends nothing", hint="chainwarden webhook test URL does")
    environment = dict(os.environ)
    if "CHAINWARDEN_WEBHOOK_URL" not in environment:
        environment.pop(SECRET, None)
    now = time.time()
    chain = configured_chain(load_settings(config, environment, {}))
    message_id, body = sample_message(_kind(act), chain, now)
    headers = {"content-type": "application/json", "webhook-id": message_id}
    if act.signed:
        stamp = str(int(now))
        signatures = [
            signature_of(key_of(secret), message_id, stamp, body)
            for secret in _secrets(config).values()
        ]
        headers |= {"webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}
    if json:
        print_json({"headers": headers, "body": body.decode()})
        return
    if act.signed:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in headers.items()) + "\n")
    # No line end after it: not a byte more than what is signed.
    sys.stdout.write(body.decode())


def _kind(act: Act) -> str:
    kind = act.kind if act.kind.startswith("alert.") else f"alert.{act.kind}"
    if kind not in KINDS:
        raise SettingsError(f"there is no message of type {act.kind}", hint=", ".join(KINDS))
    return kind
