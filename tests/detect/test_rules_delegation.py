"""EIP-7702 sweepers: delegates that forward what comes in, and wallets that merely delegate."""

from __future__ import annotations

from typing import Any

import pytest

from chainwarden.schema import Label, Position, Role, Severity
from detect.known.delegates import DELEGATED, SWEEPERS
from detect.known.tokens import USDC
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.delegates import Delegate, SweeperConfig
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from detect.rules.sweeper_delegation import SweeperDelegation
from tests.detect.build import ETHER, Block, Build, Tx, at, run, told, uint, wallet
from tests.detect.told import Told

SPONSOR, SINK, DELEGATE, PAYER = wallet(1), wallet(2), wallet(3), wallet(4)
VICTIMS = [wallet(100 + i) for i in range(40)]
KNOWN = next(iter(SWEEPERS))
DOLLAR = 10**6
WALLETS = [
    "0x63c0c19a282a1B52b07dD5a65b58948A07DAE32B",
    "0x4Cd241E8d1510e30b2076397afc7508Ae59C66c9",
    "0x5A7FC11397E9a8AD41BF10bf13F22B0a63f96f6d",
    "0x000000009B1D0aF20D8C6d0A44e162d11F9b8f00",
]


def sweeper(node: NodeCalls = WITHOUT_NODE, *labels: Label, **changes: Any) -> SweeperDelegation:
    """The rule as it comes, knowing the services that are built in."""
    book = LabelBook([*builtin_labels(), *labels])
    return SweeperDelegation(book, ColumnCache(), SweeperConfig(**changes), node)


def grants(*authorities: bytes | None, delegate: bytes = DELEGATE, **changes: Any) -> Tx:
    """The sponsor submits authorizations."""
    granted = [{"authority": a, "delegate": delegate, "nonce": 5} for a in authorities]
    return Tx(SPONSOR, authorities[0] or SINK, authorizations=granted, **changes)


def income(victim: bytes, dollars: int = 500) -> Tx:
    """Somebody pays an account in USDC."""
    return Tx(PAYER, USDC, tokens=[(USDC, PAYER, victim, dollars * DOLLAR)])


def sweep(victim: bytes, to: bytes = SINK, dollars: int = 500) -> Tx:
    """The sponsor's bot makes the account send it on."""
    return Tx(SPONSOR, victim, tokens=[(USDC, victim, to, dollars * DOLLAR)])


def said(*blocks: Block, rule: SweeperDelegation | None = None) -> list[Finding]:
    """What the rule says about blocks."""
    return run(rule or sweeper(), Build().batch(*blocks))


def swept(*victims: bytes, **changes: Any) -> list[Block]:
    """Income in one block, swept in the next, account by account."""
    return [
        block
        for victim in victims
        for block in (Block([income(victim, **changes)]), Block([sweep(victim, **changes)]))
    ]


def test_ten_authorities_whose_income_is_swept_are_a_sweeper() -> None:
    """Low at the second sweep, high at the fifth; the delegate is the subject."""
    found = said(Block([grants(*VICTIMS[:12])]), *swept(*VICTIMS[:6]))
    assert told(found) == [
        ("sweeper_delegation", "low", DELEGATE),
        ("sweeper_delegation", "high", DELEGATE),
    ]
    assert [f.block_row for f in found] == [4, 10]
    assert found[1].role == Role.ATTACKER
    assert found[1].evidence.addresses == (VICTIMS[4], SINK)


def test_failed_transactions_delegate_all_the_same() -> None:
    """Delegations of a transaction with status 0 hold (EIP-7702)."""
    found = said(Block([grants(*VICTIMS[:12], status=0)]), *swept(*VICTIMS[:6]))
    assert [f.severity for f in found] == [Severity.LOW, Severity.HIGH]


def test_a_known_sweeper_is_told_at_once_and_at_ten() -> None:
    """The first authority of a known sweeper is high; then the tenth, not those between."""
    txs = [grants(victim, delegate=KNOWN, salt=n) for n, victim in enumerate(VICTIMS[:12])]
    found = said(Block(txs))
    assert [(f.severity, f.transaction_index) for f in found] == [
        (Severity.HIGH, 0),
        (Severity.HIGH, 9),
    ]


def test_a_valuable_wallet_that_is_swept_is_told_itself() -> None:
    """A thousand dollars make the wallet a victim, 100,000 a critical one, 500 nothing."""
    for dollars, severity in ((500, None), (1_000, Severity.HIGH), (150_000, Severity.CRITICAL)):
        blocks = swept(VICTIMS[0], dollars=dollars)
        found = said(Block([grants(VICTIMS[0], delegate=KNOWN)]), *blocks)
        victims = [f for f in found if f.subject == VICTIMS[0]]
        assert [f.severity for f in victims] == ([severity] if severity else [])
        assert all(f.role == Role.VICTIM and f.evidence.addresses[0] == KNOWN for f in victims)


