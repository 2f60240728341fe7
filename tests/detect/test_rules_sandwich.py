"""Sandwiches and what resembles them, made up and real."""

from __future__ import annotations

import gzip
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from chainwarden.schema import ADDRESS, Label, Severity
from detect.known.pools import V2_SWAP, V3_BURN, V3_MINT, V3_SWAP, V4_SWAP
from detect.known.tokens import USDC, WETH
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.pool_events import PoolCache
from detect.rules.rule import Finding
from detect.rules.sandwich import Sandwich, SandwichConfig
from detect.scored import ScoredBatch
from tests.detect.build import ETHER, Block, Build, Tx, at, run, split, told, uint, wallet, word
from tests.detect.pool_logs import v2_swap, v3_swap, v4_swap
from tests.detect.test_real_blocks import mainnet
from tests.detect.test_rules_contract import unknown

BOT, CONTRACT, VICTIM, OTHER, POOL = (wallet(n) for n in range(1, 6))
ROUTER = at("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D")
SwapLog = Callable[[bytes, int, int], tuple[bytes, list[bytes], bytes]]


def sandwich(config: SandwichConfig | None = None, *labels: Label) -> Sandwich:
    """The rule as it comes."""
    return Sandwich(LabelBook(labels), PoolCache(ColumnCache()), config)


def trade(
    sender: bytes,
    into: int,
    out: int,
    to: bytes = ROUTER,
    pool: bytes = POOL,
    log: SwapLog = v2_swap,
    **more: Any,
) -> Tx:
    """A trade that puts so much WETH (token0) into the pool; below 0 takes it out."""
    tokens = [(WETH, sender, pool, into) if into > 0 else (WETH, pool, sender, -into)]
    return Tx(sender, to, tokens=tokens, logs=[log(pool, into, out)], **more)


