"""Small blocks, told event by event, as the rules get them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from chainwarden.schema import (
    ETHEREUM,
    TABLES,
    BlockBatch,
    Chain,
    FlowKind,
)
from detect.rules.rule import Finding, Rule
from detect.scored import APPROVAL_FACTS, FLOW_FACTS, ScoredBatch

SCHEMAS = dict(TABLES)
ETHER = 10**18
BUILDER = b"\xb1" * 20
START = 1_700_000_003  # a block time: slot aligned


def wallet(number: int) -> bytes:
    """The n-th of many wallets that resemble one another in nothing."""
    return hashlib.sha256(b"wallet %d" % number).digest()[:20]


def at(text: str) -> bytes:
    """20 bytes of ``0x…`` text."""
    return bytes.fromhex(text.removeprefix("0x"))


def uint(value: int) -> bytes:
    """An ABI word."""
    return value.to_bytes(32, "big")


def word(address: bytes) -> bytes:
    """An address as an ABI word."""
    return address.rjust(32, b"\0")


@dataclass
class Tx:
    """A transaction and what it did. Facts are those of its flows' two parties, by name."""

    sender: bytes
    to: bytes | None
    value: int = 0
    data: bytes | None = b""
    status: int | None = 1
    nonce: int | None = None
    gas_used: int | None = 100_000
    gas_price: int | None = None
    receipt: bool = True
    tokens: list[tuple[bytes, bytes, bytes, int]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    logs: list[tuple[bytes, list[bytes], bytes]] = field(default_factory=list)
    creates: bytes | None = None
    authorizations: list[dict[str, Any]] = field(default_factory=list)
    init_code: bytes | None = None
    kind: FlowKind = FlowKind.ERC20
    facts: dict[str, Any] = field(default_factory=dict)
    salt: int = 0
    internal: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    type: int | None = None

    def hash(self) -> bytes:
        """A hash that depends on what makes the transaction another one."""
        told = (self.sender, self.to, self.value, self.data, self.nonce, self.salt, self.tokens)
        return hashlib.sha256(repr(told).encode()).digest()


@dataclass
class Block:
    """A block of transactions."""

    txs: list[Tx] = field(default_factory=list)
    number: int | None = None
    time: int | None = None
    fork: int = 0
    withdrawals: list[tuple[bytes, int]] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)


