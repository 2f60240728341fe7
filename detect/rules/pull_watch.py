"""Liquidity that insiders took out: a rug pull when its money moves on or nothing comes back."""

from __future__ import annotations

from dataclasses import replace

from detect.journal import JournaledTable
from detect.known.prices import Prices
from detect.rules.launches import Launch, Step
from detect.rules.rug_pull import Pull, RugPullConfig, judge_pull
from detect.rules.rule import Finding
from detect.rules.verdict import Place


class PullWatch:
    """The pulls that are not decided yet, at most ``pending``, by pool.

    A team that migrates puts the liquidity into another pool, so a pull is told (a) when its maker
    pays half of it or more to a wallet, or (b) when an hour has passed and less than half of it
    has come back to any pool of the token.
    """

    def __init__(
        self, config: RugPullConfig, prices: Prices, launches: JournaledTable, pending: int
    ) -> None:
        self._config = config
        self._prices = prices
        self._launches = launches
        self.table = JournaledTable(pending)

    def pullers(self) -> set[bytes]:
        """Whose payments matter."""
        return {pull.puller for _, pull in self._all()}

    def pulled(
        self, place: Place, pool: bytes, launch: Launch, share: float, amount: float
    ) -> None:
        """An insider took that share of the liquidity, worth so much of the coin."""
        pull = Pull(
            due=place.time + self._config.migration_seconds,
            puller=place.signer,
            share=share,
            amount=amount,
            dollars=launch.dollars(self._prices, amount),
            tx=place.hash or b"",
            ordinal=place.ordinal,
        )
        self.table.put(place.serial, pool, pull)

    def returned(self, place: Place, launch: Launch, amount: float) -> None:
        """Liquidity came into a pool: a pull of the same token that it makes up for is none."""
        if not len(self.table):
            return
        dollars = launch.dollars(self._prices, amount)
        for pool, pull in self._all():
            old = self._launches.get(pool)
            same = old is not None and Launch(*old).token == launch.token
            if same and dollars >= 0.5 * pull.dollars:
                self.table.remove(place.serial, pool)

    def moved(self, step: Step, place: Place) -> Finding | None:
        """A payment: whether it is a puller's, of what it pulled, to a wallet."""
        columns, row = place.columns, step.row
        if columns.scored.flow_facts[row]["to_is_contract"]:
            return None
        flows = columns.cells("flows")
        sender, token = flows["from_address"][row], flows["token_address"][row]
        worth = self._prices.worth(token, float(columns.flow_value[row]))
        for pool, pull in self._all():
            if pull.puller == sender and worth >= 0.5 * pull.dollars:
                return self._decide(place, pool, pull, True)
        return None

    def overdue(self, place: Place, pool: bytes) -> Finding | None:
        """The hour is over."""
        row = self.table.get(pool)
        if row is None:
            return None
        pull = Pull(*row)
        return self._decide(replace(place, ordinal=pull.ordinal), pool, pull, False)

    def _decide(self, place: Place, pool: bytes, pull: Pull, moved: bool) -> Finding | None:
        self.table.remove(place.serial, pool)
        row = self._launches.get(pool)
        if row is None:
            return None
        return judge_pull(self._config, self._prices, place, Launch(*row), pool, pull, moved)

    def _all(self) -> list[tuple[bytes, Pull]]:
        found = []
        for pool in sorted(self.table.keys()):
            row = self.table.get(pool)
            if row is not None:
                found.append((pool, Pull(*row)))
        return found
