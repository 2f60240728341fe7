"""The events by which contracts change hands or code, and those that say who is behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from detect.known.proxies import (
    ADMIN_CHANGED,
    ADMIN_SLOT,
    BEACON_SLOT,
    BEACON_UPGRADED,
    CALL_EXECUTED,
    CALL_QUEUED,
    CALL_SCHEDULED,
    IMPLEMENTATION_SLOT,
    OWNER_CHANGED,
    POWERFUL_ROLES,
    QUEUED_EXECUTED,
    ROLE_GRANTED,
    UPGRADED,
)
from detect.known.safes import (
    CHANGED_MASTER_COPY,
    MODULE_SUCCESS,
    SAFE_FAILURE,
    SAFE_SETUP,
    SAFE_SUCCESS,
    SINGLETON_SLOT,
)
from detect.rules.columns import Columns

SAFE_EVENTS: Final = frozenset({SAFE_SUCCESS, SAFE_FAILURE, SAFE_SETUP, MODULE_SUCCESS})
EXECUTIONS: Final = frozenset({SAFE_SUCCESS, MODULE_SUCCESS})
NOTICES: Final = frozenset({CALL_SCHEDULED, CALL_QUEUED})
CARRIED_OUT: Final = frozenset({CALL_EXECUTED, QUEUED_EXECUTED})


class What(StrEnum):
    """What changed, in the words of a sentence."""

    MASTER_COPY = "is a Safe that now runs the code of"
    CODE = "now runs the code of"
    BEACON = "now takes its code from the beacon"
    ADMIN = "has a new proxy admin,"
    OWNER = "has a new owner,"
    ROLE = "gave away a role that rules over it, to"


SLOTS: Final[dict[What, int]] = {
    What.MASTER_COPY: SINGLETON_SLOT,
    What.CODE: IMPLEMENTATION_SLOT,
    What.BEACON: BEACON_SLOT,
    What.ADMIN: ADMIN_SLOT,
}
"""Where the new address must stand if the event tells the truth."""
RULERS: Final = frozenset({What.ADMIN, What.OWNER, What.ROLE})
_WHAT: Final = {
    CHANGED_MASTER_COPY: What.MASTER_COPY,
    UPGRADED: What.CODE,
    BEACON_UPGRADED: What.BEACON,
    ADMIN_CHANGED: What.ADMIN,
    OWNER_CHANGED: What.OWNER,
    ROLE_GRANTED: What.ROLE,
}
CHANGES: Final = frozenset(_WHAT)
TOLD: Final = CHANGES | SAFE_EVENTS | NOTICES | CARRIED_OUT


@dataclass(frozen=True, slots=True)
class Event:
    """A log of interest. ``tx`` is the row of its transaction, ``log`` that of the log."""

    place: tuple[int, int, int]  # row of the block, transaction index, ordinal
    tx: int
    log: int
    address: bytes
    topic: bytes

    @property
    def serial_row(self) -> int:
        """The row of the block."""
        return self.place[0]


@dataclass(frozen=True, slots=True)
class Change:
    """What an event says: ``before`` is None where it does not name it."""

    what: What
    new: bytes
    before: bytes | None


def events_of(columns: Columns) -> Iterator[Event]:
    """The logs of interest in chain order."""
    logs = columns.batch.logs
    rows = columns.logs_with(TOLD)
    if not len(rows):
        return
    blocks = columns.block_row(logs["block_number"].to_numpy()[rows]).tolist()
    cells = columns.cells("logs")
    indexes, addresses, topics = cells["transaction_index"], cells["address"], cells["topic0"]
    for log, block in zip(rows.tolist(), blocks, strict=True):
        index = indexes[log]
        tx = columns.tx_row(int(columns.block_numbers[block]), index)
        if tx >= 0:
            place = (block, index, int(columns.log_ordinal[log]))
            yield Event(place, tx, log, addresses[log], topics[log])


def change_of(columns: Columns, event: Event) -> Change | None:
    """What an event of ``CHANGES`` says; None where it is malformed or of no weight.

    Of no weight are renouncing, the first owner or admin of what is being set up, and roles that do
    not rule.
    """
    logs, what = columns.cells("logs"), _WHAT[event.topic]
    data = logs["data"][event.log] or b""
    named = [topic for n in (1, 2, 3) if (topic := logs[f"topic{n}"][event.log])]
    if what == What.ROLE:
        if len(named) != 3 or named[0] not in POWERFUL_ROLES:
            return None
        return _change(what, named[1], None)
    words = [*named, *(data[at : at + 32] for at in range(0, len(data) - 31, 32))]
    if what in (What.ADMIN, What.OWNER):
        return _change(what, words[1], words[0]) if len(words) == 2 else None
    return _change(what, words[0], None) if len(words) == 1 else None


def call_id(columns: Columns, event: Event) -> bytes | None:
    """Which call of a timelock an event is about: the emitter and the id it gave."""
    found = columns.cells("logs")["topic1"][event.log]
    return None if found is None else event.address + found


def _change(what: What, new: bytes, before: bytes | None) -> Change | None:
    if any(word is not None and any(word[:12]) for word in (new, before)):
        return None  # no addresses
    if not any(new) or (before is not None and not any(before)):
        return None
    return Change(what, new[12:], None if before is None else before[12:])
