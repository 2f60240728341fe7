"""What each simulated attack leaves on the chain, and that nothing innocent looks the same."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from ingest.senders import recover_authority
from ingest.simulate import Campaign, Simulation, SimulationConfig
from ingest.simulate.bytecode import FLASH_CALLBACKS
from ingest.simulate.campaigns import SCRIPTED
from ingest.simulate.contracts import ETHER, At, Call, Event
from tests.ingest.simulated import Mined, Run, account, logs_of, run, text, transfers

ZERO = "0x" + "0" * 40
HALF = 2**255
MULTI_SENDS = {
    "0xa238cbeb142c10ef7ad8442c6d1f9e89e07e7761",
    "0x38869bf66a61cf6bdb996a6ae40d5853fd43b526",
    "0x40a2accbd92bca938b02010e17a5b8929b49130d",
    "0x9641d764fc13c8b624c04430c7356c1c7c8102e2",
}
CLAIMS = {
    "4e71d92d",
    "3158952e",
    "372500ab",
    "79372f9a",
    "12798972",
    "b88a802f",
    "5fba79f5",
    "af347b61",
    "a16f15c3",
    "2d66f063",
    "3f6b6f2e",
    "3884d635",
    "1249c58b",
}


@pytest.fixture(scope="module")
def chain() -> Run:
    """Six hours with three of every attack, so that every variant occurs."""
    return run(SimulationConfig(seed=21, blocks=1_900))


def several(chain: Run, typology: str) -> list[Campaign]:
    """The campaigns of one kind, of which there must be three."""
    found = chain.campaigns(typology)
    assert len(found) >= 3
    return found


def role(campaign: Campaign, name: str) -> str:
    """The one address in that role."""
    (found,) = campaign.addresses[name]
    return found


def first_nonce(chain: Run, wallet: str) -> int:
    """The nonce of the first transaction that a wallet sends."""
    return min(int(m.transaction.nonce, 16) for m in chain.mined.values() if m.sender == wallet)


def grants(mined: Mined) -> list[tuple[str, str, bool]]:
    """(owner, spender, unlimited) of the approvals a transaction logs; permits included."""
    found = []
    for log in mined.logs:
        if log.topics[0] == text(Event.APPROVAL) and len(log.topics) == 3:
            amount = int(log.data, 16)
            found.append((account(log.topics[1]), account(log.topics[2]), amount >= HALF))
        elif log.topics[0] == text(Event.APPROVAL_FOR_ALL):
            found.append((account(log.topics[1]), account(log.topics[2]), True))
        elif log.topics[0] == text(Event.PERMIT2_PERMIT):
            found.append((account(log.topics[1]), account(log.topics[3]), True))
    return found


def outflow(chain: Run, wallet: str, since: int) -> int:
    """The ether a wallet sends from that block on, in wei."""
    return sum(m.value for m in chain.mined.values() if m.sender == wallet and m.number >= since)


def test_ice_phishing_takes_what_was_granted_to_a_fresh_wallet(chain: Run) -> None:
    """At least eight owners grant all to one EOA, which moves their tokens soon after."""
    for campaign in several(chain, "ice_phishing"):
        spender = role(campaign, "attacker")
        assert first_nonce(chain, spender) == 0
        granted: dict[str, int] = {}
        drained: dict[str, int] = {}
        for mined in chain.of(campaign):
            for owner, who, unlimited in grants(mined):
                assert unlimited
                assert who == spender
                granted.setdefault(owner, mined.timestamp)
            if mined.sender == spender:
                for transfer in transfers(mined):
                    assert transfer.source not in (spender, transfer.target)
                    drained[transfer.source] = mined.timestamp
        assert len(granted) >= 8
        assert drained.keys() == granted.keys() == set(campaign.addresses["victim"])
        assert all(0 <= drained[owner] - granted[owner] <= 3_600 for owner in granted)
        plain = [m for m in chain.of(campaign) if m.selector == Call.APPROVE.hex()]
        assert len(plain) > 3


def test_poisoned_histories_hold_lookalikes_and_some_fall_for_them(chain: Run) -> None:
    """Attempts of all three kinds imitate a recent peer by 4 + 4 digits; real value follows."""
    kinds = set()
    for campaign in several(chain, "address_poisoning"):
        pairs = dict(
            zip(campaign.addresses["lookalike"], campaign.addresses["imitated"], strict=True)
        )
        for fake, real in pairs.items():
            assert fake != real
            assert fake[2:6] == real[2:6]
            assert fake[-4:] == real[-4:]
            assert "0" not in fake[2:6] + fake[-4:]
        paid: set[tuple[str, str]] = set()
        poisoned: set[tuple[str, str]] = set()
        fooled: set[str] = set()
        victims = set(campaign.addresses["victim"])
        for mined in chain.mined.values():
            for transfer in transfers(mined):
                if transfer.source in victims and transfer.target in pairs.values():
                    paid.add((transfer.source, transfer.target))
        for mined in chain.of(campaign):
            for transfer in transfers(mined):
                if transfer.target in pairs and mined.sender == transfer.source:
                    assert (transfer.source, transfer.target) in poisoned
                    assert transfer.amount > 10**8
                    fooled.add(transfer.source)
                elif mined.sender == role(campaign, "attacker") and victims & {
                    transfer.source,
                    transfer.target,
                }:
                    victim, fake = transfer.source, transfer.target
                    if victim not in victims:
                        victim, fake = fake, victim
                    assert (victim, pairs[fake]) in paid
                    poisoned.add((victim, fake))
                    counterfeit = transfer.token in campaign.addresses["fake_token"]
                    kinds.add("fake" if counterfeit else "dust" if transfer.amount else "zero")
        assert fooled == set(campaign.addresses["fooled"])
        assert len(fooled) >= 2
        assert len(poisoned) >= 8
    assert kinds == {"fake", "dust", "zero"}


def test_drainer_kits_share_every_loss(chain: Run) -> None:
    """The operator's share of each victim's loss is one of a kit's, whichever partner gets most."""
    shapes = set()
    for campaign in several(chain, "drainer_split"):
        operator, victims = role(campaign, "operator"), set(campaign.addresses["victim"])
        lost: dict[str, Counter[str]] = defaultdict(Counter)
        signed: dict[str, set[str]] = defaultdict(set)
        for mined in chain.of(campaign):
            for transfer in transfers(mined):
                if transfer.source in victims and mined.sender == role(campaign, "attacker"):
                    lost[transfer.source][transfer.target] += transfer.amount
                    signed[transfer.source].add(mined.transaction.hash)
        assert lost.keys() == victims
        shares = {round(parts[operator] / parts.total(), 6) for parts in lost.values()}
        assert len(shares) == 1
        assert shares < {0.1, 0.15, 0.2, 0.25, 0.3}
        assert {max(p, key=lambda who: p[who]) for p in lost.values()} == set(
            campaign.addresses["partner"]
        )
        shapes |= {(len(parts), len(signed[who])) for who, parts in lost.items()}
    assert shapes == {(2, 1), (2, 2), (3, 1)}


