"""Seals blocks: Prague headers whose every root, bloom and hash is right, and whose fees follow.

What is not simulated is the state: state roots are hashes of nothing, which no block can tell.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from chainwarden.schema import Chain
from ingest.codec import encode_withdrawal, header_hash, keccak, receipt_encoding
from ingest.raw import RawBlock, RpcBlock, RpcLog, RpcReceipt, RpcTransaction, RpcWithdrawal
from ingest.simulate.contracts import BUILDERS
from ingest.simulate.signing import BLOB_GAS, Signed
from ingest.trie import ordered_root

GENESIS_SECONDS: Final = 1_606_824_023  # the beacon chain's first slot on mainnet
SLOT_SECONDS: Final = 12
TARGET_BLOB_GAS: Final = 6 * BLOB_GAS  # Prague
CAPTURED: Final = 0.45  # of the draw among builders: 98 % are for the biggest, which has 44 %
WITHDRAWALS: Final = 16  # at most that many in a block
VALIDATORS: Final = 1_050_000
NO_UNCLES: Final = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
NO_REQUESTS: Final = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EMPTY_BLOOM: Final = "0x" + "0" * 512


@dataclass(frozen=True, slots=True)
class Tip:
    """The block that the next one is built on: what the rules of EIP-1559 and 4844 ask of it."""

    number: int
    hash: str
    timestamp: int
    gas_used: int
    base_fee: int
    blob_gas_used: int
    excess_blob_gas: int
    withdrawals: int  # how many there have been

    def next_base_fee(self, gas_limit: int) -> int:
        """The base fee of the next block (EIP-1559)."""
        target = gas_limit // 2
        change = self.base_fee * abs(self.gas_used - target) // target // 8
        if self.gas_used > target:
            return self.base_fee + max(1, change)
        return self.base_fee - change

    def next_excess_blob_gas(self) -> int:
        """The excess blob gas of the next block (EIP-4844)."""
        return max(0, self.excess_blob_gas + self.blob_gas_used - TARGET_BLOB_GAS)


class Sealer:
    """Turns signed transactions into a block on top of a tip.

    The gas limit is constant and twice what the configured traffic uses on average, so that fees
    move as on mainnet, whatever the traffic.
    """

    def __init__(self, chain: Chain, seed: int, gas_limit: int) -> None:
        self.chain = chain
        self.gas_limit = gas_limit
        self._rng = random.Random(f"sealer {seed}")
        # Most validators pay out to a few pools of stakers.
        self._stakers = ["0x" + self._rng.randbytes(20).hex() for _ in range(3_000)]

    def seal(
        self, tip: Tip, timestamp: int, body: Sequence[Signed], captured: bool = False
    ) -> tuple[RawBlock, Tip]:
        """The block with these transactions in this order, and the tip it makes.

        ``captured``: the biggest builder builds nearly all.
        """
        rng = self._rng
        base_fee = tip.next_base_fee(self.gas_limit)
        receipts, encoded = self._receipts(body, base_fee)
        withdrawals = self._withdrawals(tip.withdrawals)
        bloom = 0
        for signed in body:
            bloom |= signed.bloom
        gas_used = sum(signed.draft.gas_used for signed in body)
        blob_gas = sum(signed.blob_gas for signed in body)
        share = rng.random() * (CAPTURED if captured else 1.0)
        _, builder, extra = next(each for each in BUILDERS if share < each[0])
        number = hex(tip.number + 1)
        block = RpcBlock(
            number=number,
            hash="",
            parent_hash=tip.hash,
            sha3_uncles=NO_UNCLES,
            miner="0x" + builder.hex(),
            state_root="0x" + keccak(rng.randbytes(8)).hex(),
            transactions_root="0x" + ordered_root([signed.raw for signed in body]).hex(),
            receipts_root="0x" + ordered_root(encoded).hex(),
            logs_bloom=bloom_text(bloom),
            difficulty="0x0",
            gas_limit=hex(self.gas_limit),
            gas_used=hex(gas_used),
            timestamp=hex(timestamp),
            extra_data="0x" + extra.hex(),
            mix_hash="0x" + rng.randbytes(32).hex(),
            nonce="0x0000000000000000",
            transactions=[],
            base_fee_per_gas=hex(base_fee),
            withdrawals_root="0x" + ordered_root([encode_withdrawal(w) for w in withdrawals]).hex(),
            withdrawals=withdrawals,
            blob_gas_used=hex(blob_gas),
            excess_blob_gas=hex(tip.next_excess_blob_gas()),
            parent_beacon_block_root="0x" + rng.randbytes(32).hex(),
            requests_hash=NO_REQUESTS,
        )
        block.hash = "0x" + header_hash(block).hex()
        block.transactions = [
            _placed(signed.transaction, index, number, block.hash, signed.price(base_fee))
            for index, signed in enumerate(body)
        ]
        for receipt in receipts:
            receipt.block_hash = block.hash
        raw = RawBlock(block=block, receipts=receipts, where=f"simulated block {tip.number + 1}")
        return raw, Tip(
            number=tip.number + 1,
            hash=block.hash,
            timestamp=timestamp,
            gas_used=gas_used,
            base_fee=base_fee,
            blob_gas_used=blob_gas,
            excess_blob_gas=tip.next_excess_blob_gas(),
            withdrawals=tip.withdrawals + len(withdrawals),
        )

    def _receipts(
        self, body: Sequence[Signed], base_fee: int
    ) -> tuple[list[RpcReceipt], list[bytes]]:
        """The receipts of a block, without its hash, and their encodings."""
        receipts, encoded, cumulative, log_index = [], [], 0, 0
        for index, signed in enumerate(body):
            draft = signed.draft
            cumulative += draft.gas_used
            logs = []
            for log in signed.logs:
                logs.append(RpcLog(log.address, log.topics, log.data, log_index=hex(log_index)))
                log_index += 1
            receipt = RpcReceipt(
                transaction_hash=signed.transaction.hash,
                gas_used=hex(draft.gas_used),
                cumulative_gas_used=hex(cumulative),
                logs_bloom=bloom_text(signed.bloom),
                logs=logs,
                status=hex(draft.status),
                type=signed.transaction.type,
                contract_address=None if signed.created is None else "0x" + signed.created.hex(),
                effective_gas_price=hex(signed.price(base_fee)),
                transaction_index=hex(index),
            )
            receipts.append(receipt)
            bloom = signed.bloom.to_bytes(256, "big")
            encoded.append(receipt_encoding(receipt, draft.type, signed.encoded_logs, bloom))
        return receipts, encoded

    def _withdrawals(self, done: int) -> list[RpcWithdrawal]:
        """The next validators in turn get what they earned; one in thousands leaves with all."""
        rng = self._rng
        withdrawals = []
        for index in range(done, done + WITHDRAWALS):
            amount = 18_200_000 + int(rng.random() * 400_000)
            if rng.random() < 0.0005:
                amount += 32 * 10**9
            staker = self._stakers[int(3_001 ** rng.random()) - 1]
            validator = index % VALIDATORS
            withdrawals.append(RpcWithdrawal(hex(index), hex(validator), staker, hex(amount)))
        return withdrawals


def bloom_text(bloom: int) -> str:
    """A Bloom filter as hex text."""
    return f"0x{bloom:0512x}" if bloom else EMPTY_BLOOM


def _placed(
    transaction: RpcTransaction, index: int, number: str, block_hash: str, price: int
) -> RpcTransaction:
    """The transaction as a node shows it in a block: with its place, and the price it paid."""
    return msgspec.structs.replace(
        transaction,
        transaction_index=hex(index),
        block_number=number,
        block_hash=block_hash,
        gas_price=hex(price),
    )
