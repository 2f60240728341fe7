"""Attacks played on a real node, and the token they are played with."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from web3 import Web3

from chainwarden.errors import EndpointError, SettingsError
from ingest.codec import keccak
from ingest.simulate import PLAYABLE, play
from ingest.simulate.contracts import ETHER, UNLIMITED, Call, Event, pad, uint
from ingest.simulate.evm import assemble, erc20_init_code
from tests.anvil import Anvil

SUPPLY = 1_000_000 * ETHER
SECRET_URL = "http://user:pass@127.0.0.1:1/v3/key"


@pytest.fixture
def node(anvil: Anvil) -> Anvil:
    """A node that mines each transaction at once."""
    anvil.call("evm_setAutomine", True)
    return anvil


class Token:
    """The assembled token on a node, called as any contract is."""

    def __init__(self, node: Anvil) -> None:
        self._node = node
        self.accounts = [bytes.fromhex(a[2:]) for a in node.call("eth_accounts")]
        receipt = self._send(0, None, erc20_init_code(SUPPLY))
        assert receipt["status"] == "0x1"
        self.creation = receipt
        self.address = receipt["contractAddress"]

    def _send(self, account: int, to: str | None, data: bytes, value: int = 0) -> Any:
        fields = {"from": "0x" + self.accounts[account].hex(), "data": "0x" + data.hex()}
        fields |= {"gas": hex(500_000), "value": hex(value)}
        if to is not None:
            fields["to"] = to
        digest = self._node.call("eth_sendTransaction", fields)
        self._node.mine()
        return self._node.call("eth_getTransactionReceipt", digest)

    def call(self, account: int, data: bytes, value: int = 0) -> Any:
        """The receipt of a transaction to the token."""
        return self._send(account, self.address, data, value)

    def ask(self, signature: str, *words: bytes) -> int:
        """What a view returns."""
        data = keccak(signature.encode())[:4] + b"".join(words)
        question = {"to": self.address, "data": "0x" + data.hex()}
        return int(self._node.call("eth_call", question, "latest"), 16)

    def balance(self, account: int) -> int:
        """``balanceOf``."""
        return self.ask("balanceOf(address)", pad(self.accounts[account]))

    def allowance(self, owner: int, spender: int) -> int:
        """``allowance``."""
        words = pad(self.accounts[owner]), pad(self.accounts[spender])
        return self.ask("allowance(address,address)", *words)

    def move(self, sender: int, target: int, amount: int) -> Any:
        """``transfer``."""
        return self.call(sender, Call.TRANSFER + pad(self.accounts[target]) + uint(amount))

    def approve(self, owner: int, spender: int, amount: int) -> Any:
        """``approve``."""
        return self.call(owner, Call.APPROVE + pad(self.accounts[spender]) + uint(amount))

    def take(self, spender: int, owner: int, target: int, amount: int) -> Any:
        """``transferFrom``."""
        words = pad(self.accounts[owner]) + pad(self.accounts[target]) + uint(amount)
        return self.call(spender, Call.TRANSFER_FROM + words)


def event(receipt: Any) -> tuple[str, list[str], int]:
    """topic0, the addresses in the topics, and the amount of a receipt's only log."""
    (log,) = receipt["logs"]
    who = ["0x" + topic[-40:] for topic in log["topics"][1:]]
    return log["topics"][0], who, int(log["data"], 16)


@pytest.mark.anvil
def test_the_token_behaves_as_an_erc_20(anvil: Anvil) -> None:
    """Balances, allowances, events and refusals are those of EIP-20."""
    token = Token(anvil)
    owner, friend, spender = ("0x" + a.hex() for a in token.accounts[:3])
    moved, allowed = "0x" + Event.TRANSFER.hex(), "0x" + Event.APPROVAL.hex()
    assert event(token.creation) == (moved, ["0x" + "0" * 40, owner], SUPPLY)
    assert token.balance(0) == SUPPLY

    assert event(token.move(0, 1, 500)) == (moved, [owner, friend], 500)
    assert (token.balance(0), token.balance(1)) == (SUPPLY - 500, 500)
    assert token.move(1, 2, 501)["status"] == "0x0"  # more than there is
    assert token.move(1, 1, 500)["status"] == "0x1"  # to oneself
    assert token.balance(1) == 500

    assert token.take(2, 1, 2, 1)["status"] == "0x0"  # nothing was allowed
    assert event(token.take(2, 1, 2, 0)) == (moved, [friend, spender], 0)  # nothing is taken
    assert event(token.approve(1, 2, 300)) == (allowed, [friend, spender], 300)
    assert token.allowance(1, 2) == 300
    assert token.allowance(2, 1) == 0
    assert event(token.take(2, 1, 2, 200)) == (moved, [friend, spender], 200)
    assert (token.allowance(1, 2), token.balance(1), token.balance(2)) == (100, 300, 200)
    assert token.take(2, 1, 2, 101)["status"] == "0x0"  # more than allowed
    token.approve(1, 2, UNLIMITED)
    assert token.take(2, 1, 2, 301)["status"] == "0x0"  # more than there is
    assert token.take(2, 1, 0, 300)["status"] == "0x1"
    assert token.allowance(1, 2) == UNLIMITED
    assert token.balance(0) == SUPPLY - 200

    assert token.call(0, Call.TRANSFER + pad(token.accounts[1]) + uint(1), 1)["status"] == "0x0"
    assert token.call(0, b"\xde\xad\xbe\xef")["status"] == "0x0"
    assert token.balance(0) + token.balance(1) + token.balance(2) == SUPPLY


