"""Uniswap V3- and V4-shaped pools: the same curve as a pair's, and other logs.

Their liquidity is that of the full range, so that prices follow x·y = k as in a pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ingest.codec import keccak
from ingest.simulate.contracts import At, Event, pad, sint, uint
from ingest.simulate.draft import Log
from ingest.simulate.pools import Pool
from ingest.simulate.tokens import transfer_log

FEE: Final = 3_000
LOWEST, HIGHEST = -887_220, 887_220  # the full range in ticks, with a spacing of 60


@dataclass(slots=True)
class ConcentratedPool(Pool):
    """A pool of a token with WETH; ``version`` is 3 or 4. V4 pools are all in one contract."""

    version: int = 3

    @property
    def vault(self) -> bytes:
        """Who holds the tokens and emits the events."""
        return self.address if self.version == 3 else At.V4_MANAGER

    @property
    def id(self) -> bytes:
        """The hash that names a V4 pool."""
        return keccak(b"pool key" + self.address)

    @property
    def liquidity(self) -> int:
        """L, the root of the product of what backs the pool."""
        return int((float(self.ether) * float(self.tokens)) ** 0.5)

    def buy_logs(self, payer: bytes, target: bytes, paid: int) -> tuple[int, list[Log]]:
        """Swap wrapped ether of ``payer`` for the token; returns the amount and the logs."""
        got = self.quote(paid, self.ether, self.tokens)
        self.ether += paid
        self.tokens -= got
        return got, [
            transfer_log(self.token.address, self.vault, target, got),
            transfer_log(At.WETH, payer, self.vault, paid),
            self._traded(payer, target, paid, -got),
        ]

    def sell_logs(self, payer: bytes, target: bytes, paid: int) -> tuple[int, list[Log]]:
        """Swap the token of ``payer`` for wrapped ether; returns the amount and the logs."""
        got = self.quote(paid, self.tokens, self.ether)
        self.tokens += paid
        self.ether -= got
        return got, [
            transfer_log(At.WETH, self.vault, target, got),
            transfer_log(self.token.address, payer, self.vault, paid),
            self._traded(payer, target, -got, paid),
        ]

    def _traded(self, payer: bytes, target: bytes, ether: int, tokens: int) -> Log:
        """The Swap of either version; amounts are what the pool gained."""
        weth_first = self.token.address > At.WETH
        gains = (ether, tokens) if weth_first else (tokens, ether)
        price = int((float(self.tokens) / max(1, self.ether)) ** 0.5 * 2**96) % 2**160
        state = uint(price) + uint(self.liquidity) + sint(0)
        if self.version == 3:
            topics = (Event.V3_SWAP, pad(payer), pad(target))
            return Log(self.address, topics, sint(gains[0]) + sint(gains[1]) + state)
        topics = (Event.V4_SWAP, self.id, pad(payer))  # V4 tells the swapper's side
        return Log(At.V4_MANAGER, topics, sint(-gains[0]) + sint(-gains[1]) + state + uint(FEE))

    def position_logs(self, owner: bytes, share: float, sign: int) -> list[Log]:
        """A position of that share of the pool comes (sign 1) or goes (-1), held by ``owner``."""
        ether, tokens = int(self.ether * share), int(self.tokens * share)
        size = int(self.liquidity * share)
        self.ether += sign * ether
        self.tokens += sign * tokens
        ends = (owner, self.vault) if sign > 0 else (self.vault, owner)
        moves = [
            transfer_log(At.WETH, *ends, ether),
            transfer_log(self.token.address, *ends, tokens),
        ]
        if self.version == 4:
            words = sint(LOWEST) + sint(HIGHEST) + sint(sign * size) + bytes(32)
            return [Log(At.V4_MANAGER, (Event.V4_MODIFY, self.id, pad(owner)), words), *moves]
        pair = self._sides(ether, tokens)
        if sign > 0:
            topics = (Event.V3_MINT, pad(owner), sint(LOWEST), sint(HIGHEST))
            return [*moves, Log(self.address, topics, pad(owner) + uint(size) + pair)]
        burnt = (Event.V3_BURN, pad(owner), sint(LOWEST), sint(HIGHEST))
        taken = (Event.V3_COLLECT, pad(owner), sint(LOWEST), sint(HIGHEST))
        return [
            Log(self.address, burnt, uint(size) + pair),
            *moves,
            Log(self.address, taken, pad(owner) + pair),
        ]
