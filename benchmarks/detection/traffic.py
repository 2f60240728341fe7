"""Benign transfers by the million, built as columns, and anybody's transfers put among them.

One transfer is one transaction. The mix of coins, listed and other tokens, dust and nothing at all,
and of who signs, is that of the 25 real blocks of July 2023. Wallets differ widely in activity, pay
the same few again and again, and now and then somebody never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import ETHEREUM, TABLES, BlockBatch, FlowKind
from detect.compiled import Array
from detect.known.tokens import USDC, USDT

START: Final = 1_660_000_003
NATIVE: Final = bytes(20)
TRANSFER_CALL: Final = bytes.fromhex("a9059cbb") + bytes(64)
HIGHEST: Final = 2**256 - 1

# Shares of transfers by what moves, as in 9,230 real ones.
REAL_COIN, REAL_TOKEN, DUST_COIN, DUST_TOKEN, NOTHING, OTHER_TOKEN = range(6)
SHARES: Final = (0.43, 0.277, 0.023, 0.002, 0.008, 0.26)
BY_SENDER, BY_RECEIVER = 0.36, 0.21  # who signs a transfer of another token; else a third party
HUBS: Final = 400
PEERS: Final = 12
OTHER_TOKENS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Transfers:
    """Transfers in order of block. Addresses are (n, 20) bytes; token 0 is the chain's coin.

    ``words`` (n, 4) are the exact amounts as uint64, the highest first; ``value`` their float64.
    """

    number: Array
    sender: Array
    receiver: Array
    token: Array
    signer: Array
    words: Array
    value: Array

    def __len__(self) -> int:
        """How many."""
        return len(self.number)

    def part(self, rows: Array | slice) -> Transfers:
        """Some of them."""
        return Transfers(*(getattr(self, f.name)[rows] for f in fields(self)))


def transfer(
    number: int, sender: bytes, receiver: bytes, token: bytes, signer: bytes, value: int
) -> Transfers:
    """One transfer."""
    words = np.frombuffer(value.to_bytes(32, "big"), ">u8").reshape(1, 4).astype(np.uint64)

    def one(address: bytes) -> Array:
        return np.frombuffer(address, np.uint8).reshape(1, 20)

    return Transfers(
        np.array([number]),
        one(sender),
        one(receiver),
        one(token),
        one(signer),
        words,
        np.array([float(value)]),
    )


def merged(parts: Sequence[Transfers]) -> Transfers:
    """All of them in order of block; within a block in the order given."""
    joined = Transfers(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Transfers))
    )
    return joined.part(np.argsort(joined.number, kind="stable"))


def benign(count: int, numbers: Array, seed: int, wallets: int = 200_000) -> Transfers:
    """So many benign transfers, in blocks with these numbers."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 256, (wallets, 20), np.uint8)
    peers = _active(rng, wallets * PEERS, wallets).reshape(wallets, PEERS)
    what = rng.choice(len(SHARES), count, p=SHARES)
    payer = _active(rng, count, wallets)
    peer = peers[payer, np.minimum(PEERS - 1, rng.geometric(0.35, count) - 1)]
    dice = rng.random(count)
    hub = rng.integers(0, min(HUBS, wallets), count)
    payee = np.where(dice < 0.3, hub, np.where(dice < 0.85, peer, _active(rng, count, wallets)))
    sender, receiver = known[payer], known[payee]
    # A new wallet on one side or the other.
    sides = ((sender, dice > 0.96), (receiver, (dice > 0.92) & (dice <= 0.96)))
    for side, new in sides:
        side[new] = rng.integers(0, 256, (int(new.sum()), 20), np.uint8)
    token = np.zeros((count, 20), np.uint8)
    listed = np.isin(what, (REAL_TOKEN, DUST_TOKEN, NOTHING))
    stable = np.frombuffer(USDT + USDC, np.uint8).reshape(2, 20)
    token[listed] = stable[rng.integers(0, 2, int(listed.sum()))]
    other = what == OTHER_TOKEN
    others = rng.integers(0, 256, (OTHER_TOKENS, 20), np.uint8)
    token[other] = others[_active(rng, int(other.sum()), OTHER_TOKENS)]
    signer, by = sender.copy(), rng.random(count)
    received = other & (by >= BY_SENDER) & (by < BY_SENDER + BY_RECEIVER)
    signer[received] = receiver[received]
    third = (other & (by >= BY_SENDER + BY_RECEIVER)) | (what == NOTHING)
    signer[third] = known[_active(rng, int(third.sum()), wallets)]
    value = _amounts(rng, what)
    order = np.sort(rng.integers(0, len(numbers), count))
    return Transfers(numbers[order], sender, receiver, token, signer, _words(value), value)


def twelve_seconds(numbers: Array) -> Array:
    """Block times, a slot apart."""
    return np.asarray(START + 12 * numbers)


def batches(transfers: Transfers, rows: int = 20_000, first: int = 0) -> Iterator[BlockBatch]:
    """The transfers as whole blocks, about so many to a batch; time is 12 s times the number.

    ``first`` numbers the transactions, so that hashes differ between calls.
    """
    begin, nonces = 0, nonces_of(transfers)
    while begin < len(transfers):
        end = min(len(transfers), begin + rows)
        while end < len(transfers) and transfers.number[end] == transfers.number[end - 1]:
            end += 1
        part = slice(begin, end)
        yield batch_of(transfers.part(part), first + begin, nonces=nonces[part])
        begin = end