def test_swept_accounts_delegate_by_a_sponsor_and_lose_what_comes_in(chain: Run) -> None:
    """A dozen authorizations in a sponsor's transactions, some failed; income is gone at once."""
    failed = 0
    for campaign in several(chain, "sweeper_delegation"):
        victims, delegates = set(campaign.addresses["victim"]), campaign.addresses["delegate"]
        authorities = set()
        for mined in chain.of(campaign):
            for entry in mined.transaction.authorization_list or []:
                authorities.add(text(recover_authority(entry) or b""))
                assert [entry.address] == delegates
                assert mined.sender == role(campaign, "attacker")
                failed += not mined.succeeded
        assert authorities == victims
        came: dict[str, int] = {}
        gone = set()
        for mined in chain.mined.values():
            for transfer in transfers(mined):
                if transfer.target in victims:
                    came[transfer.target] = mined.number
                if transfer.source in victims and transfer.target == role(campaign, "sink"):
                    assert mined.number - came[transfer.source] <= 1
                    gone.add(transfer.source)
        assert gone == victims
    assert failed


def test_drained_hot_wallets_pay_strangers_ether_and_tokens(chain: Run) -> None:
    """A labelled exchange wallet sends much ether to new wallets and six tokens to one of them."""
    exchanges = {row[0] for row in Simulation(chain.config).labels() if row[1] == "exchange"}
    for campaign in several(chain, "exchange_drain"):
        hot, collector = role(campaign, "victim"), role(campaign, "collector")
        assert hot in exchanges
        steps = [m for m in chain.of(campaign) if m.sender == hot]
        assert sum(m.value for m in steps) >= 240 * ETHER
        tokens = {t.token for m in steps for t in transfers(m) if t.target == collector}
        assert len(tokens) >= 6
        for target in campaign.addresses["attacker"]:
            paid = [m.number for m in chain.mined.values() if m.to == target]
            assert min(paid) >= campaign.start_block


def test_free_buyers_take_items_for_nothing(chain: Run) -> None:
    """Items of six owners and more go to one new wallet, by orders for nothing or in bulk."""
    ways = set()
    for campaign in several(chain, "free_buy"):
        taker, victims = role(campaign, "attacker"), set(campaign.addresses["victim"])
        robbed = set()
        for mined in chain.of(campaign):
            assert not mined.value
            ways.add(mined.selector)
            robbed |= {t.source for t in transfers(mined) if t.target == taker}
        assert robbed == victims
        assert len(victims) >= 6
    assert ways == {Call.FULFILL_ADVANCED_ORDER.hex(), Call.BULK_TRANSFER.hex()}


