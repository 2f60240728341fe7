"""What money leaves on the chain: gathered, layered, mixed, in circles, sanctioned, frozen."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from itertools import pairwise

from ingest.simulate.contracts import ETHER, At, Event
from tests.ingest.campaigns.reading import (
    first_nonce,
    role,
    several,
)
from tests.ingest.simulated import Run, account, logs_of, text, transfers


def test_phishing_wallets_gather_and_cash_out(chain: Run) -> None:
    """At least seven strangers pay an EOA; four fifths or more leave within a day."""
    mixed = False
    for campaign in several(chain, "phishing_wallet"):
        attacker = role(campaign, "attacker")
        paid = [m for m in chain.of(campaign) if m.to == attacker]
        out = [m for m in chain.of(campaign) if m.sender == attacker]
        assert len({m.sender for m in paid}) >= 7
        assert sum(m.value for m in out) >= 0.8 * sum(m.value for m in paid)
        assert out[-1].timestamp - paid[0].timestamp < 86_400
        mixed |= any(logs_of(m, Event.TORNADO_DEPOSIT) for m in out)
    assert mixed


def test_layers_pass_nearly_all_on_through_four_hops_and_more(chain: Run) -> None:
    """An equal split, wallets that keep under a per cent, and a peel chain at the end."""
    for campaign in several(chain, "layering"):
        origin = role(campaign, "origin")
        steps = chain.of(campaign)
        split = [m.value for m in steps if m.sender == origin]
        assert len(split) == 5
        assert len(set(split)) == 1
        hop = {origin: 0}
        passed = peeled = 0
        for mined in steps:
            if mined.sender in hop and mined.to is not None:
                hop.setdefault(mined.to, hop[mined.sender] + 1)
        for wallet in campaign.addresses["pass_through"]:
            got = sum(m.value for m in steps if m.to == wallet)
            sent = [m.value for m in steps if m.sender == wallet]
            passed += len(sent) == 1 and sent[0] >= 0.99 * got
            peeled += len(sent) == 2 and sent[0] <= 0.2 * got and sent[1] >= 0.75 * got
        assert max(hop.values()) >= 8
        assert passed >= 15
        assert peeled >= 6


def test_a_thief_s_money_reaches_exchanges_through_mules(chain: Run) -> None:
    """Chains of fresh mules from a labelled thief to deposit addresses, in ether and in USDT."""
    tokens = set()
    for campaign in several(chain, "taint"):
        thief, steps = role(campaign, "thief"), chain.of(campaign)
        reached = {thief}
        for mined in steps:
            moved = transfers(mined)
            tokens.add(moved[0].token if moved else "")
            pairs = [(t.source, t.target) for t in moved] or [(mined.sender, str(mined.to))]
            for source, target in pairs:
                assert source in reached
                reached.add(target)
        assert reached == {
            thief,
            *campaign.addresses["mule"],
            *campaign.addresses["deposit_address"],
        }
        framed = [m for m in chain.benign() if m.sender == thief]
        assert len(framed) >= 6
        assert all(ETHER // 100 <= m.value < ETHER // 10 for m in framed)
    assert tokens == {"", text(At.USDT)}


def test_sybils_share_funder_amount_actions_and_sink(chain: Run) -> None:
    """At least 25 children funded alike do the same calls and send to one sink."""
    for campaign in several(chain, "sybil"):
        steps = chain.of(campaign)
        funder, sink = role(campaign, "funder"), role(campaign, "sink")
        funded = {m.to: m.value for m in steps if m.sender == funder}
        assert len(funded) >= 25
        assert funded.keys() == set(campaign.addresses["child"])
        amounts = list(funded.values())
        assert statistics.pstdev(amounts) / statistics.mean(amounts) <= 0.05
        calls: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
        for mined in steps:
            calls[mined.sender].append((mined.to, mined.selector))
        actions = {tuple(calls[child]) for child in funded if child}
        assert len(actions) == 1
        arrived = {t.source for m in steps for t in transfers(m) if t.target == sink}
        assert arrived == funded.keys()


def test_dust_reaches_more_than_a_hundred_strangers(chain: Run) -> None:
    """Tokens of a contract with a link in its code, NFTs, or wei; each to over a hundred."""
    kinds = set()
    for campaign in several(chain, "dusting"):
        attacker, victims = role(campaign, "attacker"), set(campaign.addresses["victim"])
        steps = chain.of(campaign)
        assert len(victims) >= 120
        assert {m.sender for m in steps} == {attacker}
        logs = [log for m in steps for log in m.logs]
        if logs:
            kinds.add(len(logs[0].topics))
            assert {account(log.topics[2]) for log in logs} == victims
            assert b"https://" in bytes.fromhex(steps[0].transaction.input[2:])
        else:
            kinds.add(0)
            assert {m.to for m in steps} == victims
            assert all(0 < m.value < 10_000 for m in steps)
    assert kinds == {0, 3, 4}


def test_wash_traders_go_in_circles(chain: Run) -> None:
    """The same NFT is bought again and again, or a token's net position stays near nothing."""
    shapes = set()
    for campaign in several(chain, "wash_trading"):
        traders = set(campaign.addresses["trader"])
        funder = role(campaign, "funder")
        assert traders <= {m.to for m in chain.of(campaign) if m.sender == funder}
        moves = [t for m in chain.of(campaign) for t in transfers(m)]
        if "collection" in campaign.addresses:
            shapes.add("nft")
            bought = Counter((t.item, t.target) for t in moves if t.source in traders)
            assert all(bought[item, who] >= 3 for item in range(4) for who in traders)
            sales = [m for m in chain.of(campaign) if logs_of(m, Event.ORDER_FULFILLED)]
            assert all(m.value > 0 for m in sales)
        else:
            shapes.add("token")
            token = role(campaign, "token")
            inside = [t for t in moves if t.token == token and {t.source, t.target} <= traders]
            assert len(inside) >= 18
            amounts = [t.amount for t in inside]
            assert (max(amounts) - min(amounts)) / max(amounts) < 0.05
            for one, two in pairwise(inside):
                assert abs(one.amount - two.amount) <= 0.01 * one.amount
            for trader in traders:
                net = sum(t.amount * ((t.target == trader) - (t.source == trader)) for t in inside)
                gross = sum(t.amount for t in inside if trader in (t.source, t.target))
                assert abs(net) <= 0.01 * gross or trader == inside[0].source
    assert shapes == {"nft", "token"}


