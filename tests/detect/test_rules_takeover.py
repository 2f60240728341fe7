"""Watched contracts that change hands or code, and what makes such a change maintenance."""

from __future__ import annotations

from typing import Any

import pytest

from chainwarden.schema import Label
from detect.known.proxies import (
    ADMIN_CHANGED,
    BEACON_UPGRADED,
    CALL_EXECUTED,
    CALL_QUEUED,
    CALL_SCHEDULED,
    IMPLEMENTATION_SLOT,
    OWNER_CHANGED,
    POWERFUL_ROLES,
    QUEUED_EXECUTED,
    ROLE_GRANTED,
    UPGRADED,
)
from detect.known.safes import CHANGED_MASTER_COPY, SAFE_SUCCESS, SINGLETONS
from detect.known.tokens import USDC
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.contract_takeover import ContractTakeover, ContractTakeoverConfig
from detect.rules.rule import Finding
from tests.detect.build import Block, Build, Tx, run, told, uint, wallet, word
from tests.detect.told import Told

BRIDGE, CODE, SIGNER, THIEF, SAFE = (wallet(n) for n in range(1, 6))
MAKER, TIMELOCK, STRANGE = wallet(6), wallet(7), wallet(8)
OLD, NEW = sorted(SINGLETONS)[:2]
DAY = 86_400
LABELS = [Label(BRIDGE, "bridge", "x"), Label(MAKER, "service", "x")]


def rule(node: Told | None = None, *more: Label) -> ContractTakeover:
    """The rule as it comes; the bridge is watched, its maker known."""
    book = LabelBook([*builtin_labels(), *LABELS, *more])
    return ContractTakeover(book, ColumnCache(), None, *([node] if node else []))


def upgrade(signer: bytes = SIGNER, nonce: int = 700, **changes: Any) -> Tx:
    """Somebody makes the bridge run other code."""
    logs = [(BRIDGE, [UPGRADED, word(CODE)], b"")]
    return Tx(signer, changes.pop("to", BRIDGE), nonce=nonce, logs=logs, **changes)


def changes(*topics: bytes, data: bytes = b"", by: bytes = BRIDGE, nonce: int = 700) -> Tx:
    """A transaction of the bridge's with one log."""
    return Tx(SIGNER, by, nonce=nonce, logs=[(by, list(topics), data)])


def replaced(safe: bytes = SAFE, new: bytes = CODE, **more: Any) -> Tx:
    """A Safe is told to run other code, and says so."""
    logs = [(safe, [CHANGED_MASTER_COPY], word(new)), (safe, [SAFE_SUCCESS], bytes(64))]
    return Tx(SIGNER, safe, nonce=3, logs=logs, **more)


def said(*txs: Tx) -> list[str]:
    """The severities of what the rule says of transactions, one block each."""
    found = run(rule(), Build().batch(*[Block([tx]) for tx in txs]))
    return [f.severity.text for f in found]


# --- what is told


@pytest.mark.parametrize(
    ("tx", "words"),
    [
        (changes(UPGRADED, word(CODE)), "now runs the code of"),
        (changes(UPGRADED, data=word(CODE)), "now runs the code of"),  # before ERC-1967
        (changes(BEACON_UPGRADED, word(CODE)), "its code from the beacon"),
        (changes(ADMIN_CHANGED, data=word(SIGNER) + word(THIEF)), "a new proxy admin"),
        (changes(OWNER_CHANGED, word(SIGNER), word(THIEF)), "a new owner"),
        (changes(ROLE_GRANTED, bytes(32), word(THIEF), word(SIGNER)), "gave away a role"),
    ],
)
def test_a_watched_contract_that_changes_is_medium(tx: Tx, words: str) -> None:
    """Any change of code or of who rules, unannounced and signed by a wallet with a past."""
    (found,) = run(rule(), Build().batch(Block([tx])))
    assert (found.rule, found.severity.text, found.subject) == (
        "contract_takeover",
        "medium",
        BRIDGE,
    )
    assert words in found.sentence
    assert "announced by no timelock" in found.sentence


@pytest.mark.parametrize("role", sorted(POWERFUL_ROLES))
def test_every_ruling_role_counts_and_no_other(role: bytes) -> None:
    """Admins, upgraders, minters and proposers; a keeper's role gives nothing away."""
    assert said(changes(ROLE_GRANTED, role, word(THIEF), word(SIGNER))) == ["medium"]
    assert said(changes(ROLE_GRANTED, uint(7), word(THIEF), word(SIGNER))) == []


def test_a_signer_without_a_past_is_high() -> None:
    """A wallet with three transactions upgrades a bridge; an unknown nonce is held against none."""
    assert said(upgrade(nonce=3)) == ["high"]
    unknown = upgrade()
    unknown.nonce = None
    assert said(unknown) == ["medium"]