def slices(**more: Any) -> list[Tx]:
    """Front, victim and back: 10 ether in, 10.2 out, 1,000 tokens both ways."""
    return [
        trade(BOT, 10 * ETHER, -1_000, CONTRACT, **more),
        trade(VICTIM, 5 * ETHER, -480, **more),
        trade(BOT, -(10 * ETHER + ETHER // 5), 1_000, CONTRACT, **{**more, "salt": 1}),
    ]


def find(*txs: Tx, config: SandwichConfig | None = None) -> list[Finding]:
    """What the rule says about one block of these."""
    return run(sandwich(config), Build().batch(Block(list(txs))))


@pytest.mark.parametrize("log", [v2_swap, v3_swap, v4_swap])
def test_a_sandwich_is_found_in_every_version_of_pools(log: SwapLog) -> None:
    """Front, victim and back in V2, V3 and V4 pools are info; the gain and all three are told."""
    (found,) = find(*slices(log=log))
    assert told([found]) == [("sandwich", "info", CONTRACT)]
    assert found.transaction_index == 2
    assert len(found.evidence.transactions) == 3
    assert VICTIM in found.evidence.addresses
    assert found.evidence.amounts == ((WETH, ETHER // 5),)
    assert "gained 0.2 WETH" in found.sentence


def test_a_large_gain_is_low_and_never_more() -> None:
    """From 1,000 dollars on it is low; a thousand ether do not make it medium."""
    for gain, severity in ((ETHER // 5, Severity.INFO), (ETHER, Severity.LOW)):
        front, victim, back = slices()
        back = trade(BOT, -(10 * ETHER + gain), 1_000, CONTRACT)
        assert [f.severity for f in find(front, victim, back)] == [severity]
    front = trade(BOT, 10_000 * ETHER, -1_000, CONTRACT)
    back = trade(BOT, -11_000 * ETHER, 1_000, CONTRACT)
    assert [f.severity for f in find(front, slices()[1], back)] == [Severity.LOW]


def test_a_sandwich_that_sells_first_is_found() -> None:
    """A bot that has the token sells before a sale and buys back cheaper."""
    (found,) = find(
        trade(BOT, -10 * ETHER, 1_000, CONTRACT),
        trade(VICTIM, -5 * ETHER, 550),
        trade(BOT, 10 * ETHER - ETHER // 10, -1_000, CONTRACT, salt=1),
    )
    assert found.subject == CONTRACT
    assert found.evidence.amounts[0][0] == WETH


def test_two_wallets_of_one_contract_and_one_wallet_through_a_router_are_actors() -> None:
    """The slices may share the contract called or, through a router, only the signer."""
    front, victim, back = slices()
    back = trade(OTHER, -(10 * ETHER + ETHER // 100), 1_000, CONTRACT)
    assert told(find(front, victim, back)) == [("sandwich", "info", CONTRACT)]
    front = trade(BOT, 10 * ETHER, -1_000)
    back = trade(BOT, -(10 * ETHER + ETHER // 100), 1_000, salt=1)
    assert told(find(front, victim, back)) == [("sandwich", "info", BOT)]


def test_a_front_in_two_trades_is_found() -> None:
    """Two purchases with victims between, given back in one."""
    (found,) = find(
        trade(BOT, 4 * ETHER, -400, CONTRACT),
        trade(VICTIM, ETHER, -95),
        trade(BOT, 6 * ETHER, -600, CONTRACT, salt=1),
        trade(OTHER, ETHER, -90),
        trade(BOT, -11 * ETHER, 1_000, CONTRACT, salt=2),
    )
    assert {VICTIM, OTHER} <= set(found.evidence.addresses)
    assert len(found.evidence.transactions) == 5


def test_users_of_one_router_are_not_one_actor() -> None:
    """Three strangers through a known or a labelled router make no sandwich."""
    aggregator = wallet(77)
    for router in (ROUTER, aggregator):
        front, victim, back = slices()
        front.to, back.to, back.sender = router, router, OTHER
        rule = sandwich(None, Label(aggregator, "router", "x"))
        assert run(rule, Build().batch(Block([front, victim, back]))) == []


def test_what_is_no_sandwich_is_not_found() -> None:
    """A loss, other amounts, no victim, a victim of the other way, a back-run, another pool."""
    front, victim, back = slices()
    loss = trade(BOT, -9 * ETHER, 1_000, CONTRACT)
    half = trade(BOT, -6 * ETHER, 500, CONTRACT)
    seller = trade(VICTIM, -5 * ETHER, 480)
    elsewhere = trade(VICTIM, 5 * ETHER, -480, pool=wallet(60))
    own = trade(BOT, 5 * ETHER, -480, wallet(61))
    for txs in (
        (front, victim, loss),
        (front, victim, half),
        (front, back),
        (front, seller, back),
        (victim, back),
        (front, elsewhere, back),
        (front, own, back),
    ):
        assert find(*txs) == []


def test_amounts_may_differ_more_where_the_slices_are_close() -> None:
    """3 % apart is found right beside the victim, and not with a dozen transactions between."""
    front, victim, _ = slices()
    back = trade(BOT, -(10 * ETHER + ETHER // 5), 970, CONTRACT)
    between = [Tx(wallet(200 + n), wallet(300 + n), 1) for n in range(12)]
    assert len(find(front, victim, back)) == 1
    assert find(front, victim, *between, back) == []
    assert len(find(front, victim, *between, slices()[2])) == 1


def test_an_arbitrage_within_one_transaction_is_no_slice() -> None:
    """Swaps of one transaction in one pool are netted: in and out at once is no front."""
    loop = Tx(BOT, CONTRACT, logs=[v2_swap(POOL, 10**9, -(10**9)), v2_swap(POOL, -(10**9), 10**9)])
    assert find(loop, slices()[1], slices()[2]) == []


def with_miner(scored: ScoredBatch, *miners: bytes) -> ScoredBatch:
    """The batch with these fee recipients."""
    blocks = scored.batch.blocks
    index = blocks.schema.get_field_index("miner")
    blocks = blocks.set_column(index, "miner", pa.array(miners, ADDRESS))
    return replace(scored, batch=replace(scored.batch, blocks=blocks))


def test_one_builder_may_order_two_blocks() -> None:
    """A back in the next block counts if both have one builder, batched or not, never twice."""
    front, victim, back = slices()
    blocks = [Block([front, victim]), Block([back]), Block([])]
    same, others = wallet(90), wallet(91)
    scored = with_miner(Build().batch(*blocks), same, same, same)
    (found,) = run(sandwich(), scored)
    assert found.block_row == 1
    assert "one builder" in found.sentence
    assert [f.subject for f in run(sandwich(), *split(scored))] == [CONTRACT]
    assert run(sandwich(), with_miner(Build().batch(*blocks), same, others, same)) == []
    whole = with_miner(Build().batch(Block([front, victim, back]), Block([])), same, same)
    assert len(run(sandwich(), *split(whole))) == 1
    apart = [Block([front, victim]), Block([]), Block([back])]
    assert run(sandwich(), with_miner(Build().batch(*apart), same, same, same)) == []
    alone = SandwichConfig(block_trades=0)
    assert run(sandwich(alone), scored) == []


def position(topic: bytes, pool: bytes, owner: bytes, liquidity: int) -> Any:
    """A V3 Mint or Burn."""
    words = uint(liquidity) + uint(ETHER) + uint(10**9)
    data = word(owner) + words if topic == V3_MINT else words
    return (pool, [topic, word(owner), uint(10), uint(20)], data)


def test_just_in_time_liquidity_is_a_thing_of_its_own() -> None:
    """Liquidity for one trade in one block is info under its own name, and no sandwich."""
    add = Tx(BOT, CONTRACT, logs=[position(V3_MINT, POOL, CONTRACT, 10**15)])
    remove = Tx(BOT, CONTRACT, logs=[position(V3_BURN, POOL, CONTRACT, 10**15)], salt=1)
    victim = trade(VICTIM, 5 * ETHER, -480, log=v3_swap)
    found = find(add, victim, remove)
    assert told(found) == [("jit_liquidity", "info", BOT)]
    assert len(found[0].evidence.transactions) == 3
    assert find(add, remove) == []
    assert find(add, victim, Tx(OTHER, CONTRACT, logs=remove.logs)) == []
    half = Tx(BOT, CONTRACT, logs=[position(V3_BURN, POOL, CONTRACT, 10**14)], salt=1)
    assert find(add, victim, half) == []
    builder = with_miner(Build().batch(Block([add, victim]), Block([remove])), OTHER, OTHER)
    assert run(sandwich(), builder) == []


def test_events_of_another_shape_are_nobodys_swaps() -> None:
    """A swap's topic with other data, and V4's from anywhere but the pool manager, are ignored."""
    for topic, shape in ((V2_SWAP, v2_swap), (V3_SWAP, v3_swap), (V4_SWAP, v4_swap)):
        front, victim, back = slices(log=shape)
        for tx in (front, victim, back):
            emitter, topics, data = tx.logs[0]
            assert topics[0] == topic
            tx.logs = [(wallet(70) if topic == V4_SWAP else emitter, topics, data)]
            if topic != V4_SWAP:
                tx.logs = [(emitter, topics, data + bytes(32))]
        assert find(front, victim, back) == []


def test_a_block_of_34_000_swaps_takes_well_under_a_second() -> None:
    """17,000 nested slices of one pool, all of which match, are done in half a second."""
    txs = []
    for n in range(2_000):
        txs.append(trade(wallet(n), 10**18, -(10**6), wallet(n)))
    for n in range(2_000):
        txs.append(trade(wallet(n), -(10**18 + 10**12), 10**6, wallet(n), salt=1))
    for tx in txs:
        tx.logs = tx.logs * 8
    scored = Build().batch(Block(txs))
    began = time.process_time()
    found = sandwich().evaluate(scored)
    assert len(found) == 1_999
    assert time.process_time() - began < 1.0


# --- real blocks


def two_s_complement(text: str) -> int:
    """A signed 256-bit word of hex digits."""
    value = int(text, 16)
    return value - (1 << 256) if value >> 255 else value


def by_hand(folder: Path) -> set[tuple[int, int, tuple[int, ...], int, str]]:
    """(block, front, victims, back, pool) found in the raw JSON by trying every pair."""
    with gzip.open(folder / "run.blocks.jsonl.gz") as lines:
        blocks = [json.loads(line) for line in lines]
    with gzip.open(folder / "run.receipts.jsonl.gz") as lines:
        receipts = {r["blockHash"]: r["receipts"] for r in map(json.loads, lines)}
    found = set()
    for block in blocks:
        moved: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        for receipt in receipts[block["hash"]]:
            for log in receipt["logs"]:
                topic, data = (log["topics"] or [""])[0], log["data"][2:]
                words = [data[n : n + 64] for n in range(0, len(data), 64)]
                if topic == "0x" + V2_SWAP.hex() and len(words) == 4:
                    a, b, c, d = (int(w, 16) for w in words)
                    gain = (a - c, b - d)
                elif topic == "0x" + V3_SWAP.hex() and len(words) == 5:
                    gain = (two_s_complement(words[0]), two_s_complement(words[1]))
                else:
                    continue
                total = moved[log["address"]][int(receipt["transactionIndex"], 16)]
                total[0] += gain[0]
                total[1] += gain[1]
        txs = block["transactions"]
        for pool, trades in moved.items():
            for i in trades:
                for k in (k for k in trades if i < k <= i + 8):
                    one, two = trades[i], trades[k]
                    side = 0 if one[0] > 0 else 1
                    if one[0] * two[0] >= 0 or one[1] * two[1] >= 0 or txs[i]["to"] != txs[k]["to"]:
                        continue
                    share = two[1 - side] / -one[1 - side]
                    victims = tuple(
                        j
                        for j in sorted(trades)
                        if i < j < k
                        and (trades[j][0] > 0) == (one[0] > 0)
                        and txs[j]["to"] != txs[i]["to"]
                        and txs[j]["from"] not in (txs[i]["from"], txs[k]["from"])
                    )
                    if victims and abs(share - 1) <= 0.05 and -two[side] > one[side] * share:
                        found.add((int(block["number"], 16), i, victims, k, pool))
    return found


@pytest.mark.data
def test_real_sandwiches_are_found_and_nothing_else(shared_data: Path) -> None:
    """25 mainnet blocks hold 23 by six bots, as trying every pair of the raw JSON confirms."""
    scored = unknown(mainnet(shared_data), 0)
    found = run(sandwich(), scored)
    hashes = scored.batch.transactions["transaction_hash"].to_pylist()
    numbers = scored.batch.numbers().tolist()
    index = scored.batch.transactions["transaction_index"].to_pylist()
    place = dict(zip(hashes, index, strict=True))
    mine = set()
    for finding in found:
        at_index = [place[h] for h in finding.evidence.transactions]
        pool = "0x" + finding.evidence.addresses[0].hex()
        number = numbers[finding.block_row]
        mine.add((number, at_index[0], tuple(at_index[1:-1]), at_index[-1], pool))
    assert mine == by_hand(shared_data / "blocks")
    assert len(found) == len(mine) == 23
    assert {f.severity for f in found} == {Severity.INFO}
    assert {f.subject.hex() for f in found} == {
        "6b75d8af000000e20b7a7ddf000ba900b4009a80",
        "00000000a991c429ee2ec6df19d40fe0c80088b8",
        "000000000035b5e5ad9019092c665357240f594e",
        "000000d40b595b94918a28b27d1e2c66f43a51d3",
        "00000000003b3cc22af3ae1eac0440bcee416b40",
        "2d2a7d56773ae7d5c7b9f1b57f7be05039447b4d",
    }


@pytest.mark.data
def test_real_liquidity_just_in_time_is_none(shared_data: Path) -> None:
    """The same blocks have liquidity added and removed, and none of it around a trade."""
    scored = unknown(mainnet(shared_data), 0)
    cache = PoolCache(ColumnCache())
    changes = cache.of(scored).liquidity
    assert len(changes) > 20
    assert not [f for f in run(sandwich(), scored) if f.rule == "jit_liquidity"]


def test_usdc_pays_as_dollars() -> None:
    """A gain in a stablecoin is told in it."""
    txs = slices()
    for tx in txs:
        (_, source, target, amount) = tx.tokens[0]
        tx.tokens = [(USDC, source, target, amount)]
    (found,) = find(*txs)
    assert found.evidence.amounts[0][0] == USDC
