from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chainwarden.errors import BadBlock
from ingest.raw import RawBlock, RpcBlock, RpcReceipt
from ingest.verify import UNVERIFIED_REASONS, Verifier
from tests.anvil import Anvil
from tests.ingest.made_blocks import (
    KEY,
    KINDS,
    TO,
    made_block,
    op_stack_block,
    reseal,
    unknown_type_block,
)
from tests.ingest.real_blocks import load, load_calls
from tests.ingest.verdicts import all_sites, is_unsigned, rejected, verdict


def copy_of(raw: RawBlock) -> RawBlock:
    """A block that can be changed without changing the other."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(raw), type=RawBlock)


# --- real blocks -------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("name", "blocks", "receipts"), [("run", 25, 25), ("forks", 113, 15)])
def test_real_blocks_are_verified(shared_data: Path, name: str, blocks: int, receipts: int) -> None:
    """Every real block is verified, receipts and all.

    13 of the scattered ones were never on a chain: they are answers of ``eth_simulateV1``, whose
    transactions carry no signature, and are taken only by a verifier that allows those.
    """
    raws = load(shared_data / "blocks", name)
    assert len(raws) == blocks
    assert sum(raw.receipts is not None for raw in raws) == receipts
    verifier, refused = Verifier(unsigned=True), 0
    for raw in raws:
        assert verifier.verify(raw)
        if any(is_unsigned(tx) for tx in raw.block.transactions):
            refused += 1
            with pytest.raises(BadBlock, match="has no signature"):
                Verifier().verify(raw)
    assert not verifier.unverified
    assert (verifier.unsigned, refused) == ((19, 13) if name == "forks" else (0, 0))


@pytest.mark.data
def test_receipts_before_byzantium_prove_no_status(shared_data: Path) -> None:
    """Old receipts that claim a status are unverified, with roots or without; no lie passes."""
    blocks = [raw for raw in load(shared_data / "blocks", "forks") if raw.receipts]
    old = [copy_of(raw) for raw in blocks if raw.receipts and raw.receipts[0].root]
    assert [int(raw.block.number, 16) for raw in old] == [483_920, 1_755_635]
    for raw in old:
        verifier = Verifier()
        assert verifier.verify(raw)
        receipts = raw.receipts or []
        for receipt in receipts:
            receipt.status = "0x1"
        assert verifier.verify(raw) is False
        receipts[0].root, truth = "0x" + "ab" * 32, receipts[0].root
        assert rejected(raw).reason == "receipts_root"
        receipts[0].root, receipts[0].status = truth, None
        assert rejected(raw).reason == "receipts_root"
        for receipt in receipts:
            receipt.status, receipt.root = "0x0", None
        assert verifier.verify(raw) is False
        assert verifier.unverified == Counter({"receipts": 2})
        receipts[0].gas_used = "0x1"
        assert rejected(raw).reason == "contradiction"


@pytest.mark.data
def test_an_old_block_without_transactions_has_no_receipts(shared_data: Path) -> None:
    """Before Byzantium, too, no receipts are those of a block without transactions only."""
    genesis = copy_of(load(shared_data / "blocks", "forks")[0])
    assert not genesis.block.transactions
    genesis.receipts = []
    assert Verifier().verify(genesis)
    genesis.block.receipts_root = "0x" + "ab" * 32
    genesis.block.hash = rehashed(genesis)
    assert rejected(genesis).reason == "receipts_root"


def test_a_status_is_proven_ever_since() -> None:
    """In a younger block a made-up root beside the status is nothing; a false status is a lie."""
    raw = made_block()
    for receipt in raw.receipts or ():
        receipt.root = "0x" + "ab" * 32
    assert Verifier().verify(raw)
    for receipt in raw.receipts or ():
        receipt.status = "0x0"
        assert rejected(raw).reason == "receipts_root"
    raw.block.base_fee_per_gas, raw.block.receipts_root = None, "0x" + "cd" * 32
    raw.block.timestamp = hex(1_508_131_331)
    raw.block.hash = rehashed(raw)
    for tx in raw.block.transactions:
        tx.block_hash = raw.block.hash
        if tx.type in ("0x2", "0x4"):
            tx.gas_price = None
    for receipt in raw.receipts or ():
        receipt.block_hash = receipt.effective_gas_price = receipt.root = None
        for log in receipt.logs:
            log.block_hash = None
    assert rejected(raw).reason == "receipts_root"


@pytest.mark.anvil
def test_a_real_nodes_blocks_are_verified(anvil: Anvil) -> None:
    """What a development node answers is verified as it is: all types, a creation, empty blocks."""
    anvil.call("anvil_setBalance", KEY.address, hex(10**21))
    anvil.mine()
    chain = {"chainId": 31_337}
    authorization = KEY.sign_authorization({"chainId": 31_337, "address": TO, "nonce": 100})
    for nonce, (kind, fields) in enumerate([*KINDS.items(), ("creation", KINDS["dynamic_fee"])]):
        draft = {"nonce": nonce, "gas": 200_000, "value": 1, "to": TO, "data": "0x", **fields}
        if kind == "creation":
            draft |= {"data": "0x602a60005260206000f3", "to": ""}
        if kind == "set_code":
            draft["authorizationList"] = [authorization]
        if kind != "legacy":
            draft |= chain
        anvil.call(
            "eth_sendRawTransaction", KEY.sign_transaction(draft).raw_transaction.to_0x_hex()
        )
    anvil.mine(2)
    verifier, found = Verifier(), []
    for number in range(4):
        block = msgspec.convert(anvil.call("eth_getBlockByNumber", hex(number), True), RpcBlock)
        receipts = anvil.call("eth_getBlockReceipts", hex(number))
        raw = RawBlock(block, msgspec.convert(receipts, list[RpcReceipt]), where="anvil")
        assert verifier.verify(raw)
        found += sorted(tx.type for tx in block.transactions)
    assert found == ["0x0", "0x0", "0x1", "0x2", "0x2", "0x4"]


@pytest.mark.data
def test_call_trees_belong_to_their_block(shared_data: Path) -> None:
    """Real call trees pass with their own block and with no other."""
    calls = load_calls(shared_data / "blocks", "run")
    first, second = load(shared_data / "blocks", "run")[:2]
    for raw in (first, second):
        own = RawBlock(raw.block, raw.receipts, calls[raw.block.number])
        assert Verifier(0).verify(own)
    assert (
        rejected(RawBlock(first.block, None, calls[second.block.number])).reason == "contradiction"
    )
    for field, value in (
        ("from_", "0x" + "1" * 40),
        ("to", "0x" + "1" * 40),
        ("value", "0x123456"),
    ):
        forged = msgspec.structs.replace(calls[first.block.number][0], **{field: value})
        message = str(rejected(RawBlock(first.block, None, [forged])))
        assert f"call 0: {field.rstrip('_')} is" in message
        assert value in message


def test_the_field_and_both_values_are_named() -> None:
    """The message says which block, which transaction or receipt, which field, and both values."""
    raw = made_block()
    tx = raw.block.transactions[3]
    truth, tx.gas_price = tx.gas_price, "0x5"
    error = rejected(raw)
    assert error.number == 100
    assert error.where == "made:1"
    for part in ("made:1", "block 100", raw.block.hash, "transaction 3", "gasPrice", "0x5", truth):
        assert str(part) in str(error)
    raw = made_block()
    raw.where = ""
    assert raw.receipts is not None
    raw.receipts[2].gas_used = "0x1"
    error = rejected(raw)
    for part in ("block 100", raw.block.hash, "receipt 2", "gasUsed", "0x1", hex(21_002)):
        assert part in str(error)


# --- lies a node has been caught with ----------------------------------------------------------


@pytest.mark.data
def test_a_missing_log_or_receipt_is_noticed(shared_data: Path) -> None:
    """Dropping any one log, or any one receipt, of a real block is noticed; so is none at all."""
    raw = copy_of(load(shared_data / "blocks", "run")[0])
    assert raw.receipts
    dropped = 0
    for receipt in raw.receipts:
        if receipt.logs:
            log = receipt.logs.pop(dropped % len(receipt.logs))
            place = dropped % (len(receipt.logs) + 1)
            assert rejected(raw, senders=0).reason in ("logs_bloom", "receipts_root")
            receipt.logs.insert(place, log)
            dropped += 1
    assert dropped > 50
    assert Verifier(0).verify(raw)
    for index in (0, len(raw.receipts) // 2, len(raw.receipts) - 1):
        receipt = raw.receipts.pop(index)
        assert rejected(raw, senders=0).reason == "receipts_root"
        raw.receipts.insert(index, receipt)
    raw.receipts.clear()
    assert rejected(raw, senders=0).reason == "receipts_root"


def test_a_missing_log_is_noticed_even_if_its_bloom_is_adjusted() -> None:
    """A liar who drops a log and recomputes the receipt's bloom is caught by the root."""
    honest = made_block()
    liar = made_block()
    assert liar.receipts is not None
    liar.receipts[5].logs.pop()
    liar.receipts[5].logs_bloom = liar.receipts[4].logs_bloom
    assert rejected(liar).reason == "receipts_root"
    liar.block.receipts_root = honest.block.receipts_root
    assert rejected(liar).reason == "receipts_root"


