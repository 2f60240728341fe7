"""Expensive input (A9): blocks with as many logs as their gas allows, in shapes that cost most."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.detection.traffic import (
    Transfers,
    batch_of,
    table_of,
    twelve_seconds,
)
from chainwarden.schema import ETHEREUM, BlockBatch, FlowKind
from detect import known
from detect.alerts import AlertPolicy
from detect.compiled import Array
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.known.tokens import USDC
from detect.labels import LabelBook, builtin_labels
from detect.rules import default_rules

LOGS: Final = 34_168
"""What 60 million gas pay for: LOG3 with 32 bytes costs 1,756, and a transaction at most 2^24."""

TRANSACTIONS: Final = 4
HEIGHT: Final = 1_000
VICTIMS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that the detector took for a block, and the rule that took most of them."""

    seconds: float
    rule: str
    rule_seconds: float


def shapes() -> dict[str, Callable[[], tuple[BlockBatch, BlockBatch]]]:
    """By name: the blocks before, and the block."""
    return {
        "transfers of an unknown token to as many wallets": fresh_receivers,
        "lookalikes of what each victim paid before": lookalikes,
        "logs of every event the rules know": known_events,
        "transfers between two wallets": one_pair,
    }


def cost(before: BlockBatch, block: BlockBatch) -> Cost:
    """What the block costs the whole detector."""
    book = LabelBook(builtin_labels())
    rules = default_rules(book, ETHEREUM)
    detector = Detector(ETHEREUM, DetectorConfig(), rules, AlertPolicy(ETHEREUM, labels=book))
    detector.process(before)
    earlier = detector.stats()
    began = time.perf_counter()
    detector.process(block)
    seconds = time.perf_counter() - began
    spent = {
        name: value - earlier[name]
        for name, value in detector.stats().items()
        if name.startswith("rule_seconds.")
    }
    slowest = max(spent, key=lambda name: spent[name])
    return Cost(seconds, slowest.removeprefix("rule_seconds."), spent[slowest])


def fresh_receivers() -> tuple[BlockBatch, BlockBatch]:
    """An airdrop to nobody."""
    rng = np.random.default_rng(1)
    sender = rng.integers(0, 256, (1, 20), np.uint8)
    token = rng.integers(0, 256, (1, 20), np.uint8)
    receivers = rng.integers(0, 256, (LOGS, 20), np.uint8)
    return _history(rng), _block(_repeat(sender), receivers, _repeat(token), 10**18)


def one_pair() -> tuple[BlockBatch, BlockBatch]:
    """The same two wallets all the time, a dollar each."""
    rng = np.random.default_rng(2)
    parties = rng.integers(0, 256, (2, 1, 20), np.uint8)
    token = np.frombuffer(USDC, np.uint8).reshape(1, 20)
    return _history(rng), _block(_repeat(parties[0]), _repeat(parties[1]), _repeat(token), 10**6)


def lookalikes() -> tuple[BlockBatch, BlockBatch]:
    """Each log is a lure: nothing moves from a victim to a lookalike of whom it paid before."""
    rng = np.random.default_rng(3)
    victims, peers = rng.integers(0, 256, (2, VICTIMS, 20), np.uint8)
    token = np.frombuffer(USDC, np.uint8).reshape(1, 20)
    before = Transfers(
        np.arange(VICTIMS) // 100, victims, peers, np.repeat(token, VICTIMS, 0), victims,
        _words(VICTIMS, 5 * 10**8), np.full(VICTIMS, 5e8),
    )  # fmt: skip
    chosen = np.arange(LOGS) % VICTIMS
    suspects = rng.integers(0, 256, (LOGS, 20), np.uint8)
    suspects[:, :3], suspects[:, 17:] = peers[chosen, :3], peers[chosen, 17:]
    return batch_of(before), _block(victims[chosen], suspects, _repeat(token), 0)