def test_native_claims_pay_and_get_nothing(chain: Run) -> None:
    """Ten or more victims send ether with a bare selector; no log answers."""
    targets = set()
    for campaign in several(chain, "native_claim"):
        target = role(
            campaign, next(iter({"phishing_contract"} & campaign.addresses.keys()), "attacker")
        )
        paid = [m for m in chain.of(campaign) if m.to == target and m.value]
        assert len({m.sender for m in paid}) >= 10
        assert all(m.selector in CLAIMS and len(m.transaction.input) == 10 for m in paid)
        assert not any(m.logs for m in paid)
        targets.add(target == role(campaign, "attacker"))
        attacker = role(campaign, "attacker")
        assert first_nonce(chain, attacker) == 0
        taken = sum(m.value for m in paid)
        assert outflow(chain, attacker, campaign.start_block) >= 0.8 * taken
    assert targets == {True, False}


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


def test_innocent_wallets_come_in_crowds_too(chain: Run) -> None:
    """Equal gifts to many newcomers, wallets that move into a Safe, and tokens for a hundred."""
    gifts: Counter[tuple[str, int]] = Counter()
    setups = pushed = 0
    for mined in chain.benign():
        if mined.to is not None and not mined.logs:
            gifts[(mined.sender, mined.value)] += mined.value > 0
        setups += any(log.topics[0] == text(Event.SAFE_SETUP) for log in mined.logs)
        pushed += len({log.topics[2] for log in mined.logs if len(log.topics) == 3}) >= 30
    assert sum(count >= 24 for count in gifts.values()) >= 3
    assert setups >= 3
    assert pushed >= 3


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


def test_contracts_are_deployed_for_attacks_in_three_ways(chain: Run) -> None:
    """Copies of contracts that lists name by then, or new ones out of the mixer, take flash loans;
    what innocents deploy is none of these copies, though some of it takes flash loans too."""
    named = {row[0] for row in Simulation(chain.config).labels() if "attack contract" in row[7]}
    first = {}
    for mined in chain.benign():
        if mined.receipt.contract_address in named:
            first[mined.receipt.contract_address] = opcodes(mined)
    assert first.keys() == named
    ways = Counter[str]()
    for campaign in several(chain, "malicious_deployment"):
        maker = role(campaign, "maker")
        (creation,) = [m for m in chain.of(campaign) if m.to is None]
        assert creation.sender == maker
        assert creation.receipt.contract_address == role(campaign, "contract")
        assert any(c.hex() in creation.transaction.input for c in FLASH_CALLBACKS)
        mixed = any(logs_of(m, Event.TORNADO_WITHDRAWAL) for m in chain.of(campaign))
        same = max(alike(opcodes(creation), other) for other in first.values())
        assert mixed or same == 1.0
        assert same > 0.97 or same < 0.85
        ways[f"{'mixed' if mixed else ''} {'copy' if same > 0.97 else ''}"] += 1
        hops = campaign.addresses.get("hop", [])
        assert len(hops) <= 3
        steps = [m for m in chain.of(campaign) if m.to in {*hops[1:], maker}]
        assert [m.sender for m in steps] == hops
    assert len(ways) == 3
    benign = [m for m in chain.benign() if m.to is None]
    others = [m for m in benign if m.receipt.contract_address not in named]
    assert len(others) > 200
    assert any(any(c.hex() in m.transaction.input for c in FLASH_CALLBACKS) for m in others)
    assert sum("363d3d373d3d3d363d73" in m.transaction.input for m in others) > 20
    shapes = Counter(frozenset(opcodes(m)) for m in others if len(m.transaction.input) > 200)
    assert max(shapes.values()) >= 3
    assert max(alike(opcodes(m), f) for m in others[::9] for f in first.values()) < 0.85


def opcodes(mined: Mined) -> set[bytes]:
    """The runs of four opcodes before the metadata, pushes without their operands."""
    code, _, _ = bytes.fromhex(mined.transaction.input[2:]).partition(b"\xa2dipfsX")
    at, found = 0, bytearray()
    while at < len(code):
        push = 0x5F <= code[at] <= 0x7F
        found.append(0x60 if push else code[at])
        at += 1 + (code[at] - 0x5F if push else 0)
    return {bytes(found[n : n + 4]) for n in range(len(found) - 3)}