def test_logs_of_another_block_are_noticed() -> None:
    """Receipts and logs that say they are from elsewhere contradict the block."""
    for field, value, reason in (
        ("block_hash", "0x" + "77" * 32, "contradiction"),
        ("block_number", "0x65", "contradiction"),
        ("transaction_hash", "0x" + "77" * 32, "order"),
        ("transaction_index", "0x7", "order"),
    ):
        for of_log in (False, True):
            raw = made_block()
            assert raw.receipts is not None
            setattr(raw.receipts[4].logs[1] if of_log else raw.receipts[4], field, value)
            error = rejected(raw)
            assert error.reason == reason
            assert "receipt 4: " + ("log 1: " if of_log else "") in str(error)


def test_exchanged_receipts_and_transactions_are_noticed() -> None:
    """Two receipts, or two transactions with their receipts, in the other's place are noticed."""
    raw = made_block()
    assert raw.receipts is not None
    raw.receipts[0], raw.receipts[1] = raw.receipts[1], raw.receipts[0]
    assert rejected(raw).reason == "order"
    raw = made_block()
    transactions = raw.block.transactions
    transactions[0], transactions[1] = transactions[1], transactions[0]
    assert rejected(raw).reason == "order"
    for tx in transactions:
        tx.transaction_index = None
    assert rejected(raw).reason == "transactions_root"


