"""Token wash trades: positions that always come back to nothing, in short cycles of few wallets.

After Victor and Weintraud, "Detecting and Quantifying Wash Trading on Decentralized Cryptocurrency
Exchanges" (WWW 2021): in a window of an hour, a day or a week a trader's net position in a token
stays within one per cent of what it moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from detect.journal import JournaledTable

WINDOWS: Final = (3_600, 86_400, 604_800)
NEIGHBOURS: Final = 16  # out-neighbours of a trader in one token
LONGEST: Final = 4  # transfers in a cycle
VISITS: Final = 64  # of rows in the search for one
PEERS: Final = 6  # counterparties told apart: one more than a wash trader may have
_EMPTY: Final = (-1, 0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Position:
    """What a transfer made of one trader's position: the best round trips of any window.

    ``trips`` is how often the position came back to nothing in that window, 0 where it is open;
    ``off`` the net over the gross volume; ``peers`` how many counterparties there were, at most 6.
    """

    window: int
    trips: int
    off: float
    peers: int
    kin: bool


class Positions:
    """Net and gross volume per token and trader, and the transfers it made last; bounded."""

    def __init__(self, capacity: int, margin: float) -> None:
        self._margin = margin
        # token + trader -> (per window (bucket, in, out, trips), peers, whether one is of its kin,
        # out-neighbours (address, amount), newest last)
        self.table = JournaledTable(capacity)

    def move(
        self,
        serial: int,
        token: bytes,
        ends: tuple[bytes, bytes],
        amount: float,
        now: int,
        kin: bool,
    ) -> tuple[Position, Position]:
        """Take a transfer; what it made of the sender's position and of the receiver's."""
        sender, receiver = ends
        return (
            self._book(serial, token + sender, receiver, amount, now, (True, kin)),
            self._book(serial, token + receiver, sender, amount, now, (False, kin)),
        )

    def _book(
        self, serial: int, key: bytes, peer: bytes, amount: float, now: int, how: tuple[bool, bool]
    ) -> Position:
        out, related = how
        before = self.table.get(key)
        windows, peers, kin, ring = before or ((_EMPTY,) * len(WINDOWS), (), False, ())
        booked = tuple(
            self._add(window, now // seconds, amount, out)
            for window, seconds in zip(windows, WINDOWS, strict=True)
        )
        short = peer[:8]
        if short not in peers and len(peers) < PEERS:
            peers = (*peers, short)
        if out:
            ring = (*(edge for edge in ring if edge[0] != peer), (peer, amount))[-NEIGHBOURS:]
        kin = kin or related
        self.table.put(serial, key, (booked, peers, kin, ring))
        best = max(range(len(WINDOWS)), key=lambda n: (self._closed(booked[n]), -n))
        return Position(
            WINDOWS[best],
            self._closed(booked[best]),
            self._off(booked[best]),
            len(peers),
            kin,
        )

    def _add(
        self, window: tuple[Any, ...], bucket: int, amount: float, out: bool
    ) -> tuple[Any, ...]:
        at, came, went, trips = window if window[0] == bucket else (bucket, 0.0, 0.0, 0)
        was_open = self._off((at, came, went, trips)) > self._margin
        came, went = came + amount * (not out), went + amount * out
        closed = was_open and self._off((at, came, went, trips)) <= self._margin
        return (at, came, went, trips + closed)

    def _off(self, window: tuple[Any, ...]) -> float:
        _, came, went, _ = window
        gross = came + went
        return float(abs(came - went) / gross) if gross else 0.0

    def _closed(self, window: tuple[Any, ...]) -> int:
        return int(window[3]) if self._off(window) <= self._margin else 0

    def cycle(self, token: bytes, ends: tuple[bytes, bytes], amount: float) -> int:
        """How many transfers the shortest cycle has that this one closes; 0 where there is none.

        At most ``LONGEST``, each within the margin of this one's amount.
        """
        sender, receiver = ends
        level, seen, visits = [receiver], {receiver}, 0
        for length in range(2, LONGEST + 1):
            following = []
            for wallet in level:
                visits += 1
                if visits > VISITS:
                    return 0
                for peer, passed in (self.table.get(token + wallet) or ((), (), False, ()))[3]:
                    if abs(passed - amount) > self._margin * amount:
                        continue
                    if peer == sender:
                        return length
                    if peer not in seen:
                        seen.add(peer)
                        following.append(peer)
            level = following
        return 0
