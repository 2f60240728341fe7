"""Rules that are exact: Safe delegatecalls, sanctions, issuer freezes, mixers."""

from __future__ import annotations

import pytest

from chainwarden.schema import Label, Role, Severity
from detect.known.freezes import (
    USDC_FROZEN,
    USDC_UNFROZEN,
    USDT_DESTROYED,
    USDT_FROZEN,
    USDT_UNFROZEN,
)
from detect.known.mixers import (
    RAILGUN,
    RAILGUN_UNSHIELD,
    TORNADO_DELISTED,
    TORNADO_DEPOSIT,
    TORNADO_LISTED,
    TORNADO_WITHDRAWAL,
)
from detect.known.safes import MULTI_SENDS, SAFE_LIBRARIES, SAFE_SUCCESS
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.issuer_freeze import IssuerFreeze
from detect.rules.mixer_touch import MixerTouch
from detect.rules.safe_delegatecall import SafeDelegatecall
from detect.rules.sanctions_touch import SanctionsTouch
from tests.detect.build import ETHER, Block, Build, Tx, at, run, told, uint, wallet, word

ALICE, BOB, CAROL, MALLORY = wallet(1), wallet(2), wallet(3), wallet(4)
SAFE, FOREIGN = wallet(5), wallet(6)
CALL_ONLY = at("0x40A2aCCbd92BCA938b02010E17A5b8929b49130D")
MULTI_SEND_130 = at("0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761")
POOL_10 = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
POOL_USDC = at("0xd96f2B1c14Db8458374d9Aca76E26c3D18364307")


def exec_transaction(to: bytes, operation: int, data: bytes = b"") -> bytes:
    """Calldata of a Safe's execTransaction."""
    padded = data + bytes(-len(data) % 32)
    signatures = 320 + 32 + len(padded)
    head = [word(to), uint(0), uint(320), uint(operation)] + [uint(0)] * 5 + [uint(signatures)]
    return bytes.fromhex("6a761202") + b"".join(head) + uint(len(data)) + padded + uint(0)


def multi_send(*calls: tuple[int, bytes, bytes]) -> bytes:
    """Calldata of multiSend over packed (operation, to, data)."""
    packed = b"".join(bytes([op]) + to + uint(0) + uint(len(d)) + d for op, to, d in calls)
    return bytes.fromhex("8d80ff0a") + uint(32) + uint(len(packed)) + packed


def safe_findings(data: bytes, status: int = 1) -> list[tuple[str, str, bytes]]:
    """What the rule says about that call of a Safe that confirms it."""
    logs = [(SAFE, [SAFE_SUCCESS], bytes(64))]
    tx = Tx(ALICE, SAFE, data=data, logs=logs, status=status)
    return told(run(SafeDelegatecall(ColumnCache()), Build().batch(Block([tx]))))


def test_a_delegatecall_to_foreign_code_is_critical_about_the_safe() -> None:
    """A Safe that delegates to unknown code is the victim of a critical finding."""
    assert safe_findings(exec_transaction(FOREIGN, 1)) == [("safe_delegatecall", "critical", SAFE)]


@pytest.mark.parametrize("library", sorted(SAFE_LIBRARIES))
def test_published_libraries_are_let_through(library: bytes) -> None:
    """A delegatecall to a published Safe library is no finding."""
    assert safe_findings(exec_transaction(library, 1)) == []


def test_plain_calls_are_let_through() -> None:
    """Operation 0 (call) to anybody is no finding; nor is an operation that does not exist."""
    assert safe_findings(exec_transaction(FOREIGN, 0)) == []
    assert safe_findings(exec_transaction(FOREIGN, 2)) == []


def test_a_failed_takeover_is_no_takeover() -> None:
    """A transaction that failed changed nothing."""
    assert safe_findings(exec_transaction(FOREIGN, 1), status=0) == []