def test_a_missing_or_repeated_transaction_is_noticed() -> None:
    """A transaction dropped or put in twice does not have the block's root."""
    raw = made_block()
    raw.receipts = None
    last = raw.block.transactions.pop()
    assert rejected(raw).reason == "transactions_root"
    raw.block.transactions += [last, msgspec.structs.replace(last, transaction_index=None)]
    assert "twice" in str(rejected(raw))


def test_a_consistent_lie_about_the_sender_is_noticed() -> None:
    """With every hash and root recomputed by the liar, a from that did not sign is noticed."""
    for index in range(6):
        raw = made_block()
        raw.block.transactions[index].from_ = "0x" + "66" * 20
        reseal(raw)
        error = rejected(raw)
        assert error.reason == "sender"
        assert f"transaction {index}: from" in str(error)


def test_a_consistent_lie_about_what_follows_is_noticed() -> None:
    """Fields that no root commits to are noticed where they do not follow from the rest."""
    lies = [
        ("transactions", 3, "gas_price", "0x1"),
        ("transactions", 4, "gas_price", hex(7 * 10**9 + 5 * 10**9)),  # above maxFeePerGas
        ("transactions", 0, "chain_id", "0x1"),
        ("transactions", 1, "chain_id", "0x2"),
        ("transactions", 0, "y_parity", "0x2"),
        ("transactions", 3, "v", "0x1b"),
        ("transactions", 2, "max_fee_per_gas", "0x1"),
        ("transactions", 0, "max_priority_fee_per_gas", "0x1"),
        ("transactions", 1, "max_fee_per_blob_gas", "0x1"),
        ("transactions", 3, "blob_versioned_hashes", ["0x" + "01" * 32]),
        ("transactions", 4, "source_hash", "0x" + "01" * 32),
        ("transactions", 3, "mint", "0x1"),
        ("transactions", 3, "is_system_tx", True),
        (
            "transactions",
            3,
            "authorization_list",
            made_block().block.transactions[4].authorization_list,
        ),
        ("transactions", 0, "access_list", made_block().block.transactions[2].access_list),
        ("receipts", 2, "gas_used", "0x5208"),
        ("receipts", 2, "effective_gas_price", "0x1"),
        ("receipts", 2, "type", "0x2"),
        ("receipts", 5, "contract_address", "0x" + "01" * 20),
        ("receipts", 4, "contract_address", "0x" + "01" * 20),
        ("receipts", 4, "deposit_nonce", "0x1"),
        ("receipts", 4, "deposit_receipt_version", "0x1"),
    ]
    for group, index, field, value in lies:
        raw = made_block()
        items: Any = raw.block.transactions if group == "transactions" else raw.receipts
        setattr(items[index], field, value)
        error = rejected(raw)
        assert error.reason in ("contradiction", "malformed"), (field, error)
        assert f"{group[:-1]} {index}: " in str(error)


