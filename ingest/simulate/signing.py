"""From drafts to signed transactions: nonce, prices, a real signature, and the hash."""

from __future__ import annotations

from dataclasses import dataclass

import coincurve
import msgspec

from ingest.codec import (
    ACCESS_LIST,
    BLOB,
    LEGACY,
    SET_CODE,
    authorization_payload,
    bloom_bits,
    contract_address,
    keccak,
    log_encoding,
    rlp_integer,
    rlp_list,
    rlp_string,
    transaction_parts,
)
from ingest.raw import RpcAccess, RpcAuthorization, RpcLog, RpcTransaction
from ingest.simulate.contracts import GWEI
from ingest.simulate.draft import Draft, Wallet

BLOB_GAS = 131_072
_UNSIGNED = "0x1"  # stands for r and s until they are known


@dataclass(slots=True)
class Signed:
    """A signed transaction, ready to be put in any block: also into a second one after a fork.

    ``transaction`` lacks its place in a block. ``logs``, ``encoded_logs`` and ``bloom`` are those
    of its receipt; ``price`` gives what it pays at a base fee.
    """

    draft: Draft
    transaction: RpcTransaction
    raw: bytes
    hash: bytes
    logs: list[RpcLog]
    encoded_logs: list[bytes]
    bloom: int
    created: bytes | None
    blob_gas: int
    fee_cap: int
    tip_cap: int

    def price(self, base_fee: int) -> int:
        """Wei per gas at that base fee (EIP-1559)."""
        return min(self.fee_cap, base_fee + self.tip_cap)


def sign(draft: Draft, chain_id: int, base_fee: int) -> Signed:
    """Give a draft its sender's next nonce (or its own), today's prices, and sign it."""
    sender, number = draft.sender, draft.type
    nonce = draft.nonce
    if nonce is None:
        nonce = sender.nonce
        sender.nonce += 1
    limit = draft.gas_used if not draft.data and draft.type != SET_CODE else draft.gas_used * 5 // 4
    tx = RpcTransaction(
        hash="",
        nonce=hex(nonce),
        from_="0x" + sender.address.hex(),
        gas=hex(limit),
        value=hex(draft.value),
        input="0x" + draft.data.hex(),
        to=None if draft.to is None else "0x" + draft.to.hex(),
        type=hex(number),
        chain_id=hex(chain_id),
        r=_UNSIGNED,
        s=_UNSIGNED,
    )
    cap, tip = _prices(tx, draft, base_fee)
    blob_gas = 0
    if number == LEGACY:
        tx.v = hex(35 + 2 * chain_id)
    else:
        tx.y_parity = tx.v = "0x0"
        tx.access_list = []
    if number == ACCESS_LIST and draft.to is not None:
        keys = ["0x" + keccak(draft.data + bytes([n])).hex() for n in range(2)]
        tx.access_list = [RpcAccess(address="0x" + draft.to.hex(), storage_keys=keys)]
    elif number == BLOB:
        blobs = 1 + nonce % 4
        blob_gas = BLOB_GAS * blobs
        tx.max_fee_per_blob_gas = hex(GWEI)
        tx.blob_versioned_hashes = [
            "0x01" + keccak(b"%d %d" % (nonce, blob)).hex()[2:] for blob in range(blobs)
        ]
    elif number == SET_CODE and draft.delegate is not None:
        # The sender's nonce is already one higher when its own authorization is checked.
        tx.authorization_list = []
        for authority in draft.authorities or (sender,):
            tx.authorization_list.append(
                _authorization(authority, chain_id, draft.delegate, authority.nonce)
            )
            authority.nonce += 1
    raw = _signature(tx, sender.key, chain_id)
    digest = keccak(raw)
    tx.hash = "0x" + digest.hex()
    creates = draft.to is None and draft.status == 1
    created = contract_address(sender.address, nonce) if creates else None
    bloom = 0
    for address, topics, _ in draft.logs:
        bloom |= bloom_bits(address)
        for topic in topics:
            bloom |= bloom_bits(topic)
    logs = [
        RpcLog(
            "0x" + log.address.hex(), ["0x" + t.hex() for t in log.topics], "0x" + log.data.hex()
        )
        for log in draft.logs
    ]
    encoded = [log_encoding(*log) for log in draft.logs]
    return Signed(draft, tx, raw, digest, logs, encoded, bloom, created, blob_gas, cap, tip)


def _prices(tx: RpcTransaction, draft: Draft, base_fee: int) -> tuple[int, int]:
    """Set the price fields; returns the fee cap and the tip cap."""
    if draft.type in (LEGACY, ACCESS_LIST):
        price = draft.gas_price or base_fee * 3 // 2 + draft.tip
        tx.gas_price = hex(price)
        return price, price
    cap = base_fee * 2 + draft.tip
    tx.max_fee_per_gas = hex(cap)
    tx.max_priority_fee_per_gas = hex(draft.tip)
    return cap, draft.tip


def _signature(tx: RpcTransaction, key: coincurve.PrivateKey, chain_id: int) -> bytes:
    """Sign: fills in the signature fields and returns the EIP-2718 encoding."""
    parts = transaction_parts(tx)
    signature = key.sign_recoverable(parts.signing_hash(), hasher=None)
    parity = signature[64]
    tx.r = "0x" + signature[:32].hex().lstrip("0")
    tx.s = "0x" + signature[32:64].hex().lstrip("0")
    if parts.type == LEGACY:
        v = 35 + 2 * chain_id + parity
        tx.v = hex(v)
    else:
        v = parity
        tx.v = tx.y_parity = hex(parity)
    encoded = rlp_integer(v)
    encoded += rlp_string(signature[:32].lstrip(b"\0")) + rlp_string(signature[32:64].lstrip(b"\0"))
    return parts._replace(signature=encoded).encode()


def _authorization(
    authority: Wallet, chain_id: int, delegate: bytes, nonce: int
) -> RpcAuthorization:
    """An EIP-7702 authorization, signed by the authority."""
    entry = RpcAuthorization(
        chain_id=hex(chain_id), address="0x" + delegate.hex(), nonce=hex(nonce), r="0x0", s="0x0"
    )
    digest = keccak(b"\x05" + rlp_list(authorization_payload(entry)))
    signature = authority.key.sign_recoverable(digest, hasher=None)
    return msgspec.structs.replace(
        entry,
        r="0x" + signature[:32].hex().lstrip("0"),
        s="0x" + signature[32:64].hex().lstrip("0"),
        y_parity=hex(signature[64]),
    )
