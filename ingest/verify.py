"""Whether a block is what it claims to be: every root, hash and signer recomputed.

Roots prove that a block agrees with its own hash, not that the hash is the chain's: proof of stake
leaves no work in a header. Who needs that compares hashes with a second endpoint and the finalized
tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from operator import attrgetter
from typing import Final, NamedTuple

from chainwarden.errors import BadBlock
from ingest.claims import Mismatch, expect_data, expect_nothing, expect_quantity
from ingest.codec import (
    ACCESS_LIST,
    BLOB,
    DEPOSIT,
    DYNAMIC_FEE,
    LEGACY,
    SET_CODE,
    TRANSACTION_TYPES,
    TransactionParts,
    encode_withdrawal,
    header_hash,
    legacy_chain_id,
    transaction_parts,
    transaction_type,
)
from ingest.encoding import data_of, keccak, quantity_of, shown
from ingest.omitted import price_of
from ingest.raw import RawBlock, RpcBlock, RpcTransaction
from ingest.receipts import VerifiedTransaction, verify_calls, verify_receipts
from ingest.sender_process import SenderProcess
from ingest.senders import Signature, recover, signature_of
from ingest.trie import ordered_root

UNVERIFIED_REASONS: Final = ("header_fields", "transaction_type", "receipts")
"""Why a block is called unverified, not wrong; the keys of ``Verifier.unverified``."""


class Verifier:
    """Recomputes what blocks commit to and compares it with what their source says.

    Checked are the header's hash; the hash and the sender of every transaction; the roots of
    transactions, withdrawals and receipts, as far as the source gave these; the bloom of every
    receipt and of the header; and every field beside them that follows from the rest: positions,
    prices, gas used, created addresses, chain ids, outermost calls. Not checked is ``logIndex``,
    which nodes get wrong and nothing here uses.

    ``senders`` is how many senders to recover in a block, picked by its hash (None: all). Recovery
    is most of the cost. A sender that is not recovered is whoever the source says.

    ``unsigned`` allows transactions without a signature, and counts them: blocks that
    ``eth_simulateV1`` made up have them, and whoever replays a file of such blocks takes their
    ``from`` on trust. No chain has them, so from a node they are a lie about the sender.

    ``unverified`` counts blocks that could not be verified, by ``UNVERIFIED_REASONS``: header
    fields in no known fork, transaction types nobody knows, and receipts before Byzantium that
    claim a status (they commit to a state root instead).
    """

    def __init__(
        self,
        senders: int | None = None,
        *,
        unsigned: bool = False,
        process: SenderProcess | None = None,
    ) -> None:
        if senders is not None and senders < 0:
            raise ValueError(f"senders must not be negative, got {senders}")
        self.unverified: Counter[str] = Counter()
        self.unsigned = 0
        self._senders = senders
        self._allow_unsigned = unsigned
        self._process = process

    def verify(self, raw: RawBlock) -> bool:
        """True: all agrees. False: what is known agrees, but not all of the block is known.

        Raises BadBlock, and nothing else, where something is malformed or does not agree: it names
        the block, the field and both values.
        """
        return self.finish(self.begin(raw))

    def begin(self, raw: RawBlock) -> Verification:
        """All of ``verify`` but for what is not known yet: whether its senders signed.

        Raises BadBlock as ``verify`` does. Where a process recovers them there is time for other
        things before ``finish``, which comes before the next block begins, or not at all.
        """
        signers = _Signers(self._process)
        try:
            reasons, unsigned = self._verify(raw, signers)
        except ValueError as error:
            raise _bad_block(raw, signers.lie() or error) from error
        return Verification(raw, reasons, unsigned, signers)

    def finish(self, verification: Verification) -> bool:
        """What ``verify`` says of the block. Raises BadBlock where it was not signed as it says."""
        if (lie := verification.signers.lie()) is not None:
            raise _bad_block(verification.raw, lie)
        self.unverified.update(verification.reasons)
        self.unsigned += verification.unsigned
        return verification.known

    def _verify(self, raw: RawBlock, signers: _Signers) -> tuple[list[str], int]:
        block, reasons, unsigned = raw.block, list[str](), 0
        if not _verify_header(block, raw.unknown_fields):
            reasons.append("header_fields")
        transactions = self._verify_transactions(block, signers)
        if any(tx.parts is None for tx in transactions):
            reasons.append("transaction_type")
        else:
            root = ordered_root([tx.encoded for tx in transactions])
            expect_data(block.transactions_root, root, "transactionsRoot", "transactions_root")
        _verify_withdrawals(block)
        # A fork or a chain that nobody knows may have other rules for gas and prices.
        rules_known = not reasons
        if rules_known:
            _verify_prices(transactions)
        if raw.receipts is not None:
            receipts = raw.receipts
            if not verify_receipts(block, receipts, transactions, rules_known=rules_known):
                reasons.append("receipts")
        if raw.calls is not None:
            verify_calls(raw.calls, transactions)
        for index, tx in enumerate(transactions):
            if tx.parts is None or tx.parts.type == DEPOSIT or tx.parts.is_signed:
                continue
            if not self._allow_unsigned:
                raise Mismatch("sender", f"transaction {index} has no signature")
            unsigned += 1
        return reasons, unsigned

    def _verify_transactions(self, block: RpcBlock, signers: _Signers) -> list[VerifiedTransaction]:
        place = _Place(
            block.hash,
            data_of(block.hash, "hash", 32),
            block.number,
            quantity_of(block.number, "number", 63),
            quantity_of(block.base_fee_per_gas or "0x0", "baseFeePerGas"),
        )
        sampled = self._sample(len(block.transactions), place.hash)
        verified = []
        for index, tx in enumerate(block.transactions):
            try:
                verified.append(
                    _verify_transaction(tx, index, place, signers if index in sampled else None)
                )
            except ValueError as error:
                raise Mismatch.at(f"transaction {index}", error) from error
        signers.send()
        if len({tx.hash for tx in verified}) != len(verified):
            twice = Counter(tx.hash for tx in verified).most_common(1)[0][0]
            raise Mismatch("contradiction", f"transaction {twice} is in the block twice")
        return verified

    def _sample(self, count: int, seed: bytes) -> range | set[int]:
        """The transactions whose sender is recovered: evenly spread, from where the hash says."""
        if self._senders is None or self._senders >= count:
            return range(count)
        start = int.from_bytes(seed[:8], "big")
        return {(start + k * count // self._senders) % count for k in range(self._senders)}


class Verification(NamedTuple):
    """A block all of which agrees but for its senders, who are being recovered.

    ``reasons`` are those of ``UNVERIFIED_REASONS`` that it has, ``unsigned`` its transactions
    without a signature.
    """

    raw: RawBlock
    reasons: list[str]
    unsigned: int
    signers: _Signers

    @property
    def known(self) -> bool:
        """Whether all of the block is known."""
        return not self.reasons


class _Signers:
    """Who is said to have sent what, to be compared with who signed it.

    Signatures go to a process where one takes them; what that does not answer is recovered here.
    """

    def __init__(self, process: SenderProcess | None) -> None:
        self._process = process if process is not None and process.begin() else None
        self._claims: list[tuple[int, str, bytes, Signature]] = []

    def expect(self, index: int, text: str, sender: bytes, signature: Signature) -> None:
        """A transaction is said to be signed by that sender, which its source writes so."""
        self._claims.append((index, text, sender, signature))
        if self._process is not None:
            self._process.ask(signature)

    def send(self) -> None:
        """There is no more for now: what waits to be sent to the process need not."""
        if self._process is not None:
            self._process.send()

    def lie(self) -> Mismatch | None:
        """The first transaction that somebody else signed, or nobody."""
        answers = [] if self._process is None else self._process.answers()
        for (index, text, sender, signature), answer in zip_longest(self._claims, answers):
            if answer == sender:
                continue
            try:
                _expect_signer(text, sender, signature)
            except ValueError as error:
                return Mismatch.at(f"transaction {index}", error)
        return None


class _Place(NamedTuple):
    """The block that a transaction is in, as its source writes it and as it is."""

    hash_text: str
    hash: bytes
    number_text: str
    number: int
    base_fee: int


def _bad_block(raw: RawBlock, error: ValueError) -> BadBlock:
    try:
        number: int | None = quantity_of(raw.block.number, "number", 63)
    except ValueError:
        number = None
    shown_number = shown(raw.block.number) if number is None else number
    name = f"block {shown_number} ({shown(raw.block.hash)})"
    return BadBlock(
        f"{name}: {error}" if raw.where else str(error),
        where=raw.where or name,
        reason=error.reason if isinstance(error, Mismatch) else "malformed",
        number=number,
        hint="ask another endpoint, or fetch the file anew",
    )


def _verify_header(block: RpcBlock, unknown_fields: Sequence[str]) -> bool:
    """False: the hash is of other fields, and there are fields that nobody knows."""
    digest = header_hash(block)
    if unknown_fields and data_of(block.hash, "hash", 32) != digest:
        return False
    expect_data(block.hash, digest, "hash", "header_hash", why="keccak of the header's fields")
    return True


def _verify_withdrawals(block: RpcBlock) -> None:
    if block.withdrawals is None:
        return
    encoded = []
    for position, withdrawal in enumerate(block.withdrawals):
        try:
            encoded.append(encode_withdrawal(withdrawal))
        except ValueError as error:
            raise Mismatch.at(f"withdrawal {position}", error) from error
    if block.withdrawals_root is None:
        if encoded:
            raise Mismatch("withdrawals_root", "withdrawals without a withdrawalsRoot")
        return
    # The OP stack has no withdrawals and, since Isthmus, keeps another root in their place.
    is_op_stack = bool(block.transactions) and block.transactions[0].type == "0x7e"
    if encoded or not is_op_stack:
        root = ordered_root(encoded)
        expect_data(block.withdrawals_root, root, "withdrawalsRoot", "withdrawals_root")


# --- transactions ------------------------------------------------------------------------------


def _verify_transaction(
    tx: RpcTransaction, index: int, place: _Place, signers: _Signers | None
) -> VerifiedTransaction:
    # Text that is equal needs no decoding; what differs may still be the same in other letters.
    if tx.block_hash != place.hash_text and tx.block_hash is not None:
        expect_data(tx.block_hash, place.hash, "blockHash")
    if tx.block_number != place.number_text and tx.block_number is not None:
        expect_quantity(tx.block_number, place.number, "blockNumber")
    if tx.transaction_index != hex(index) and tx.transaction_index is not None:
        expect_quantity(tx.transaction_index, index, "transactionIndex", "order")
    number = transaction_type(tx.type)
    if number not in TRANSACTION_TYPES:
        return _unknown_transaction(tx, index, number)
    parts = transaction_parts(tx, number)
    encoded = parts.encode()
    digest = keccak(encoded)
    text = "0x" + digest.hex()
    if tx.hash != text:
        expect_data(tx.hash, digest, "hash", "transaction_hash", why="keccak of its fields")
    _verify_foreign(tx, number)
    _verify_signature_fields(tx, parts)
    sender = data_of(tx.from_, "from", 20)
    if signers is not None and parts.is_signed and number != DEPOSIT:
        try:
            signers.expect(index, tx.from_, sender, signature_of(parts))
        except ValueError as error:
            raise _unsigned(tx.from_, error) from error
    return VerifiedTransaction(
        tx, index, number, text, sender, encoded, parts, price_of(tx, number, place.base_fee)
    )


def _expect_signer(claim: str, sender: bytes, signature: Signature) -> None:
    """Raises Mismatch unless that sender signed, whom its source writes as it claims."""
    try:
        signer = recover(signature)
    except ValueError as error:
        raise _unsigned(claim, error) from error
    if signer != sender:
        expect_data(claim, signer, "from", "sender", why="who signed it")


def _unsigned(claim: str, error: ValueError) -> Mismatch:
    return Mismatch("sender", f"from is {shown(claim)}, but {error}")


def _verify_prices(transactions: Sequence[VerifiedTransaction]) -> None:
    for tx in transactions:
        said = tx.source.gas_price
        if said is None or tx.type in (LEGACY, ACCESS_LIST, DEPOSIT):
            continue
        if said != hex(tx.price):
            try:
                why = "from maxFeePerGas, maxPriorityFeePerGas and baseFeePerGas"
                expect_quantity(said, tx.price, "gasPrice", why=why)
            except ValueError as error:
                raise Mismatch.at(f"transaction {tx.position}", error) from error


_DEPOSIT_FIELDS: Final = ("source_hash", "mint", "is_system_tx")
_BLOB_FIELDS: Final = ("max_fee_per_blob_gas", "blob_versioned_hashes")
_FEE_FIELDS: Final = ("max_fee_per_gas", "max_priority_fee_per_gas")
_SIGNATURE_FIELDS: Final = ("v", "r", "s", "y_parity")

# The fields that a transaction of a type does not have: nothing commits to what they say.
_FOREIGN: Final[dict[int, tuple[str, ...]]] = {
    LEGACY: (
        *_FEE_FIELDS,
        *_BLOB_FIELDS,
        "access_list",
        "authorization_list",
        *_DEPOSIT_FIELDS,
    ),
    ACCESS_LIST: (*_FEE_FIELDS, *_BLOB_FIELDS, "authorization_list", *_DEPOSIT_FIELDS),
    DYNAMIC_FEE: (*_BLOB_FIELDS, "authorization_list", *_DEPOSIT_FIELDS),
    BLOB: ("authorization_list", *_DEPOSIT_FIELDS),
    SET_CODE: (*_BLOB_FIELDS, *_DEPOSIT_FIELDS),
    DEPOSIT: (
        "gas_price",
        *_FEE_FIELDS,
        *_BLOB_FIELDS,
        "access_list",
        "authorization_list",
        "chain_id",
        *_SIGNATURE_FIELDS,
    ),
}
_FOREIGN_VALUES: Final = {number: attrgetter(*names) for number, names in _FOREIGN.items()}


def _verify_foreign(tx: RpcTransaction, number: int) -> None:
    values = _FOREIGN_VALUES[number](tx)
    if not any(values):
        return
    for name, value in zip(_FOREIGN[number], values, strict=True):
        # Some nodes repeat the price of older types in the fields of newer ones.
        if name not in _FEE_FIELDS or value != tx.gas_price:
            expect_nothing(value, name, why=f"type {number:#x} has no such field")


def _verify_signature_fields(tx: RpcTransaction, parts: TransactionParts) -> None:
    if parts.type == LEGACY:
        if tx.chain_id is not None:
            v = quantity_of(tx.v, "v")
            chain_id = legacy_chain_id(v) if parts.is_signed else None
            expect_quantity(tx.chain_id, chain_id or 0, "chainId", why=f"from v, {v}")
        if tx.y_parity is not None:
            expect_quantity(tx.y_parity, parts.parity, "yParity", why="from v")
    elif tx.v is not None and tx.v != tx.y_parity and parts.type != DEPOSIT:
        expect_quantity(tx.v, parts.parity, "v", why="yParity")
    if parts.type == SET_CODE:
        for entry in tx.authorization_list or ():
            if entry.v is not None and entry.y_parity is not None:
                parity = quantity_of(entry.y_parity, "yParity", 8)
                expect_quantity(entry.v, parity, "authorizationList.v", why="yParity")


def _unknown_transaction(tx: RpcTransaction, index: int, number: int) -> VerifiedTransaction:
    """A transaction of a type nobody knows: well-formed, and none of those that are known."""
    digest = data_of(tx.hash, "hash", 32)
    for known in TRANSACTION_TYPES:
        try:
            is_other = keccak(transaction_parts(tx, known).encode()) == digest
        except ValueError:
            continue
        if is_other:
            raise Mismatch("contradiction", f"type is {number:#x}, but it hashes as {known:#x}")
    if tx.to is not None:
        data_of(tx.to, "to", 20)
    for field, value, bits in (
        ("nonce", tx.nonce, 64),
        ("gas", tx.gas, 63),
        ("value", tx.value, 256),
        ("gasPrice", tx.gas_price or "0x0", 256),
        ("maxFeePerGas", tx.max_fee_per_gas or "0x0", 256),
        ("maxPriorityFeePerGas", tx.max_priority_fee_per_gas or "0x0", 256),
    ):
        quantity_of(value, field, bits)
    data_of(tx.input, "input")
    sender = data_of(tx.from_, "from", 20)
    return VerifiedTransaction(tx, index, number, "0x" + digest.hex(), sender, b"", None, 0)
