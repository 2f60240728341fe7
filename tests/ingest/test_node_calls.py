"""RpcNodeCalls against a real node, and against one that is slow, lies or is gone."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chainwarden.schema import Position
from ingest.node_calls import NodeCallsConfig, RpcNodeCalls
from tests.anvil import Anvil
from tests.rigs.liar import Answer, Liar, Recording

ETHER = 10**18
# Code by hand: ``balanceOf`` of anybody is 42; anything else reverts with the word 7.
#   CALLDATALOAD(0) >> 224 == 70a08231 ? return 42 : revert 7
TOKEN = bytes.fromhex(
    "5f3560e01c6370a082311460185760075f5260205ffd00005b602a5f5260205ff3".replace(" ", "")
)


def position(anvil: Anvil, number: str = "latest") -> Position:
    """Where a block is."""
    block = anvil.call("eth_getBlockByNumber", number, False)
    return Position(int(block["number"], 16), bytes.fromhex(block["hash"][2:]))


@pytest.fixture
def node(anvil: Anvil) -> Iterator[RpcNodeCalls]:
    """Node calls on a real node."""
    with RpcNodeCalls([anvil.url], 31337) as calls:
        yield calls


def test_a_balance_is_that_after_the_block(anvil: Anvil, node: RpcNodeCalls) -> None:
    """Each block has its own answer, by hash, even when the chain has moved on."""
    target = anvil.call("eth_accounts")[1]
    before = position(anvil)
    anvil.pay(5 * ETHER)
    anvil.mine()
    after = position(anvil)
    address = bytes.fromhex(target[2:])
    assert node.balance_at(address, before) == 10_000 * ETHER
    assert node.balance_at(address, after) == 10_005 * ETHER
    assert node.balance_at(bytes(20), before) == 0
    assert node.stats.answered == 3


def test_code_and_calls(anvil: Anvil, node: RpcNodeCalls) -> None:
    """Code is its bytes, empty for an EOA; a call returns or reverts; a balance is 32 bytes."""
    token, person = bytes(19) + b"\x77", b"\x01" * 20
    anvil.call("anvil_setCode", "0x" + token.hex(), "0x" + TOKEN.hex())
    anvil.mine()
    at = position(anvil)
    assert node.code_at(token, at) == TOKEN
    assert node.code_at(person, at) == b""
    assert node.token_balance_at(token, person, at) == 42
    assert node.call(token, b"\x12\x34\x56\x78", at, sender=person) == (False, word(7))
    assert node.token_balance_at(person, token, at) is None  # no code: it returns nothing
    assert node.call(person, b"", at, sender=bytes(20), value=10**30) is None  # cannot be run


def test_storage_is_that_after_the_block(anvil: Anvil, node: RpcNodeCalls) -> None:
    """Each block has its own word, by hash; a slot that was never written holds zero."""
    contract, slot = b"\x78" * 20, 2**255 + 1
    before = position(anvil)
    anvil.mine()  # what is set next is set in the state of the newest block
    where = ["0x" + contract.hex(), "0x" + word(slot).hex(), "0x" + word(7).hex()]
    anvil.call("anvil_setStorageAt", *where)
    anvil.mine()
    after = position(anvil)
    assert node.storage_at(contract, slot, after) == word(7)
    assert node.storage_at(contract, 0, after) == word(0)
    assert node.storage_at(contract, slot, before) == word(0)
    assert (node.stats.answered, node.stats.failed) == (3, 0)


def word(number: int) -> bytes:
    """32 bytes."""
    return number.to_bytes(32, "big")


def test_an_unknown_block_is_unknown(node: RpcNodeCalls) -> None:
    """A block the node never had, or a position without a hash, gives None, and no failure."""
    for at in (Position(1, b"\x99" * 32), Position(1, b"")):
        assert node.balance_at(bytes(20), at) is None
    assert node.stats.failed == 2
    assert node.stats.answered == 0


def test_answers_are_cached_and_bounded_per_block(anvil: Anvil) -> None:
    """A repeated question costs nothing; beyond the bound of a block everything is unknown."""
    with RpcNodeCalls([anvil.url], None, NodeCallsConfig(calls_per_block=2)) as node:
        first = position(anvil)
        anvil.mine()
        second = position(anvil)
        wallets = [bytes([n]) * 20 for n in range(4)]
        assert [node.balance_at(w, first) for w in wallets] == [0, 0, None, None]
        assert [node.balance_at(w, first) for w in wallets] == [0, 0, None, None]
        assert node.balance_at(wallets[3], second) == 0
        stats = node.stats
        assert (stats.answered, stats.cached, stats.over_bound, stats.failed) == (3, 2, 4, 0)


def test_the_cache_is_bounded_in_number_and_bytes(anvil: Anvil) -> None:
    """What is longest unused is asked again once room was needed."""
    code = bytes(600)
    at = position(anvil)
    contracts = [bytes([n]) * 20 for n in range(1, 4)]
    for contract in contracts:
        anvil.call("anvil_setCode", "0x" + contract.hex(), "0x" + code.hex())
    anvil.mine()
    at = position(anvil)
    for config in (NodeCallsConfig(answers=2), NodeCallsConfig(answer_bytes=2000)):
        with RpcNodeCalls([anvil.url], None, config) as node:
            for contract in (*contracts, contracts[2], contracts[0]):
                assert node.code_at(contract, at) == code
            assert (node.stats.answered, node.stats.cached) == (4, 1)


def test_a_node_that_is_gone_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """No exception, ever; after three failures in a row nothing is asked for a while."""
    now = [0.0]
    config = NodeCallsConfig(seconds=0.2)
    with (
        caplog.at_level(logging.WARNING),
        RpcNodeCalls(["http://127.0.0.1:9/secret-key"], 1, config, lambda: now[0]) as node,
    ):
        at = Position(1, b"\x01" * 32)
        began = time.monotonic()
        assert [node.balance_at(bytes(20), at) for _ in range(5)] == [None] * 5
        assert time.monotonic() - began < 3
        assert (node.stats.failed, node.stats.paused) == (3, 2)
        now[0] = 31.0
        assert node.balance_at(bytes(20), at) is None
        assert node.stats.failed == 4
    assert "no node answers" in caplog.text
    assert "secret-key" not in caplog.text


@pytest.fixture
def liar() -> Iterator[Liar]:
    """A node that says what it is told to say."""
    recording = Recording()
    recording.grow(2)
    with Liar(recording) as node:
        yield node


def says(liar: Liar, method: str, **reply: Any) -> None:
    """From now on the node replies this to a method."""

    def intercept(request: Any) -> Answer | None:
        if request["method"] != method:
            return None
        return Answer(json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}).encode())

    liar.intercept = intercept


SOMEWHERE = Position(1, b"\x01" * 32)


@pytest.mark.parametrize(
    ("said", "known"),
    [("0x7", 7), *dict.fromkeys([None, 7, "seven", "0x", "0xzz", "0x" + "f" * 65]).items()],
)
def test_only_a_quantity_is_a_balance(liar: Liar, said: Any, known: int | None) -> None:
    """Whatever is no quantity is unknown, and raises nothing."""
    says(liar, "eth_getBalance", result=said)
    with RpcNodeCalls([liar.url], None, NodeCallsConfig(seconds=0.3)) as node:
        assert node.balance_at(bytes(20), SOMEWHERE) == known
        assert node.stats.failed == (known is None)


@pytest.mark.parametrize("said", [Answer(b"<html>"), Answer(b"", 502), Answer(b"", cut=0)])
def test_a_broken_answer_is_unknown(liar: Liar, said: Answer) -> None:
    """No JSON, a bad status, a closed connection: unknown."""
    liar.intercept = lambda request: said if request["method"] == "eth_getBalance" else None
    with RpcNodeCalls([liar.url], None, NodeCallsConfig(seconds=0.3)) as node:
        assert node.balance_at(bytes(20), SOMEWHERE) is None
        assert node.stats.failed == 1


def test_a_node_that_hangs_costs_no_more_than_its_time(liar: Liar) -> None:
    """A question without an answer ends after the configured seconds."""
    liar.intercept = liar.hang
    with RpcNodeCalls([liar.url], 1, NodeCallsConfig(seconds=0.3)) as node:
        began = time.monotonic()
        assert node.balance_at(bytes(20), SOMEWHERE) is None
        assert 0.2 < time.monotonic() - began < 1.5
        liar.released.set()


@pytest.mark.parametrize(
    ("code", "message", "data", "expected"),
    [
        (3, "execution reverted: no", "0x1234", (False, b"\x12\x34")),
        (-32000, "VM Exception while processing transaction: revert", None, (False, b"")),
        (3, "execution reverted", "0x1", (False, b"")),
        (-32000, "insufficient funds for transfer", None, None),
        (-32601, "the method eth_call does not exist/is not available", None, None),
    ],
)
def test_errors_are_told_from_reverts(
    liar: Liar, code: int, message: str, data: str | None, expected: tuple[bool, bytes] | None
) -> None:
    """A revert is an answer, whatever its code; another error of a call is unknown."""
    says(liar, "eth_call", error={"code": code, "message": message, "data": data})
    patience = NodeCallsConfig(seconds=0.3 if expected is None else 10.0)
    with RpcNodeCalls([liar.url], None, patience) as node:
        assert node.call(bytes(20), b"", SOMEWHERE) == expected
        assert node.stats.answered == (expected is not None)


def test_a_second_node_is_asked_for_state_that_the_first_has_no_more(
    anvil: Anvil, liar: Liar
) -> None:
    """A node that pruned the state is no answer while another has it."""
    liar.chain_id = 31337
    says(liar, "eth_getBalance", error={"code": -32000, "message": "header not found"})
    with RpcNodeCalls([liar.url, anvil.url], 31337) as node:
        assert node.balance_at(bytes(20), position(anvil)) == 0
    assert liar.count("eth_getBalance") == 1


@pytest.mark.parametrize(("digits", "known"), [(64, True), (0, False), (2, False), (66, False)])
def test_only_32_bytes_are_a_word(liar: Liar, digits: int, known: bool) -> None:
    """A node that says fewer or more of storage says nothing."""
    says(liar, "eth_getStorageAt", result="0x" + "1" * digits)
    with RpcNodeCalls([liar.url], None, NodeCallsConfig(seconds=0.3)) as node:
        said = node.storage_at(bytes(20), 0, SOMEWHERE)
        assert said == (b"\x11" * 32 if known else None)
        assert node.stats.failed == (not known)
