from __future__ import annotations

from pathlib import Path

import coincurve
import msgspec
import pytest

from ingest.codec import DEPOSIT, transaction_parts
from ingest.raw import RpcAuthorization
from ingest.senders import recover_authority, recover_sender
from tests.ingest.made_blocks import KEY, KINDS, op_stack_block, signed
from tests.ingest.real_blocks import lines, load

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ADDRESS = bytes.fromhex(KEY.address[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_the_signer_is_recovered(kind: str) -> None:
    """The sender of every kind of transaction is whose key signed it."""
    for nonce in range(20):
        assert recover_sender(signed(kind, nonce)[0]) == ADDRESS


@pytest.mark.data
def test_real_senders_are_recovered(shared_data: Path) -> None:
    """Every signed transaction of the real blocks recovers to its from; the others are counted."""
    unsigned = 0
    for raw in load(shared_data / "blocks", "forks") + load(shared_data / "blocks", "run"):
        for tx in raw.block.transactions:
            if transaction_parts(tx).is_signed:
                assert "0x" + recover_sender(tx).hex() == tx.from_.lower()
            else:
                unsigned += 1
    assert unsigned == 19


def test_a_deposits_sender_is_its_own_word() -> None:
    """Nobody signs a deposit; its hash commits to its from."""
    deposit = op_stack_block().block.transactions[0]
    assert transaction_parts(deposit).type == DEPOSIT
    assert recover_sender(deposit).hex() == deposit.from_[2:]


def test_malleated_signatures_hold_only_before_homestead() -> None:
    """With s mirrored, a transaction without chain id keeps its sender; the others are refused."""
    for kind in KINDS:
        tx, _ = signed(kind, 0)
        assert tx.s is not None
        assert tx.v is not None
        tx.s = hex(ORDER - int(tx.s, 16))
        v = int(tx.v, 16)
        tx.v = hex(v ^ 1 if v < 2 else (55 - v if v < 35 else 75 - v))
        tx.y_parity = tx.v if tx.y_parity is not None else None
        if kind == "legacy":
            assert recover_sender(tx) == ADDRESS
        else:
            with pytest.raises(ValueError, match="half"):
                recover_sender(tx)


@pytest.mark.parametrize(
    ("r", "s"), [("0x0", "0x1"), ("0x1", "0x0"), (hex(ORDER), "0x1"), ("0x5", "0x1")]
)
def test_what_recovers_to_nothing_is_an_error(r: str, s: str) -> None:
    """A signature out of range, or of no point on the curve, has no sender."""
    tx, _ = signed("dynamic_fee", 0)
    tx.r, tx.s = r, s
    with pytest.raises(ValueError, match=r"recover|parse"):
        recover_sender(tx)


# --- authorities -------------------------------------------------------------------------------


def authorization(nonce: int = 3, chain_id: int = 1) -> RpcAuthorization:
    """An authorization signed by the key."""
    signed_by = KEY.sign_authorization(
        {"chainId": chain_id, "address": "0x" + "35" * 20, "nonce": nonce}
    )
    return RpcAuthorization(
        chain_id=hex(chain_id),
        address="0x" + "35" * 20,
        nonce=hex(nonce),
        r=hex(signed_by.r),
        s=hex(signed_by.s),
        y_parity=hex(signed_by.y_parity),
    )


def test_the_authority_is_recovered() -> None:
    """An authorization recovers to who signed it, on any chain and with any nonce."""
    for nonce, chain_id in ((0, 0), (1, 1), (200, 10), (2**64 - 1, 2**64 - 1)):
        assert recover_authority(authorization(nonce, chain_id)) == ADDRESS


def test_parity_may_come_as_v() -> None:
    """An authorization whose parity is called v recovers as well."""
    given = authorization()
    given.v, given.y_parity = given.y_parity, None
    assert recover_authority(given) == ADDRESS


def test_invalid_authorizations_have_no_authority() -> None:
    """s above half the order, a parity above 1, zeros and points off the curve give None."""
    high = authorization()
    high.s = hex(ORDER - int(high.s, 16))
    high.y_parity = "0x1" if high.y_parity == "0x0" else "0x0"
    assert recover_authority(high) is None
    for changes in (
        {"y_parity": "0x2"},
        {"y_parity": "0x1b"},
        {"y_parity": "0xff"},
        {"r": "0x0"},
        {"s": "0x0"},
        {"r": hex(ORDER)},
        {"r": "0x5"},
        {"s": hex(2**256 - 1)},
    ):
        given = authorization()
        for name, value in changes.items():
            setattr(given, name, value)
        assert recover_authority(given) is None, changes


def test_a_parity_above_one_is_no_shorter_way_to_an_r_above_the_order() -> None:
    """A parity of 2 or 3, which secp256k1 would recover for a small r, is invalid (EIP-7702)."""
    recovered = 0
    for r in range(1, 30):
        given = authorization()
        given.r, given.s = hex(r), "0x1"
        for parity in (2, 3):
            given.y_parity = hex(parity)
            assert recover_authority(given) is None
            signature = r.to_bytes(32, "big") + (1).to_bytes(32, "big") + bytes([parity])
            try:
                coincurve.PublicKey.from_signature_and_message(signature, bytes(32), hasher=None)
            except ValueError:
                continue
            recovered += 1
    assert recovered  # the library would have


def test_a_changed_authorization_is_somebody_elses() -> None:
    """What was signed is chain, delegate and nonce: changing one changes or loses the authority."""
    for name, value in (("chain_id", "0x2"), ("address", "0x" + "36" * 20), ("nonce", "0x4")):
        given = authorization()
        setattr(given, name, value)
        assert recover_authority(given) != ADDRESS


def test_malformed_authorizations_are_errors() -> None:
    """Text that is no number is malformed, not merely invalid."""
    given = authorization()
    given.r = "0xzz"
    with pytest.raises(ValueError, match=r"authorizationList\.r"):
        recover_authority(given)
    given.y_parity = given.v = None
    with pytest.raises(ValueError, match="missing"):
        recover_authority(given)


@pytest.mark.data
def test_real_authorities_are_recovered(shared_data: Path) -> None:
    """Authorizations of real blocks recover to the authority that an independent indexer names."""
    named = 0
    for line in lines(shared_data / "blocks" / "forks.blocks.jsonl.gz"):
        if b'"authority"' not in line:
            continue
        for tx in msgspec.json.decode(line)["transactions"]:
            for entry in tx.get("authorizationList") or ():
                if "authority" in entry:
                    found = recover_authority(msgspec.convert(entry, RpcAuthorization))
                    assert found is not None
                    assert "0x" + found.hex() == entry["authority"].lower()
                    named += 1
    assert named == 3