def alike(one: set[bytes], other: set[bytes]) -> float:
    """Their Jaccard similarity."""
    return len(one & other) / max(1, len(one | other))


def test_stolen_keys_empty_several_wallets_to_one(chain: Run) -> None:
    """Six or more wallets with a past send everything to a fresh receiver within six hours."""
    for campaign in several(chain, "key_compromise"):
        receiver = role(campaign, "attacker")
        steps = [m for m in chain.of(campaign) if m.sender != receiver]
        victims = set(campaign.addresses["victim"])
        assert len(victims) >= 6
        assert {m.sender for m in steps} == victims
        assert steps[-1].timestamp - steps[0].timestamp < 6 * 3_600
        emptied = {m.sender for m in steps if m.to == receiver and m.value}
        assert len(emptied) >= 6
        for victim in victims:
            past = [m for m in chain.mined.values() if m.sender == victim]
            assert min(m.number for m in past) < campaign.start_block
            last = [m for m in steps if m.sender == victim and m.value]
            price = int(last[0].transaction.gas_price or "", 16)
            assert last[0].transaction.type == "0x0"
            assert price >= int(last[0].receipt.effective_gas_price or "", 16)


def test_rugs_leave_a_tenth_of_the_pool_or_half(chain: Run) -> None:
    """Those who made the token take most of what others paid: liquidity, new supply, or dumps."""
    ways = set()
    for campaign in several(chain, "rug_pull"):
        deployer, pool = role(campaign, "deployer"), role(campaign, "pool")
        token = role(campaign, "token")
        insiders = {deployer, *campaign.addresses["accomplice"]}
        steps = chain.of(campaign)
        (creation,) = [m for m in steps if m.to is None]
        assert creation.receipt.contract_address == token
        assert any(logs_of(m, Event.PAIR_CREATED) for m in steps)
        weth_first = token > text(At.WETH)
        reserves = [
            (m.sender, int(log.data[2:66] if weth_first else log.data[66:], 16))
            for m in steps
            for log in logs_of(m, Event.V2_SYNC)
            if log.address == pool
        ]
        buyers = {m.sender for m in steps if m.value and logs_of(m, Event.V2_SWAP)}
        assert len(buyers) >= 25
        assert not buyers & insiders
        peak = max(reserve for _, reserve in reserves)
        assert peak - reserves[0][1] > 3 * ETHER  # some 10,000 dollars of theirs
        assert reserves[-1][0] in insiders
        pulls = [m for m in steps if logs_of(m, Event.V2_BURN)]
        made = [t for m in steps for t in transfers(m) if t.token == token and t.source == ZERO]
        if pulls:
            assert [m.sender for m in pulls] == [deployer]
            assert reserves[-1][1] <= 0.1 * reserves[-2][1]
            ways.add("pull")
        else:
            assert reserves[-1][1] <= 0.5 * peak
            ways.add("dump" if len(made) == 1 else "mint")
        if len(made) > 1:
            (renounced,) = [m for m in steps if m.selector == Call.RENOUNCE_OWNERSHIP.hex()]
            (switched,) = [m for m in steps if m.selector == Call.SET_TAXES.hex()]
            assert made[1].amount > 0.05 * made[0].amount
            assert renounced.number <= switched.number
    assert ways == {"pull", "mint", "dump"}


def test_honeypots_let_only_their_maker_sell(chain: Run) -> None:
    """Two dozen buy; sales fail, are taxed to a tenth, or are not tried; the deployer's succeed."""
    ways = set()
    for campaign in several(chain, "honeypot"):
        deployer, token = role(campaign, "deployer"), role(campaign, "token")
        steps = chain.of(campaign)
        swaps = [m for m in steps if logs_of(m, Event.V2_SWAP)]
        assert len({m.sender for m in swaps if m.value}) >= 24
        failed = {m.sender for m in steps if not m.succeeded}
        sold = [m for m in swaps if not m.value and m.sender != deployer]
        assert any(m.sender == deployer and not m.value for m in swaps)
        for mined in sold:
            gave = [t for t in transfers(mined) if t.source == mined.sender and t.token == token]
            assert gave[0].amount > 8 * gave[1].amount
        ways.add("failing" if failed else "taxed" if sold else "silent")
        assert not (failed and sold)
        assert not failed or len(failed) >= 5
    assert ways == {"failing", "taxed", "silent"}


