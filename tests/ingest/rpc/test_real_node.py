"""RpcSource against a real node, and over real blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from web3 import Web3
from web3.types import TxData

from chainwarden.errors import NotYet
from chainwarden.schema import Chain
from ingest.fault import Fault, NodeError
from ingest.raw import RawBlock
from ingest.rpc import RpcSource
from ingest.verify import Verifier
from tests.anvil import Anvil
from tests.ingest.real_blocks import load
from tests.ingest.rpc.asked import QUICK, all_of, is_whole
from tests.rigs.liar import Liar, Recording


@pytest.mark.anvil
def test_a_range_is_what_web3_says(anvil: Anvil) -> None:
    """200 blocks of a real node equal web3.py's own answers, receipts and senders included."""
    for block in range(20):
        for payment in range(block % 4):
            anvil.pay(1 + payment, sender=payment)
        anvil.mine(10)
    web3 = Web3(Web3.HTTPProvider(anvil.url))
    with RpcSource([anvil.url]) as source:
        assert source.chain == Chain("anvil", 31337)
        blocks = list(source.range(0, 201))
        assert source.stats.retries == 0
    assert len(blocks) == 201
    for number, raw in enumerate(blocks):
        assert isinstance(raw, RawBlock)
        theirs = web3.eth.get_block(number, full_transactions=True)
        assert raw.block.hash == theirs["hash"].to_0x_hex()
        assert int(raw.block.timestamp, 16) == theirs["timestamp"]
        whole = cast("Sequence[TxData]", theirs["transactions"])
        for ours, tx in zip(raw.block.transactions, whole, strict=True):
            assert ours.hash == tx["hash"].to_0x_hex()
            assert Web3.to_checksum_address(ours.from_) == tx["from"]
            assert int(ours.value, 16) == tx["value"]
        assert raw.receipts is not None
        for mine, theirs_too in zip(raw.receipts, web3.eth.get_block_receipts(number), strict=True):
            assert int(mine.gas_used, 16) == theirs_too["gasUsed"]
            assert mine.transaction_hash == theirs_too["transactionHash"].to_0x_hex()
        assert Verifier().verify(raw)
    provider: Any = web3.provider
    provider._request_session_manager.session_pool.shutdown()


@pytest.mark.anvil
def test_single_blocks_of_a_real_node(anvil: Anvil) -> None:
    """Head, finalized block, by hash and by number agree; what is not there is NotYet."""
    anvil.mine(70)
    with RpcSource([anvil.url], config=QUICK) as source:
        head = source.head()
        assert head.number == 70
        assert source.block_by_hash(head.hash) == source.block_by_number(70)
        final = source.finalized()
        assert final is not None
        assert source.block_by_number(final.number).block.hash == f"0x{final.hash.hex()}"
        with pytest.raises(NotYet):
            source.block_by_hash(bytes(32))
        with pytest.raises(NotYet):
            source.block_by_number(71)


@pytest.mark.anvil
def test_web3_asks_through_the_same_endpoints(anvil: Anvil) -> None:
    """One-off calls with web3.py work, fail over, and an error is an answer that is not retried."""
    with RpcSource(["http://127.0.0.1:9", anvil.url], config=QUICK) as source:
        web3 = source.web3
        account = web3.eth.accounts[0]
        assert web3.eth.get_balance(account) == 10_000 * 10**18
        assert web3.eth.chain_id == 31337
        before = source.stats.retries
        with pytest.raises(NodeError, match="-32602") as refused:
            source.call("eth_getBalance", ["nonsense"])
        assert refused.value.fault is Fault.REFUSED
        assert source.stats.retries <= before + 1  # past the endpoint that is down


@pytest.mark.anvil
def test_call_trees_come_flat(anvil: Anvil) -> None:
    """With traces on, calls within calls are rows under their parents, reverts marked."""
    # A contract that sends 1 wei to address 0xaa.
    code = "0x6000600060006000600160aa5af100"
    anvil.call("anvil_setCode", "0x" + "c0" * 20, code)
    account = anvil.call("eth_accounts")[0]
    call = {"from": account, "to": "0x" + "c0" * 20, "value": "0x5", "gas": "0x186a0"}
    anvil.call("eth_sendTransaction", call)
    anvil.mine()
    with RpcSource([anvil.url], config=replace(QUICK, traces=True)) as source:
        raw = source.block_by_number(1)
        assert source.block_by_number(0).calls == []
    assert raw.calls is not None
    rows = [(c.index, c.parent_index, c.depth, c.call_type, c.to, c.value) for c in raw.calls]
    assert rows == [
        (1, 0, 0, "CALL", "0x" + "c0" * 20, "0x5"),
        (2, 1, 1, "CALL", "0x" + "00" * 19 + "aa", "0x1"),
    ]
    assert Verifier().verify(raw)


@pytest.mark.data
def test_real_blocks_arrive_as_they_are(shared_data: Path) -> None:
    """23 consecutive mainnet blocks come over HTTP equal to what was recorded, and verify."""
    real = load(shared_data / "blocks", "run")[:23]
    recorded = Recording()
    for raw in real:
        recorded.add(msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts))
    with Liar(recorded) as node, RpcSource([node.url]) as source:
        got = all_of(source, recorded)
    for ours, theirs in zip(got, real, strict=True):
        assert isinstance(ours, RawBlock)
        assert (ours.block, ours.receipts) == (theirs.block, theirs.receipts)
        assert ours.unknown_fields == ()
    assert is_whole(got[:3], Recording({}, dict(list(recorded.by_number.items())[:3]), {}))
