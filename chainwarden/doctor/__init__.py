"""Whether a deployment would work, by its settings: each check is a function, each finding a line.

Nothing is changed or sent: a file is made in the results' folder and taken away again, a ledger
that nobody has open is opened and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from chainwarden.doctor.access import check_access
from chainwarden.doctor.check import Check, checked, failed, ok, skipped
from chainwarden.doctor.folder import check_folder
from chainwarden.doctor.machine import check_machine
from chainwarden.doctor.nodes import check_nodes
from chainwarden.doctor.outside import check_kafka, check_labels, check_receivers
from chainwarden.errors import SettingsError
from chainwarden.settings import Settings

__all__ = ["Check", "examine"]

_NEED_SETTINGS = (
    "folder", "ledger", "nodes", "kafka", "webhooks", "labels", "permissions", "tokens", "server",
)  # fmt: skip


def examine(load: Callable[[], Settings], config: Path | None = None) -> Iterator[Check]:
    """Every finding, as it is made. Where ``load`` fails, what needs settings is skipped.

    ``config`` is the settings' file where it is not the usual one.
    """
    yield from check_machine()
    try:
        settings = load()
    except SettingsError as error:
        yield failed("settings", error.message, error.hint)
        for name in _NEED_SETTINGS:
            yield skipped(name, "the settings do not load")
        return
    yield ok("settings", "every key is known, every value in range")
    yield from check_folder(settings)
    yield from check_nodes(settings)
    yield checked("kafka", partial(check_kafka, settings))
    yield from check_receivers(settings)
    yield from check_labels(settings)
    yield from check_access(settings, config)