def test_ether_counts_as_income_and_as_loot() -> None:
    """Ether in, and ether out of the account's own signature, is a sweep like any other."""
    blocks = [Block([Tx(PAYER, VICTIMS[0], 2 * ETHER)]), Block([Tx(VICTIMS[0], SINK, 2 * ETHER)])]
    found = said(Block([grants(VICTIMS[0], delegate=KNOWN)]), *blocks)
    assert told(found)[-1] == ("sweeper_delegation", "high", VICTIMS[0])


def forwarded(victim: bytes, ether: int = 1, gas: int = 34_000, **changes: Any) -> Block:
    """Ether comes in, and the account's code does something costly with it."""
    return Block([Tx(PAYER, victim, ether * ETHER, gas_used=gas, **changes)])


def test_ether_that_is_passed_on_as_it_arrives_is_low_by_its_gas() -> None:
    """Ten authorities, the fifth forward: low, once. Nine, cheap payments and calls are nothing."""
    grant = Block([grants(*VICTIMS[:12])])
    found = said(grant, *map(forwarded, VICTIMS[:8]))
    assert told(found) == [("sweeper_delegation", "low", DELEGATE)]
    assert (found[0].block_row, found[0].transaction_index) == (5, 0)
    assert "passing it on" in found[0].sentence
    assert said(Block([grants(*VICTIMS[:9])]), *map(forwarded, VICTIMS[:8])) == []
    assert said(grant, *[forwarded(v, gas=29_000) for v in VICTIMS[:8]]) == []
    assert said(grant, *[forwarded(v, data=b"\x01" * 4) for v in VICTIMS[:8]]) == []


def test_a_known_forwarder_leaves_victims() -> None:
    """An ether and more into an account that delegates to it is lost: high, 30 ether critical."""
    grant = Block([grants(VICTIMS[0], delegate=KNOWN)])
    for ether, severity in ((1, Severity.HIGH), (30, Severity.CRITICAL)):
        (victim,) = [f for f in said(grant, forwarded(VICTIMS[0], ether)) if f.role == Role.VICTIM]
        assert (victim.subject, victim.severity) == (VICTIMS[0], severity)
        assert victim.evidence.addresses == (KNOWN,)
        assert "went on at once" in victim.sentence
    cheap = said(grant, forwarded(VICTIMS[0], gas=21_000))
    assert [f.role for f in cheap] == [Role.ATTACKER]


def test_a_node_that_finds_nothing_left_makes_a_forwarder_high() -> None:
    """An empty account after it was paid: the delegate is high, its wallets are victims."""
    batch = Build().batch(Block([grants(*VICTIMS[:12])]), *map(forwarded, VICTIMS[:6]))
    places = [(v, batch.batch.position(row + 1)) for row, v in enumerate(VICTIMS[:6])]
    empty: dict[tuple[bytes, Position], int | None] = dict.fromkeys(places, 0)
    told_of = run(sweeper(Told(balance=empty)), batch)
    assert [(f.severity.text, f.subject) for f in told_of] == [
        ("high", DELEGATE),
        ("high", VICTIMS[4]),
        ("high", VICTIMS[5]),
    ]
    kept: dict[tuple[bytes, Position], int | None] = dict.fromkeys(places, ETHER)
    plain, asking = sweeper(), sweeper(Told(balance=kept))
    assert (
        told(run(asking, batch))
        == told(run(plain, batch))
        == [("sweeper_delegation", "low", DELEGATE)]
    )
    rule = sweeper(Told(balance=empty))
    run(rule, batch)
    assert rule.digest() == plain.digest()


def test_call_traces_say_more_than_gas() -> None:
    """Where a trace shows the ether leave, it is a sweep to that receiver and no mere forward."""
    blocks = [
        Block([Tx(PAYER, v, ETHER, gas_used=34_000, internal=[(v, SINK, ETHER)])])
        for v in VICTIMS[:5]
    ]
    found = said(Block([grants(*VICTIMS[:12])]), *blocks)
    delegates = [f for f in found if f.subject == DELEGATE]
    assert [f.severity for f in delegates] == [Severity.LOW, Severity.HIGH]


def test_a_node_tells_clones_and_changes_no_state() -> None:
    """With a node, three authorities of a delegate with a sweeper's code are enough."""
    build, told_of = Build(), Told()
    block = Block([grants(*VICTIMS[:3])])
    scored = build.batch(block)
    where = scored.batch.position(0)
    told_of.code = {(DELEGATE, where): b"\x60\x01", (KNOWN, where): b"\x60\x01"}
    asking, silent = sweeper(told_of), sweeper()
    assert told(run(asking, scored)) == [("sweeper_delegation", "high", DELEGATE)]
    assert run(silent, scored) == []
    assert asking.digest() == silent.digest()
    other = Told(code={(DELEGATE, where): b"\x60\x02", (KNOWN, where): b"\x60\x01"})
    assert run(sweeper(other), scored) == []


