"""Who signed: the senders of transactions and the authorities of EIP-7702 authorizations."""

from __future__ import annotations

from typing import Final, NamedTuple

import coincurve

from ingest.codec import (
    DEPOSIT,
    TransactionParts,
    authorization_parity,
    authorization_payload,
    transaction_parts,
)
from ingest.encoding import data_of, keccak, rlp_list, scalar_of
from ingest.raw import RpcAuthorization, RpcTransaction

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of secp256k1's order: signatures above it are invalid since EIP-2, in EIP-7702 always."""

_AUTHORIZATION_MAGIC: Final = b"\x05"


class Signature(NamedTuple):
    """What was signed, and by what: 32 bytes of a hash, then r, s and the parity in 65 bytes."""

    digest: bytes
    compact: bytes

    @classmethod
    def of(cls, digest: bytes, parity: int, r: bytes, s: bytes) -> Signature:
        """From big-endian numbers, which may lack leading zeros."""
        return cls(digest, b"%b%b%c" % (r.rjust(32, b"\0"), s.rjust(32, b"\0"), parity))


def recover(signature: Signature) -> bytes:
    """The 20-byte address whose key signed. Raises ValueError where there is none."""
    digest, compact = signature
    key = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    return keccak(key.format(compressed=False)[1:])[12:]


def signature_of(parts: TransactionParts) -> Signature:
    """What the sender of a transaction taken apart signed; not for deposits.

    Raises ValueError for an s above half the curve's order where the transaction is younger than
    EIP-2: where it has a type or carries a chain id.
    """
    if (parts.type or parts.signing_suffix) and int.from_bytes(parts.s, "big") > _HALF_ORDER:
        raise ValueError("s is above half of the curve's order")
    return Signature.of(parts.signing_hash(), parts.parity, parts.r, parts.s)


def recover_sender(tx: RpcTransaction) -> bytes:
    """The 20-byte address that signed a transaction.

    A deposit is signed by nobody: its sender is in what its hash commits to, and given back as it
    is. Raises ValueError where the signature recovers to nothing, or a field is malformed.
    """
    parts = transaction_parts(tx)
    if parts.type == DEPOSIT:
        return data_of(tx.from_, "from", 20)
    return recover(signature_of(parts))


def recover_authority(a: RpcAuthorization) -> bytes | None:
    """The 20-byte address that signed an EIP-7702 authorization; None where the signature is none.

    Invalid are a parity above 1, an s above half the curve's order, and what recovers to nothing:
    the chain skips such an authorization. Raises ValueError where a field is malformed.
    """
    digest = keccak(_AUTHORIZATION_MAGIC + rlp_list(authorization_payload(a)))
    parity = authorization_parity(a)
    r, s = scalar_of(a.r, "authorizationList.r"), scalar_of(a.s, "authorizationList.s")
    if parity > 1 or int.from_bytes(s, "big") > _HALF_ORDER:
        return None
    try:
        return recover(Signature.of(digest, parity, r, s))
    except ValueError:
        return None
