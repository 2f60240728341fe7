"""Blocks made up to be consistent, signed with real keys by an independent library."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from eth_account import Account

from ingest.codec import (
    encode_receipt,
    encode_transaction,
    encode_withdrawal,
    header_hash,
    logs_bloom,
    transaction_hash,
    transaction_type,
)
from ingest.encoding import keccak
from ingest.raw import (
    RawBlock,
    RpcAccess,
    RpcAuthorization,
    RpcBlock,
    RpcLog,
    RpcReceipt,
    RpcTransaction,
    RpcWithdrawal,
)
from ingest.trie import ordered_root

KEY = Account.from_key("0x" + "46" * 32)
TO = "0x" + "35" * 20
BASE_FEE = 7_000_000_000
ZERO_HASH = "0x" + "00" * 32
TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()

KINDS: dict[str, dict[str, Any]] = {
    "legacy": {"gasPrice": 20 * 10**9},
    "protected": {"gasPrice": 20 * 10**9, "chainId": 1},
    "access_list": {
        "type": 1,
        "chainId": 1,
        "gasPrice": 20 * 10**9,
        "accessList": [{"address": TO, "storageKeys": ["0x" + "00" * 31 + "07"]}],
    },
    "dynamic_fee": {"type": 2, "chainId": 1, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9},
    "set_code": {
        "type": 4,
        "chainId": 1,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 5 * 10**9,
    },
}
"""What eth-account needs to know of a transaction, by kind."""


def signed(kind: str, nonce: int, *, creates: bool = False) -> tuple[RpcTransaction, bytes]:
    """A signed transaction as a node would give it, and the bytes that eth-account made of it."""
    fields = {
        "nonce": nonce,
        "gas": 100_000,
        "value": 10**18 + nonce,
        "data": "0x1234",
        **KINDS[kind],
    }
    if not creates:
        fields["to"] = TO
    if kind == "set_code":
        authorization = {"chainId": 1, "address": TO, "nonce": nonce}
        fields["authorizationList"] = [KEY.sign_authorization(authorization)]
    made = KEY.sign_transaction(fields)
    typed = "type" in fields
    tx = RpcTransaction(
        hash="0x" + bytes(made.hash).hex(),
        nonce=hex(nonce),
        from_=KEY.address,
        gas=hex(100_000),
        value=hex(10**18 + nonce),
        input="0x1234",
        to=None if creates else TO,
        type=hex(fields.get("type", 0)),
        gas_price=hex(fields.get("gasPrice") or _price(fields)),
        chain_id="0x1" if "chainId" in fields else None,
        v=hex(made.v),
        r=hex(made.r),
        s=hex(made.s),
        y_parity=hex(made.v) if typed else None,
    )
    if "maxFeePerGas" in fields:
        tx.max_fee_per_gas = hex(fields["maxFeePerGas"])
        tx.max_priority_fee_per_gas = hex(fields["maxPriorityFeePerGas"])
    if typed:
        tx.access_list = [
            RpcAccess(entry["address"], list(entry["storageKeys"]))
            for entry in fields.get("accessList", [])
        ]
    if kind == "set_code":
        tx.authorization_list = [
            RpcAuthorization(
                chain_id="0x1",
                address=TO,
                nonce=hex(nonce),
                r=hex(each.r),
                s=hex(each.s),
                y_parity=hex(each.y_parity),
            )
            for each in fields["authorizationList"]
        ]
    return tx, bytes(made.raw_transaction)


def _price(fields: dict[str, Any]) -> int:
    return int(min(fields["maxFeePerGas"], BASE_FEE + fields["maxPriorityFeePerGas"]))


def receipt(tx: RpcTransaction, logs: int) -> RpcReceipt:
    """A successful receipt with that many logs; ``seal`` adds what depends on the block."""
    topics = ["0x" + f"{n:064x}" for n in range(3)]
    return RpcReceipt(
        transaction_hash=tx.hash,
        gas_used=hex(21_000 + logs),
        cumulative_gas_used="0x0",
        logs_bloom="0x",
        logs=[RpcLog(TO, topics, "0x" + f"{n:02x}" * 40) for n in range(logs)],
        status="0x1",
        type=tx.type,
        effective_gas_price=tx.gas_price,
    )


def seal(
    transactions: Sequence[RpcTransaction],
    receipts: Sequence[RpcReceipt] | None,
    withdrawals: Sequence[RpcWithdrawal] = (),
) -> RawBlock:
    """The block that commits to all these, with every redundant field filled in."""
    used = 0
    for each in receipts or ():
        used += int(each.gas_used, 16)
        each.cumulative_gas_used = hex(used)
        each.logs_bloom = "0x" + logs_bloom(each.logs).hex()
    block = RpcBlock(
        number="0x64",
        hash=ZERO_HASH,
        parent_hash="0x" + "01" * 32,
        sha3_uncles="0x" + "02" * 32,
        miner="0x" + "03" * 20,
        state_root="0x" + "04" * 32,
        transactions_root=ZERO_HASH,
        receipts_root=ZERO_HASH,
        logs_bloom="0x" + logs_bloom([log for r in receipts or () for log in r.logs]).hex(),
        difficulty="0x0",
        gas_limit="0x1c9c380",
        gas_used=hex(used),
        timestamp="0x65000000",
        extra_data="0x",
        mix_hash="0x" + "05" * 32,
        nonce="0x0000000000000000",
        transactions=list(transactions),
        base_fee_per_gas=hex(BASE_FEE),
        withdrawals=list(withdrawals),
    )
    raw = RawBlock(block, None if receipts is None else list(receipts), where="made:1")
    reseal(raw)
    return raw


def reseal(raw: RawBlock) -> None:
    """Makes roots and hashes true again after a change, as a consistent liar would."""
    block = raw.block
    encoded = [encode_transaction(tx) for tx in block.transactions]
    block.transactions_root = "0x" + ordered_root(encoded).hex()
    block.withdrawals_root = (
        "0x" + ordered_root([encode_withdrawal(each) for each in block.withdrawals or ()]).hex()
    )
    if raw.receipts is not None:
        encoded = [
            encode_receipt(each, transaction_type(tx.type))
            for each, tx in zip(raw.receipts, block.transactions, strict=True)
        ]
        block.receipts_root = "0x" + ordered_root(encoded).hex()
    block.hash = "0x" + header_hash(block).hex()
    for index, tx in enumerate(block.transactions):
        tx.hash = "0x" + transaction_hash(tx).hex()
        tx.transaction_index, tx.block_hash, tx.block_number = hex(index), block.hash, block.number
    for index, each in enumerate(raw.receipts or ()):
        each.transaction_hash = block.transactions[index].hash
        items: list[RpcReceipt | RpcLog] = [each, *each.logs]
        for item in items:
            item.transaction_hash = each.transaction_hash
            item.transaction_index = hex(index)
            item.block_hash, item.block_number = block.hash, block.number


def made_block() -> RawBlock:
    """A block with a transaction of every kind, receipts with logs, a creation and withdrawals."""
    transactions = [signed(kind, nonce)[0] for nonce, kind in enumerate(KINDS)]
    transactions.append(signed("dynamic_fee", len(KINDS), creates=True)[0])
    receipts = [receipt(tx, logs) for logs, tx in enumerate(transactions)]
    withdrawals = [
        RpcWithdrawal(hex(n), hex(n + 7), "0x" + "06" * 20, hex(10**9 + n)) for n in range(3)
    ]
    return seal(transactions, receipts, withdrawals)


def op_stack_block() -> RawBlock:
    """Block 274 of a real OP-stack chain after Canyon (2024-02-24): one deposit, no logs."""
    empty_bloom = "0x" + "00" * 256
    block_hash = "0xfc70e073ec6e1bb7f387698e4be418d7b1ff2216f625cdf41e1b80fb08029ef5"
    deposit_hash = "0x13a644af4f64ce801dcd57faa823e8952f2290b810fdd31995dda62977ed3df1"
    words = (
        "0000000000000000000000000000000000000000000000000000000001267f33",
        "0000000000000000000000000000000000000000000000000000000065da6073",
        "000000000000000000000000000000000000000000000000000000075d3f8610",
        "97c24796a4f639846a6a3ea3a59c11de8d89e11f551bae8feca9271a78926d42",
        "0000000000000000000000000000000000000000000000000000000000000004",
        "000000000000000000000000415c8893d514f9bc5211d36eeda4183226b84aa7",
        "00000000000000000000000000000000000000000000000000000000000000bc",
        "00000000000000000000000000000000000000000000000000000000000a6fe0",
    )
    deposit = RpcTransaction(
        hash=deposit_hash,
        nonce="0x111",
        from_="0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
        gas="0xf4240",
        value="0x0",
        input="0x015d8eb9" + "".join(words),
        to="0x4200000000000000000000000000000000000015",
        transaction_index="0x0",
        block_hash=block_hash,
        block_number="0x112",
        type="0x7e",
        gas_price="0x0",
        v="0x0",
        r="0x0",
        s="0x0",
        source_hash="0x5a1b66228a26547e2ce6fe1aa734d2c34e062e42ccd5710463e6987890f1ad5d",
        mint="0x0",
    )
    block = RpcBlock(
        number="0x112",
        hash=block_hash,
        parent_hash="0xcfbc479d5f63476538db9ff15295167a6e91ecc9d6cf54be471eded689c251c9",
        sha3_uncles="0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        miner="0x4200000000000000000000000000000000000011",
        state_root="0x86be45fb7a22b8c12cbce8d538372b800377cc589de590b6d88f5f65dde97df8",
        transactions_root="0xb01a2ad2c1ceb76f2edcdc02f2e0453c52e24c421fb04132cdfc0da5b70a593e",
        receipts_root="0x8c303881b3e408cc739f55ef3e5133075d552cbec9ee987aff6b71f58cf291ee",
        logs_bloom=empty_bloom,
        difficulty="0x0",
        gas_limit="0x1c9c380",
        gas_used="0xb76d",
        timestamp="0x65da607b",
        extra_data="0x",
        mix_hash="0x8bc8a48326d9309959f2452206c1c842be9fcc9840c789845caab9d290a9700c",
        nonce="0x0000000000000000",
        transactions=[deposit],
        base_fee_per_gas="0x1418f329",
        withdrawals_root="0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        withdrawals=[],
    )
    outcome = RpcReceipt(
        transaction_hash=deposit_hash,
        gas_used="0xb76d",
        cumulative_gas_used="0xb76d",
        logs_bloom=empty_bloom,
        logs=[],
        status="0x1",
        type="0x7e",
        transaction_index="0x0",
        block_hash=block_hash,
        block_number="0x112",
        effective_gas_price="0x0",
        deposit_nonce="0x111",
        deposit_receipt_version="0x1",
    )
    return RawBlock(block, [outcome], where="made:2")


def unknown_type_block() -> RawBlock:
    """A block with one transaction of a type nobody knows."""
    raw = made_block()
    tx = raw.block.transactions[3]
    tx.type, tx.hash, tx.from_ = "0x6a", "0x" + "ab" * 32, "0x" + "cd" * 20
    assert raw.receipts is not None
    raw.receipts[3].type = "0x6a"
    items: list[RpcReceipt | RpcLog] = [raw.receipts[3], *raw.receipts[3].logs]
    for item in items:
        item.transaction_hash = tx.hash
    return raw


def worst_block(
    number: int, parent: str, *, logs: int = 34_168, timestamp: int | None = None, seed: int = 4
) -> RawBlock:
    """Four transactions with as many transfer logs as 60 million gas pay for."""
    rng = random.Random(seed)
    transactions = [signed("dynamic_fee", 4 * seed + place)[0] for place in range(4)]
    receipts = [receipt(tx, 0) for tx in transactions]
    for place in range(logs):
        topics = [TRANSFER, *("0x" + "00" * 12 + rng.randbytes(20).hex() for _ in range(2))]
        token = "0x" + ("ab" if place % 2 else "cd") * 20
        receipts[place * 4 // logs].logs.append(RpcLog(token, topics, "0x" + f"{place + 1:064x}"))
    raw = seal(transactions, receipts)
    raw.block.number, raw.block.parent_hash = hex(number), parent
    raw.block.timestamp = hex(0x65000000 + 12 * number if timestamp is None else timestamp)
    reseal(raw)
    return raw
