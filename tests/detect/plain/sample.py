"""Whose rows are held where more come than there is room for."""

from __future__ import annotations

import math

from detect.risk_config import RiskConfig

WORD = 1 << 64


class WalletSample:
    """One wallet in a power of two, as many as fit at the pace at which rows came of late."""

    def __init__(self, config: RiskConfig) -> None:
        self.delay, self.room = config.delay_seconds, 0.75 * config.capacity
        self.rows = self.seconds = 0.0
        self.last: int | None = None
        self.came = 0

    @property
    def one_in(self) -> int:
        """Of how many wallets one is held, by what came until the last block."""
        waiting = self.rows / max(600.0, self.seconds) * self.delay
        held = 1
        while waiting > self.room * held:
            held *= 2
        return held

    def has(self, hashed: int) -> bool:
        """Whether a wallet is in it; a row of its came in any case."""
        self.came += 1
        return (hashed * 0x9E3779B97F4A7C15 % WORD >> 24) % self.one_in == 0

    def end_block(self, now: int) -> None:
        """A block is over; what came a day before counts 1/e as much."""
        if self.last is not None:
            passed = max(0, now - self.last)
            faded = math.exp(-passed / 86_400)
            self.rows = self.rows * faded + self.came
            self.seconds = self.seconds * faded + passed
        self.last, self.came = now, 0