def test_foreign_code_hidden_in_a_multi_send_is_found() -> None:
    """A delegatecall packed inside multiSend is found behind harmless calls."""
    inner = multi_send((0, FOREIGN, b"\1\2\3"), (1, CALL_ONLY, b""), (1, FOREIGN, b"\4"))
    assert safe_findings(exec_transaction(MULTI_SEND_130, 1, inner)) != []
    harmless = multi_send((0, FOREIGN, b"\1\2\3"), (1, CALL_ONLY, b""))
    assert safe_findings(exec_transaction(MULTI_SEND_130, 1, harmless)) == []
    assert MULTI_SEND_130 in MULTI_SENDS


def test_logs_that_do_not_confirm_a_safe_make_it_medium() -> None:
    """With logs but no ExecutionSuccess of the target it is medium; without logs critical."""
    rule = SafeDelegatecall(ColumnCache())
    stranger = (FOREIGN, [SAFE_SUCCESS], bytes(64))
    unsure = Tx(ALICE, SAFE, data=exec_transaction(FOREIGN, 1), logs=[stranger])
    bare = Tx(ALICE, SAFE, data=exec_transaction(FOREIGN, 1), receipt=False)
    found = run(rule, Build().batch(Block([unsure, bare])))
    assert [f.severity for f in found] == [Severity.MEDIUM, Severity.CRITICAL]


# --- sanctions


def sanctions(*labels: Label) -> SanctionsTouch:
    """The rule over a book of these labels; Mallory is under sanction if there are none."""
    book = LabelBook(labels or (Label(MALLORY, "sanctioned", "ofac"),))
    return SanctionsTouch(book, ColumnCache())


def test_paying_a_sanctioned_wallet_is_the_payers_act() -> None:
    """Value sent to a sanctioned wallet is critical about the sender, as attacker."""
    found = run(sanctions(), Build().batch(Block([Tx(ALICE, MALLORY, ETHER)])))
    assert told(found) == [("sanctions_touch", "critical", ALICE)]
    assert found[0].role == Role.ATTACKER
    assert found[0].evidence.amounts == ((None, ETHER),)


def test_being_paid_is_told_but_not_held_against_the_receiver() -> None:
    """Value from a sanctioned wallet is critical about the receiver, in no guilty role."""
    found = run(sanctions(), Build().batch(Block([Tx(MALLORY, ALICE, ETHER)])))
    assert told(found) == [("sanctions_touch", "critical", ALICE)]
    assert found[0].role == Role.UNKNOWN


def test_ten_thousand_dusted_wallets_are_not_told_of() -> None:
    """Dust from a sanctioned wallet is only ever about the sanctioned wallet itself."""
    txs = [Tx(MALLORY, wallet(100 + i), 1, salt=i) for i in range(200)]
    txs += [
        Tx(MALLORY, USDT, salt=i, tokens=[(USDT, MALLORY, wallet(400 + i), 1000)])
        for i in range(50)
    ]
    found = run(sanctions(), Build().batch(Block(txs)))
    assert len(found) == 250
    assert {(f.subject, f.severity, f.role) for f in found} == {
        (MALLORY, Severity.LOW, Role.ATTACKER)
    }


def test_a_service_that_is_paid_is_a_service() -> None:
    """An exchange that receives from a sanctioned wallet has the role of a service."""
    exchange = at("0x28C6c06298d514Db089934071355E5743bf21d60")
    found = run(sanctions(), Build().batch(Block([Tx(MALLORY, exchange, ETHER)])))
    assert [(f.subject, f.role) for f in found] == [(exchange, Role.SERVICE)]


def test_between_two_sanctioned_wallets_the_sender_acts() -> None:
    """A sanctioned wallet that pays another is the subject itself, as attacker."""
    rule = sanctions(Label(MALLORY, "sanctioned", "ofac"), Label(CAROL, "sanctioned", "ofac"))
    found = run(rule, Build().batch(Block([Tx(MALLORY, CAROL, ETHER)])))
    assert [(f.subject, f.role, f.severity) for f in found] == [
        (MALLORY, Role.ATTACKER, Severity.CRITICAL)
    ]


