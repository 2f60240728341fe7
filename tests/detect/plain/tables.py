"""What is remembered within bounds, and who gives way where there is no more room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tests.detect.plain.numbers import mixed

CANDIDATES = 8
WAYS = 4


class Named(Protocol):
    """Something about an address."""

    address: bytes


T = TypeVar("T", bound=Named)


class Table(Generic[T]):
    """So many at most. One more takes the place of the least worth of eight, spread over all."""

    def __init__(self, capacity: int, worth: Callable[[T, int], float]) -> None:
        self.capacity, self.worth = capacity, worth
        self.rows: list[T] = []
        self.places: dict[bytes, int] = {}
        self.hand = 0

    def get(self, address: bytes) -> T | None:
        """What is remembered of an address."""
        place = self.places.get(address)
        return None if place is None else self.rows[place]

    def admit(self, row: T, now: int, kept: T | None = None) -> T:
        """Remember a new one, at the cost of another if need be, but not of ``kept``."""
        if len(self.rows) < self.capacity:
            self.places[row.address] = len(self.rows)
            self.rows.append(row)
            return row
        steps = (self.hand + k * self.capacity // CANDIDATES for k in range(CANDIDATES))
        places = [step % self.capacity for step in steps]
        others = [place for place in places if self.rows[place] is not kept]
        least = min(others, key=lambda place: self.worth(self.rows[place], now))
        self.hand = (self.hand + 1) % self.capacity
        del self.places[self.rows[least].address]
        self.rows[least], self.places[row.address] = row, least
        return row


@dataclass(slots=True)
class Pair:
    """Flows between two: ``up`` from the one with the lower hash to the other."""

    key: int
    up: int = 0
    down: int = 0
    last_seen: int = 0


class Pairs:
    """Sets of four: the one with the fewest flows, the longest unseen, gives way."""

    def __init__(self, capacity: int) -> None:
        self.count = capacity // WAYS
        self.sets: dict[int, list[Pair]] = {}

    def get(self, key: int) -> Pair | None:
        """A pair, if it is remembered."""
        here = self.sets.get((key >> 1) % self.count, ())
        return next((pair for pair in here if pair.key == key), None)

    def add(self, key: int, up: bool, now: int) -> None:
        """One more flow."""
        pair = self.get(key)
        if pair is None:
            pair = Pair(key)
            here = self.sets.setdefault((key >> 1) % self.count, [])
            if len(here) < WAYS:
                here.append(pair)
            else:
                least = min(
                    range(WAYS), key=lambda n: (here[n].up + here[n].down, here[n].last_seen)
                )
                here[least] = pair
        pair.up += up
        pair.down += not up
        pair.last_seen = now


def pair_key(one: int, other: int) -> tuple[int, bool]:
    """The key of two wallets' hashes, and whether the first has the lower one."""
    return (mixed(one, other), True) if one < other else (mixed(other, one), False)
