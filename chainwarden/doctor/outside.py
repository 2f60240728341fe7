"""What else a deployment talks to or reads: Kafka, receivers, label lists."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from chainwarden.deployment import kafka_config
from chainwarden.doctor.check import Check, checked, failed, ok, skipped, warning
from chainwarden.kafka_bus.topics import inspect_topics
from chainwarden.labelling import list_info
from chainwarden.receivers import contact_sender, webhook_sender
from chainwarden.settings import (
    LabelSettings,
    ReceiverSettings,
    Settings,
    WebhookSettings,
    configured_chain,
)
from detect.label_files import read_list_file
from detect.label_lists import Rejected
from store.webhook import Sender


def check_kafka(settings: Settings) -> Check:
    """Whether the broker answers, and has the chain's topics as they should be."""
    if settings.bus.kind != "kafka":
        return skipped("kafka", f"bus.kind is {settings.bus.kind}")
    config = replace(kafka_config(settings, configured_chain(settings)), timeout_seconds=8.0)
    report = inspect_topics(config)
    missing = f"topics are not there yet: {', '.join(report.missing)}" if report.missing else ""
    if report.wrong:
        hint = "change them with kafka-topics and kafka-configs, or let chainwarden make new ones"
        return failed("kafka", "; ".join([*report.wrong, *filter(None, [missing])]), hint)
    if report.open:
        found = f"a transaction does not end, readers see nothing of {', '.join(report.open)}"
        return failed("kafka", found, "end its client, or abort it with kafka-transactions.sh")
    if missing:
        return warning("kafka", missing, "the first start of ingest or detect makes them")
    return ok("kafka", f"{config.bootstrap_servers} has the three topics, as they should be")


def check_receivers(settings: Settings) -> list[Check]:
    """Every receiver. Nothing is sent, and nothing connected."""
    if not settings.webhooks and not settings.receivers:
        return [skipped("webhooks", "no receiver is set: alerts are only kept")]
    return [
        *(checked(f"webhook {one.name}", partial(check_webhook, one)) for one in settings.webhooks),
        *(
            checked(f"receiver {one.name}", partial(check_receiver, settings, one))
            for one in settings.receivers
        ),
    ]


def check_webhook(webhook: WebhookSettings) -> Check:
    """Whether its URL and secret are well-formed, and its name resolves to what may be dialled."""
    _dialled(webhook_sender(webhook))
    return ok(f"webhook {webhook.name}", "its address may be dialled, its secret is well-formed")


def check_receiver(settings: Settings, receiver: ReceiverSettings) -> Check:
    """Whether its URL names a service that is known, at an address that may be dialled."""
    _dialled(contact_sender(settings, receiver))
    return ok(f"receiver {receiver.name}", "its service is known, its address may be dialled")


def _dialled(sender: Sender) -> None:
    try:
        sender.check_address()
    finally:
        sender.close()


def check_labels(settings: Settings) -> list[Check]:
    """Every label list."""
    lists = settings.lists()
    if not lists:
        return [skipped("labels", "the settings name no list: only the built-in ones are used")]
    return [checked(f"labels {one.path}", partial(check_list, one)) for one in lists]


def check_list(settings: LabelSettings) -> Check:
    """Whether a list can be read, how much of it, and what it does not say of itself."""
    name = f"labels {settings.path}"
    content = read_list_file(list_info(settings))
    report, now = content.report, time.time()
    found = f"{report.loaded} labels"
    future = sum(1 for label in content.labels if label.valid_from > now)
    if future:
        found += f", {future} of the future"
    if report.refused:
        return warning(
            name, f"{found}, {report.refused} entries refused", _first(report.rejected[0])
        )
    return ok(name, f"{found}; licence {settings.licence or 'not said'}")


def _first(rejected: Rejected) -> str:
    return f"the first, line {rejected.line}: {rejected.reason}"
