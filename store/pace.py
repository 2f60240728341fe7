"""How often a receiver is spoken to: a bound that holds over every minute, with room for the worst.

Lesser messages may use three quarters of a receiver's rate, so that a critical one finds room in
the midst of a flood. What was sent before a restart is not remembered.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MINUTE: Final = 60.0
LEAST_RATE: Final = 4
DEFAULT_RATE: Final = 60


class Pace:
    """Posts to one receiver: at most ``rate`` in any minute, of which three quarters lesser ones.

    >>> pace = Pace(4)
    >>> for second in (0.0, 1.0, 2.0):
    ...     pace.posted(second, lesser=True)
    >>> pace.room(3.0, lesser=True), pace.room(3.0, lesser=False), pace.room(60.0, lesser=True)
    (0, 1, 1)
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.lesser = rate * 3 // 4
        """How many of them may be lesser ones."""
        self._posts: deque[tuple[float, bool]] = deque()
        self._digest_at = float("-inf")

    def posted(self, now: float, *, lesser: bool) -> None:
        """One was sent."""
        self._posts.append((now, lesser))

    def room(self, now: float, *, lesser: bool) -> int:
        """How many more may be sent now."""
        while self._posts and self._posts[0][0] <= now - MINUTE:
            self._posts.popleft()
        left = self.rate - len(self._posts)
        if not lesser:
            return left
        return min(left, self.lesser - sum(kind for _, kind in self._posts))

    def moments(self) -> list[float]:
        """When room comes free next, and from when on another digest may be made."""
        freed = [at + MINUTE for at, _ in list(self._posts)[:1]]
        return [*freed, self._digest_at + MINUTE]

    def set_back(self, seconds: float) -> None:
        """The clock was set back by that much."""
        self._posts = deque((at - seconds, lesser) for at, lesser in self._posts)
        self._digest_at -= seconds

    def may_digest(self, now: float) -> bool:
        """Whether a minute has passed since the last digest was made."""
        return now - self._digest_at >= MINUTE

    def digested(self, now: float) -> None:
        """One was made."""
        self._digest_at = now