def test_flash_loans_leave_their_makers_richer(chain: Run) -> None:
    """A contract of the attacker's own borrows, pays back, and gives it what the victim had."""
    lenders = set()
    events = (Event.BALANCER_LOAN, Event.AAVE_V3_LOAN, Event.V3_FLASH)
    for campaign in several(chain, "flash_loan"):
        attacker, contract = role(campaign, "attacker"), role(campaign, "exploit_contract")
        steps = chain.of(campaign)
        (creation,) = [m for m in steps if m.to is None]
        assert creation.receipt.contract_address == contract
        loans = [m for m in steps if any(logs_of(m, event) for event in events)]
        assert loans
        for mined in loans:
            lenders |= {event for event in events if logs_of(mined, event)}
            assert (mined.sender, mined.to) == (attacker, contract)
            moves = transfers(mined)
            first, last = moves[0], moves[-2]
            assert (first.source, first.target) == (last.target, last.source)
            assert last.amount >= first.amount
            got = sum(t.amount for t in moves if t.target == attacker)
            taken = sum(t.amount for t in moves if t.source == role(campaign, "victim"))
            assert got == taken > 0
    assert len(lenders) == 3


def test_ponzis_pay_the_first_with_what_the_last_paid(chain: Run) -> None:
    """Forty pay in, nine tenths go out at once, more than half of that to two founders."""
    for campaign in several(chain, "ponzi"):
        contract, founders = role(campaign, "contract"), set(campaign.addresses["founder"])
        moves = [t for m in chain.of(campaign) for t in transfers(m)]
        paid_in = [t for t in moves if t.target == contract]
        paid_out = [t for t in moves if t.source == contract]
        assert len({t.source for t in paid_in}) >= 40
        joined: set[str] = set()
        for move in moves:
            if move.target == contract:
                joined.add(move.source)
            elif move.source == contract:
                assert move.target in joined
        total = sum(t.amount for t in paid_out)
        assert 0.8 <= total / sum(t.amount for t in paid_in) < 1.0
        assert sum(t.amount for t in paid_out if t.target in founders) > total / 2


def gains(mined: Mined) -> dict[str, tuple[int, int]]:
    """What each pool gained of either token in a transaction, by its address or V4 id."""
    found: dict[str, tuple[int, int]] = {}
    for log in mined.logs:
        words = [int(log.data[2 + n : 66 + n], 16) for n in range(0, len(log.data) - 2, 64)]
        signed = [w - (1 << 256) if w >> 255 else w for w in words]
        if log.topics[0] == text(Event.V2_SWAP):
            gain, pool = (words[0] - words[2], words[1] - words[3]), log.address
        elif log.topics[0] == text(Event.V3_SWAP):
            gain, pool = (signed[0], signed[1]), log.address
        elif log.topics[0] == text(Event.V4_SWAP):
            gain, pool = (-signed[0], -signed[1]), log.topics[1]
        else:
            continue
        before = found.get(pool, (0, 0))
        found[pool] = (before[0] + gain[0], before[1] + gain[1])
    return found


def test_sandwiches_take_from_those_between(chain: Run) -> None:
    """Front and back of one contract are next to a victim that went the same way, and pay."""
    shapes = set()
    for campaign in several(chain, "sandwich"):
        bot, contract = role(campaign, "attacker"), role(campaign, "bot_contract")
        steps = [m for m in chain.of(campaign) if m.to is not None]
        assert len(steps) % 3 == 0
        for front, victim, back in zip(steps[::3], steps[1::3], steps[2::3], strict=True):
            assert front.number == victim.number == back.number
            assert (front.sender, front.to) == (back.sender, back.to) == (bot, contract)
            assert victim.sender in campaign.addresses["victim"]
            (pool,) = gains(front)
            one, two, three = (gains(m)[pool] for m in (front, victim, back))
            side = 0 if one[0] > 0 else 1
            assert two[side] > 0 > two[1 - side]
            assert three[side] < 0 < three[1 - side] <= -one[1 - side]
            assert -three[side] > one[side] * three[1 - side] // -one[1 - side]
            events = (Event.V2_SWAP, Event.V3_SWAP, Event.V4_SWAP)
            shapes |= {event for event in events if logs_of(front, event)}
    assert len(shapes) == 3


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


def delegated(mined: Mined) -> bool:
    """Whether it makes a Safe delegate to what is no MultiSend."""
    return (
        mined.selector == Call.EXEC_TRANSACTION.hex()
        and int(mined.word(3), 16) == 1
        and account(mined.word(0)) not in MULTI_SENDS
    )


def test_safes_are_taken_over_by_delegatecall(chain: Run) -> None:
    """Operation 1 to the attacker's contract, and then the Safe's tokens are gone."""
    for campaign in several(chain, "safe_takeover"):
        steps = chain.of(campaign)
        (takeover,) = [m for m in steps if delegated(m)]
        assert account(takeover.word(0)) == role(campaign, "implementation")
        assert takeover.to == role(campaign, "victim")
        swept = [t for m in steps for t in transfers(m) if t.source == role(campaign, "victim")]
        assert len(swept) == 2
        assert {t.target for t in swept} == {role(campaign, "attacker")}


