"""Nothing innocent in a simulation looks as an attack does."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict

from ingest.senders import recover_authority
from ingest.simulate import Simulation
from ingest.simulate.campaigns import SCRIPTED
from ingest.simulate.contracts import ETHER, At, Call, Event
from tests.ingest.campaigns.reading import (
    CLAIMS,
    ZERO,
    delegated,
    grants,
)
from tests.ingest.simulated import Run, logs_of, text, transfers


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
