"""What a block commits to, as bytes: RLP of headers, transactions, receipts and withdrawals.

Every function is pure and takes the JSON-RPC structs of ``ingest.raw``. What cannot be encoded
(text that is no hex, a number that is too wide, a field its kind needs and does not have) raises
ValueError with the field's name; no other exception leaves this module. A transaction type nobody
knows raises UnknownTransactionType, which is a ValueError too. What ``ingest.encoding`` has can be
imported from here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ingest.encoding import (
    data_of,
    keccak,
    quantity_of,
    rlp_encode,
    rlp_integer,
    rlp_list,
    rlp_string,
    scalar_of,
    shown,
)
from ingest.raw import (
    RpcAccess,
    RpcAuthorization,
    RpcBlock,
    RpcLog,
    RpcReceipt,
    RpcTransaction,
    RpcWithdrawal,
)

__all__ = [
    "ACCESS_LIST",
    "BLOB",
    "DEPOSIT",
    "DYNAMIC_FEE",
    "LEGACY",
    "SET_CODE",
    "TRANSACTION_TYPES",
    "TransactionParts",
    "UnknownTransactionType",
    "authorization_parity",
    "authorization_payload",
    "bloom_bits",
    "bloomed_log",
    "contract_address",
    "data_of",
    "encode_header",
    "encode_log",
    "encode_receipt",
    "encode_transaction",
    "encode_withdrawal",
    "header_hash",
    "keccak",
    "legacy_chain_id",
    "log_encoding",
    "logs_bloom",
    "quantity_of",
    "receipt_encoding",
    "rlp_encode",
    "rlp_integer",
    "rlp_list",
    "rlp_string",
    "scalar_of",
    "shown",
    "signing_hash",
    "transaction_hash",
    "transaction_parts",
    "transaction_type",
]

LEGACY: Final = 0x00
ACCESS_LIST: Final = 0x01  # EIP-2930
DYNAMIC_FEE: Final = 0x02  # EIP-1559
BLOB: Final = 0x03  # EIP-4844
SET_CODE: Final = 0x04  # EIP-7702
DEPOSIT: Final = 0x7E  # OP stack

TRANSACTION_TYPES: Final = (LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE, DEPOSIT)


class UnknownTransactionType(ValueError):
    """An EIP-2718 type whose encoding is not known; ``type`` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"transaction type {number:#x} is not known")
        self.type = number


@lru_cache(maxsize=16_384)  # at most 8 MB; fees, limits and small amounts repeat
def _scalar(text: str | None, field: str, bits: int = 256) -> bytes:
    return rlp_string(scalar_of(text, field, bits))


def _data(text: str | None, field: str) -> bytes:
    return rlp_string(data_of(text, field))


def _address(text: str | None, field: str) -> bytes:
    return b"\x94" + data_of(text, field, 20)


def _word(text: str | None, field: str) -> bytes:
    return b"\xa0" + data_of(text, field, 32)


def _recipient(to: str | None) -> bytes:
    return b"\x80" if to is None else b"\x94" + data_of(to, "to", 20)


# --- headers -----------------------------------------------------------------------------------


def encode_header(block: RpcBlock) -> bytes:
    """The RLP of a header: 15 fields, and those that forks added and the block has.

    London added ``baseFeePerGas`` (16 fields), Shanghai ``withdrawalsRoot`` (17), Cancun
    ``blobGasUsed``, ``excessBlobGas`` and ``parentBeaconBlockRoot`` (20), Prague ``requestsHash``
    (21). Number, times and gas are below 2^63, as in geth.
    """
    fields = [
        _word(block.parent_hash, "parentHash"),
        _word(block.sha3_uncles, "sha3Uncles"),
        _address(block.miner, "miner"),
        _word(block.state_root, "stateRoot"),
        _word(block.transactions_root, "transactionsRoot"),
        _word(block.receipts_root, "receiptsRoot"),
        b"\xb9\x01\x00" + data_of(block.logs_bloom, "logsBloom", 256),
        _scalar(block.difficulty, "difficulty"),
        _scalar(block.number, "number", 63),
        _scalar(block.gas_limit, "gasLimit", 63),
        _scalar(block.gas_used, "gasUsed", 63),
        _scalar(block.timestamp, "timestamp", 63),
        rlp_string(_extra_data(block)),
        _word(block.mix_hash, "mixHash"),
        b"\x88" + data_of(block.nonce, "nonce", 8),
    ]
    if block.base_fee_per_gas is not None:
        fields.append(_scalar(block.base_fee_per_gas, "baseFeePerGas"))
    if block.withdrawals_root is not None:
        fields.append(_word(block.withdrawals_root, "withdrawalsRoot"))
    if block.blob_gas_used is not None:
        fields.append(_scalar(block.blob_gas_used, "blobGasUsed", 63))
    if block.excess_blob_gas is not None:
        fields.append(_scalar(block.excess_blob_gas, "excessBlobGas", 63))
    if block.parent_beacon_block_root is not None:
        fields.append(_word(block.parent_beacon_block_root, "parentBeaconBlockRoot"))
    if block.requests_hash is not None:
        fields.append(_word(block.requests_hash, "requestsHash"))
    return rlp_list(b"".join(fields))