@pytest.mark.anvil
@pytest.mark.parametrize("campaign", PLAYABLE)
def test_a_played_attack_is_on_the_chain(node: Anvil, campaign: str) -> None:
    """Every transaction it reports was mined between its blocks, and none besides."""
    played = play(node.url, campaign, seed=4, pace_seconds=0.0)
    assert played.campaign == campaign
    numbers = []
    for digest in (*played.transactions, *played.benign):
        receipt = node.call("eth_getTransactionReceipt", digest)
        assert receipt["status"] == "0x1"
        numbers.append(int(receipt["blockNumber"], 16))
    assert (min(numbers), max(numbers)) == (played.first_block, played.last_block)
    mined = sum(
        int(node.call("eth_getBlockTransactionCountByNumber", hex(number)), 16)
        for number in range(played.first_block, played.last_block + 1)
    )
    assert mined == len(numbers)
    assert len(played.addresses["victim"]) >= 8
    assert len(played.benign) >= len(played.addresses["victim"])


def _sent(node: Anvil, hashes: tuple[str, ...]) -> list[dict[str, Any]]:
    return [node.call("eth_getTransactionByHash", digest) for digest in hashes]


@pytest.mark.anvil
def test_a_played_claim_pays_a_fresh_wallet_that_cashes_out(node: Anvil) -> None:
    """Victims call claim() with value, then four fifths or more leave."""
    played = play(node.url, "native_claim", seed=1, pace_seconds=0.0)
    (attacker,) = played.addresses["attacker"]
    sent = _sent(node, played.transactions)
    paid = [t for t in sent if t["to"] == attacker]
    assert {t["from"] for t in paid} == set(played.addresses["victim"])
    assert all(t["input"] == "0x4e71d92d" and int(t["value"], 16) > 0 for t in paid)
    out = [t for t in sent if t["from"] == attacker]
    assert int(out[0]["nonce"], 16) == 0
    taken = sum(int(t["value"], 16) for t in paid)
    assert sum(int(t["value"], 16) for t in out) >= 0.8 * taken


@pytest.mark.anvil
def test_played_ice_phishing_empties_those_who_approved(node: Anvil) -> None:
    """Each victim allows a fresh wallet everything, and has no tokens afterwards."""
    played = play(node.url, "ice_phishing", seed=1, pace_seconds=0.0)
    (spender,), (token,) = played.addresses["attacker"], played.addresses["token"]
    granted = set()
    for digest in played.transactions:
        receipt = node.call("eth_getTransactionReceipt", digest)
        topic0, who, amount = event(receipt)
        if topic0 == "0x" + Event.APPROVAL.hex():
            assert who[1] == spender
            assert amount == UNLIMITED
            granted.add(who[0])
        else:
            assert receipt["from"] == spender
            assert who[0] in granted
            assert who[1] == played.addresses["collector"][0]
    assert granted == set(played.addresses["victim"])
    for victim in granted:
        data = "0x70a08231" + victim[2:].rjust(64, "0")
        assert int(node.call("eth_call", {"to": token, "data": data}, "latest"), 16) == 0


@pytest.mark.anvil
def test_an_attack_can_be_played_again_on_the_same_node(node: Anvil) -> None:
    """The second time, accounts that nobody has used are taken."""
    first = play(node.url, "phishing_wallet", seed=1, pace_seconds=0.0)
    second = play(node.url, "phishing_wallet", seed=1, pace_seconds=0.0)
    assert second.addresses["attacker"] != first.addresses["attacker"]
    assert not set(second.addresses["victim"]) & set(first.addresses["victim"])


def test_what_cannot_be_played_is_refused() -> None:
    """An unknown campaign, and a node that is not there, say what to do."""
    with pytest.raises(SettingsError, match="native_claim"):
        play("http://127.0.0.1:1", "rug_pull", seed=1, pace_seconds=0.0)
    with pytest.raises(EndpointError, match="anvil"):
        play("http://127.0.0.1:1", "native_claim", seed=1, pace_seconds=0.0)
    with pytest.raises(EndpointError) as refused:
        play(SECRET_URL, "native_claim", seed=1, pace_seconds=0.0)
    shown = "".join(traceback.format_exception(refused.value))
    assert not any(secret in shown for secret in ("user:", "pass@", "v3/key"))


def test_the_assembler_pushes_jumps_and_refuses() -> None:
    """Numbers take their smallest push, labels are positions, unknown words raise."""
    code = assemble(["@end", "JUMP", 0, 1, 256, b"\x00\x01", ":end", "STOP"])
    assert code.hex() == "61000d56" + "5f" + "6001" + "610100" + "610001" + "5b00"
    with pytest.raises(ValueError, match="opcode"):
        assemble(["MULL"])
    with pytest.raises(ValueError, match="target"):
        assemble(["@nowhere"])


def test_selectors_and_topics_agree_with_web3() -> None:
    """web3 hashes signatures to the same."""
    assert Web3.keccak(text="claim()")[:4] == Call.CLAIM
    assert Web3.keccak(text="Transfer(address,address,uint256)") == Event.TRANSFER
