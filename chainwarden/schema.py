"""What the stages share: the Arrow tables a block becomes, and the small frozen types.

Column names are those ethereum-etl, cryo and the AWS public data set share, so our Parquet joins
theirs. Addresses and hashes are fixed-size binary inside and ``0x…`` text at the edges. Amounts are
exact: ``value`` is an unsigned 256-bit integer as 32 big-endian bytes, ``value_f64`` the float64
beside it that features use. Times are block times, in seconds since 1970 (UTC).

A column is null where the source lacks it (a Parquet file without receipts has no ``status``);
nothing is invented.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

ADDRESS: Final = pa.binary(20)
HASH: Final = pa.binary(32)
UINT256: Final = pa.binary(32)

BLOCKS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_hash", HASH),
        pa.field("parent_hash", HASH),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("miner", ADDRESS),
        pa.field("gas_limit", pa.int64()),
        pa.field("gas_used", pa.int64()),
        pa.field("base_fee_per_gas", pa.uint64()),
        pa.field("blob_gas_used", pa.int64()),
        pa.field("excess_blob_gas", pa.int64()),
        pa.field("extra_data", pa.binary()),
        pa.field("transaction_count", pa.int32(), nullable=False),
        # true: the header hash, the transactions root and the root of everything else that the
        # source gave were recomputed and agreed. false: the source gives no header (a table), or
        # the block has fields or transaction types nobody knows. Lies never get here.
        pa.field("verified", pa.bool_(), nullable=False),
    ]
)

# The key of a row below the block: (block_number, transaction_index, ordinal, batch_index).
TRANSACTIONS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("transaction_type", pa.int16()),
        pa.field("nonce", pa.uint64()),
        pa.field("from_address", ADDRESS, nullable=False),
        pa.field("to_address", ADDRESS),  # null: contract creation
        pa.field("value", UINT256, nullable=False),
        pa.field("value_f64", pa.float64(), nullable=False),
        pa.field("input", pa.binary()),
        pa.field("gas", pa.int64()),
        # Prices saturate at 2^64-1 wei: above it one unit of gas would cost 18 ether.
        pa.field("gas_price", pa.uint64()),
        pa.field("max_fee_per_gas", pa.uint64()),
        pa.field("max_priority_fee_per_gas", pa.uint64()),
        pa.field("max_fee_per_blob_gas", pa.uint64()),
        pa.field("blob_count", pa.int16()),
        pa.field("effective_gas_price", pa.uint64()),
        pa.field("gas_used", pa.int64()),
        pa.field(
            "status", pa.int8()
        ),  # 1 succeeded, 0 failed, null unknown (no receipt, or pre-Byzantium)
        pa.field("contract_address", ADDRESS),  # what a creation created
        pa.field("log_count", pa.int32()),  # null: no receipt
    ]
)


class FlowKind(enum.IntEnum):
    """What moved. Every transaction has exactly one NATIVE flow (ordinal 0), maybe of value 0."""

    NATIVE = 0
    ERC20 = 1
    ERC721 = 2
    ERC1155 = 3
    INTERNAL = 4
    WITHDRAWAL = 5


# Chain order within a transaction: NATIVE, then INTERNAL in trace order, then logs in log order.
# ordinal, the same whatever else the source gives: NATIVE 0; INTERNAL -(1 + its index among the
# transaction's value-moving calls); log-borne 1 + the log's position in the transaction's receipt.
# batch_index: the item within an ERC-1155 TransferBatch, else 0. Withdrawals come after all
# transactions of their block, with transaction_index null and their position as the ordinal.
FLOWS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32()),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("batch_index", pa.int32(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("token_address", ADDRESS),  # null: the chain's own coin
        pa.field("token_id", UINT256),  # ERC-721 and ERC-1155
        pa.field(
            "from_address", ADDRESS, nullable=False
        ),  # withdrawals and mints: the zero address
        pa.field(
            "to_address", ADDRESS, nullable=False
        ),  # a creation's NATIVE flow: the new contract
        pa.field("value", UINT256, nullable=False),  # wei or token units; ERC-721: 1
        pa.field("value_f64", pa.float64(), nullable=False),
        pa.field("status", pa.int8()),  # the transaction's: 0 means nothing moved
    ]
)


class ApprovalKind(enum.IntEnum):
    """Which event granted it."""

    ERC20 = 0  # Approval(owner, spender, value)
    ERC721 = 1  # Approval(owner, approved, tokenId)
    FOR_ALL = 2  # ApprovalForAll(owner, operator, approved)
    PERMIT2 = 3  # Permit2 Approval(owner, token, spender, amount, expiration)
    PERMIT2_PERMIT = 4  # Permit2 Permit(owner, token, spender, amount, expiration, nonce)


APPROVALS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("token_address", ADDRESS, nullable=False),
        pa.field("token_id", UINT256),
        pa.field("owner", ADDRESS, nullable=False),
        pa.field("spender", ADDRESS, nullable=False),
        pa.field("value", UINT256),  # null for ERC721 and FOR_ALL
        pa.field("value_f64", pa.float64()),
        pa.field("approved", pa.bool_(), nullable=False),  # false: revoked
    ]
)

CREATIONS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field(
            "ordinal", pa.int32(), nullable=False
        ),  # 0: by the transaction itself; else -(1+call index)
        pa.field("creator", ADDRESS, nullable=False),
        pa.field("contract_address", ADDRESS, nullable=False),
        pa.field("init_code", pa.binary()),
    ]
)

# Logs that are neither a well-formed transfer nor an approval (those are in flows and approvals).
LOGS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),  # 1 + position in the receipt
        pa.field("address", ADDRESS, nullable=False),
        pa.field("topic0", HASH),
        pa.field("topic1", HASH),
        pa.field("topic2", HASH),
        pa.field("topic3", HASH),
        pa.field("data", pa.binary(), nullable=False),
    ]
)

# EIP-7702 authorizations. They take effect even where the transaction fails.
AUTHORIZATIONS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),  # position in the authorization list
        pa.field("chain_id", UINT256, nullable=False),
        pa.field("delegate", ADDRESS, nullable=False),
        pa.field("nonce", pa.uint64(), nullable=False),
        pa.field("authority", ADDRESS),  # recovered; null: the signature recovers to nothing
    ]
)

TABLES: Final[dict[str, pa.Schema]] = {
    "blocks": BLOCKS,
    "transactions": TRANSACTIONS,
    "flows": FLOWS,
    "approvals": APPROVALS,
    "creations": CREATIONS,
    "logs": LOGS,
    "authorizations": AUTHORIZATIONS,
}

ZERO_ADDRESS: Final = bytes(20)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain: its name, as in topics, paths and metrics, and its EIP-155 id."""

    name: str
    id: int