# Proof of work never went below this difficulty and proof of stake has 0: what lies between is
# proof of authority, which keeps its signatures in extraData.
_MINIMUM_WORK: Final = 131_072


def _extra_data(block: RpcBlock) -> bytes:
    data = data_of(block.extra_data, "extraData")
    if len(data) > 32 and not 0 < quantity_of(block.difficulty, "difficulty") < _MINIMUM_WORK:
        raise ValueError(
            f"extraData has {len(data)} bytes, more than 32: {shown(block.extra_data)}"
        )
    return data


def header_hash(block: RpcBlock) -> bytes:
    """The block's hash, from its header fields."""
    return keccak(encode_header(block))


# --- transactions ------------------------------------------------------------------------------


class TransactionParts(NamedTuple):
    """A transaction taken apart once, for its encoding, its hash and what was signed.

    ``payload`` are the RLP fields in front of the signature, joined; ``signature`` those of v, r
    and s. ``signing_suffix`` is what EIP-155 signs besides. ``parity``, ``r`` and ``s`` are the
    signature itself; parity is 0 or 1, and meaningless for a deposit, which nobody signed.
    """

    type: int
    payload: bytes
    signature: bytes
    signing_suffix: bytes
    parity: int
    r: bytes
    s: bytes

    @property
    def is_signed(self) -> bool:
        """Whether something proves the sender: a signature, or a deposit's own hash."""
        return bool(self.r or self.s) or self.type == DEPOSIT

    def encode(self) -> bytes:
        """The EIP-2718 encoding: what the transactions root and the hash are made of."""
        body = rlp_list(self.payload + self.signature)
        return bytes([self.type]) + body if self.type else body

    def signing_hash(self) -> bytes:
        """The hash that the sender signed. Raises ValueError for a deposit."""
        if self.type == DEPOSIT:
            raise ValueError("nobody signs a deposit transaction")
        body = rlp_list(self.payload + self.signing_suffix)
        return keccak(bytes([self.type]) + body if self.type else body)


_TYPE_NUMBERS: Final = {hex(number): number for number in TRANSACTION_TYPES}


def transaction_type(text: str) -> int:
    """The number of an EIP-2718 type, below 0x80."""
    number = _TYPE_NUMBERS.get(text)
    return quantity_of(text, "type", 7) if number is None else number


def transaction_parts(tx: RpcTransaction, type_number: int | None = None) -> TransactionParts:
    """Takes a transaction apart, by its own type unless another is given."""
    number = transaction_type(tx.type) if type_number is None else type_number
    if number == LEGACY:
        return _legacy_parts(tx)
    if number == DEPOSIT:
        return TransactionParts(DEPOSIT, _deposit_payload(tx), b"", b"", 0, b"", b"")
    if number not in TRANSACTION_TYPES:
        raise UnknownTransactionType(number)
    fields = [_scalar(tx.chain_id, "chainId"), _scalar(tx.nonce, "nonce", 64)]
    if number == ACCESS_LIST:
        fields.append(_scalar(tx.gas_price, "gasPrice"))
    else:
        fields.append(_scalar(tx.max_priority_fee_per_gas, "maxPriorityFeePerGas"))
        fields.append(_scalar(tx.max_fee_per_gas, "maxFeePerGas"))
    fields += (
        _scalar(tx.gas, "gas", 63),
        _recipient(tx.to),
        _scalar(tx.value, "value"),
        _data(tx.input, "input"),
        _access_list(tx.access_list),
    )
    if number == BLOB:
        hashes = tx.blob_versioned_hashes or ()
        fields.append(_scalar(tx.max_fee_per_blob_gas, "maxFeePerBlobGas"))
        fields.append(rlp_list(b"".join([_word(each, "blobVersionedHashes") for each in hashes])))
    elif number == SET_CODE:
        tuples = tx.authorization_list or ()
        fields.append(rlp_list(b"".join([_authorization(each) for each in tuples])))
    r, s = scalar_of(tx.r, "r"), scalar_of(tx.s, "s")
    parity = _parity(tx.y_parity, tx.v)
    signature = rlp_integer(parity) + rlp_string(r) + rlp_string(s)
    return TransactionParts(number, b"".join(fields), signature, b"", parity, r, s)