def test_withdrawals_and_mints_have_no_payer() -> None:
    """What the beacon chain or an issuer credits to a sanctioned wallet is nobody's payment."""
    mint = Tx(ALICE, USDC, tokens=[(USDC, bytes(20), MALLORY, 10**12)])
    block = Block([mint], withdrawals=[(MALLORY, 32 * ETHER), (ALICE, ETHER)])
    assert run(sanctions(), Build().batch(block)) == []


def test_made_up_tokens_frame_nobody() -> None:
    """A log of a worthless token counts only where its sender signed, and then as low."""
    fake = wallet(77)
    framed = Tx(BOB, fake, tokens=[(fake, ALICE, MALLORY, 10**30)])
    assert run(sanctions(), Build().batch(Block([framed]))) == []
    signed = Tx(ALICE, fake, tokens=[(fake, ALICE, MALLORY, 10**30)])
    assert told(run(sanctions(), Build().batch(Block([signed])))) == [
        ("sanctions_touch", "low", ALICE)
    ]


def test_what_did_not_move_is_no_touch() -> None:
    """Failed transactions, transfers of nothing and transfers to oneself are no findings."""
    txs = [
        Tx(ALICE, MALLORY, ETHER, status=0),
        Tx(ALICE, MALLORY, 0),
        Tx(MALLORY, MALLORY, ETHER),
        Tx(ALICE, USDT, tokens=[(USDT, ALICE, MALLORY, 0)]),
    ]
    assert run(sanctions(), Build().batch(Block(txs))) == []


def test_the_listing_counts_from_the_day_it_held_to_the_day_it_ended() -> None:
    """A deposit into Tornado Cash is a sanctions touch between listing and delisting only."""
    for time, expected in (
        (TORNADO_LISTED - 1, 0),
        (TORNADO_LISTED, 1),
        (TORNADO_DELISTED - 1, 1),
        (TORNADO_DELISTED, 0),
    ):
        rule = sanctions(*builtin_labels())
        found = run(rule, Build(time=time).batch(Block([Tx(ALICE, POOL_10, 10 * ETHER)])))
        assert len(found) == expected, time


def test_a_listing_ends_within_a_batch() -> None:
    """Of two blocks in one batch, the one after the delisting has no finding."""
    build = Build(time=TORNADO_DELISTED - 12)
    txs = [Tx(ALICE, POOL_10, 10 * ETHER)]
    found = run(sanctions(*builtin_labels()), build.batch(Block(txs), Block(txs)))
    assert [f.block_row for f in found] == [0]


# --- issuer freezes


def usdt_log(topic: bytes, who: bytes, emitter: bytes = USDT) -> tuple[bytes, list[bytes], bytes]:
    """A log of Tether's: the wallet is in the data."""
    return emitter, [topic], word(who)


def usdc_log(topic: bytes, who: bytes, emitter: bytes = USDC) -> tuple[bytes, list[bytes], bytes]:
    """A log of Circle's: the wallet is a topic."""
    return emitter, [topic, word(who)], b""


def test_a_freeze_counts_until_it_is_undone() -> None:
    """Both issuers' events are told; what their wallets move is no more once they are reverted."""
    rule, build = IssuerFreeze(ColumnCache()), Build()
    txs = [
        Tx(ALICE, USDT, logs=[usdt_log(USDT_FROZEN, MALLORY)]),
        Tx(ALICE, USDC, logs=[usdc_log(USDC_FROZEN, CAROL)]),
    ]
    found = run(rule, build.batch(Block(txs)))
    assert told(found) == [("issuer_freeze", "high", MALLORY), ("issuer_freeze", "high", CAROL)]
    sends = [Tx(MALLORY, BOB, ETHER), Tx(CAROL, BOB, ETHER)]
    assert len(run(rule, build.batch(Block(sends)))) == 2
    rule.revert(1)
    rule.revert(0)
    assert run(rule, Build().batch(Block(sends))) == []


def test_only_the_issuers_own_logs_count() -> None:
    """The same event from another contract freezes nobody, nor one issuer's topic at the other."""
    rule = IssuerFreeze(ColumnCache())
    logs = [
        usdt_log(USDT_FROZEN, ALICE, emitter=wallet(50)),
        usdt_log(USDC_FROZEN, ALICE),
        usdc_log(USDT_FROZEN, ALICE),
        (USDT, [USDT_FROZEN], b"short"),
    ]
    sends = Tx(ALICE, CAROL, ETHER)
    assert run(rule, Build().batch(Block([Tx(BOB, USDT, logs=logs), sends]))) == []