def test_mixed_ether_funds_wallets_that_act(chain: Run) -> None:
    """Deposits and withdrawals of real pools; recipients, named in the data only, then act."""
    values = {text(At.TORNADO_10): 10 * ETHER, text(At.TORNADO_1): ETHER}
    for campaign in several(chain, "mixer"):
        steps = chain.of(campaign)
        deposits = [m for m in steps if logs_of(m, Event.TORNADO_DEPOSIT)]
        assert len(deposits) >= 4
        for mined in deposits:
            (log,) = logs_of(mined, Event.TORNADO_DEPOSIT)
            assert mined.value == values[log.address]
            assert mined.sender == role(campaign, "depositor")
        paid: dict[str, int] = {}
        taken = Counter[str]()
        for mined in steps:
            for log in logs_of(mined, Event.TORNADO_WITHDRAWAL):
                taken[log.address] += 1
                assert account(log.topics[1]) == mined.sender
                paid.setdefault(account(log.data[2:66]), mined.number)
        put = Counter(logs_of(m, Event.TORNADO_DEPOSIT)[0].address for m in deposits)
        assert taken == put
        assert paid.keys() == set(campaign.addresses["funded"])
        for wallet, number in paid.items():
            acts = [m for m in chain.mined.values() if m.sender == wallet]
            assert min(m.number for m in acts) >= number
            assert any(m.to is None for m in acts)
            assert first_nonce(chain, wallet) == 0


def test_sanctioned_wallets_deal_in_both_directions(chain: Run) -> None:
    """Ether leaves a listed wallet, stablecoins come to it."""
    for campaign in several(chain, "sanctions"):
        listed = role(campaign, "sanctioned")
        steps = chain.of(campaign)
        assert any(m.sender == listed and m.value > ETHER for m in steps)
        assert any(t.target == listed for m in steps for t in transfers(m))


def test_a_wallet_is_innocent_until_the_oracle_lists_it(chain: Run) -> None:
    """The oracle's event names it; dealings before are no part of the attack, those after are."""
    for campaign in several(chain, "sanctions"):
        wallet = role(campaign, "listed")
        (listing,) = [
            m
            for m in chain.benign()
            if any(log.data.endswith(wallet[2:]) for log in logs_of(m, Event.SANCTIONS_ADDED))
        ]
        before = [m for m in chain.benign() if m.to == wallet]
        after = [m for m in chain.of(campaign) if wallet in (m.sender, m.to)]
        assert len(before) >= 2
        assert len(after) >= 3
        assert all(m.timestamp < listing.timestamp for m in before)
        assert all(m.timestamp > listing.timestamp for m in after)


def test_frozen_wallets_cannot_move(chain: Run) -> None:
    """The issuer's event names the wallet; what it tries afterwards fails."""
    tokens = set()
    for campaign in several(chain, "issuer_freeze"):
        wallet = role(campaign, "frozen")
        for mined in chain.of(campaign):
            for log in logs_of(mined, Event.USDT_FROZEN):
                assert account(log.data) == wallet
                tokens.add("USDT")
                frozen = mined
            for log in logs_of(mined, Event.USDC_FROZEN):
                assert account(log.topics[1]) == wallet
                tokens.add("USDC")
                frozen = mined
        tries = [m for m in chain.of(campaign) if m.sender == wallet]
        assert len(tries) == 3
        assert all(not m.succeeded and m.number >= frozen.number for m in tries)
    assert tokens == {"USDT", "USDC"}
