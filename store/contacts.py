"""From a URL that names a chat, a pager or a mailbox to a sender; apprise reads the URL.

Both forms are understood, apprise's (``slack://A/B/C``) and the address that the service itself
shows (``https://hooks.slack.com/services/…``). Only the URL is left to apprise. Its own sending
follows proxies of the environment, logs the addresses it posts to, says neither status nor
Retry-After, and turns ``<!channel>`` in a text into a mention.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from chainwarden.addresses import Resolver, resolve
from chainwarden.errors import SettingsError
from store.chat import ChatSender
from store.mail import Mailbox, MailSender
from store.pace import DEFAULT_RATE
from store.posting import DEADLINE_SECONDS, Target
from store.sinks import ENCODERS, Encode, pagerduty
from store.webhook import Sender

KINDS: Final = "Slack, Discord, PagerDuty, Teams (workflows) or mail"


@dataclass(frozen=True, slots=True)
class Contact:
    """Who is told, by a URL. ``name`` is how logs, errors and the ledger call it."""

    name: str
    url: str = field(repr=False)
    allow_networks: tuple[str, ...] = ()
    rate_per_minute: int = DEFAULT_RATE
    explorer: str = ""
    timeout_seconds: float = DEADLINE_SECONDS


def sender_of(contact: Contact, resolver: Resolver = resolve) -> Sender:
    """Whoever tells that contact. Raises SettingsError, without the URL, where it is none."""
    found = _read(contact)
    kind = type(found).__name__
    rate, explorer = contact.rate_per_minute, contact.explorer
    if kind == "NotifyEmail":
        target = Target(contact.name, "", contact.allow_networks, contact.timeout_seconds)
        return MailSender(target, _mailbox(found), rate, explorer, resolver)
    url, encode = _endpoint(contact, found, kind)
    target = Target(contact.name, url, contact.allow_networks, contact.timeout_seconds)
    return ChatSender(target, encode, rate, explorer, resolver)


def _read(contact: Contact) -> Any:
    """Apprise's reading of the URL."""
    from apprise import Apprise  # half a second, and only where somebody is told so

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it logs URLs
    try:
        found = Apprise.instantiate(contact.url, suppress_exceptions=True)
    except Exception:  # whatever it thinks of a URL, the URL is not to be shown
        found = None
    if found is None:
        raise SettingsError(f"receiver {contact.name}: its URL cannot be read", hint=KINDS)
    return found


def _endpoint(contact: Contact, found: Any, kind: str) -> tuple[str, Encode]:
    """Where posts go, and how they are written."""
    if kind == "NotifySlack" and found.mode == "hook":
        path = "/".join(_part(one) for one in (found.token_a, found.token_b, found.token_c))
        return f"https://hooks.slack.com/services/{path}", ENCODERS["slack"]
    if kind == "NotifyDiscord":
        path = f"{_part(found.webhook_id)}/{_part(found.webhook_token)}"
        return f"https://discord.com/api/webhooks/{path}", ENCODERS["discord"]
    if kind == "NotifyPagerDuty":
        region = "" if found.region_name == "us" else f"{found.region_name}."
        url = f"https://events.{region}pagerduty.com/v2/enqueue"
        return url, pagerduty(found.integration_key)
    if kind == "NotifyWorkflows":
        return _workflow(found), ENCODERS["teams"]
    if kind == "NotifySlack":
        raise SettingsError(
            f"receiver {contact.name}: Slack is told through an incoming webhook, not a bot",
            hint="slack://A/B/C, or the https address that Slack shows",
        )
    raise SettingsError(f"receiver {contact.name}: nobody is told through that", hint=KINDS)


def _workflow(found: Any) -> str:
    path = "/powerautomate/automations/direct" if found.power_automate else ""
    if path and found.routing_id:
        path += f"/cu/{_part(found.routing_id)}"
    port = f":{found.port}" if found.port else ""
    query = {
        "api-version": found.api_version,
        "sp": "/triggers/manual/run",
        "sv": "1.0",
        "sig": found.signature,
    }
    place = f"https://{found.host}{port}{path}/workflows/{_part(found.workflow)}"
    return f"{place}/triggers/manual/paths/invoke?{urlencode(query)}"


def _mailbox(found: Any) -> Mailbox:
    tls = {"starttls": "starttls", "ssl": "tls"}
    return Mailbox(
        host=str(found.smtp_host),
        port=int(found.port or 25),
        security=tls.get(str(found.secure_mode), "none") if found.secure else "none",
        user=str(found.user or ""),
        password=str(found.password or ""),
        sender=str(found.from_addr[1]),
        recipients=tuple(str(address) for _, address in found.targets),
    )


def _part(text: object) -> str:
    return quote(str(text), safe="")
