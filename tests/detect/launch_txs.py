"""Transactions of a token's life: creation, pool, trades, liquidity, all with their logs."""

from __future__ import annotations

import hashlib
from typing import Any

from detect.known.pools import V3_BURN, V3_COLLECT, V3_MINT, V4_MODIFY
from detect.known.tokens import WETH
from tests.detect.build import ETHER, Tx, at, uint, wallet, word
from tests.detect.pool_logs import (
    MANAGER,
    MadeLog,
    initialize,
    pair_created,
    pool_created,
    signed,
    v2_burn,
    v2_mint,
    v2_swap,
    v3_swap,
    v4_id,
    v4_swap,
)

ZERO = bytes(20)
DEPLOYER, TOKEN, PAIR, FACTORY, CHILD, SINK, LOCKER_USER = (wallet(n) for n in range(400, 407))
ROUTER = at("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D")
BUYERS = [wallet(500 + n) for n in range(60)]
SUPPLY = 10**9


def hash_of(address: bytes) -> int:
    """Some 64-bit hash of a wallet, as facts have one."""
    return int.from_bytes(hashlib.sha256(address).digest()[:8], "big")


def signed_by(sender: bytes, to: bytes | None, *args: Any, **more: Any) -> Tx:
    """A transaction with the sender's hash among its facts."""
    more["facts"] = {"from_hash": hash_of(sender), **more.get("facts", {})}
    return Tx(sender, to, *args, **more)


def create(deployer: bytes = DEPLOYER, token: bytes = TOKEN) -> Tx:
    """The token is created; all of it goes to its deployer."""
    return signed_by(deployer, None, creates=token, tokens=[(token, ZERO, deployer, SUPPLY)])


def add(
    ether: int = 5 * ETHER, pool: bytes = PAIR, by: bytes = DEPLOYER, version: int = 2, **more: Any
) -> Tx:
    """Liquidity goes into a new pool."""
    tokens = SUPPLY * 9 // 10
    made: list[MadeLog]
    vault = pool
    if version == 2:
        made = [pair_created(FACTORY, pool, TOKEN, WETH), v2_mint(pool, tokens, ether)]
    elif version == 3:
        data = word(by) + uint(10**12) + uint(tokens) + uint(ether)
        mint = (pool, [V3_MINT, word(by), uint(1), uint(2)], data)
        made = [pool_created(FACTORY, pool, TOKEN, WETH), mint]
    else:
        vault = MANAGER
        words = signed(-60) + signed(60) + signed(10**12) + bytes(32)
        made = [initialize(pool, TOKEN, WETH), (MANAGER, [V4_MODIFY, v4_id(pool), word(by)], words)]
    moves = [(TOKEN, by, vault, tokens), (WETH, ROUTER, vault, ether)]
    return signed_by(by, ROUTER, ether, tokens=moves, logs=made, **more)


def swap(pool: bytes, token: int, ether: int, version: int) -> MadeLog:
    """The swap of a version; amounts are the pool's gains."""
    return {2: v2_swap, 3: v3_swap, 4: v4_swap}[version](pool, token, ether)


def buy(
    buyer: bytes, ether: int, tokens: int = 1_000, pool: bytes = PAIR, version: int = 2, **more: Any
) -> Tx:
    """Somebody buys for that much ether."""
    vault = MANAGER if version == 4 else pool
    moves = [(WETH, ROUTER, vault, ether), (TOKEN, vault, buyer, tokens)]
    return signed_by(
        buyer, ROUTER, ether, tokens=moves, logs=[swap(pool, -tokens, ether, version)], **more
    )


def sell(
    seller: bytes,
    ether: int,
    tokens: int = 1_000,
    taxed: int = 0,
    pool: bytes = PAIR,
    **more: Any,
) -> Tx:
    """Somebody sells for that much ether; ``taxed`` is what the token keeps of it."""
    moves = [(TOKEN, seller, pool, tokens - taxed), (WETH, pool, ROUTER, ether)]
    if taxed:
        moves.insert(0, (TOKEN, seller, TOKEN, taxed))
    return signed_by(
        seller, ROUTER, tokens=moves, logs=[v2_swap(pool, tokens - taxed, -ether)], **more
    )


def remove(
    ether: int, by: bytes = DEPLOYER, pool: bytes = PAIR, to: bytes = ROUTER, **more: Any
) -> Tx:
    """That much ether of liquidity comes out of a pair."""
    tokens = SUPPLY // 2
    moves = [(TOKEN, pool, by, tokens), (WETH, pool, ROUTER, ether)]
    return signed_by(by, to, tokens=moves, logs=[v2_burn(pool, tokens, ether)], **more)


def remove_v3(ether: int, by: bytes = DEPLOYER, pool: bytes = PAIR) -> Tx:
    """A V3 position is burnt and collected."""
    words = uint(10**12) + uint(1_000) + uint(ether)
    burn = (pool, [V3_BURN, word(by), uint(1), uint(2)], words)
    collect = (pool, [V3_COLLECT, word(by), uint(1), uint(2)], word(by) + uint(1_000) + uint(ether))
    return signed_by(by, ROUTER, tokens=[(WETH, pool, by, ether)], logs=[burn, collect])


def remove_v4(by: bytes = DEPLOYER, pool: bytes = PAIR) -> Tx:
    """All liquidity of a V4 pool is taken out."""
    words = signed(-60) + signed(60) + signed(-(10**12)) + bytes(32)
    logs = [(MANAGER, [V4_MODIFY, v4_id(pool), word(by)], words)]
    return signed_by(by, ROUTER, logs=logs)


def pay(sender: bytes, to: bytes, value: int, **facts: Any) -> Tx:
    """A payment of ether."""
    return signed_by(sender, to, value, facts=facts)