def _legacy_parts(tx: RpcTransaction) -> TransactionParts:
    payload = b"".join(
        (
            _scalar(tx.nonce, "nonce", 64),
            _scalar(tx.gas_price, "gasPrice"),
            _scalar(tx.gas, "gas", 63),
            _recipient(tx.to),
            _scalar(tx.value, "value"),
            _data(tx.input, "input"),
        )
    )
    v, r, s = quantity_of(tx.v, "v"), scalar_of(tx.r, "r"), scalar_of(tx.s, "s")
    chain_id = legacy_chain_id(v) if r or s else None
    suffix = b"" if chain_id is None else rlp_integer(chain_id) + b"\x80\x80"
    parity = (v - 27 if chain_id is None else v - 35) & 1
    signature = rlp_integer(v) + rlp_string(r) + rlp_string(s)
    return TransactionParts(LEGACY, payload, signature, suffix, parity, r, s)


def legacy_chain_id(v: int) -> int | None:
    """The chain id that a legacy ``v`` carries (EIP-155); None where it is 27 or 28."""
    if v in (27, 28):
        return None
    if v < 35:
        raise ValueError(f"v of a legacy transaction cannot be {v}")
    return (v - 35) >> 1


def _parity(y_parity: str | None, v: str | None) -> int:
    # Nodes before 2023 gave only v, which is the parity for every type but legacy.
    return quantity_of(v, "v", 1) if y_parity is None else quantity_of(y_parity, "yParity", 1)


def _access_list(entries: Sequence[RpcAccess] | None) -> bytes:
    if not entries:
        return b"\xc0"
    return rlp_list(
        b"".join(
            [
                rlp_list(
                    _address(entry.address, "accessList.address")
                    + rlp_list(
                        b"".join(
                            [_word(key, "accessList.storageKeys") for key in entry.storage_keys]
                        )
                    )
                )
                for entry in entries
            ]
        )
    )


def authorization_payload(entry: RpcAuthorization) -> bytes:
    """The RLP fields of an EIP-7702 authorization that its authority signed, joined."""
    return (
        _scalar(entry.chain_id, "authorizationList.chainId")
        + _address(entry.address, "authorizationList.address")
        + _scalar(entry.nonce, "authorizationList.nonce", 64)
    )


def authorization_parity(entry: RpcAuthorization) -> int:
    """The parity of an authorization. Any byte may stand there; only 0 and 1 recover."""
    if entry.y_parity is not None:
        return quantity_of(entry.y_parity, "authorizationList.yParity", 8)
    return quantity_of(entry.v, "authorizationList.v", 8)


def _authorization(entry: RpcAuthorization) -> bytes:
    return rlp_list(
        authorization_payload(entry)
        + rlp_integer(authorization_parity(entry))
        + _scalar(entry.r, "authorizationList.r")
        + _scalar(entry.s, "authorizationList.s")
    )


def _deposit_payload(tx: RpcTransaction) -> bytes:
    return b"".join(
        (
            _word(tx.source_hash, "sourceHash"),
            _address(tx.from_, "from"),
            _recipient(tx.to),
            _scalar(tx.mint or "0x0", "mint"),
            _scalar(tx.value, "value"),
            _scalar(tx.gas, "gas", 63),
            b"\x01" if tx.is_system_tx else b"\x80",
            _data(tx.input, "input"),
        )
    )


def encode_transaction(tx: RpcTransaction) -> bytes:
    """The EIP-2718 encoding of a transaction: types 0 to 4 and the OP stack's deposits (0x7e)."""
    return transaction_parts(tx).encode()


def transaction_hash(tx: RpcTransaction) -> bytes:
    """The hash of a transaction, from its fields."""
    return keccak(encode_transaction(tx))


