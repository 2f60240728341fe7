from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rlp
from Crypto.Hash import keccak as other_keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import (
    UnknownTransactionType,
    contract_address,
    encode_header,
    encode_receipt,
    encode_transaction,
    header_hash,
    legacy_chain_id,
    logs_bloom,
    signing_hash,
    transaction_hash,
)
from ingest.encoding import data_of, keccak, quantity_of, rlp_encode, rlp_integer, shown
from ingest.raw import RpcLog, RpcReceipt, RpcTransaction
from tests.ingest.made_blocks import KINDS, made_block, op_stack_block, receipt, signed
from tests.ingest.real_blocks import load

nested = st.recursive(
    st.binary(max_size=300), lambda items: st.lists(items, max_size=6), max_leaves=40
)


@given(st.binary(max_size=600))
@settings(deadline=None)
def test_keccak_is_the_one_before_nist_changed_it(data: bytes) -> None:
    """Our hash equals another library's Keccak-256 on any input."""
    assert keccak(data) == other_keccak.new(digest_bits=256, data=data).digest()


@given(nested)
@settings(deadline=None)
def test_rlp_equals_the_reference(item: Any) -> None:
    """Any nesting of byte strings encodes as the rlp library encodes it."""
    assert rlp_encode(item) == rlp.encode(item)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_535, 65_536, 1 << 24])
def test_rlp_headers_change_width_where_they_should(size: int) -> None:
    """Strings and lists at every boundary of the length prefix encode as the reference does."""
    assert rlp_encode(b"\x80" * size) == rlp.encode(b"\x80" * size)
    assert rlp_encode([b"\x01"] * min(size, 70_000)) == rlp.encode([b"\x01"] * min(size, 70_000))


