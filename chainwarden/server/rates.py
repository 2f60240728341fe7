"""How often each caller may ask."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_CALLERS: Final = 4096


class Rates:
    """A token bucket per caller: ``per_minute`` at once, and as many again in a minute.

    Bounded: of more than ``MAX_CALLERS``, the one longest silent is forgotten.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, caller: str) -> int:
        """0 where the caller may ask now, which counts; else after how many whole seconds."""
        now = self._clock()
        left, at = self._buckets.pop(caller, (self._most, now))
        left = min(self._most, left + (now - at) * self._most / 60.0)
        allowed = left > 1.0 - 1e-6  # rounding is nobody's fault
        self._buckets[caller] = (max(0.0, left - 1.0) if allowed else left, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1.0 - left) * 60.0 / self._most))


def neighbourhood(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that one IPv6 customer has whole.

    >>> neighbourhood("2001:db8::1") == neighbourhood("2001:db8::2")
    True
    >>> neighbourhood("192.0.2.1")
    '192.0.2.1'
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))