def signing_hash(tx: RpcTransaction) -> bytes:
    """The hash that a transaction's sender signed. Raises ValueError for a deposit."""
    return transaction_parts(tx).signing_hash()


def contract_address(sender: bytes, nonce: int) -> bytes:
    """The address of the contract that a creation by ``sender`` at ``nonce`` makes."""
    return keccak(rlp_list(b"\x94" + sender + rlp_integer(nonce)))[12:]


# --- receipts, blooms, withdrawals -------------------------------------------------------------


def encode_receipt(receipt: RpcReceipt, transaction_type: int) -> bytes:
    """The EIP-2718 encoding of the receipt of a transaction of that type."""
    logs = [encode_log(log) for log in receipt.logs]
    return receipt_encoding(
        receipt, transaction_type, logs, data_of(receipt.logs_bloom, "logsBloom", 256)
    )


def receipt_encoding(
    receipt: RpcReceipt, transaction_type: int, logs: Sequence[bytes], bloom: bytes
) -> bytes:
    """``encode_receipt`` for logs and bloom that are bytes already.

    The first field is the status, or the state root where no status is given: receipts before
    Byzantium. A deposit's nonce is committed to where it has a version, since Canyon.
    """
    if receipt.status is None and receipt.root is not None:
        outcome = _word(receipt.root, "root")
    else:
        outcome = _scalar(receipt.status, "status", 1)
    payload = b"".join(
        (
            outcome,
            _scalar(receipt.cumulative_gas_used, "cumulativeGasUsed", 63),
            b"\xb9\x01\x00",
            bloom,
            rlp_list(b"".join(logs)),
        )
    )
    if transaction_type == DEPOSIT and receipt.deposit_receipt_version is not None:
        payload += _scalar(receipt.deposit_nonce, "depositNonce", 64)
        payload += _scalar(receipt.deposit_receipt_version, "depositReceiptVersion", 64)
    body = rlp_list(payload)
    return bytes([transaction_type]) + body if transaction_type else body


def encode_log(log: RpcLog) -> bytes:
    """The RLP of a log: address, up to four topics, data."""
    return bloomed_log(log)[0]


def bloomed_log(log: RpcLog) -> tuple[bytes, int]:
    """The RLP of a log, and the bits that its address and its topics set in a bloom."""
    if len(log.topics) > 4:
        raise ValueError(f"a log has {len(log.topics)} topics, more than 4")
    address, bits = _bloomed(log.address, "address", 20)
    topics = b""
    for topic in log.topics:
        word, more = _bloomed(topic, "topics", 32)
        topics += word
        bits |= more
    return rlp_list(address + rlp_list(topics) + _data(log.data, "data")), bits


@lru_cache(maxsize=16_384)  # at most 8 MB; tokens and topics repeat within a block and across
def _bloomed(text: str, field: str, size: int) -> tuple[bytes, int]:
    """The RLP of an address or a topic, and the bits that it sets in a bloom."""
    item = data_of(text, field, size)
    return rlp_string(item), bloom_bits(item)


def log_encoding(address: bytes, topics: Sequence[bytes], data: bytes) -> bytes:
    """``encode_log`` for parts that are bytes already."""
    joined = b"".join([b"\xa0" + topic for topic in topics])
    return rlp_list(b"\x94" + address + rlp_list(joined) + rlp_string(data))


def logs_bloom(logs: Sequence[RpcLog]) -> bytes:
    """The 2,048-bit Bloom filter of logs' addresses and topics (Yellow Paper, 4.3.1)."""
    bloom = 0
    for log in logs:
        bloom |= bloomed_log(log)[1]
    return bloom.to_bytes(256, "big")


@lru_cache(maxsize=16_384)  # at most 8 MB; tokens and topics repeat within a block and across
def bloom_bits(item: bytes) -> int:
    """The three bits that an address or a topic sets, as a 2,048-bit number."""
    digest = keccak(item)
    first = ((digest[0] << 8) | digest[1]) & 2047
    second = ((digest[2] << 8) | digest[3]) & 2047
    third = ((digest[4] << 8) | digest[5]) & 2047
    return (1 << first) | (1 << second) | (1 << third)


def encode_withdrawal(w: RpcWithdrawal) -> bytes:
    """The RLP of an EIP-4895 withdrawal."""
    return rlp_list(
        _scalar(w.index, "index", 64)
        + _scalar(w.validator_index, "validatorIndex", 64)
        + _address(w.address, "address")
        + _scalar(w.amount, "amount", 64)
    )