class Build:
    """Makes scored batches of blocks that follow one another."""

    def __init__(
        self, chain: Chain = ETHEREUM, number: int = 18_000_000, time: int = START
    ) -> None:
        self.chain, self.number, self.time, self.serial = chain, number, time, 0
        self.parent = bytes(32)

    def mark(self) -> tuple[int, int, int, bytes]:
        """Where the chain stands, for ``back``."""
        return self.number, self.time, self.serial, self.parent

    def back(self, mark: tuple[int, int, int, bytes]) -> None:
        """Go on from there: what is built next is another branch."""
        self.number, self.time, self.serial, self.parent = mark

    def batch(self, *blocks: Block) -> ScoredBatch:
        """The blocks as one batch, behind those made before."""
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
        facts: list[dict[str, Any]] = []
        approval_facts: list[dict[str, Any]] = []
        first = self.serial
        for block in blocks:
            self._block(block, rows, facts, approval_facts)
        tables = {
            name: pa.Table.from_pylist(
                [{f.name: row.get(f.name) for f in SCHEMAS[name]} for row in rows[name]],
                schema=SCHEMAS[name],
            )
            for name in rows
        }
        batch = BlockBatch.of(self.chain, **tables)
        return ScoredBatch(
            batch,
            first,
            _facts(facts, FLOW_FACTS, ("from", "to")),
            _facts(approval_facts, APPROVAL_FACTS, ("owner", "spender")),
            pa.table({}),
        )

    def _block(
        self,
        block: Block,
        rows: dict[str, list[dict[str, Any]]],
        facts: list[dict[str, Any]],
        approval_facts: list[dict[str, Any]],
    ) -> None:
        number = self.number if block.number is None else block.number
        time = self.time if block.time is None else block.time
        block_hash = number.to_bytes(31, "big") + bytes([block.fork])
        rows["blocks"].append(
            {
                "block_number": number,
                "block_hash": block_hash,
                "parent_hash": self.parent,
                "miner": BUILDER,
                "block_timestamp": time,
                "transaction_count": len(block.txs),
                "verified": True,
                **block.header,
            }
        )
        for index, tx in enumerate(block.txs):
            key = {
                "block_number": number,
                "block_timestamp": time,
                "transaction_hash": tx.hash(),
                "transaction_index": index,
            }
            self._transaction(tx, key, rows, facts, approval_facts)
        for place, (receiver, amount) in enumerate(block.withdrawals):
            rows["flows"].append(
                {
                    "block_number": number,
                    "block_timestamp": time,
                    "ordinal": place,
                    "batch_index": 0,
                    "kind": int(FlowKind.WITHDRAWAL),
                    "from_address": bytes(20),
                    "to_address": receiver,
                    "value": uint(amount),
                    "value_f64": float(amount),
                }
            )
            facts.append({"first_seen": time})
        self.parent, self.number, self.time = block_hash, number + 1, time + 12
        self.serial += 1

    def _transaction(
        self,
        tx: Tx,
        key: dict[str, Any],
        rows: dict[str, list[dict[str, Any]]],
        facts: list[dict[str, Any]],
        approval_facts: list[dict[str, Any]],
    ) -> None:
        count = len(tx.tokens) + len(tx.approvals) + len(tx.logs)
        target = tx.to if tx.to is not None else (tx.creates or bytes(20))
        rows["transactions"].append(
            {
                **key,
                "transaction_type": tx.type,
                "nonce": tx.nonce,
                "from_address": tx.sender,
                "to_address": tx.to,
                "value": uint(tx.value),
                "value_f64": float(tx.value),
                "input": tx.data,
                "gas_used": tx.gas_used,
                "gas_price": tx.gas_price,
                "status": tx.status,
                "log_count": count if tx.receipt else None,
            }
        )
        common = {"first_seen": key["block_timestamp"], "nonce": -1, **tx.facts}
        rows["flows"].append(
            {
                **key,
                "ordinal": 0,
                "batch_index": 0,
                "kind": 0,
                "from_address": tx.sender,
                "to_address": target,
                "value": uint(tx.value),
                "value_f64": float(tx.value),
                "status": tx.status,
            }
        )
        facts.append(common)
        for place, (payer, payee, wei) in enumerate(tx.internal):
            rows["flows"].append(
                {
                    **key,
                    "ordinal": -1 - place,
                    "batch_index": 0,
                    "kind": int(FlowKind.INTERNAL),
                    "from_address": payer,
                    "to_address": payee,
                    "value": uint(wei),
                    "value_f64": float(wei),
                    "status": tx.status,
                }
            )
            facts.append(common)
        ordinal = 0
        for approval in tx.approvals:
            ordinal += 1
            amount = approval.get("value")
            rows["approvals"].append(
                {
                    "kind": 0,
                    "approved": True,
                    **key,
                    "ordinal": ordinal,
                    **approval,
                    "value": None if amount is None else uint(amount),
                    "value_f64": None if amount is None else float(amount),
                }
            )
            approval_facts.append(common)
        for token, sender, receiver, amount in tx.tokens:
            ordinal += 1
            rows["flows"].append(
                {
                    **key,
                    "ordinal": ordinal,
                    "batch_index": 0,
                    "kind": int(tx.kind),
                    "token_address": token,
                    "from_address": sender,
                    "to_address": receiver,
                    "value": uint(amount),
                    "value_f64": float(amount),
                    "status": tx.status,
                }
            )
            facts.append(common)
        for place, granted in enumerate(tx.authorizations):
            plain = {"chain_id": uint(self.chain.id), "nonce": 0}
            rows["authorizations"].append({**key, "ordinal": place, **plain, **granted})
        for address, topics, data in tx.logs:
            ordinal += 1
            named = {f"topic{i}": topic for i, topic in enumerate(topics)}
            rows["logs"].append(
                {**key, "ordinal": ordinal, "address": address, "data": data, **named}
            )
        if tx.creates is not None:
            rows["creations"].append(
                {
                    **key,
                    "ordinal": 0,
                    "creator": tx.sender,
                    "contract_address": tx.creates,
                    "init_code": tx.init_code or (tx.data if tx.to is None else None),
                }
            )


def _facts(
    rows: list[dict[str, Any]], kind: np.dtype[Any], sides: tuple[str, str]
) -> np.ndarray[Any, Any]:
    # A fact without a side ("nonce") holds for both parties.
    out = np.zeros(len(rows), kind)
    for place, row in enumerate(rows):
        for name, value in row.items():
            columns = kind.names or ()
            names = [name] if name in columns else [f"{side}_{name}" for side in sides]
            for known in names:
                if known in columns:
                    out[known][place] = value
    return out


def split(scored: ScoredBatch) -> list[ScoredBatch]:
    """The same blocks, one to a batch, with their facts."""
    parts = []
    for row, batch in enumerate(scored.batch.split()):
        number = batch.numbers()[0]
        flows = scored.batch.flows["block_number"].to_numpy() == number
        approvals = scored.batch.approvals["block_number"].to_numpy() == number
        parts.append(
            ScoredBatch(
                batch,
                scored.first_serial + row,
                scored.flow_facts[flows],
                scored.approval_facts[approvals],
                scored.features,
            )
        )
    return parts


def told(findings: Sequence[Finding]) -> list[tuple[str, str, bytes]]:
    """What matters of findings: rule, severity, subject."""
    return [(f.rule, f.severity.text, f.subject) for f in findings]


def run(rule: Rule, *batches: ScoredBatch) -> list[Finding]:
    """All findings of a rule over batches, its contract checked on each."""
    found: list[Finding] = []
    for scored in batches:
        findings = list(rule.evaluate(scored))
        for finding in findings:
            assert 0 <= finding.score <= 1
            assert abs(sum(r.contribution for r in finding.reasons) - finding.score) < 1e-9
            assert 0 <= finding.block_row < len(scored.batch)
            assert finding.sentence.endswith(".")
        places = [(f.block_row, f.transaction_index) for f in findings]
        assert places == sorted(places)
        found += findings
    return found
