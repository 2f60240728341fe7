"""Logs of pools as contracts emit them, for made-up blocks. Amounts are the pool's gains."""

from __future__ import annotations

from detect.known.pools import (
    PAIR_CREATED,
    POOL_CREATED,
    POOL_MANAGERS,
    V2_BURN,
    V2_MINT,
    V2_SWAP,
    V2_SYNC,
    V3_SWAP,
    V4_INITIALIZE,
    V4_SWAP,
)
from tests.detect.build import uint, word

MadeLog = tuple[bytes, list[bytes], bytes]
(MANAGER,) = POOL_MANAGERS


def signed(value: int) -> bytes:
    """A signed integer as an ABI word."""
    return value.to_bytes(32, "big", signed=True)


def v2_swap(pool: bytes, gain0: int, gain1: int) -> MadeLog:
    """A swap of a pair."""
    into = uint(max(0, gain0)) + uint(max(0, gain1))
    return (
        pool,
        [V2_SWAP, word(pool), word(pool)],
        into + uint(max(0, -gain0)) + uint(max(0, -gain1)),
    )


def v3_swap(pool: bytes, gain0: int, gain1: int) -> MadeLog:
    """A swap of a V3 pool."""
    rest = uint(1 << 96) + uint(10**12) + signed(-5)
    return pool, [V3_SWAP, word(pool), word(pool)], signed(gain0) + signed(gain1) + rest


def v4_swap(pool: bytes, gain0: int, gain1: int) -> MadeLog:
    """A swap of the V4 pool whose id ends with that address: told from the swapper's side."""
    rest = uint(1 << 96) + uint(10**12) + signed(-5) + uint(3000)
    topics = [V4_SWAP, v4_id(pool), word(pool)]
    return MANAGER, topics, signed(-gain0) + signed(-gain1) + rest


def v4_id(pool: bytes) -> bytes:
    """A V4 pool's id made of an address."""
    return b"\xa5" * 12 + pool


def pair_created(factory: bytes, pair: bytes, token0: bytes, token1: bytes) -> MadeLog:
    """A new V2 pair."""
    return factory, [PAIR_CREATED, word(token0), word(token1)], word(pair) + uint(1)


def pool_created(factory: bytes, pool: bytes, token0: bytes, token1: bytes) -> MadeLog:
    """A new V3 pool."""
    return factory, [POOL_CREATED, word(token0), word(token1), uint(3000)], uint(60) + word(pool)


def initialize(pool: bytes, token0: bytes, token1: bytes) -> MadeLog:
    """A new V4 pool."""
    topics = [V4_INITIALIZE, v4_id(pool), word(token0), word(token1)]
    return MANAGER, topics, uint(3000) + uint(60) + uint(0) + uint(1 << 96) + uint(0)


def v2_mint(pool: bytes, amount0: int, amount1: int) -> MadeLog:
    """Liquidity goes into a pair."""
    return pool, [V2_MINT, word(pool)], uint(amount0) + uint(amount1)


def v2_burn(pool: bytes, amount0: int, amount1: int) -> MadeLog:
    """Liquidity comes out of a pair."""
    return pool, [V2_BURN, word(pool), word(pool)], uint(amount0) + uint(amount1)


def sync(pool: bytes, reserve0: int, reserve1: int) -> MadeLog:
    """A pair's reserves."""
    return pool, [V2_SYNC], uint(reserve0) + uint(reserve1)