def test_a_header_that_hides_gas_is_noticed() -> None:
    """A consistent header whose gasUsed is not the receipts' sum is noticed."""
    raw = made_block()
    raw.block.gas_used = "0x5208"
    reseal(raw)
    error = rejected(raw)
    assert error.reason == "contradiction"
    assert "gasUsed" in str(error)


def test_a_header_bloom_that_hides_logs_is_noticed() -> None:
    """A consistent header with an empty bloom over receipts with logs is noticed."""
    raw = made_block()
    raw.block.logs_bloom = "0x" + "00" * 256
    reseal(raw)
    assert rejected(raw).reason == "logs_bloom"


def test_a_parity_and_a_v_that_differ_are_noticed() -> None:
    """An authorization's v and yParity must be one where both are given."""
    raw = made_block()
    entries = raw.block.transactions[4].authorization_list
    assert entries
    entries[0].v = entries[0].y_parity
    assert Verifier().verify(raw)
    entries[0].v = "0x5"
    assert "authorizationList.v" in str(rejected(raw))


# --- what sources do differently ---------------------------------------------------------------


def test_what_is_not_given_is_not_missed() -> None:
    """Without receipts, withdrawals or any field beside them, the rest is still verified."""
    raw = made_block()
    raw.receipts, raw.block.withdrawals = None, None
    for tx in raw.block.transactions:
        tx.transaction_index = tx.block_hash = tx.block_number = None
        if tx.type in ("0x2", "0x4"):
            tx.gas_price = tx.v = None
    assert Verifier().verify(raw)
    raw = made_block()
    for receipt in raw.receipts or ():
        receipt.type = receipt.effective_gas_price = receipt.transaction_index = None
        receipt.block_hash = receipt.block_number = None
        for log in receipt.logs:
            log.block_hash = log.block_number = log.transaction_hash = log.transaction_index = None
    assert Verifier().verify(raw)


def test_letters_and_padding_do_not_matter() -> None:
    """Checksummed addresses, capital digits and padded quantities are the same values."""
    raw = made_block()
    for site in all_sites(raw):
        text = site.get()
        if site.key not in ("type", "transaction_index", "log_index") and len(text) > 2:
            site.set("0x" + text[2:].upper())
    tx = raw.block.transactions[3]
    tx.r, tx.s = (f"0x{int(text or '', 16):064x}" for text in (tx.r, tx.s))
    tx.transaction_index, tx.type = "0x03", "0x02"
    assert Verifier().verify(raw)


def test_fields_of_other_types_may_say_nothing() -> None:
    """Zeros and empty lists in fields that a type does not have are no lie, nor is a price."""
    raw = made_block()
    first = raw.block.transactions[0]
    first.access_list, first.source_hash, first.is_system_tx = [], "0x" + "00" * 32, False
    first.max_fee_per_gas = first.max_priority_fee_per_gas = first.gas_price
    first.blob_versioned_hashes, first.mint, first.chain_id = [], "0x0", "0x0"
    assert Verifier().verify(raw)


def test_withdrawals_are_verified() -> None:
    """A withdrawal changed, dropped or without a root is noticed; none has the empty root."""
    raw = made_block()
    assert raw.block.withdrawals
    raw.block.withdrawals[1].amount = "0x1"
    assert rejected(raw).reason == "withdrawals_root"
    raw.block.withdrawals.pop()
    assert rejected(raw).reason == "withdrawals_root"
    raw = made_block()
    raw.block.withdrawals = []
    reseal(raw)
    assert Verifier().verify(raw)
    raw.block.withdrawals = made_block().block.withdrawals
    assert rejected(raw).reason == "withdrawals_root"


def test_the_op_stack_keeps_another_root_for_withdrawals() -> None:
    """Since Isthmus withdrawalsRoot is a storage root: with no withdrawals it is not theirs."""
    raw = op_stack_block()
    assert Verifier().verify(raw)
    reseal(raw)
    assert raw.block.hash == op_stack_block().block.hash
    raw.block.withdrawals_root = "0x" + "62" * 32
    raw.block.hash = rehashed(raw)
    for item in (raw.block.transactions[0], *(raw.receipts or ())):
        item.block_hash = raw.block.hash
    assert Verifier().verify(raw)


def rehashed(raw: RawBlock) -> str:
    """The hash that the block's header has now, from the error that names it."""
    message = str(rejected(raw))
    return message[message.index("not '0x") + 5 :][:66]


# --- what nobody knows -------------------------------------------------------------------------