def nonces_of(transfers: Transfers) -> Array:
    """The nonce of each, counted per signer from 0."""
    signers = np.ascontiguousarray(transfers.signer).view("V20").ravel()
    _, who, counts = np.unique(signers, return_inverse=True, return_counts=True)
    order = np.argsort(who, kind="stable")
    nonces = np.empty(len(transfers), np.int64)
    nonces[order] = np.arange(len(transfers)) - np.repeat(np.cumsum(counts) - counts, counts)
    return nonces


def hash_of(serial: int) -> bytes:
    """The hash of the transaction with that place among all."""
    return serial.to_bytes(32, "big")


def batch_of(
    moves: Transfers,
    first: int = 0,
    times: Callable[[Array], Array] = twelve_seconds,
    nonces: Array | None = None,
) -> BlockBatch:
    """Transfers as one batch of whole blocks, whose times ``times`` gives by their numbers.

    Without ``nonces`` each signer's begin with 0.
    """
    numbers, starts, counts = np.unique(moves.number, return_index=True, return_counts=True)
    index = np.arange(len(moves)) - np.repeat(starts, counts)
    hashes = np.zeros((len(moves), 4), ">u8")
    hashes[:, 3] = first + np.arange(len(moves))
    is_token = np.asarray(moves.token.any(axis=1))
    coins = np.where(is_token[:, None], np.uint64(0), moves.words)
    key: dict[str, Any] = {
        "block_number": moves.number,
        "block_timestamp": times(moves.number),
        "transaction_hash": hashes,
        "transaction_index": index,
    }
    native = key | {
        "ordinal": np.zeros(len(moves)),
        "batch_index": np.zeros(len(moves)),
        "kind": np.full(len(moves), FlowKind.NATIVE),
        "token_address": None,
        "from_address": moves.signer,
        "to_address": np.where(is_token[:, None], moves.token, moves.receiver),
        "value": coins.astype(">u8"),
        "value_f64": np.where(is_token, 0.0, moves.value),
        "status": np.ones(len(moves)),
    }
    transactions = native | {
        "nonce": nonces_of(moves) if nonces is None else nonces,
        "input": pa.array([b"", TRANSFER_CALL]).take(pa.array(is_token.astype(np.int8))),
        "log_count": is_token.astype(np.int32),
    }
    own = {name: None if v is None else v[is_token] for name, v in native.items()}
    tokens = own | {
        "ordinal": np.ones(int(is_token.sum())),
        "kind": np.full(int(is_token.sum()), FlowKind.ERC20),
        "token_address": moves.token[is_token],
        "from_address": moves.sender[is_token],
        "to_address": moves.receiver[is_token],
        "value": moves.words[is_token].astype(">u8"),
        "value_f64": moves.value[is_token],
    }
    flows = pa.concat_tables([table_of("flows", native), table_of("flows", tokens)])
    keys = [(name, "ascending") for name in ("block_number", "transaction_index", "ordinal")]
    heads = {
        "block_number": numbers,
        "block_timestamp": times(numbers),
        "transaction_count": counts,
        "verified": np.zeros(len(numbers), np.bool_),
    }
    return BlockBatch.of(
        ETHEREUM,
        blocks=table_of("blocks", heads),
        transactions=table_of("transactions", transactions),
        flows=flows.sort_by(keys),
    )


def _active(rng: np.random.Generator, count: int, among: int) -> Array:
    """Indices, the lower ones far more often."""
    return np.asarray((rng.random(count) ** 3 * among).astype(np.int64))


def _amounts(rng: np.random.Generator, what: Array) -> Array:
    """Whole wei or token units, by what moves."""
    scale = np.array([17.0, 8.0, 13.5, 4.5, 0.0, 18.0])[what]
    value = np.floor(10.0 ** (scale + rng.normal(0.0, 0.6, len(what))))
    value[what == DUST_COIN] = np.minimum(value[what == DUST_COIN], 4e14)
    value[what == DUST_TOKEN] = np.minimum(value[what == DUST_TOKEN], 9e5)
    value[what == REAL_COIN] = np.maximum(value[what == REAL_COIN], 6e14)
    value[what == REAL_TOKEN] = np.maximum(value[what == REAL_TOKEN], 2e6)
    value[what == NOTHING] = 0.0
    return np.asarray(value)


def _words(value: Array) -> Array:
    """Exact amounts below 2^128 as four words."""
    words = np.zeros((len(value), 4), np.uint64)
    high = np.floor(value / 2.0**64)
    words[:, 2] = high.astype(np.uint64)
    words[:, 3] = (value - high * 2.0**64).astype(np.uint64)
    return words


def table_of(name: str, columns: dict[str, Any]) -> pa.Table:
    """A table of a batch from arrays, bytes as (rows, width); columns not given are null."""
    schema, rows = TABLES[name], len(columns["block_number"])
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, pa.Array):
            arrays.append(values.cast(field.type))
        elif pa.types.is_fixed_size_binary(field.type):
            data = pa.py_buffer(np.ascontiguousarray(values).tobytes())
            arrays.append(pa.FixedSizeBinaryArray.from_buffers(field.type, rows, [None, data]))
        else:
            arrays.append(pa.array(values).cast(field.type))
    return pa.table(arrays, schema=schema)