def test_what_a_frozen_wallet_moves_afterwards_is_told() -> None:
    """What it sends and tries to send is told between freeze and thaw, not before or after."""
    rule = IssuerFreeze(ColumnCache())
    freeze = Tx(BOB, USDT, logs=[usdt_log(USDT_FROZEN, MALLORY)])
    sends = Tx(MALLORY, CAROL, ETHER)
    tries = Tx(MALLORY, USDT, data=bytes.fromhex("a9059cbb") + word(CAROL) + uint(5), status=0)
    approves = Tx(MALLORY, USDT, data=bytes.fromhex("095ea7b3") + word(CAROL) + uint(5))
    thaw = Tx(BOB, USDT, logs=[usdt_log(USDT_UNFROZEN, MALLORY)])
    found = run(
        rule, Build().batch(Block([sends, freeze, sends, approves]), Block([tries, thaw, sends]))
    )
    assert [(f.severity, f.block_row, f.transaction_index) for f in found] == [
        (Severity.HIGH, 0, 1),
        (Severity.HIGH, 0, 2),
        (Severity.MEDIUM, 1, 0),
    ]


def test_one_issuer_does_not_thaw_what_the_other_froze() -> None:
    """An unfreeze counts from the issuer that froze."""
    rule, build = IssuerFreeze(ColumnCache()), Build()
    logs = [usdc_log(USDC_FROZEN, MALLORY), usdt_log(USDT_UNFROZEN, MALLORY)]
    sends = Tx(MALLORY, CAROL, ETHER)
    assert len(run(rule, build.batch(Block([Tx(BOB, USDC, logs=logs), sends])))) == 2
    thaw = Tx(BOB, USDC, logs=[usdc_log(USDC_UNFROZEN, MALLORY)])
    assert run(rule, build.batch(Block([thaw, sends]))) == []


def test_destroyed_funds_are_told_exactly() -> None:
    """DestroyedBlackFunds carries the exact amount into the evidence."""
    log = (USDT, [USDT_DESTROYED], word(MALLORY) + uint(1_234_567_890))
    found = run(IssuerFreeze(ColumnCache()), Build().batch(Block([Tx(BOB, USDT, logs=[log])])))
    assert found[0].evidence.amounts == ((USDT, 1_234_567_890),)
    assert "1234.56789 USDT" in found[0].sentence


# --- mixers


def deposit_log(pool: bytes) -> tuple[bytes, list[bytes], bytes]:
    """A deposit into a Tornado Cash pool."""
    return pool, [TORNADO_DEPOSIT, uint(9)], uint(1) + uint(2)