def test_unknown_header_fields_make_a_block_unverified() -> None:
    """A field of no known fork that the hash covers is counted; one that it does not is ignored."""
    raw = made_block()
    raw.unknown_fields = ("blockAccessListHash",)
    verifier = Verifier()
    assert verifier.verify(raw) is True
    raw.block.hash = "0x" + "ab" * 32
    for tx in raw.block.transactions:
        tx.block_hash = raw.block.hash
    raw.receipts = None
    assert verifier.verify(raw) is False
    assert verifier.verify(raw) is False
    assert verifier.unverified == Counter({"header_fields": 2})
    raw.block.transactions.pop()
    assert rejected(raw).reason == "transactions_root"


def test_unknown_transaction_types_make_a_block_unverified() -> None:
    """A type nobody knows is counted, and all that can be checked still is."""
    verifier = Verifier()
    assert verifier.verify(unknown_type_block()) is False
    assert verifier.unverified == Counter({"transaction_type": 1})
    for change, reason in (
        (lambda raw: setattr(raw.block.transactions[0], "value", "0x1"), "transaction_hash"),
        (lambda raw: setattr(raw.block, "gas_limit", "0x1"), "header_hash"),
        (lambda raw: setattr(raw.receipts[4], "logs", []), "logs_bloom"),
        (lambda raw: raw.receipts.pop(), "receipts_root"),
        (lambda raw: setattr(raw.block.transactions[3], "value", "0x"), "malformed"),
        (lambda raw: setattr(raw.block.transactions[3], "to", "0x12"), "malformed"),
        (lambda raw: setattr(raw.block.transactions[3], "type", "0x80"), "malformed"),
        (lambda raw: setattr(raw.block.transactions[3], "gas_price", "0x"), "malformed"),
        (lambda raw: setattr(raw.block.transactions[3], "max_fee_per_gas", "0x"), "malformed"),
    ):
        raw = unknown_type_block()
        change(raw)
        assert rejected(raw).reason == reason


def test_a_known_transaction_cannot_hide_behind_an_unknown_type() -> None:
    """A transaction that hashes as a type we know is a lie under another type, not a novelty."""
    for index in range(5):
        raw = made_block()
        raw.block.transactions[index].type = "0x5"
        error = rejected(raw)
        assert error.reason == "contradiction"
        assert "type is 0x5" in str(error)


def test_an_unsigned_transaction_is_a_lie_unless_allowed() -> None:
    """Without a signature nobody is proven to have sent it, whatever from says."""
    raw = made_block()
    for index, v in ((0, "0x0"), (1, "0x1b"), (3, "0x0")):
        tx = raw.block.transactions[index]
        tx.v, tx.r, tx.s, tx.from_ = v, "0x0", "0x0", "0x" + "66" * 20
        tx.chain_id = None if index < 3 else "0x1"
        tx.y_parity = None
    reseal(raw)
    for senders in (None, 0):
        with pytest.raises(BadBlock, match="transaction 0 has no signature") as caught:
            Verifier(senders).verify(raw)
        assert caught.value.reason == "sender"
    allowing = Verifier(unsigned=True)
    assert allowing.verify(raw)
    assert allowing.unsigned == 3


def test_the_reasons_are_a_closed_set() -> None:
    """Whatever is counted as unverified is one of the words that metrics know."""
    assert set(UNVERIFIED_REASONS) == {"header_fields", "transaction_type", "receipts"}


# --- senders -----------------------------------------------------------------------------------


def test_only_the_senders_asked_for_are_recovered() -> None:
    """With n senders asked for, n false ones of six are noticed, the same ones every time."""
    for senders, expected in ((None, 6), (6, 6), (100, 6), (3, 3), (1, 1), (0, 0)):
        noticed = []
        for _ in range(2):
            caught = 0
            for index in range(6):
                raw = made_block()
                raw.block.transactions[index].from_ = "0x" + "66" * 20
                found = verdict(raw, senders)
                caught += isinstance(found, BadBlock) and found.reason == "sender"
            noticed.append(caught)
        assert noticed == [expected, expected]
    with pytest.raises(ValueError, match="negative"):
        Verifier(-1)


def test_which_sender_is_recovered_depends_on_the_block() -> None:
    """With one sender asked for, every transaction's is the one in some block."""
    noticed = set()
    for gas_limit in range(60):
        raw = made_block()
        raw.block.gas_limit = hex(gas_limit)
        for tx in raw.block.transactions:
            tx.from_ = "0x" + "66" * 20
        reseal(raw)
        noticed.add(str(rejected(raw, senders=1)).split("transaction ")[1][0])
    assert noticed == set("012345")
