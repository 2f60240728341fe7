"""Time that passes when a test says so."""

from __future__ import annotations

from typing import Final

START: Final = 1_700_000_000.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0


class VirtualClock:
    """Seconds since 1970, given to whatever takes a clock; it goes back only by ``jump``.

    >>> clock = VirtualClock(10.0)
    >>> clock.advance(5.0)
    >>> clock()
    15.0
    """

    def __init__(self, start: float = START) -> None:
        self.now = start

    def __call__(self) -> float:
        """What time it is."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.now += seconds

    def reach(self, moment: float) -> None:
        """Let time pass until then, if it is not then already."""
        self.now = max(self.now, moment)

    def jump(self, seconds: float) -> None:
        """Set the clock to another time, forward or back, as an operator would."""
        self.now += seconds
