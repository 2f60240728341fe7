"""Flows among any number of wallets, made as columns: a million a second.

Wallet ``n`` is always the same address, so a crowd of ten million is a range of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks.chains import binary, table_of
from chainwarden.schema import ETHEREUM, BlockBatch, FlowKind
from detect.compiled import Array

START: Final = 1_600_000_000
BLOCK_SECONDS: Final = 12
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # odd: numbers and addresses are one to one


def strangers(wallets: int, flows_a_block: int, blocks_a_batch: int) -> Iterator[BlockBatch]:
    """Each flow between two wallets never seen, until so many have come."""
    flows = flows_a_block * blocks_a_batch
    for number in range(-(-wallets // (2 * flows))):
        ids = np.arange(2 * flows * number, min(wallets, 2 * flows * (number + 1)))
        senders, receivers = ids[: len(ids) // 2], ids[len(ids) // 2 : 2 * (len(ids) // 2)]
        yield batch_of(senders, receivers, number * blocks_a_batch, flows_a_block)


def acquaintances(
    wallets: int, flows_a_block: int, blocks: int, first_block: int, seed: int
) -> BlockBatch:
    """Flows between any two of the first so many wallets, all of them as likely."""
    sides = np.random.default_rng(seed).integers(0, wallets, (2, flows_a_block * blocks))
    return batch_of(sides[0], sides[1], first_block, flows_a_block)


def address_of(wallet: int) -> bytes:
    """The address of the wallet with that number."""
    return bytes(_addresses(np.array([wallet]))[0])


def batch_of(senders: Array, receivers: Array, first_block: int, flows_a_block: int) -> BlockBatch:
    """Coin flows between wallets given by number, a transaction each, in whole blocks."""
    at = first_block + np.arange(len(senders)) // flows_a_block
    value = np.random.default_rng(first_block).lognormal(40.0, 2.5, len(senders))
    exact = np.zeros((len(senders), 4), ">u8")
    exact[:, 3] = np.minimum(value, 2.0**63).astype(np.uint64)
    index = np.arange(len(senders)) % flows_a_block
    hashes = np.zeros((len(senders), 4), np.int64)
    hashes[:, 0], hashes[:, 1] = at, index
    blocks, counts = np.unique(at, return_counts=True)
    columns = {
        "block_number": at,
        "block_timestamp": START + BLOCK_SECONDS * at,
        "transaction_hash": binary(hashes.view(np.uint8), 32),
        "transaction_index": index,
        "ordinal": np.zeros(len(senders)),
        "batch_index": np.zeros(len(senders)),
        "kind": np.full(len(senders), FlowKind.NATIVE),
        "from_address": binary(_addresses(senders), 20),
        "to_address": binary(_addresses(receivers), 20),
        "value": binary(exact.view(np.uint8), 32),
        "value_f64": value,
        "status": np.ones(len(senders)),
    }
    heads = {
        "block_number": blocks,
        "block_timestamp": START + BLOCK_SECONDS * blocks,
        "transaction_count": counts,
        "verified": np.zeros(len(blocks), np.bool_),
    }
    return BlockBatch.of(
        ETHEREUM, blocks=table_of("blocks", heads), flows=table_of("flows", columns)
    )


def _addresses(wallets: Array) -> Array:
    words = np.empty((len(wallets), 3), np.uint64)
    words[:, 0] = (wallets.astype(np.uint64) + np.uint64(1)) * _SPREAD
    words[:, 1] = words[:, 0] * _SPREAD
    words[:, 2] = words[:, 1] * _SPREAD
    return np.ascontiguousarray(words.view(np.uint8)[:, :20])
