"""Named places where a process can be killed, put around the product's functions from outside.

The product has no hooks for this. ``arm`` wraps one function in this process, which is forked to
die: at its n-th call, before it does anything or after it did everything, SIGKILL ends the process,
all of its threads and whatever they were at.
"""

from __future__ import annotations

import functools
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from chainwarden.memory_bus import MemoryBus
from chainwarden.restart import Resumption
from detect.detector import Detector
from store import cursor_table, database, manifest
from store.label_archive import LabelArchive
from store.lake import Lake
from store.lake_writer import LakeWriter
from store.ledger import Ledger
from store.outbox import Outbox
from store.snapshots import SnapshotStore
from store.webhook import WebhookSender

When = Literal["before", "after"]

POINTS: Final[dict[str, tuple[Any, str]]] = {
    "fsync": (os, "fsync"),
    "rename": (os, "replace"),
    "unlink": (os, "unlink"),
    "migrate": (database, "migrate"),
    "label lists": (LabelArchive, "keep"),
    "sweep": (Lake, "sweep"),
    "restore": (Detector, "restore"),
    "resume": (Resumption, "__call__"),
    "lake begin": (LakeWriter, "conclude"),
    "features": (LakeWriter, "conclude_features"),
    "lake write": (LakeWriter, "finish"),
    "orphan": (Lake, "write_orphans"),
    "split": (Lake, "without"),
    "commit": (Ledger, "commit"),
    # The last statements but one before DuckDB's COMMIT, and the first thing after it.
    "cursor": (cursor_table, "write"),
    "manifest": (manifest, "write"),
    "witness": (database.Database, "_witness"),
    "bus commit": (MemoryBus, "commit"),
    "snapshot": (SnapshotStore, "save"),
    "compact": (Lake, "compact"),
    "remove": (Lake, "remove"),
    "prune": (Outbox, "prune"),
    "due": (Outbox, "due"),
    "post": (WebhookSender, "send"),
    "delivered": (Outbox, "delivered"),
    "failed": (Outbox, "failed"),
    "hasten": (Outbox, "hasten"),
}
"""By name: whose function, and which. ``post`` has ended when the receiver's 2xx was read."""


class Failpoint(NamedTuple):
    """Before or after the ``hit``-th call of a point."""

    name: str
    when: When
    hit: int = 1


def arm(point: Failpoint, note: Callable[[str], None]) -> None:
    """Die there. ``note`` is told the place first."""
    left = point.hit

    def here(when: When) -> None:
        nonlocal left
        if when == point.when:
            left -= 1
            if left == 0:
                note(f"{point.when} {point.name}")
                os.kill(os.getpid(), signal.SIGKILL)

    _wrap(point.name, here)


def count(into: Counter[str]) -> None:
    """Count the calls of every point."""
    for name in POINTS:

        def here(when: When, name: str = name) -> None:
            into[name] += when == "after"

        _wrap(name, here)


def _wrap(name: str, here: Callable[[When], None]) -> None:
    owner, attribute = POINTS[name]
    original = getattr(owner, attribute)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        here("before")
        result = original(*args, **kwargs)
        here("after")
        return result

    put(owner, attribute, wrapped)


def put(owner: Any, attribute: str, function: Callable[..., Any]) -> None:
    """Have this process call another function in the place of one."""
    setattr(owner, attribute, function)