ETHEREUM: Final = Chain("ethereum", 1)


@dataclass(frozen=True, slots=True)
class Position:
    """A place on a chain: a number and a hash, never a number alone.

    ``hash`` is 32 bytes, or empty where the source has none (a table of transactions without
    block hashes).
    """

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number} (0x{self.hash.hex()})" if self.hash else str(self.number)


@dataclass(frozen=True, slots=True)
class BlockBatch:
    """One or more whole blocks as Arrow tables, in chain order.

    Block numbers strictly increase within a batch, and the rows of every table are in chain order.
    How blocks are batched never changes a result.
    """

    chain: Chain
    blocks: pa.Table
    transactions: pa.Table
    flows: pa.Table
    approvals: pa.Table
    creations: pa.Table
    logs: pa.Table
    authorizations: pa.Table

    @classmethod
    def of(cls, chain: Chain, **tables: pa.Table) -> BlockBatch:
        """A batch of the given tables; those not given are empty. Raises on a wrong schema."""
        full = {}
        for name, schema in TABLES.items():
            table = tables.pop(name, None)
            if table is None:
                table = schema.empty_table()
            if not table.schema.equals(schema):
                raise ValueError(f"{name}: expected {schema}, got {table.schema}")
            full[name] = table.combine_chunks()
        if tables:
            raise ValueError(f"no such table: {', '.join(tables)}")
        return cls(chain, **full)

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The tables by name, in the order of ``TABLES``."""
        return {name: getattr(self, name) for name in TABLES}

    def __len__(self) -> int:
        """How many blocks."""
        return int(self.blocks.num_rows)

    def numbers(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The block numbers, int64."""
        return column(self.blocks, "block_number")

    def positions(self) -> list[Position]:
        """The position of every block, in order."""
        hashes = self.blocks["block_hash"].to_pylist()
        return [Position(int(n), h or b"") for n, h in zip(self.numbers(), hashes, strict=True)]

    def position(self, row: int) -> Position:
        """The position of block ``row`` (negative counts from the end)."""
        row = range(len(self))[row]
        return Position(
            self.blocks["block_number"][row].as_py(), self.blocks["block_hash"][row].as_py() or b""
        )

    def slice(self, start: int, stop: int) -> BlockBatch:
        """The blocks ``start`` up to, not including, ``stop``, by row; no data is copied."""
        if start == 0 and stop >= len(self):
            return self
        numbers = self.numbers()[start:stop]
        if not len(numbers):
            return BlockBatch.of(self.chain)
        low, high = numbers[0], numbers[-1]
        tables = {"blocks": self.blocks.slice(start, stop - start)}
        for name in list(TABLES)[1:]:
            table = getattr(self, name)
            keys = column(table, "block_number")
            first, last = np.searchsorted(keys, low, "left"), np.searchsorted(keys, high, "right")
            tables[name] = table.slice(int(first), int(last - first))
        return replace(self, **tables)

    def split(self) -> Iterator[BlockBatch]:
        """The same blocks, one to a batch."""
        for row in range(len(self)):
            yield self.slice(row, row + 1)

    @staticmethod
    def concat(batches: Sequence[BlockBatch], *, combine: bool = True) -> BlockBatch:
        """The blocks of several batches as one. Raises where numbers do not increase.

        ``combine`` copies each column into one chunk, as the detector needs it; without, no data
        is copied, and columns have a chunk for each batch.
        """
        if len(batches) == 1:
            return batches[0]
        tables = {name: pa.concat_tables([getattr(b, name) for b in batches]) for name in TABLES}
        if combine:
            tables = {name: table.combine_chunks() for name, table in tables.items()}
        joined = BlockBatch(batches[0].chain, **tables)
        if np.any(np.diff(joined.numbers()) <= 0):
            raise ValueError("block numbers must increase within a batch")
        return joined


