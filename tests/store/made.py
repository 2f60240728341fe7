"""Blocks and alerts to store, each a function of its number and nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from chainwarden.schema import (
    BLOCKS,
    CREATIONS,
    ETHEREUM,
    FLOWS,
    LOGS,
    TRANSACTIONS,
    Alert,
    BlockBatch,
    Evidence,
    Hop,
    Position,
    Reason,
    Role,
    Severity,
    alert_id,
)

GENESIS_TIME = 1_700_000_000
WALLET = bytes(range(20))


def hash_of(*parts: object) -> bytes:
    """32 bytes that follow from the parts."""
    return hashlib.sha256(repr(parts).encode()).digest()


def position(number: int, branch: str = "a") -> Position:
    """A block's place; every branch has other hashes."""
    return Position(number, hash_of("block", number, branch))


def blocks(first: int, count: int, flows: int = 4, branch: str = "a") -> BlockBatch:
    """A run of blocks with two transactions, some flows, a creation and a log each."""
    return BlockBatch.concat([_block(n, flows, branch) for n in range(first, first + count)])


def features(batch: BlockBatch) -> pa.Table:
    """A row per flow: its key, a score that may be null, and a few features."""
    count = batch.flows.num_rows
    values = np.random.default_rng(count).random(count)
    scores = pa.array(
        [None if i % 3 == 0 else float(v) for i, v in enumerate(values)], pa.float64()
    )
    return batch.flows.select(
        ["block_number", "transaction_index", "ordinal", "batch_index"]
    ).append_column("flow_score", scores).append_column(
        "log_value", pa.array(values.astype(np.float32))
    )  # fmt: skip


def _block(number: int, flows: int, branch: str) -> BlockBatch:
    common = {"block_number": number, "block_timestamp": GENESIS_TIME + 12 * number}
    at = position(number, branch)
    rng = np.random.default_rng(number)

    def table(schema: pa.Schema, rows: list[dict[str, object]]) -> pa.Table:
        return pa.Table.from_pylist([common | row for row in rows], schema=schema)

    hashes = [hash_of("tx", number, i) for i in range(2)]
    return BlockBatch.of(
        ETHEREUM,
        blocks=table(
            BLOCKS,
            [
                {
                    "block_hash": at.hash,
                    "parent_hash": position(number - 1, branch).hash,
                    "transaction_count": 2,
                    "verified": True,
                    "base_fee_per_gas": 2**64 - 1,
                    "extra_data": b"\x00\xff",
                }
            ],
        ),
        transactions=table(
            TRANSACTIONS,
            [
                {
                    "transaction_hash": hashes[i],
                    "transaction_index": i,
                    "from_address": rng.bytes(20),
                    "to_address": rng.bytes(20) if i else None,
                    "value": (2**256 - 1 - i).to_bytes(32, "big"),
                    "value_f64": float(2**256 - 1 - i),
                    "nonce": 2**64 - 1,
                    "input": b"\xa9\x05\x9c\xbb" * i,
                }
                for i in range(2)
            ],
        ),
        flows=table(
            FLOWS,
            [
                {
                    "transaction_hash": hashes[0],
                    "transaction_index": 0,
                    "ordinal": i,
                    "batch_index": 0,
                    "kind": i % 3,
                    "from_address": rng.bytes(20),
                    "to_address": rng.bytes(20),
                    "value": rng.bytes(32),
                    "value_f64": float(rng.random()),
                }
                for i in range(flows)
            ],
        ),
        creations=table(
            CREATIONS,
            [
                {
                    "transaction_hash": hashes[0],
                    "transaction_index": 0,
                    "ordinal": 0,
                    "creator": rng.bytes(20),
                    "contract_address": rng.bytes(20),
                }
            ],
        ),
        logs=table(
            LOGS,
            [
                {
                    "transaction_hash": hashes[1],
                    "transaction_index": 1,
                    "ordinal": 1,
                    "address": rng.bytes(20),
                    "data": b"",
                }
            ],
        ),
    )


def alert(
    number: int,
    branch: str = "a",
    *,
    subject: bytes = WALLET,
    severity: Severity = Severity.HIGH,
    rule: str = "mixer_touch",
    at: Position | None = None,
) -> Alert:
    """An alert about the first transaction of block ``number``; ``at`` where it was re-included."""
    transaction = hash_of("tx", number, 0)
    return Alert(
        id=alert_id(ETHEREUM, rule, 1, subject, transaction, 0),
        chain=ETHEREUM,
        rule=rule,
        rule_version=1,
        typology="mixer",
        severity=severity,
        score=0.1 + 0.8 / (1 + number % 7),
        subject=subject,
        role=Role.ATTACKER,
        position=at or position(number, branch),
        block_timestamp=GENESIS_TIME + 12 * number,
        transaction_hash=transaction,
        ordinal=0,
        sentence=f"0x{subject.hex()} sent 1 ETH to a mixer in block {number}",
        reasons=(Reason("to_mixer", 1.0, 0.6), Reason("age_seconds", 1e-320, 0.3, 86_400.0)),
        evidence=Evidence(
            (transaction,),
            (subject, bytes(20)),
            ((None, 10**18), (bytes(20), 2**256 - 1)),
            (Hop(transaction, subject, bytes(20), 10**18),),
        ),
    )