def test_code_that_a_fresh_wallet_deployed_this_week_is_high() -> None:
    """Deployed by a wallet of three transactions; by a busy deployer, or long ago, it is usual."""

    def deployed(nonce: int, wait: int) -> list[str]:
        build, one = Build(), rule()
        run(one, build.batch(Block([Tx(THIEF, None, nonce=nonce, creates=CODE)])))
        build.time += wait
        return [f.severity.text for f in run(one, build.batch(Block([upgrade()])))]

    assert deployed(3, 2 * DAY) == ["high"]
    assert deployed(700, 2 * DAY) == ["medium"]
    assert deployed(3, 8 * DAY) == ["medium"]


def test_listed_tokens_and_known_services_are_watched_without_a_label() -> None:
    """USDC is; a contract of which nobody has heard is not."""
    assert said(changes(UPGRADED, word(CODE), by=USDC)) == ["medium"]
    assert said(changes(UPGRADED, word(CODE), by=STRANGE)) == []


def test_a_safe_that_runs_strange_code_is_medium_and_critical_where_it_is_watched() -> None:
    """Any Safe in view; a labelled treasury is high, critical where the code is a week old."""
    assert said(replaced()) == ["medium"]
    treasury = Label(SAFE, "treasury", "x")
    made = Block([Tx(THIEF, None, nonce=700, creates=CODE)])

    def of(*blocks: Block) -> list[str]:
        return [f.severity.text for f in run(rule(None, treasury), Build().batch(*blocks))]

    assert of(Block([replaced()])) == ["high"]
    assert of(made, Block([replaced()])) == ["critical"]


def test_who_only_says_that_it_changed_is_no_safe() -> None:
    """ChangedMasterCopy of a contract that never executed anything is not a Safe's."""
    lone = changes(CHANGED_MASTER_COPY, data=word(CODE), by=STRANGE)
    assert said(lone) == []
    executed = Tx(SIGNER, STRANGE, logs=[(STRANGE, [SAFE_SUCCESS], bytes(64))])
    assert said(executed, lone) == ["medium"]


# --- what makes it maintenance


@pytest.mark.parametrize(
    ("announced", "executed", "topics"),
    [
        (CALL_SCHEDULED, CALL_EXECUTED, [uint(0)]),
        (CALL_QUEUED, QUEUED_EXECUTED, [word(BRIDGE)]),
    ],
)
def test_what_a_timelock_announced_is_maintenance(
    announced: bytes, executed: bytes, topics: list[bytes]
) -> None:
    """Six hours of notice silence it; less, another contract, or a detour leave it low."""

    def of(wait: int, target: bytes = BRIDGE, to: bytes = TIMELOCK) -> list[str]:
        one, build = rule(), Build()
        named = [uint(9), topics[0] if topics[0] == uint(0) else word(target)]
        notice = Tx(SIGNER, TIMELOCK, logs=[(TIMELOCK, [announced, *named], word(target))])
        run(one, build.batch(Block([notice])))
        build.time += wait
        tx = upgrade(to=to, nonce=3)
        tx.logs.append((TIMELOCK, [executed, *named], word(target)))
        return [f.severity.text for f in run(one, build.batch(Block([tx])))]

    assert of(7 * 3_600) == []
    assert of(3_600) == ["low"]
    assert of(7 * 3_600, to=STRANGE) == ["low"]
    assert of(7 * 3_600, target=STRANGE) == ["high"]


def test_what_a_known_safe_executes_is_low() -> None:
    """Several signed it: the Safe has executed before, and its owners may be fresh wallets."""
    executed = Tx(SIGNER, SAFE, logs=[(SAFE, [SAFE_SUCCESS], bytes(64))])
    assert said(executed, upgrade(to=SAFE, nonce=3)) == ["low"]
    assert said(upgrade(to=SAFE, nonce=3)) == ["high"]


def test_its_keeper_may_upgrade_it_again() -> None:
    """Who upgraded it a week ago and more is low; within the week it is told as the first time."""

    def again(wait: int) -> list[str]:
        one, build = rule(), Build()
        run(one, build.batch(Block([upgrade()])))
        build.time += wait
        return [f.severity.text for f in run(one, build.batch(Block([upgrade(salt=1)])))]

    assert again(8 * DAY) == ["low"]
    assert again(2 * DAY) == ["medium"]


def test_known_owners_may_do_what_they_like() -> None:
    """A labelled signer, a call of a labelled contract, a labelled new owner."""
    owner = changes(OWNER_CHANGED, word(SIGNER), word(MAKER))
    assert said(upgrade(MAKER), upgrade(to=MAKER), owner) == []


def test_renouncing_and_setting_up_are_no_takeover() -> None:
    """Nobody as the new owner, nobody as the one before, and a contract of today."""
    renounced = changes(OWNER_CHANGED, word(SIGNER), bytes(32))
    first = changes(OWNER_CHANGED, bytes(32), word(SIGNER))
    assert said(renounced, first) == []
    assert said(Tx(THIEF, None, creates=BRIDGE), upgrade()) == []


def test_a_published_release_of_the_safe_is_an_update() -> None:
    """From one master copy to another that Safe has published."""
    assert said(replaced(new=NEW)) == []