def withdrawal_log(pool: bytes, to: bytes, relayer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """A withdrawal from a Tornado Cash pool."""
    return pool, [TORNADO_WITHDRAWAL, word(relayer)], word(to) + uint(7) + uint(0)


def test_depositors_and_recipients_are_told() -> None:
    """A deposit is the signer's, a withdrawal that of data word 0, not of the relayer."""
    relayer = wallet(60)
    txs = [
        Tx(ALICE, POOL_10, 10 * ETHER, logs=[deposit_log(POOL_10)]),
        Tx(relayer, POOL_10, logs=[withdrawal_log(POOL_10, CAROL, relayer)]),
    ]
    found = run(MixerTouch(ColumnCache()), Build().batch(Block(txs)))
    assert told(found) == [("mixer_touch", "medium", ALICE), ("mixer_touch", "low", CAROL)]
    assert found[0].evidence.amounts == ((None, 10 * ETHER),)


def test_the_amount_of_a_token_pool_is_what_it_got() -> None:
    """No list is asked what a token pool's denomination is: the transfer into it says so."""
    tx = Tx(
        ALICE,
        POOL_USDC,
        tokens=[(USDC, ALICE, POOL_USDC, 100 * 10**6)],
        logs=[deposit_log(POOL_USDC)],
    )
    found = run(MixerTouch(ColumnCache()), Build().batch(Block([tx])))
    assert found[0].evidence.amounts == ((USDC, 100 * 10**6),)


def test_the_topics_mean_nothing_elsewhere() -> None:
    """Deposit and Withdrawal logs of unknown contracts are no findings."""
    other = wallet(61)
    tx = Tx(ALICE, other, logs=[deposit_log(other), withdrawal_log(other, BOB, ALICE)])
    assert run(MixerTouch(ColumnCache()), Build().batch(Block([tx]))) == []


def test_a_recipient_that_had_deposited_is_linked() -> None:
    """Withdrawing to a wallet that had paid in is medium, and told."""
    first = Tx(ALICE, POOL_10, 10 * ETHER, logs=[deposit_log(POOL_10)])
    then = Tx(BOB, POOL_10, logs=[withdrawal_log(POOL_10, ALICE, BOB)])
    found = run(MixerTouch(ColumnCache()), Build().batch(Block([first]), Block([then])))
    assert found[1].severity == Severity.MEDIUM
    assert "had paid in 1 times before" in found[1].sentence


def test_a_mixer_funded_deployment_is_told_within_the_week() -> None:
    """A contract deployed within seven days of a withdrawal is medium, later nothing."""
    rule, build = MixerTouch(ColumnCache()), Build()
    run(rule, build.batch(Block([Tx(BOB, POOL_10, logs=[withdrawal_log(POOL_10, CAROL, BOB)])])))
    deploy = Tx(CAROL, None, creates=wallet(70))
    soon = build.batch(Block([deploy], time=build.time + 3600))
    late = build.batch(Block([deploy], time=build.time + 8 * 86_400))
    assert told(run(rule, soon)) == [("mixer_touch", "medium", CAROL)]
    assert run(rule, late) == []


def test_without_logs_the_deposit_call_itself_is_seen() -> None:
    """A source without receipts still shows direct and routed deposits."""
    router = at("0xd90e2f925DA726b50C4Ed8D0Fb90Ad053324F31b")
    direct = Tx(ALICE, POOL_10, 10 * ETHER, data=bytes.fromhex("b214faa5") + uint(1), receipt=False)
    routed = Tx(
        BOB,
        router,
        10 * ETHER,
        data=bytes.fromhex("13d98d13") + word(POOL_10) + uint(1) + uint(96) + uint(0),
        receipt=False,
    )
    elsewhere = Tx(CAROL, wallet(9), ETHER, data=bytes.fromhex("b214faa5") + uint(1), receipt=False)
    found = run(MixerTouch(ColumnCache()), Build().batch(Block([direct, routed, elsewhere])))
    assert [f.subject for f in found] == [ALICE, BOB]


def test_railgun_is_context() -> None:
    """A payment out of Railgun is info about its recipient."""
    railgun = sorted(RAILGUN)[0]
    log = (railgun, [RAILGUN_UNSHIELD], word(CAROL) + uint(0) + word(USDC) + uint(0) * 3)
    found = run(MixerTouch(ColumnCache()), Build().batch(Block([Tx(BOB, railgun, logs=[log])])))
    assert told(found) == [("mixer_touch", "info", CAROL)]


@pytest.mark.parametrize(("dollars", "times"), [(149, 0), (150, 1), (10_000, 1)])
def test_small_change_in_railgun_is_nothing(dollars: int, times: int) -> None:
    """Below 150 dollars in listed tokens; what cannot be valued is told."""
    railgun = sorted(RAILGUN)[0]
    log = (railgun, [RAILGUN_UNSHIELD], word(CAROL) + uint(0) + word(USDC) + uint(0) * 3)
    for token, expected in ((USDC, times), (wallet(9), 1)):
        tx = Tx(BOB, railgun, logs=[log], tokens=[(token, railgun, CAROL, dollars * 10**6)])
        assert len(run(MixerTouch(ColumnCache()), Build().batch(Block([tx])))) == expected
