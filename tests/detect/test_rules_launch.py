"""Rug pulls in their four ways, honeypots, and what resembles them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chainwarden.schema import Severity
from detect.known.pools import LOCKERS, OWNERSHIP_TRANSFERRED
from detect.known.tokens import USDC
from detect.rules.columns import ColumnCache
from detect.rules.honeypot import HoneypotConfig
from detect.rules.pool_events import PoolCache
from detect.rules.router_calls import token_sold
from detect.rules.rule import Finding
from detect.rules.token_launch import TokenLaunch, TokenLaunchConfig
from tests.detect.build import ETHER, START, Block, Build, Tx, run, split, uint, wallet, word
from tests.detect.launch_txs import (
    BUYERS,
    CHILD,
    DEPLOYER,
    PAIR,
    ROUTER,
    SINK,
    SUPPLY,
    TOKEN,
    ZERO,
    add,
    buy,
    create,
    hash_of,
    pay,
    remove,
    remove_v3,
    remove_v4,
    sell,
    signed_by,
)
from tests.detect.pool_logs import pair_created
from tests.detect.told import Told

HOUR = 3_600


def rule(config: TokenLaunchConfig | None = None) -> TokenLaunch:
    """The rule as it comes."""
    return TokenLaunch(PoolCache(ColumnCache()), config)


def at_times(*blocks: tuple[int, list[Tx]]) -> list[Block]:
    """Blocks at so many seconds after the start."""
    return [Block(txs, time=START + seconds) for seconds, txs in blocks]


def find(*blocks: tuple[int, list[Tx]]) -> list[Finding]:
    """What the rule says, the same in one batch and block by block."""
    scored = Build().batch(*at_times(*blocks))
    whole, single = rule(), rule()
    found = run(whole, scored)
    assert [f.sentence for f in run(single, *split(scored))] == [f.sentence for f in found]
    assert whole.digest() == single.digest()
    return found


def bought(ether: int = ETHER, count: int = 10, start: int = 60) -> list[tuple[int, list[Tx]]]:
    """So many outsiders buy, a minute apart."""
    return [(start + 60 * n, [buy(BUYERS[n], ether)]) for n in range(count)]


def launched(**more: Any) -> tuple[int, list[Tx]]:
    """The token and its pool of 5 ether."""
    return (0, [create(), add(**more)])


# --- (a) the liquidity goes


def test_a_pull_is_told_when_its_money_moves_on() -> None:
    """The deployer takes all 15 ether, and pays most of it to a wallet: high, with both hashes."""
    pulled, cashed = remove(15 * ETHER), pay(DEPLOYER, SINK, 12 * ETHER)
    found = find(launched(), *bought(), (1_000, [pulled]), (1_012, [cashed]))
    assert [(f.rule, f.severity.text, f.subject) for f in found] == [("rug_pull", "high", DEPLOYER)]
    assert found[0].evidence.transactions == (pulled.hash(), cashed.hash())
    assert {TOKEN, PAIR} <= set(found[0].evidence.addresses)
    assert "100% of the liquidity" in found[0].sentence
    assert "lost about $25,000" in found[0].sentence


def test_a_pull_is_told_after_an_hour_otherwise() -> None:
    """Nothing moves and nothing comes back: told by the first block an hour later, not before."""
    blocks = [launched(), *bought(), (1_000, [remove(15 * ETHER)])]
    assert find(*blocks, (1_000 + HOUR - 1, [])) == []
    (found,) = find(*blocks, (1_000 + HOUR - 1, []), (1_000 + HOUR, []), (9_999, []))
    assert (found.block_row, found.transaction_index) == (13, -1)
    assert found.severity == Severity.HIGH
    (early,) = find(*blocks, (20_000, []), (20_012, [pay(DEPLOYER, SINK, 12 * ETHER)]))
    assert early.block_row == 12


def test_severity_follows_what_others_lost() -> None:
    """Under 10,000 dollars it is info, from 100,000 on critical; what sellers got back counts."""
    for each, severity in ((ETHER // 4, "info"), (ETHER, "high"), (5 * ETHER, "critical")):
        blocks = [launched(), *bought(each), (1_000, [remove(5 * ETHER + 10 * each)])]
        assert [f.severity.text for f in find(*blocks, (9_000, []))] == [severity]
    back = [sell(BUYERS[n], ETHER * 9 // 10) for n in range(8)]
    blocks = [launched(), *bought(), (900, back), (1_000, [remove(78 * ETHER // 10)])]
    assert [f.severity for f in find(*blocks, (9_000, []))] == [Severity.INFO]


def test_a_tiny_pool_is_info() -> None:
    """A pool that never held an ether's worth is info, where nobody else paid it is nothing."""
    blocks = [launched(ether=ETHER // 10), *bought(ETHER // 20)]
    blocks.append((1_000, [remove(6 * ETHER // 10)]))
    assert [f.severity for f in find(*blocks, (9_000, []))] == [Severity.INFO]
    assert find(launched(), (1_000, [remove(5 * ETHER)]), (9_000, [])) == []  # nobody's loss


@pytest.mark.parametrize("version", [3, 4])
def test_v3_and_v4_pools_are_pulled_as_well(version: int) -> None:
    """A position collected, and liquidity modified away, count like a pair's burn."""
    pull = remove_v3(15 * ETHER) if version == 3 else remove_v4()
    buys = [(60 + n, [buy(BUYERS[n], ETHER, version=version)]) for n in range(10)]
    blocks = [launched(version=version), *buys, (1_000, [pull]), (9_000, [])]
    assert [f.severity.text for f in find(*blocks)] == ["high"]


def test_a_wallet_that_the_deployer_funded_pulls_for_it() -> None:
    """The first liquidity provider's child is one of them; a stranger is not."""
    for funder, count in ((hash_of(DEPLOYER), 1), (0, 0), (hash_of(SINK), 0)):
        pull = remove(15 * ETHER, by=CHILD, facts={"from_funder": funder})
        assert len(find(launched(), *bought(), (1_000, [pull]), (9_000, []))) == count


def test_unknown_funders_make_nobody_kin() -> None:
    """Where neither the deployer's hash nor the stranger's funder is known, they are strangers."""
    for puller, count in ((CHILD, 0), (DEPLOYER, 1)):
        pull = remove(15 * ETHER, by=puller)
        blocks = [launched(), *bought(), (1_000, [pull]), (9_000, [])]
        for tx in blocks[0][1]:
            tx.facts = {}
        assert len(find(*blocks)) == count


def test_a_migration_is_no_pull() -> None:
    """Liquidity re-added within the hour, to a V3 pool or by the migrator at once: nothing."""
    new = wallet(450)
    back = add(ether=14 * ETHER, pool=new, version=3)
    blocks = [launched(), *bought(), (1_000, [remove(15 * ETHER)])]
    assert find(*blocks, (3_000, [back]), (9_000, [])) == []
    assert find(*blocks, (1_012, [back]), (1_024, [pay(DEPLOYER, SINK, 12 * ETHER)])) == []
    at_once = remove(15 * ETHER)
    at_once.logs += back.logs
    at_once.tokens += back.tokens
    assert find(launched(), *bought(), (1_000, [at_once]), (9_000, [])) == []
    v4 = add(ether=14 * ETHER, pool=new, version=4)
    assert find(*blocks, (3_000, [v4]), (9_000, [])) == []
    late = (1_000 + HOUR + 60, [back])
    assert len(find(*blocks, late, (9_000, []))) == 1
    little = add(ether=ETHER, pool=new, version=3)
    assert len(find(*blocks, (3_000, [little]), (9_000, []))) == 1


def test_a_locker_that_moves_liquidity_is_no_pull() -> None:
    """The locker's own call is left alone; liquidity that was unlocked is pulled like any other."""
    for locker in sorted(LOCKERS):
        pull = remove(15 * ETHER, to=locker)
        assert find(launched(), *bought(), (1_000, [pull]), (9_000, [])) == []
    unlock = signed_by(DEPLOYER, sorted(LOCKERS)[0], tokens=[(PAIR, ROUTER, DEPLOYER, 10**9)])
    blocks = [launched(), *bought(), (900, [unlock]), (1_000, [remove(15 * ETHER)]), (9_000, [])]
    assert len(find(*blocks)) == 1


def test_a_part_of_the_liquidity_is_no_pull() -> None:
    """80 % taken out, and 95 % by a provider who is no insider, are their right."""
    assert find(launched(), *bought(), (1_000, [remove(12 * ETHER)]), (9_000, [])) == []
    other = remove(15 * ETHER, by=SINK)
    assert find(launched(), *bought(), (1_000, [other]), (9_000, [])) == []


def test_a_pool_that_lies_about_payments_frames_nobody() -> None:
    """Swaps without transfers of the listed coin count for nothing: nobody lost anything."""
    blocks = [launched()]
    for n in range(10):
        tx = buy(BUYERS[n], 100 * ETHER)
        tx.tokens = []
        blocks.append((60 + n, [tx]))
    assert find(*blocks, (1_000, [remove(1_005 * ETHER)]), (9_000, [])) == []


# --- (b) hidden supply


def test_minting_after_the_launch_is_medium_and_its_sale_high() -> None:
    """10 % minted by the deployer with 25,000 dollars in the pool, then sold for half of it."""
    mint = signed_by(DEPLOYER, TOKEN, tokens=[(TOKEN, ZERO, CHILD, SUPPLY // 10)])
    dump = sell(CHILD, 8 * ETHER, SUPPLY // 10)
    found = find(launched(), *bought(), (1_000, [mint]), (1_100, [dump]))
    assert [(f.severity.text, f.subject) for f in found] == [
        ("medium", DEPLOYER),
        ("high", CHILD),
    ]


@pytest.mark.parametrize(
    "mint",
    [
        signed_by(DEPLOYER, TOKEN, tokens=[(TOKEN, ZERO, SINK, SUPPLY // 25)]),
        signed_by(SINK, TOKEN, tokens=[(TOKEN, ZERO, SINK, SUPPLY // 2)]),
    ],
    ids=["4 percent", "a staker's reward"],
)
def test_small_mints_and_others_mints_are_nothing(mint: Tx) -> None:
    """Rewards that outsiders claim, and little, are not held against anybody."""
    assert find(launched(), *bought(), (1_000, [mint])) == []


def test_more_in_the_pool_than_was_ever_minted_is_told() -> None:
    """Tokens that no log minted are sold: the pool holds more than the supply."""
    sale = sell(SINK, 3 * ETHER, SUPPLY)
    found = find(launched(), *bought(), (1_000, [sale]))
    assert [(f.severity.text, f.subject) for f in found] == [("high", SINK)]
    assert "190%" in found[0].sentence


# --- (c) insiders sell


def test_insiders_who_sell_half_of_the_pool_in_an_hour_are_told_once() -> None:
    """Deployer and child sell for 8 of 15 ether within the hour; spread over days it is trade."""
    child = {"from_funder": hash_of(DEPLOYER)}
    one, two = sell(DEPLOYER, 4 * ETHER), sell(CHILD, 4 * ETHER, facts=child)
    three = sell(CHILD, ETHER, salt=1, facts=child)
    (found,) = find(launched(), *bought(), (1_000, [one]), (2_000, [two]), (2_100, [three]))
    assert (found.severity, found.subject) == (Severity.HIGH, CHILD)
    assert find(launched(), *bought(), (1_000, [one]), (90_000, [two])) == []
    other = sell(SINK, 8 * ETHER)
    assert find(launched(), *bought(), (1_000, [one]), (2_000, [other])) == []


# --- (d) after renouncing


def owned(previous: bytes, owner: bytes) -> Tx:
    """The token's ownership passes on."""
    log = (TOKEN, [OWNERSHIP_TRANSFERRED, word(previous), word(owner)], b"")
    return signed_by(DEPLOYER, TOKEN, logs=[log])


def call(selector: str, by: bytes = DEPLOYER, status: int = 1) -> Tx:
    """A bare call of the token."""
    return signed_by(by, TOKEN, data=bytes.fromhex(selector) + uint(99) * 2, status=status)


def test_an_owners_call_after_renouncing_is_told() -> None:
    """setTaxes by the deployer of an ownerless token: medium; not before, not where it failed."""
    renounced = (900, [owned(DEPLOYER, ZERO)])
    blocks = [launched(), *bought()]
    (found,) = find(*blocks, renounced, (1_000, [call("c647b20e")]))
    assert (found.rule, found.severity, found.subject) == ("rug_pull", Severity.MEDIUM, DEPLOYER)
    assert find(*blocks, (1_000, [call("c647b20e")])) == []
    assert find(*blocks, renounced, (1_000, [call("c647b20e", status=0)])) == []
    assert find(*blocks, renounced, (1_000, [call("c647b20e", by=SINK)])) == []
    assert find(*blocks, renounced, (1_000, [call("751039fc")])) == []  # removes limits
    taken = (950, [owned(ZERO, DEPLOYER)])
    assert find(*blocks, renounced, taken, (1_000, [call("c647b20e")])) == []


# --- honeypots


def test_twenty_buyers_and_no_seller_after_half_an_hour_are_told() -> None:
    """By the first block half an hour after the first purchase, not before; one seller ends it."""
    blocks = [launched(), *bought(ETHER // 2, 20)]
    assert find(*blocks, (60 + 1_799, [])) == []
    (found,) = find(*blocks, (60 + 1_799, []), (60 + 1_800, []), (9_000, []))
    assert (found.rule, found.severity, found.subject) == ("honeypot", Severity.HIGH, TOKEN)
    assert found.block_row == 22
    outsider = (1_500, [sell(BUYERS[3], ETHER // 5)])
    assert find(*blocks, outsider, (9_000, [])) == []
    insider = (1_500, [sell(DEPLOYER, ETHER // 5)])
    assert len(find(*blocks, insider, (9_000, []))) == 1
    assert find(launched(), *bought(ETHER // 2, 19), (9_000, [])) == []


def trapped(answer: tuple[bool, bytes] | None, balance: int | None = 7) -> Finding:
    """The finding about twenty buyers without a seller, where a node says that of the last one."""
    batch = Build().batch(*at_times(launched(), *bought(ETHER // 2, 20), (60 + 1_800, [])))
    at = batch.batch.position(21)
    sale = bytes.fromhex("a9059cbb") + word(PAIR) + uint(7)
    node = Told(tokens={(TOKEN, BUYERS[19], at): balance}, calls={(TOKEN, sale, at): answer})
    asking, plain = TokenLaunch(PoolCache(ColumnCache()), None, node), rule()
    (found,) = run(asking, batch)
    run(plain, batch)
    assert asking.digest() == plain.digest()
    return found


def test_a_node_knows_whether_a_holder_could_sell() -> None:
    """A revert, or false, is worse by a step; a transfer that the pool takes is milder by one."""
    for refusal in ((False, b""), (True, bytes(32))):
        found = trapped(refusal)
        assert (found.severity, found.score) == (Severity.HIGH, 0.9)
        assert "cannot be sold" in found.sentence
    for taken in ((True, uint(1)), (True, b"")):
        assert trapped(taken).severity == Severity.MEDIUM
    for found in (trapped(None), trapped((False, b""), balance=0), trapped((False, b""), None)):
        assert (found.severity, found.score) == (Severity.HIGH, 0.8)


def test_the_twentieth_buyer_may_come_late() -> None:
    """After the half hour it is the purchase itself that tells.

    Little money makes it low where a sale has failed, and else nothing.
    """
    late = [(4_000 + n, [buy(BUYERS[n], ETHER // 10)]) for n in range(10, 21)]
    assert find(launched(), *bought(ETHER // 10), *late) == []
    tried = (3_900, [failing(BUYERS[2])])
    (found,) = find(launched(), *bought(ETHER // 10), tried, *late)
    assert found.severity == Severity.LOW
    assert found.transaction_hash == late[9][1][0].hash()


def test_a_delayed_launch_is_no_honeypot() -> None:
    """The half hour counts from the first purchase, not from the pool's creation."""
    late = [(7_200 + n, [buy(BUYERS[n], ETHER)]) for n in range(25)]
    sold = (7_300, [sell(BUYERS[0], ETHER // 2)])
    assert find(launched(), *late, sold, (20_000, [])) == []
    assert find(launched(), *late, (7_200 + 1_700, [])) == []


def failing(seller: bytes, **more: Any) -> Tx:
    """A sale through the router that reverts."""
    path = uint(2) + word(TOKEN) + word(USDC)
    words = uint(1_000) + uint(1) + uint(160) + word(seller) + uint(1)
    data = bytes.fromhex("791ac947") + words + path
    return signed_by(seller, ROUTER, data=data, status=0, **more)


def test_sales_that_fail_of_five_wallets_are_told() -> None:
    """The fifth sender makes it a honeypot; one success in ten does not let it be one."""
    tries = [(4_000 + n, [failing(BUYERS[n])]) for n in range(6)]
    blocks = [launched(), *bought()]
    (found,) = find(*blocks, *tries)
    assert (found.rule, found.severity) == ("honeypot", Severity.HIGH)
    assert found.transaction_hash == tries[4][1][0].hash()
    assert find(*blocks, *tries[:4], (4_100, [failing(BUYERS[0], salt=1)])) == []
    sold = (3_900, [sell(BUYERS[9], ETHER // 9)])
    assert find(*blocks, sold, *tries) == []
    early = [(700 + n, [failing(BUYERS[n])]) for n in range(6)]
    assert find(*blocks, *early) == []  # limits of the first minutes


def test_a_measured_tax_is_told_by_its_height() -> None:
    """Three sales that lose 60 % make a honeypot, 20 % are low, 5 % nothing; none early."""
    for taxed, told in ((600, ["high"]), (200, ["low"]), (50, [])):
        sales = [(4_000 + n, [sell(BUYERS[n], ETHER // 100, taxed=taxed)]) for n in range(5)]
        found = find(launched(), *bought(), *sales)
        assert [f.severity.text for f in found] == told
        assert all(f.rule == "honeypot" for f in found)
    early = [(900 + n, [sell(BUYERS[n], ETHER // 100, taxed=600)]) for n in range(5)]
    assert find(launched(), *bought(), *early) == []


def test_what_a_router_sells_is_read_from_calldata() -> None:
    """Both forms of the V2 router and both of the universal router's exact inputs."""
    v2 = uint(1) + uint(1) + uint(160) + word(SINK) + uint(1) + uint(2) + word(TOKEN) + word(USDC)
    for selector in ("18cbafe5", "791ac947"):
        assert token_sold(bytes.fromhex(selector) + v2) == TOKEN

    def universal(command: int, path: bytes) -> bytes:
        given = word(SINK) + uint(5) + uint(1) + uint(160) + uint(1) + path
        inputs = uint(1) + uint(32) + uint(len(given)) + given
        head = uint(96) + uint(160) + uint(9) + uint(1) + bytes([command]) + bytes(31)
        return bytes.fromhex("3593564c") + head + inputs

    assert token_sold(universal(0x08, uint(2) + word(TOKEN) + word(USDC))) == TOKEN
    packed = TOKEN + b"\0\x0b\xb8" + USDC
    assert token_sold(universal(0x00, uint(43) + packed + bytes(21))) == TOKEN
    assert token_sold(universal(0x0B, uint(2) + word(TOKEN) + word(USDC))) is None
    assert token_sold(None) is None
    assert token_sold(bytes.fromhex("a9059cbb") + v2) is None
    for end in range(4, 4 + len(v2)):
        token_sold((bytes.fromhex("18cbafe5") + v2)[:end])
        token_sold(universal(0x08, uint(2) + word(TOKEN))[:end])


# --- bounds


def test_pools_are_watched_for_thirty_days() -> None:
    """After that the rule has forgotten them."""
    day = 86_400
    blocks = [launched(), *bought(), (31 * day, [remove(15 * ETHER)]), (32 * day, [])]
    assert find(*blocks) == []


def test_pools_without_a_listed_coin_are_not_watched() -> None:
    """Two unlisted tokens, or two listed ones, are no launch."""

    for one, other in (
        (TOKEN, SINK),
        (USDC, bytes.fromhex("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")),
    ):
        tx = add()
        tx.logs[0] = pair_created(wallet(1), PAIR, one, other)
        assert (
            find((0, [create(), tx]), *bought(), (1_000, [remove(15 * ETHER)]), (9_000, [])) == []
        )


def test_a_block_of_many_trades_in_a_watched_pool_is_quick() -> None:
    """4,000 purchases of 4,000 wallets in a block take well under a second, state stays small."""
    small = TokenLaunchConfig(honeypot=HoneypotConfig(buyers=10**6))
    watched = rule(small)
    build = Build()
    run(watched, build.batch(Block([create(), add()])))
    txs = [buy(wallet(n), ETHER) for n in range(4_000)]
    scored = build.batch(Block(txs))
    began = time.process_time()
    watched.evaluate(scored)
    assert time.process_time() - began < 1.0
    assert len(watched.snapshot()) < 10_000