def test_malformed_events_say_nothing() -> None:
    """Too few or too many topics, words that are no addresses, no data at all."""
    high = b"\xff" * 32
    broken = [
        changes(UPGRADED),
        changes(UPGRADED, high),
        changes(UPGRADED, word(CODE), word(CODE)),
        changes(OWNER_CHANGED, word(SIGNER)),
        changes(ADMIN_CHANGED, data=word(SIGNER)),
        changes(ROLE_GRANTED, bytes(32), word(THIEF)),
        replaced(new=high[:20]),
    ]
    broken[-1].logs[0] = (SAFE, [CHANGED_MASTER_COPY], high)
    assert said(*broken) == []


# --- with a node


def test_a_node_knows_what_a_new_owner_is() -> None:
    """A plain wallet is high, a contract (a multisig, a timelock) low."""
    batch = Build().batch(Block([changes(OWNER_CHANGED, word(SIGNER), word(THIEF))]))
    at = batch.batch.position(0)
    for code, severity in ((b"", "high"), (b"\x60" * 80, "low"), (None, "medium")):
        node = Told(code={(THIEF, at): code})
        assert [f.severity.text for f in run(rule(node), batch)] == [severity]


def test_storage_that_differs_from_the_event_is_critical() -> None:
    """The proxy says one implementation and stores another; an empty slot is another layout."""
    batch = Build().batch(Block([upgrade()]))
    where = (BRIDGE, IMPLEMENTATION_SLOT, batch.batch.position(0))
    for stored, severity in ((THIEF, "critical"), (CODE, "medium"), (bytes(20), "medium")):
        node = Told(storage={where: word(stored)})
        assert [f.severity.text for f in run(rule(node), batch)] == [severity]


def executes(old: bytes, new: bytes, *labels: Label) -> list[Finding]:
    """A Safe executes something; its slot 0 is one thing before the block, another after."""
    build = Build()
    build.batch(Block())
    executed = Tx(SIGNER, SAFE, logs=[(SAFE, [SAFE_SUCCESS], bytes(64))])
    batch = build.batch(Block([executed]))
    after = batch.batch.position(0)
    parent = batch.batch.blocks["parent_hash"][0].as_py()
    before = type(after)(after.number - 1, parent)
    node = Told(storage={(SAFE, 0, before): word(old), (SAFE, 0, after): word(new)})
    return run(rule(node, *labels), batch)


def test_slot_0_is_read_again_after_each_execution() -> None:
    """Code replaced without an event, as at Bybit: high, critical where the Safe is watched."""
    treasury = Label(SAFE, "treasury", "x")
    assert told(executes(OLD, CODE)) == [("contract_takeover", "high", SAFE)]
    (found,) = executes(OLD, CODE, treasury)
    assert (found.severity.text, found.evidence.addresses[0]) == ("critical", CODE)
    assert "no event tells" in found.sentence
    assert executes(OLD, OLD) == executes(OLD, NEW) == executes(CODE, CODE) == []
    assert executes(CODE, THIEF) == []  # was no Safe of a published release
    assert len(executes(CODE, THIEF, treasury)) == 1


def test_without_a_node_nothing_is_read() -> None:
    """An execution alone is nothing."""
    assert said(Tx(SIGNER, SAFE, logs=[(SAFE, [SAFE_SUCCESS], bytes(64))])) == []


# --- bounds


def test_state_is_bounded() -> None:
    """Floods of Safes, creations, notices and keepers leave no more rows than allowed."""
    config = ContractTakeoverConfig(safes=16, made=16, notices=16, keepers=16)
    one = ContractTakeover(LabelBook(LABELS), ColumnCache(), config)
    txs = []
    for n in range(200):
        each = wallet(1_000 + n)
        txs.append(Tx(SIGNER, each, logs=[(each, [SAFE_SUCCESS], bytes(64))], creates=each))
        txs.append(Tx(SIGNER, TIMELOCK, logs=[(TIMELOCK, [CALL_SCHEDULED, uint(n)], b"")], salt=n))
        txs.append(upgrade(each))
    run(one, Build().batch(Block(txs)))
    assert all(len(t) <= 16 for t in (one._safes, one._made, one._notices, one._keepers))


def test_a_transaction_of_many_changes_is_told_in_part_and_hides_none_that_is_watched() -> None:
    """Forty made-up Safes are told 32 times; the bridge behind them is told all the same."""
    logs = []
    for n in range(40):
        made = wallet(2_000 + n)
        logs += [(made, [SAFE_SUCCESS], bytes(64)), (made, [CHANGED_MASTER_COPY], word(CODE))]
    logs += [(BRIDGE, [UPGRADED, word(wallet(3_000 + n))], b"") for n in range(40)]
    found = run(rule(), Build().batch(Block([Tx(SIGNER, STRANGE, nonce=700, logs=logs)])))
    assert len([f for f in found if f.subject != BRIDGE]) == 32
    assert len([f for f in found if f.subject == BRIDGE]) == 32
