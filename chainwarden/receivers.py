"""From settings to those who are told: signed webhooks, chats, pagers and mailboxes."""

from __future__ import annotations

from collections.abc import Mapping

from chainwarden.errors import SettingsError
from chainwarden.schema import Severity
from chainwarden.settings import ReceiverSettings, Settings, WebhookSettings
from store.contacts import Contact, sender_of
from store.webhook import Receiver, Sender, WebhookSender


def with_webhook(environment: Mapping[str, str], url: str | None) -> dict[str, str]:
    """The environment with the receiver of ``--webhook``, if there is one.

    Its secret comes from CHAINWARDEN_WEBHOOK_SECRET, never from the command line, which every
    process of the machine can read.
    """
    variables = dict(environment)
    if url is not None:
        if not variables.get("CHAINWARDEN_WEBHOOK_SECRET"):
            raise SettingsError(
                "the webhook has no secret to sign with",
                hint="set CHAINWARDEN_WEBHOOK_SECRET to whsec_ and 24 to 64 bytes in base64",
            )
        variables["CHAINWARDEN_WEBHOOK_URL"] = url
    return variables


def senders_of(settings: Settings) -> list[Sender]:
    """A sender for every receiver: webhooks, then chats, pagers and mailboxes."""
    webhooks: list[Sender] = [webhook_sender(one) for one in settings.webhooks]
    return [*webhooks, *(contact_sender(settings, one) for one in settings.receivers)]


def webhook_sender(webhook: WebhookSettings) -> Sender:
    """The sender of signed webhooks to one receiver."""
    return WebhookSender(webhook_receiver(webhook))


def webhook_receiver(webhook: WebhookSettings) -> Receiver:
    """Who is told, and how."""
    return Receiver(
        name=webhook.name,
        url=webhook.url.reveal(),
        secrets=tuple(webhook.secret.reveal().split()),
        allow_networks=tuple(webhook.allow_networks),
        rate_per_minute=webhook.rate_per_minute,
    )


def contact_sender(settings: Settings, receiver: ReceiverSettings) -> Sender:
    """The sender of messages to one chat, pager or mailbox."""
    return sender_of(
        Contact(
            name=receiver.name,
            url=receiver.url.reveal(),
            allow_networks=tuple(receiver.allow_networks),
            rate_per_minute=receiver.rate_per_minute,
            explorer=settings.alerts.explorer,
        )
    )


def told_of(settings: Settings) -> dict[str, Severity]:
    """From which severity on each receiver is told of alerts, by its name."""
    return {one.name: Severity[one.severity.upper()] for one in settings.told()}