@given(st.integers(0, 2**256 - 1))
@settings(deadline=None)
def test_integers_have_no_leading_zeros(number: int) -> None:
    """Integers encode as the reference does, and a quantity reads back whatever its padding."""
    assert rlp_integer(number) == rlp.encode(number)
    assert quantity_of(hex(number), "n") == quantity_of(f"0x{number:064x}", "n") == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0x", "x0", "0X1", "1", "-0x1", "0x-1", "0x1_0", "0x 1", "0x1 ", "0xg", "0x٣"),
        *("0x1\n", "0x" + "1" * 65, "0x" + "0" * 65, "0x" + "9" * 5_000, "0x\ud800", "0x0x1"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Text that Python's int or fromhex would forgive is no quantity, and the field is named."""
    with pytest.raises(ValueError, match="gasPrice"):
        quantity_of(text, "gasPrice")


@pytest.mark.parametrize(
    "text", ["", "0x0", "0xabc", "0xgg", "0x00 00", " 0x00", "00", "0x00٣", "0X00"]
)
def test_what_is_no_data_is_refused(text: str) -> None:
    """Odd digits, spaces, a missing prefix or other letters are no data, and the field is named."""
    with pytest.raises(ValueError, match="input"):
        data_of(text, "input")


def test_widths_are_checked() -> None:
    """A number wider, or data longer or shorter, than its field is refused."""
    assert quantity_of("0x7fffffffffffffff", "gas", 63) == 2**63 - 1
    for text, bits in (("0x8000000000000000", 63), ("0x2", 1), ("0x80", 7), ("0x1" + "0" * 16, 64)):
        with pytest.raises(ValueError, match="bits"):
            quantity_of(text, "gas", bits)
    for size in (19, 21):
        with pytest.raises(ValueError, match="20"):
            data_of("0x" + "00" * size, "to", 20)
    with pytest.raises(ValueError, match="missing"):
        quantity_of(None, "gas")


@pytest.mark.parametrize(
    "value", ["\x1b[31m" * 50, "a" * 10**6, "\ud800", "<script>\n", None, 10**90]
)
def test_hostile_values_are_shown_harmlessly(value: object) -> None:
    """What an error shows of a value is short, printable ASCII on one line."""
    text = shown(value)
    assert len(text) <= 80
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize(
    ("kind", "creates"),
    # A set-code transaction cannot create.
    [*((kind, False) for kind in KINDS), *((kind, True) for kind in list(KINDS)[:-1])],
)
def test_transactions_encode_as_another_library_signs_them(kind: str, creates: bool) -> None:
    """Encoding and hash of every kind of transaction equal eth-account's."""
    for nonce in (0, 1, 127, 128, 2**32):
        tx, raw = signed(kind, nonce, creates=creates)
        assert encode_transaction(tx) == raw
        assert transaction_hash(tx) == keccak(raw)


def test_a_deposit_hashes_as_the_chain_has_it() -> None:
    """A real OP-stack deposit, its header and its receipt hash to what their chain says."""
    raw = op_stack_block()
    deposit = raw.block.transactions[0]
    assert transaction_hash(deposit).hex() == deposit.hash[2:]
    assert header_hash(raw.block).hex() == raw.block.hash[2:]
    with pytest.raises(ValueError, match="nobody signs"):
        signing_hash(deposit)


def test_a_deposit_can_mint_create_and_be_the_systems() -> None:
    """Mint, a missing recipient and the system flag are where the deposit's encoding has them."""
    deposit = op_stack_block().block.transactions[0]
    deposit.mint, deposit.to, deposit.is_system_tx, deposit.input = "0x100", None, True, "0x"
    fields = rlp.decode(encode_transaction(deposit)[1:])
    assert fields[2:] == [b"", b"\x01\x00", b"", (0xF4240).to_bytes(3, "big"), b"\x01", b""]
    deposit.mint, deposit.is_system_tx = None, None
    fields = rlp.decode(encode_transaction(deposit)[1:])
    assert (fields[3], fields[6]) == (b"", b"")


def test_unknown_types_say_so() -> None:
    """A type without a known encoding raises its own error with its number."""
    tx, _ = signed("dynamic_fee", 0)
    tx.type = "0x6a"
    with pytest.raises(UnknownTransactionType) as caught:
        encode_transaction(tx)
    assert caught.value.type == 0x6A
    tx.type = "0x80"
    with pytest.raises(ValueError, match="7 bits"):
        encode_transaction(tx)


def test_a_typed_signature_may_come_as_v_alone() -> None:
    """Without yParity, as older nodes answer, v is the parity."""
    tx, raw = signed("dynamic_fee", 0)
    tx.y_parity = None
    assert encode_transaction(tx) == raw


@pytest.mark.parametrize(
    ("v", "chain_id"), [(27, None), (28, None), (35, 0), (37, 1), (38, 1), (2709, 1337)]
)
def test_legacy_v_carries_the_chain(v: int, chain_id: int | None) -> None:
    """EIP-155: v is 35 plus parity plus twice the chain id, or 27 or 28 without one."""
    assert legacy_chain_id(v) == chain_id


@pytest.mark.parametrize("v", [0, 1, 26, 29, 34])
def test_other_legacy_v_are_refused(v: int) -> None:
    """A v that is neither of Homestead nor of EIP-155 signs nothing."""
    with pytest.raises(ValueError, match="cannot be"):
        legacy_chain_id(v)


@pytest.mark.data
def test_every_header_shape_hashes(shared_data: Path) -> None:
    """Real headers of every fork, 15 to 21 fields, hash to their block's hash."""
    shapes = set()
    for raw in load(shared_data / "blocks", "forks") + load(shared_data / "blocks", "run"):
        assert "0x" + header_hash(raw.block).hex() == raw.block.hash
        shapes.add(len(rlp.decode(encode_header(raw.block))))
    assert shapes == {15, 16, 17, 20, 21}


def test_extra_data_is_long_only_under_proof_of_authority() -> None:
    """Over 32 bytes of extraData are refused but where signers of a block stand in it."""
    block = made_block().block
    block.extra_data = "0x" + "11" * 33
    for difficulty in ("0x0", "0x20000", "0x400000000"):
        block.difficulty = difficulty
        with pytest.raises(ValueError, match="extraData has 33 bytes"):
            encode_header(block)
    block.difficulty, block.extra_data = "0x2", "0x" + "11" * 97
    assert len(header_hash(block)) == 32


@pytest.mark.parametrize("name", ["number", "gas_limit", "gas_used", "timestamp"])
def test_header_numbers_fit_a_signed_column(name: str) -> None:
    """Number, gas and time of a header are below 2^63, as geth has it."""
    block = made_block().block
    setattr(block, name, hex(2**63 - 1))
    assert len(header_hash(block)) == 32
    setattr(block, name, hex(2**63))
    with pytest.raises(ValueError, match="63 bits"):
        header_hash(block)


def test_created_addresses_follow_sender_and_nonce() -> None:
    """The first contracts of a well-known account have the addresses that Ethereum gave them."""
    sender = bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    assert contract_address(sender, 0).hex() == "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert contract_address(sender, 1).hex() == "343c43a37d37dff08ae8c4a11544c718abb4fcf8"
    for nonce in (127, 128, 2**40):
        assert contract_address(sender, nonce) == keccak(rlp.encode([sender, nonce]))[12:]


# --- receipts ----------------------------------------------------------------------------------


def made_receipt(**fields: str | None) -> RpcReceipt:
    """A receipt with two logs, some of its fields changed."""
    tx, _ = signed("dynamic_fee", 0)
    made = receipt(tx, 2)
    made.logs_bloom = "0x" + logs_bloom(made.logs).hex()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_receipts_have_a_status_or_a_root() -> None:
    """The first field is the status; without one it is the state root, as before Byzantium."""
    root = "0x" + "ab" * 32
    assert rlp.decode(encode_receipt(made_receipt(), 0))[0] == b"\x01"
    assert rlp.decode(encode_receipt(made_receipt(status="0x0"), 0))[0] == b""
    assert rlp.decode(encode_receipt(made_receipt(status=None, root=root), 0))[0] == b"\xab" * 32
    assert rlp.decode(encode_receipt(made_receipt(root=root), 0))[0] == b"\x01"
    for fields in ({}, {"status": "0x2"}, {"root": "0x1a"}, {"root": "0x"}):
        with pytest.raises(ValueError, match=r"status|root"):
            encode_receipt(made_receipt(**{"status": None, **fields}), 0)


def test_receipts_carry_their_type_and_a_deposits_nonce() -> None:
    """The type stands in front; nonce and version are a deposit's alone, and only together."""
    assert encode_receipt(made_receipt(), 2) == b"\x02" + encode_receipt(made_receipt(), 0)
    both = made_receipt(deposit_nonce="0x111", deposit_receipt_version="0x1")
    assert rlp.decode(encode_receipt(both, 0x7E)[1:])[4:] == [b"\x01\x11", b"\x01"]
    assert len(rlp.decode(encode_receipt(both, 2)[1:])) == 4
    before_canyon = made_receipt(deposit_nonce="0x111")
    assert len(rlp.decode(encode_receipt(before_canyon, 0x7E)[1:])) == 4


def test_a_log_has_at_most_four_topics() -> None:
    """Five topics are refused; none is a log, too."""
    log = RpcLog("0x" + "01" * 20, ["0x" + "02" * 32] * 5, "0x")
    with pytest.raises(ValueError, match="5 topics"):
        logs_bloom([log])
    log.topics = []
    assert sum(byte.bit_count() for byte in logs_bloom([log])) in (1, 2, 3)


@pytest.mark.data
def test_blooms_are_the_chains(shared_data: Path) -> None:
    """The bloom of the logs of thousands of real receipts is the receipt's own."""
    checked = 0
    for raw in load(shared_data / "blocks", "run") + load(shared_data / "blocks", "forks"):
        for each in raw.receipts or ():
            assert "0x" + logs_bloom(each.logs).hex() == each.logs_bloom
            checked += 1
    assert checked == 4_857 + 1_801


def test_a_transaction_without_a_needed_field_is_refused() -> None:
    """Each field that a type needs is named where it is missing."""
    for kind, name in (
        ("legacy", "gas_price"),
        ("access_list", "chain_id"),
        ("dynamic_fee", "max_fee_per_gas"),
        ("dynamic_fee", "max_priority_fee_per_gas"),
        ("dynamic_fee", "r"),
        ("set_code", "s"),
        ("legacy", "v"),
    ):
        tx: RpcTransaction = signed(kind, 0)[0]
        setattr(tx, name, None)
        first, *others = name.split("_")
        with pytest.raises(ValueError, match=first + "".join(map(str.capitalize, others))):
            encode_transaction(tx)