def column(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """An integer column without nulls as a NumPy array; no copy where it is one chunk."""
    chunked = table[name]
    if chunked.num_chunks == 1:
        return np.asarray(chunked.chunk(0).to_numpy(zero_copy_only=True))
    return np.asarray(chunked.to_numpy())


# --- chain events ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlocksAdded:
    """One or more blocks extend the chain; the first is the child of the head, or starts anew.

    ``gap`` says that the first block does not follow the head (a source with holes): what came
    before it can no longer be reverted.
    """

    batch: BlockBatch
    gap: bool = False


@dataclass(frozen=True, slots=True)
class BlockReverted:
    """The head block was orphaned; its parent is the head again."""

    position: Position


@dataclass(frozen=True, slots=True)
class BlockFinalized:
    """This block and all below it will never be reverted."""

    position: Position


ChainEvent = BlocksAdded | BlockReverted | BlockFinalized


# --- alerts ------------------------------------------------------------------------------------


class Severity(enum.IntEnum):
    """How bad, in Forta's and Alertmanager's words; critical is never dropped or delayed."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def text(self) -> str:
        """``critical`` for ``Severity.CRITICAL``."""
        return self.name.lower()


class Role(enum.StrEnum):
    """What the subject is in what happened."""

    ATTACKER = "attacker"
    VICTIM = "victim"
    SERVICE = "service"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks for an alert: a feature or a rule's own measure.

    ``contribution`` is its share of the score (all of an alert's contributions sum to its score);
    ``threshold`` what the rule compares with, if anything.
    """

    feature: str
    value: float
    contribution: float
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a path of funds: who paid whom how much, in which transaction.

    ``transaction`` is None where the source has no hashes, and for withdrawals of validators;
    ``token`` None is the chain's own coin.
    """

    transaction: bytes | None
    sender: bytes
    receiver: bytes
    amount: int
    token: bytes | None = None


MAX_HOPS: Final = 16
"""The most hops that evidence carries."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an analyst can check on the chain: transactions, wallets, exact amounts.

    ``amounts`` are (token address or None for the chain's coin, exact amount) pairs. ``path`` is
    the way the funds took, in the order of the chain, at most ``MAX_HOPS``; a longer one is cut
    by whoever made it (see ``path_of``). Raises ValueError for one that is not.
    """

    transactions: tuple[bytes, ...] = ()
    addresses: tuple[bytes, ...] = ()
    amounts: tuple[tuple[bytes | None, int], ...] = ()
    path: tuple[Hop, ...] = ()

    def __post_init__(self) -> None:
        if len(self.path) > MAX_HOPS:
            raise ValueError(f"a path has at most {MAX_HOPS} hops, this has {len(self.path)}")


def path_of(hops: Sequence[Hop]) -> tuple[Hop, ...]:
    """The hops as evidence carries them: of a long path the first and the last ones."""
    if len(hops) <= MAX_HOPS:
        return tuple(hops)
    half = MAX_HOPS // 2
    return (*hops[:half], *hops[-half:])


@dataclass(frozen=True, slots=True)
class Alert:
    """A decision that a person or a receiver should see.

    ``id`` is deterministic (see ``alert_id``): a replay, a restart or a second worker produces the
    same. ``fingerprint`` is the same for alerts about the same thing (rule and subject).
    """

    id: str
    chain: Chain
    rule: str
    rule_version: int
    typology: str
    severity: Severity
    score: float
    subject: bytes
    role: Role
    position: Position
    block_timestamp: int
    transaction_hash: bytes | None
    ordinal: int
    sentence: str
    reasons: tuple[Reason, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def fingerprint(self) -> str:
        """The same for every alert of one rule about one subject on one chain."""
        return _digest(self.chain.id, self.rule, self.subject)


def alert_id(
    chain: Chain,
    rule: str,
    rule_version: int,
    subject: bytes,
    transaction_hash: bytes | None,
    ordinal: int,
) -> str:
    """The id of an alert, as 32 hex digits, from what it is about and nothing else."""
    return _digest(chain.id, rule, rule_version, subject, transaction_hash or b"", ordinal)


def _digest(*parts: int | str | bytes) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        hasher.update(len(data).to_bytes(4, "big") + data)
    return hasher.hexdigest()


class RetractionReason(enum.StrEnum):
    """Why an alert was taken back."""

    ORPHANED = "orphaned"  # its block is not on the chain any more
    MOVED = "moved"  # the same transaction is on the chain again, in another block


@dataclass(frozen=True, slots=True)
class Retraction:
    """An alert taken back because its block was reverted."""

    alert_id: str
    position: Position  # the block that was reverted
    reason: RetractionReason = RetractionReason.ORPHANED


@dataclass(frozen=True, slots=True)
class Detections:
    """What the detector says about a batch.

    ``features`` has a row per flow: the key columns, the scores (null in warm-up), the features as
    they were read, before the flow itself was learnt.
    """

    alerts: tuple[Alert, ...]
    features: pa.Table


ANALYST: Final = "analyst"
"""The source of labels that a person gives."""


@dataclass(frozen=True, slots=True)
class Label:
    """Somebody's word about a wallet, with who said so and when it holds.

    ``label`` is a lower-case word (``phishing``, ``sanctioned``, ``exchange``, ``mixer`` …). Times
    are seconds since 1970; ``valid_to`` None means it still holds. ``chain`` None: on every chain.
    """

    address: bytes
    label: str
    source: str
    valid_from: int = 0
    valid_to: int | None = None
    chain: str | None = None
    author: str = ""
    note: str = ""
    alert_id: str = ""

    def holds_at(self, timestamp: int) -> bool:
        """Whether the label is in force at that block time."""
        return self.valid_from <= timestamp and (self.valid_to is None or timestamp < self.valid_to)


# --- where the pipeline stands -----------------------------------------------------------------

Offsets = dict[str, int]
"""The next offset to read, by ``topic/partition``."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a pipeline has come: the head, the bus offsets behind it, and running totals.

    ``finalized`` is the newest block it was told to be final: that is in no block, and a restart
    has to know it.
    """

    head: Position | None
    offsets: Offsets = field(default_factory=dict)
    blocks: int = 0
    transactions: int = 0
    flows: int = 0
    finalized: Position | None = None


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A published Parquet file: relative path, dataset, the blocks and rows it holds."""

    path: str
    dataset: str
    first: Position
    last: Position
    rows: int
    size_bytes: int


# --- text at the edges -------------------------------------------------------------------------


def hex_of(data: bytes | None) -> str | None:
    """``0x…`` text of an address or hash; None stays None.

    >>> hex_of(bytes([0xca, 0xfe]))
    '0xcafe'
    """
    return None if data is None else "0x" + data.hex()


def alert_to_dict(alert: Alert) -> dict[str, object]:
    """The documented JSON form of an alert: hex text, exact amounts as decimal text."""
    return {
        "id": alert.id,
        "chain": alert.chain.name,
        "chain_id": alert.chain.id,
        "rule": alert.rule,
        "rule_version": alert.rule_version,
        "typology": alert.typology,
        "severity": alert.severity.text,
        "score": alert.score,
        "subject": hex_of(alert.subject),
        "role": alert.role.value,
        "block_number": alert.position.number,
        "block_hash": hex_of(alert.position.hash),
        "block_timestamp": alert.block_timestamp,
        "transaction_hash": hex_of(alert.transaction_hash),
        "ordinal": alert.ordinal,
        "fingerprint": alert.fingerprint,
        "sentence": alert.sentence,
        "reasons": [
            {
                "feature": r.feature,
                "value": r.value,
                "contribution": r.contribution,
                "threshold": r.threshold,
            }
            for r in alert.reasons
        ],
        "evidence": {
            "transactions": [hex_of(t) for t in alert.evidence.transactions],
            "addresses": [hex_of(a) for a in alert.evidence.addresses],
            "amounts": [
                {"token": hex_of(token), "amount": str(amount)}
                for token, amount in alert.evidence.amounts
            ],
            "path": [
                {
                    "transaction": hex_of(hop.transaction),
                    "from": hex_of(hop.sender),
                    "to": hex_of(hop.receiver),
                    "token": hex_of(hop.token),
                    "amount": str(hop.amount),
                }
                for hop in alert.evidence.path
            ],
        },
    }


def alerts_digest(alerts: Sequence[Alert]) -> str:
    """A digest of a set of alerts, whatever their order: equal digests, equal alerts."""
    encoder = msgspec.json.Encoder(order="sorted")
    lines = sorted(encoder.encode(alert_to_dict(alert)) for alert in alerts)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
