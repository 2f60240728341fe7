"""What simulated contracts leave on the chain that are made to cheat."""

from __future__ import annotations

from collections import Counter

from ingest.simulate import Simulation
from ingest.simulate.bytecode import FLASH_CALLBACKS
from ingest.simulate.contracts import ETHER, At, Call, Event
from tests.ingest.campaigns.reading import (
    ZERO,
    role,
    several,
)
from tests.ingest.simulated import Mined, Run, logs_of, text, transfers


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