def test_a_node_that_shows_other_code_clears_the_wallet() -> None:
    """An authorization that was skipped silently makes no victim; one that took effect does."""
    for code, victims in ((DELEGATED + KNOWN, 1), (b"", 0), (None, 1)):
        build = Build()
        blocks = [Block([grants(VICTIMS[0], delegate=KNOWN)]), *swept(VICTIMS[0], dollars=5_000)]
        scored = build.batch(*blocks)
        node = Told(code={(VICTIMS[0], scored.batch.position(2)): code})
        found = run(sweeper(node), scored)
        assert sum(f.subject == VICTIMS[0] for f in found) == victims


# --- what does not count


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": uint(137)},
        {"authority": None},
        {"delegate": bytes(20)},
    ],
)
def test_authorizations_that_do_not_hold(change: dict[str, Any]) -> None:
    """Another chain's, one whose signature recovers to nobody, a revocation: no delegation."""
    tx = grants(VICTIMS[0], delegate=KNOWN)
    tx.authorizations[0] |= change
    assert said(Block([tx]), *swept(VICTIMS[0], dollars=5_000)) == []


def test_any_chain_is_this_chain_too() -> None:
    """Chain id 0 is valid everywhere."""
    tx = grants(VICTIMS[0], delegate=KNOWN)
    tx.authorizations[0]["chain_id"] = uint(0)
    assert len(said(Block([tx]))) == 1


def test_a_nonce_that_its_own_transaction_spends_is_skipped() -> None:
    """Whoever submits its own authorization must sign the nonce behind the transaction's."""
    for granted, expected in ((7, 0), (8, 1)):
        tx = grants(SPONSOR, delegate=KNOWN, nonce=7)
        tx.authorizations[0]["nonce"] = granted
        assert len(said(Block([tx]))) == expected


def test_a_revoked_delegation_sweeps_nothing() -> None:
    """After the wallet delegated to nobody, or to a known wallet's code, it is its own again."""
    for other in (bytes(20), at(WALLETS[0])):
        blocks = [Block([grants(VICTIMS[0], delegate=KNOWN)])]
        blocks += [Block([grants(VICTIMS[0], delegate=other)])]
        found = said(*blocks, *swept(VICTIMS[0], dollars=5_000))
        assert [f.subject for f in found] == [KNOWN]


# --- the innocent


@pytest.mark.parametrize("delegate", WALLETS)
def test_delegates_of_known_wallets_may_do_what_they_like(delegate: str) -> None:
    """MetaMask, Simple7702, Ambire and Calibur: sponsored, and swept at once, and no alert."""
    granted = Block([grants(*VICTIMS[:12], delegate=at(delegate))])
    assert said(granted, *swept(*VICTIMS[:12], dollars=5_000)) == []


def test_a_wallet_whose_users_pay_whom_they_like_is_no_sweeper() -> None:
    """Twelve sponsored users of an unknown wallet who spend at once, each elsewhere."""
    blocks = [Block([grants(*VICTIMS[:12])])]
    for n, victim in enumerate(VICTIMS[:12]):
        blocks += [Block([income(victim)]), Block([sweep(victim, wallet(500 + n))])]
    assert said(*blocks) == []


def test_users_who_submit_their_own_delegations_are_no_victims() -> None:
    """Where more than one in ten pays its own gas the delegate is a wallet's."""
    own = []
    for victim in VICTIMS[:3]:
        tx = grants(victim)
        tx.sender, tx.nonce = victim, 4
        own.append(tx)
    assert said(Block([grants(*VICTIMS[3:15]), *own]), *swept(*VICTIMS[3:15])) == []


def test_savings_are_no_income() -> None:
    """What leaves two blocks after it came, or was never seen coming, was not swept."""
    blocks = [Block([grants(*VICTIMS[:12])])]
    for victim in VICTIMS[:8]:
        blocks += [Block([income(victim)]), Block(), Block([sweep(victim)])]
    assert said(*blocks, *(Block([sweep(v)]) for v in VICTIMS[8:12])) == []


def test_nine_authorities_are_nobody() -> None:
    """A crowd of fewer than ten is not judged by what it does."""
    assert said(Block([grants(*VICTIMS[:9])]), *swept(*VICTIMS[:9])) == []


def test_the_main_sinks_are_kept_and_counts_are_never_too_low() -> None:
    """Among many rare receivers the one that takes most stays, with all of its sweeps at least."""
    record = Delegate(0)
    for n in range(60):
        record = record.sweep(SINK if n % 2 else wallet(n))
    assert len(record.sinks) == 4
    assert record.sinks[0][0] == SINK
    assert record.sinks[0][1] >= 30
    assert record.swept == 60


def test_state_is_bounded() -> None:
    """A flood of delegates and authorities leaves no more rows than the configuration allows."""
    rule = sweeper(delegates=16, authorities=32)
    txs = [grants(wallet(1000 + n), delegate=wallet(5000 + n), salt=n) for n in range(200)]
    run(rule, Build().batch(Block(txs)))
    assert len(rule._delegates) <= 16
    assert len(rule._authorities) <= 32