def test_double_spends_reuse_the_nonce_for_another_recipient(chain: Run) -> None:
    """The merchant's payment is only on the branch that lost, at depth one to three."""
    depths = set()
    for campaign in several(chain, "double_spend"):
        first, second = campaign.transactions
        lost, won = chain.orphaned[first], chain.mined[second]
        assert first not in chain.mined
        assert (lost.sender, lost.transaction.nonce) == (won.sender, won.transaction.nonce)
        assert lost.to == role(campaign, "merchant")
        assert won.to == role(campaign, "own_address")
        assert lost.value == won.value >= 10 * ETHER
        depths.add(campaign.note.split(" depth ")[1][0])
    assert depths == {"1", "2", "3"}


def test_outages_miss_many_slots(chain: Run) -> None:
    """At least five of 64 slots are missed, four of them in a row."""
    for campaign in chain.campaigns("consensus"):
        times = [
            int(raw.block.timestamp, 16)
            for raw in chain.canonical
            if campaign.start_block - 1 <= int(raw.block.number, 16) <= campaign.end_block
        ]
        missed = [(after - before) // 12 - 1 for before, after in pairwise(times)]
        assert max(missed) >= 4
        assert sum(missed) >= 5
        assert (times[-1] - times[0]) // 12 <= 64


def test_gas_spam_fills_blocks_from_few_wallets(chain: Run) -> None:
    """A few wallets call one fresh contract block after block, for half of what blocks hold."""
    (campaign,) = chain.campaigns("gas_spam")
    target = role(campaign, "spammed_contract")
    calls = [m for m in chain.of(campaign) if m.to == target]
    blocks = Counter(m.number for m in calls)
    gas = sum(int(m.receipt.gas_used, 16) for m in calls)
    limit = int(chain.blocks[0].block.gas_limit, 16)
    assert len(blocks) >= 12
    assert max(blocks) - min(blocks) <= 24
    assert gas >= 0.5 * limit * len(blocks)
    assert 2 <= len({m.sender for m in calls}) <= 4
    full = [
        int(raw.block.gas_used, 16) >= 0.95 * limit
        for raw in chain.canonical
        if min(blocks) <= int(raw.block.number, 16) <= max(blocks)
    ]
    assert sum(full) >= 6


def test_one_builder_comes_to_build_nearly_every_block(chain: Run) -> None:
    """Before it the biggest has 44 %, from then on nearly all."""
    (campaign,) = chain.campaigns("builders")
    assert campaign.end_block == int(chain.canonical[-1].block.number, 16)
    shares = []
    for captured in (False, True):
        miners = [
            raw.block.miner
            for raw in chain.canonical
            if (int(raw.block.number, 16) >= campaign.start_block) == captured
        ]
        shares.append(Counter(miners).most_common(1)[0][1] / len(miners))
    assert 0.38 < shares[0] < 0.5
    assert shares[1] > 0.95


# --- the innocent ------------------------------------------------------------------------------


def test_popular_mints_take_a_fifth_of_the_gas_from_a_crowd(chain: Run) -> None:
    """Now and then a new collection takes a fifth of the gas of ten blocks: nobody mints often."""
    gas: dict[str, Counter[int]] = defaultdict(Counter)
    minters: dict[str, Counter[str]] = defaultdict(Counter)
    for mined in chain.benign():
        if mined.selector == Call.MINT.hex():
            assert mined.to is not None
            gas[mined.to][mined.number] += int(mined.receipt.gas_used, 16)
            minters[mined.to][mined.sender] += 1
    used = {int(r.block.number, 16): int(r.block.gas_used, 16) for r in chain.canonical}
    rushes = 0
    for collection, blocks in gas.items():
        first = min(blocks)
        share = sum(blocks[n] for n in range(first, first + 10)) / sum(
            used.get(n, 0) for n in range(first, first + 10)
        )
        if share > 0.2:
            rushes += 1
            assert len(minters[collection]) > 0.7 * minters[collection].total()
    assert rushes >= 1


def test_nobody_innocent_approves_a_wallet(chain: Run) -> None:
    """Benign approvals are many, and all of contracts: no spender ever signs anything."""
    signers = {m.sender for m in chain.mined.values()}
    spenders = Counter(s for m in chain.benign() for _, s, _ in grants(m))
    assert spenders.total() > 1_500
    assert text(At.PERMIT2) in spenders
    assert not spenders.keys() & signers


def test_innocent_splits_are_signed_by_the_payer_or_paid_for(chain: Run) -> None:
    """Round shares are common: the payer signs, a service does, or something comes back."""
    services = {row[0] for row in Simulation(chain.config).labels()}
    kinds = Counter[str]()
    for mined in chain.benign():
        parts: dict[str, dict[str, int]] = defaultdict(dict)
        for transfer in transfers(mined):
            if transfer.token in (text(At.USDT), text(At.USDC), text(At.DAI)):
                parts[transfer.source][transfer.target] = transfer.amount
        got = {t.target for t in transfers(mined)}
        for payer, shares in parts.items():
            least = min(shares.values()) / max(1, sum(shares.values()))
            if len(shares) == 2 and min(abs(least - s) for s in (0.1, 0.2, 0.25, 0.3)) < 1e-3:
                own, paid, known = mined.sender == payer, payer in got, mined.sender in services
                assert own or paid or known
                kinds["own" if own else "paid" if paid else "known"] += 1
    assert all(kinds[kind] >= 10 for kind in ("own", "paid", "known"))


def test_innocent_delegations_are_wallets_or_let_users_pay_whom_they_like(chain: Run) -> None:
    """Four known delegates, sponsored or not; an unknown one whose users pay whom they like."""
    known = {
        text(at)
        for at in (
            At.METAMASK_DELEGATE,
            At.SIMPLE_7702,
            At.AMBIRE_DELEGATE,
            At.CALIBUR_DELEGATE,
        )
    }
    seen, users, own = set(), set(), set()
    for mined in chain.benign():
        for entry in mined.transaction.authorization_list or []:
            authority = text(recover_authority(entry) or b"")
            seen.add(entry.address)
            own.add(authority == mined.sender)
            if entry.address not in known:
                users.add(authority)
    assert known < seen
    assert len(seen) == len(known) + 1
    assert own == {True, False}
    assert len(users) >= 10
    paid = {t.target for m in chain.benign() for t in transfers(m) if t.source in users}
    assert len(paid) > len(users) // 2


def test_innocent_round_trips_are_once_or_with_many(chain: Run) -> None:
    """Tokens come back among benign wallets: from a desk's many clients, or a single time."""
    last: dict[tuple[str, str], int] = {}
    trips: dict[str, Counter[str]] = defaultdict(Counter)
    for mined in chain.benign():
        for t in transfers(mined):
            if ZERO in (t.source, t.target):
                continue  # shares of a vault are minted and burnt again
            if last.get((t.target, t.source)) == t.amount > 1 and t.source == mined.sender:
                trips[t.source][t.target] += 1
            last[t.source, t.target] = t.amount
    desks = [peers for peers in trips.values() if len(peers) >= 6]
    assert desks
    assert any(peers.total() == 1 for peers in trips.values())
    clients = {peer for peers in desks for peer in peers}
    for wallet, peers in trips.items():
        assert len(peers) >= 4 or wallet in clients or peers.total() <= 2


def test_innocent_rotations_are_labelled_at_both_ends(chain: Run) -> None:
    """Sums as large as a drain's stay among exchanges' wallets; proofs of reserve are small."""
    exchanges = {row[0] for row in Simulation(chain.config).labels() if row[1] == "exchange"}
    large = [m for m in chain.benign() if m.sender in exchanges and m.value >= 240 * ETHER]
    assert large
    assert all(m.to in exchanges for m in large)


def test_innocent_gifts_go_to_friends_and_own_wallets(chain: Run) -> None:
    """Whoever takes an item for nothing was paid by its owner before."""
    paid: set[tuple[str, str | None]] = set()
    given = 0
    for mined in chain.benign():
        if mined.value:
            paid.add((mined.sender, mined.to))
        calls = (Call.FULFILL_ADVANCED_ORDER.hex(), Call.BULK_TRANSFER.hex())
        if mined.selector in calls and not mined.value:
            given += 1
            assert all((t.source, t.target) in paid for t in transfers(mined))
    assert given >= 10


def test_innocent_claims_and_mints_get_something(chain: Run) -> None:
    """Ether sent with such a selector comes with a Transfer to its sender."""
    paid = [m for m in chain.benign() if m.selector in CLAIMS and m.value and m.succeeded]
    assert {m.selector for m in paid} == {Call.MINT.hex(), Call.CLAIM.hex()}
    assert len(paid) > 100
    assert all(any(t.target == m.sender for t in transfers(m)) for m in paid)


def test_innocent_safes_delegate_to_multisend_only(chain: Run) -> None:
    """Both plain calls and MultiSend occur."""
    calls = [m for m in chain.benign() if m.selector == Call.EXEC_TRANSACTION.hex()]
    assert {int(m.word(3), 16) for m in calls} == {0, 1}
    assert not any(delegated(m) for m in calls)


def test_innocent_lookalikes_belong_to_one_owner(chain: Run) -> None:
    """A vanity pair is paid by its owner alone; nobody else puts it into a history."""
    ends: dict[tuple[str, str], set[str]] = defaultdict(set)
    payers: dict[str, set[str]] = defaultdict(set)
    poisoned = {a for c in chain.campaigns("address_poisoning") for a in c.addresses["lookalike"]}
    for mined in chain.benign():
        for transfer in transfers(mined):
            ends[transfer.target[2:6], transfer.target[-4:]].add(transfer.target)
            payers[transfer.target].add(mined.sender)
    pairs = [group for group in ends.values() if len(group) > 1]
    vanity = ends["1188", "8811"]
    assert len(vanity) > 1
    assert all(len(payers[address]) == 1 for address in vanity)
    for group in pairs:  # among so many, others look alike by chance
        assert not group & poisoned


def test_only_campaigns_touch_the_sanctioned_the_mixer_and_the_frozen(chain: Run) -> None:
    """What exact rules look for occurs nowhere else."""
    listed = {a for c in chain.campaigns("sanctions") for a in c.addresses["sanctioned"]}
    for mined in chain.benign():
        assert not listed & {mined.sender, mined.to}
        assert not listed & {a for t in transfers(mined) for a in (t.source, t.target)}
        for event in (Event.TORNADO_DEPOSIT, Event.TORNADO_WITHDRAWAL):
            assert not logs_of(mined, event)
        for event in (Event.USDT_FROZEN, Event.USDC_FROZEN):
            assert not logs_of(mined, event)


def test_innocent_liquidity_comes_back_when_it_leaves(chain: Run) -> None:
    """A pool that others traded in is emptied only where a new one is founded within the hour.

    In the last hour of the run nobody can tell.
    """
    traded: set[str] = set()
    reserves: dict[str, int] = {}
    emptied = []
    founded = [(m.sender, m.timestamp) for m in chain.benign() if logs_of(m, Event.PAIR_CREATED)]
    for mined in chain.benign():
        traded |= {log.address for log in logs_of(mined, Event.V2_SWAP)}
        for log in logs_of(mined, Event.V2_SYNC):
            product = int(log.data[2:66], 16) * int(log.data[66:], 16)
            if product < reserves.get(log.address, 0) // 100 and log.address in traded:
                emptied.append((mined.sender, mined.timestamp))
            reserves[log.address] = product
    last = chain.canonical[-1].block.timestamp
    emptied = [(who, when) for who, when in emptied if when + 3_600 <= int(last, 16)]
    assert emptied
    for sender, when in emptied:
        assert any(sender == who and 0 <= then - when <= 3_600 for who, then in founded)


def test_blocks_have_bots_and_batches(chain: Run) -> None:
    """Arbitrage of a dozen transfers, back-runs, payroll and airdrops to many at once."""
    shapes = Counter[str]()
    for mined in chain.benign():
        moves = transfers(mined)
        contracts = {log.address for log in mined.logs}
        if len(moves) >= 12 and len({t.token for t in moves}) >= 4 and len(contracts) >= 4:
            shapes["arbitrage"] += 1
        if mined.selector in (Call.DISPERSE_ETHER.hex(), Call.DISPERSE_TOKEN.hex()):
            shapes["disperse"] += 1
        if len({t.target for t in moves}) >= 10 and len({t.token for t in moves}) == 1:
            shapes["airdrop"] += 1
    for raw in chain.canonical:
        senders = [t.from_ for t in raw.block.transactions]
        shapes["back_run"] += sum(
            one == three != two and chain.mined[raw.block.transactions[place].hash].logs != []
            for place, (one, two, three) in enumerate(
                zip(senders, senders[1:], senders[2:], strict=False)
            )
        )
    assert all(shapes[shape] >= 20 for shape in ("arbitrage", "disperse", "airdrop", "back_run"))


def test_kinds_are_about_as_large_as_they_say(chain: Run) -> None:
    """The mean number of a kind's transactions is within a factor of two of its stated size."""
    for name, kind in SCRIPTED.items():
        sizes = [len(campaign.transactions) for campaign in chain.campaigns(name)]
        assert kind.size / 2 <= statistics.mean(sizes) <= kind.size * 2, name


def test_addresses_that_attack_are_new(chain: Run) -> None:
    """No attacker's wallet was used before its campaign, but for its funding."""
    born = {m.sender: m.number for m in reversed(chain.mined.values())}
    for campaign in chain.truth.campaigns:
        for name in ("attacker", "depositor", "deployer", "funder", "operator", "origin"):
            for wallet in campaign.addresses.get(name, []):
                assert wallet != ZERO
                assert born.get(wallet, campaign.start_block) >= campaign.start_block