def known_events() -> tuple[BlockBatch, BlockBatch]:
    """Every topic of ``detect.known`` in turn, from as many contracts, with random data."""
    rng = np.random.default_rng(4)
    topics = sorted(
        topic
        for module in iter_modules(known.__path__)
        for topic in getattr(import_module(f"{known.__name__}.{module.name}"), "TOPICS", {})
    )
    words = np.frombuffer(b"".join(topics), np.uint8).reshape(-1, 32)
    addresses = rng.integers(0, 256, (LOGS, 20), np.uint8)
    padded = np.zeros((2, LOGS, 32), np.uint8)
    padded[:, :, 12:] = rng.integers(0, 256, (2, LOGS, 20), np.uint8)
    made = _block(addresses[:TRANSACTIONS], addresses[:TRANSACTIONS], addresses[:TRANSACTIONS], 0)
    hashes = np.zeros((LOGS, 4), ">u8")
    hashes[:, 3] = np.arange(LOGS) * TRANSACTIONS // LOGS
    logs = table_of(
        "logs",
        {
            "block_number": np.full(LOGS, HEIGHT),
            "block_timestamp": twelve_seconds(np.full(LOGS, HEIGHT)),
            "transaction_hash": hashes,
            "transaction_index": np.arange(LOGS) * TRANSACTIONS // LOGS,
            "ordinal": 2 + np.arange(LOGS),
            "address": addresses,
            "topic0": words[np.arange(LOGS) % len(words)],
            "topic1": padded[0],
            "topic2": padded[1],
            "data": [rng.bytes(128) for _ in range(LOGS)],
        },
    )
    return _history(rng), BlockBatch.of(ETHEREUM, **(made.tables | {"logs": logs}))


def _history(rng: np.random.Generator) -> BlockBatch:
    wallets = rng.integers(0, 256, (2, 100, 20), np.uint8)
    return batch_of(
        Transfers(
            np.arange(100), wallets[0], wallets[1], np.zeros((100, 20), np.uint8), wallets[0],
            _words(100, 10**18), np.full(100, 1e18),
        )
    )  # fmt: skip


def _block(sender: Array, receiver: Array, token: Array, value: int) -> BlockBatch:
    """One block with a transfer log for each row, all in a few transactions of a stranger's."""
    count = len(sender)
    signer = np.full((count, 20), 7, np.uint8)
    whole = batch_of(
        Transfers(
            np.full(count, HEIGHT), sender, receiver, token, signer, _words(count, value),
            np.full(count, float(value)),
        )
    )  # fmt: skip
    return _gathered(whole)


def _gathered(batch: BlockBatch) -> BlockBatch:
    """The same logs in ``TRANSACTIONS`` transactions instead of one each."""
    kept = batch.transactions.slice(0, TRANSACTIONS)
    is_log = pc.equal(batch.flows["kind"], int(FlowKind.ERC20))
    native = batch.flows.filter(pc.invert(is_log)).slice(0, TRANSACTIONS)
    logs = batch.flows.filter(is_log)
    place = np.arange(len(logs)) * len(kept) // len(logs)
    logs = _with(logs, "transaction_hash", kept["transaction_hash"].take(pa.array(place)))
    logs = _with(logs, "transaction_index", place)
    logs = _with(logs, "ordinal", 1 + np.arange(len(logs)) - np.searchsorted(place, place))
    keys = [("transaction_index", "ascending"), ("ordinal", "ascending")]
    return BlockBatch.of(
        ETHEREUM,
        blocks=_with(batch.blocks, "transaction_count", [len(kept)]),
        transactions=_with(kept, "log_count", np.bincount(place, minlength=len(kept))),
        flows=pa.concat_tables([native, logs]).sort_by(keys),
    )


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    column = values if isinstance(values, pa.ChunkedArray) else pa.array(values).cast(field.type)
    return table.set_column(place, field, column)


def _repeat(one: Array) -> Array:
    return np.repeat(one, LOGS, axis=0)


def _words(count: int, value: int) -> Array:
    words = np.zeros((count, 4), np.uint64)
    words[:, 3] = value
    return words
