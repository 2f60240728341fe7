"""``chainwarden doctor``: nodes, honest and not, and clocks."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chainwarden.doctor.nodes import check_chain, check_clock, check_nodes
from chainwarden.schema import ETHEREUM, Chain
from tests.anvil import Anvil
from tests.doctor.findings import KEY, named, settings
from tests.rigs.liar import Liar, Oops, Recording


@pytest.mark.anvil
def test_an_honest_node_is_well(anvil: Anvil) -> None:
    """A real node: its newest block, with a payment in it, verifies, and it knows what is final."""
    anvil.pay()
    anvil.mine(2)
    anvil.pay()
    anvil.mine()
    found = check_nodes(settings(source__rpc=[anvil.url]))
    assert [check.status for check in found] == ["ok"] * 5, found
    assert "chain 31337" in found[0].found
    assert "every root of its 1 transactions agrees" in named(found, "head").found
    late = check_nodes(settings(source__rpc=[anvil.url]), clock=lambda: time.time() + 3600)
    assert named(late, "clock").status == "warning"
    early = check_nodes(settings(source__rpc=[anvil.url]), clock=lambda: time.time() - 3600)
    assert named(early, "clock").status == "failed"


@pytest.fixture
def recording() -> Recording:
    """Three sealed blocks."""
    recording = Recording()
    recording.grow(3)
    return recording


@pytest.fixture
def liar(recording: Recording) -> Iterator[Liar]:
    """A node over them, honest unless told otherwise."""
    with Liar(recording) as liar:
        liar.finalized = recording.numbers[0]
        yield liar


def at_head(liar: Liar) -> float:
    """A clock that stands at the newest block."""
    head = liar.recording.by_hash[liar.recording.by_number[liar.head]]
    return float(int(head["timestamp"], 16) + 5)


def test_the_recorded_node_is_well_as_long_as_it_is_honest(liar: Liar) -> None:
    """The control for every lie below: without one, all is well."""
    found = check_nodes(settings(source__rpc=[liar.url]), lambda: at_head(liar))
    assert [check.status for check in found] == ["ok"] * 5, found


def changed(method: str, change: Any) -> Any:
    """A tamper of one method's result."""
    return lambda asked, _params, result: change(result) if asked == method else result


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("eth_getBlockReceipts", lambda receipts: receipts[:-1]),
        ("eth_getBlockReceipts", lambda receipts: [{**r, "status": "0x0"} for r in receipts]),
        ("eth_getBlockReceipts", lambda _: None),
        ("eth_getBlockByHash", lambda block: {**block, "gasUsed": "0x1"}),
        ("eth_getBlockByHash", lambda block: {**block, "transactions": block["transactions"][:1]}),
    ],
)
def test_a_node_that_lies_is_found_out(liar: Liar, method: str, change: Any) -> None:
    """Receipts left out or changed, a changed header, a missing transaction: the head fails."""
    liar.tamper = changed(method, change)
    found = check_nodes(settings(source__rpc=[liar.url]), lambda: at_head(liar))
    assert named(found, "head").status == "failed"
    assert named(found, "head").hint
    assert named(found, "clock").status == "skipped"


def test_a_node_without_finality_is_a_warning(liar: Liar) -> None:
    """An unknown tag, and null, are both said to be no finality."""
    liar.finalized = None
    found = check_nodes(settings(source__rpc=[liar.url]), lambda: at_head(liar))
    assert named(found, "finality").status == "warning"
    assert named(found, "head").status == "ok"


def test_endpoints_of_different_chains_fail(liar: Liar, recording: Recording) -> None:
    """Each alone is well; together they are not; and neither is one that is not the settings'."""
    with Liar(recording, chain_id=5) as other:
        other.finalized = recording.numbers[0]
        both = check_nodes(settings(source__rpc=[liar.url, other.url]), lambda: at_head(liar))
        assert named(both, "chain").status == "failed"
        assert "on 1" in named(both, "chain").found
        assert "on 5" in named(both, "chain").found
        alone = check_nodes(settings(source__rpc=[liar.url], chain_id=5, chain="x"))
        assert "the settings say 5" in named(alone, "chain").found
    kafka = settings(source__rpc=[liar.url], bus__kind="kafka")
    assert check_chain(kafka, {"a": Chain("anvil", 31337)}).status == "failed"
    assert check_chain(kafka, {"a": ETHEREUM}).status == "ok"


def test_a_node_that_does_not_answer_fails_and_its_key_is_not_shown(liar: Liar) -> None:
    """Nobody there, an error, no JSON: each is a failure without a part of the URL's path."""

    def refuse(_method: str, _params: Any, _result: Any) -> Any:
        raise Oops(-32000, f"no such key: {KEY}")

    liar.tamper = refuse
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        urls = [f"http://127.0.0.1:{closed.getsockname()[1]}/{KEY}", f"{liar.url}/{KEY}"]
        found = check_nodes(settings(source__rpc=[*urls, f"http://x:y/{KEY}"]))
    assert [check.status for check in found if check.name.endswith(")")] == ["failed"] * 2
    assert named(found, "node 3").status == "failed"
    assert named(found, "chain").status == "skipped"
    assert KEY not in repr(found)


def test_clocks() -> None:
    """15 s ahead may be; more may not. 120 s behind may be; more is a warning."""
    states = [check_clock("c", stamp, 1000.0).status for stamp in (1016, 1015, 880, 879)]
    assert states == ["failed", "ok", "ok", "warning"]
