"""Tornado Cash as its router is called: deposits in public, withdrawals through a relayer."""

from __future__ import annotations

import random

from ingest.simulate.contracts import At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Wallet
from ingest.simulate.world import World


def mix(world: World, rng: random.Random, depositor: Wallet, pool: bytes, value: int) -> Draft:
    """A deposit into a Tornado Cash pool through its router."""
    commitment = rng.randbytes(32)
    when = world.now.timestamp
    depositor.debit(None, value)
    leaf = rng.randrange(60_000)
    log = Log(pool, (Event.TORNADO_DEPOSIT, commitment), uint(leaf) + uint(when))
    words = bytes(12) + pool + commitment + uint(96) + uint(0)
    data = Call.TORNADO_DEPOSIT + words
    return Draft(depositor, At.TORNADO_ROUTER, value, data, [log], gas_used=1_010_000)


def unmix(
    world: World, rng: random.Random, recipient: Wallet, pool: bytes, denomination: int
) -> Draft:
    """A relayer pays out of a Tornado Cash pool; who gets it stands only in the event's data."""
    relayer = world.services.tornado_relayer
    fee = denomination // 250
    nullifier = rng.randbytes(32)
    recipient.credit(None, denomination - fee)
    topics = (Event.TORNADO_WITHDRAWAL, pad(relayer.address))
    log = Log(pool, topics, pad(recipient.address) + nullifier + uint(fee))
    words = pad(pool) + uint(256) + rng.randbytes(32) + nullifier
    words += pad(recipient.address) + pad(relayer.address) + uint(fee) + uint(0)
    proof = uint(256) + rng.randbytes(256)
    data = Call.TORNADO_WITHDRAW + words + proof
    return Draft(relayer, At.TORNADO_ROUTER, 0, data, [log], gas_used=372_000)
