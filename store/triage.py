"""What people do about alerts, beside labelling: take one in hand, or hear no more of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from chainwarden.schema import Alert, Chain
from store import acknowledgements, alert_table, suppressions
from store.acknowledgements import Acknowledgement
from store.database import Database, Transaction
from store.news import cancel_raised
from store.suppressions import Suppression

MOST_HOLDING: Final = 1000
"""How many suppressions hold at a time: every alert is held against each."""

MOST_EVER: Final = 1_000_000
"""How many acknowledgements, and suppressions, are kept."""


class Triage:
    """Acknowledgements and suppressions in a ledger. Safe in any thread.

    ``told`` is called when an alert was acknowledged, or that was taken back. ``clock`` gives
    seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        chain: Chain,
        clock: Callable[[], float],
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._chain = chain
        self._clock = clock
        self._told = told
        self._holding = suppressions.holding(database.cursor(), chain.name, clock())

    # --- acknowledgements ----------------------------------------------------------------------

    def acknowledge(self, alert_id: str, by: str = "", why: str = "") -> bool:
        """Note who has an alert in hand. False where it was noted so already."""
        return self._say(alert_id, by, why, withdrawn=False)

    def unacknowledge(self, alert_id: str, by: str = "", why: str = "") -> bool:
        """Note that nobody has it in hand any more. False where nobody had."""
        return self._say(alert_id, by, why, withdrawn=True)

    def latest(self, alert_ids: Sequence[str]) -> dict[str, Acknowledgement]:
        """What was said last of each of some alerts, of which something was."""
        return acknowledgements.latest(self._database.cursor(), self._chain.name, alert_ids)

    def acknowledgements(self) -> list[Acknowledgement]:
        """Who took which alert in hand and gave it back, oldest first."""
        return acknowledgements.trail(self._database.cursor(), self._chain.name)

    def full(self) -> bool:
        """Whether so much was said that no more is kept."""
        said = (self._database.totals[table] for table in ("acknowledgements", "suppressions"))
        return max(said) >= MOST_EVER

    # --- suppressions --------------------------------------------------------------------------

    def suppress(
        self, rule: str | None, subject: bytes | None, until: float, by: str = "", why: str = ""
    ) -> Suppression:
        """Have nobody told of some alerts until a time, nor of those that wait to be told."""
        said = Suppression(0, rule, subject, until, self._clock(), by, why)
        with self._database.transaction() as tx:
            said = replace(said, serial=suppressions.add(tx, self._chain.name, said))
            cancel_raised(tx, self._chain, rule, subject)
            tx.then(lambda: self._hold([*self.holding(), said]))
        return said

    def end(self, serial: int, by: str = "") -> Suppression | None:
        """Have people told again from now on. None where none of that serial holds."""
        now = self._clock()
        with self._database.transaction() as tx:  # nobody else ends it meanwhile
            found = next((one for one in self.holding() if one.serial == serial), None)
            if found is None:
                return None
            suppressions.end(tx, self._chain.name, serial, now, by)
            tx.then(lambda: self._hold([one for one in self.holding() if one != found]))
        return replace(found, ended_at=now, ended_by=by)

    def holding(self) -> list[Suppression]:
        """Those that hold now, oldest first."""
        now = self._clock()
        return [one for one in self._holding if one.holds(now)]

    def suppressions(self, limit: int, before: int | None = None) -> list[Suppression]:
        """At most ``limit`` of all there ever were, newest first, of those before a serial."""
        return suppressions.page(self._database.cursor(), self._chain.name, limit, before)

    def suppressed(self, alert: Alert) -> bool:
        """Whether nobody is told of an alert like that."""
        return self.suppressed_until(alert) is not None

    def suppressed_until(self, alert: Alert) -> float | None:
        """Until when nobody is told of an alert like that; None: people are."""
        return max((one.until for one in self.holding() if one.covers(alert)), default=None)

    # --- a ledger made anew --------------------------------------------------------------------

    def take_over(self, tx: Transaction, other: Triage) -> None:
        """Have all that was said in another ledger of this chain."""
        for said in other.acknowledgements():
            acknowledgements.add(tx, self._chain.name, replace(said, changed=0))
        for one in other.suppressions(MOST_EVER)[::-1]:
            suppressions.add(tx, self._chain.name, one)
        holding = suppressions.holding(tx.cursor, self._chain.name, self._clock())
        tx.then(lambda: self._hold(holding))

    # --- inside --------------------------------------------------------------------------------

    def _say(self, alert_id: str, by: str, why: str, *, withdrawn: bool) -> bool:
        with self._database.transaction() as tx:
            last = acknowledgements.latest(tx.cursor, self._chain.name, [alert_id]).get(alert_id)
            in_hand = None if last is None or last.withdrawn else (last.by, last.why)
            nothing_new = in_hand is None if withdrawn else in_hand == (by, why)
            if nothing_new:
                return False
            (number,) = tx.serials("alert_change_serial", 1)
            said = Acknowledgement(alert_id, self._clock(), by, why, withdrawn, number)
            acknowledgements.add(tx, self._chain.name, said)
            alert_table.touch(tx, alert_id, number)
        self._told()
        return True

    def _hold(self, holding: Sequence[Suppression]) -> None:
        self._holding = tuple(holding)
