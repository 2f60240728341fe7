"""Approval phishing and claim bait: sharp signals that need suppressors."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chainwarden.schema import ApprovalKind, FlowKind, Severity
from detect.known.calls import NATIVE_CLAIMS
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.ice_phishing import IcePhishing, IcePhishingConfig
from detect.rules.native_claim import NativeClaim
from tests.detect.build import ETHER, Block, Build, Tx, at, run, told, wallet
from tests.detect.told import Told

DRAINER, SINK, TARGET = wallet(1), wallet(2), wallet(3)
OWNERS = [wallet(100 + i) for i in range(20)]
UNLIMITED = 2**256 - 1
DOLLAR = 10**6
PERMIT = bytes.fromhex("d505accf") + bytes(7 * 32)


def ice() -> IcePhishing:
    """The rule as it comes."""
    return IcePhishing(LabelBook(), ColumnCache())


def approves(owner: bytes, spender: bytes = DRAINER, **facts: Any) -> Tx:
    """The owner approves all its USDC to a wallet that has signed three transactions."""
    approval = {"token_address": USDC, "owner": owner, "spender": spender, "value": UNLIMITED}
    given = {"spender_nonce": 2, "from_nonce": 5, **facts}
    return Tx(owner, USDC, approvals=[approval], facts=given)


def takes(owner: bytes, to: bytes = SINK, signer: bytes = DRAINER, dollars: int = 900) -> Tx:
    """The drainer calls transferFrom."""
    return Tx(signer, USDC, tokens=[(USDC, owner, to, dollars * DOLLAR)])


def permits(owner: bytes, dollars: int = 900) -> Tx:
    """A multicall: permit and transferFrom in one, signed by the drainer."""
    approval = {"token_address": USDC, "owner": owner, "spender": DRAINER, "value": UNLIMITED}
    return Tx(
        DRAINER,
        wallet(50),
        data=b"\xca\xa5\xc2\x3f" + bytes(64) + PERMIT,
        approvals=[approval],
        tokens=[(USDC, owner, SINK, dollars * DOLLAR)],
        facts={"spender_nonce": 2},
    )


def test_more_than_three_approvals_to_a_wallet_are_medium() -> None:
    """Three owners' approvals are nothing, the fourth makes it medium; repeats do not count."""
    blocks = [Block([approves(owner)]) for owner in [*OWNERS[:3], OWNERS[0], OWNERS[3]]]
    found = run(ice(), Build().batch(*blocks))
    assert told(found) == [("ice_phishing", "medium", DRAINER)]
    assert found[0].block_row == 4


def test_an_approval_for_all_to_a_wallet_is_low_at_once() -> None:
    """One whole collection handed to a wallet is low, three are medium."""
    blocks = []
    for owner in OWNERS[:3]:
        tx = approves(owner)
        tx.approvals[0] |= {"kind": int(ApprovalKind.FOR_ALL), "value": None}
        blocks.append(Block([tx]))
    assert [f.severity for f in run(ice(), Build().batch(*blocks))] == [
        Severity.LOW,
        Severity.LOW,
        Severity.MEDIUM,
    ]


@pytest.mark.parametrize(
    "facts",
    [
        {"spender_is_contract": True},
        {"spender_nonce": -1},
        {"spender_nonce": 100},
        {"spender_nonce": 600, "spender_first_seen": 0},
        {"spender_events": 5_000},
        {"owner_is_contract": True},
    ],
)
def test_approvals_alone_are_not_held_against_these(facts: dict[str, Any]) -> None:
    """Contracts, strangers, busy and trusted wallets are not judged by approvals."""
    blocks = [Block([approves(owner, **facts)]) for owner in OWNERS[:8]]
    assert run(ice(), Build().batch(*blocks)) == []


def test_known_services_may_be_approved_and_may_spend() -> None:
    """Permit2, the OpenSea conduit and every labelled exchange are no drainers."""
    permit2 = at("0x000000000022D473030F116dDEE9F6B43aC78BA3")
    txs = [approves(owner, permit2) for owner in OWNERS]
    txs += [takes(owner, signer=permit2) for owner in OWNERS]
    assert run(ice(), Build().batch(Block(txs))) == []


def test_the_third_drained_owner_makes_it_high() -> None:
    """Two approved transfers are nothing yet; from the third on they are high."""
    txs = [approves(owner, spender_is_contract=True) for owner in OWNERS[:4]]
    txs += [takes(owner) for owner in OWNERS[:4]]
    found = run(ice(), Build().batch(Block(txs)))
    assert [f.severity for f in found] == [Severity.HIGH, Severity.HIGH]
    assert found[0].evidence.addresses == (OWNERS[2], SINK)
    assert found[0].evidence.amounts == ((USDC, 900 * DOLLAR),)


def test_ten_owners_drained_by_a_fresh_wallet_are_critical() -> None:
    """A fresh wallet that drains ten owners is critical at the tenth."""
    txs = [t for owner in OWNERS[:10] for t in (approves(owner), takes(owner))]
    drains = [f for f in run(ice(), Build().batch(Block(txs))) if "took" in f.sentence]
    assert [f.severity for f in drains] == [Severity.HIGH] * 7 + [Severity.CRITICAL]


def test_a_permit_needs_no_history() -> None:
    """A permit cashed in by somebody else in the same multicall is medium, large ones high."""
    assert told(run(ice(), Build().batch(Block([permits(OWNERS[0])]))))[-1] == (
        "ice_phishing",
        "medium",
        DRAINER,
    )
    large = run(ice(), Build().batch(Block([permits(OWNERS[0], dollars=250_000)])))
    assert large[-1].severity == Severity.HIGH


def test_a_spender_contract_is_found_as_the_callee() -> None:
    """Where the approved contract is called by its operator, the contract is the spender."""
    contract, operator = wallet(51), wallet(52)
    txs = [approves(owner, contract, spender_is_contract=True) for owner in OWNERS[:3]]
    txs += [
        Tx(operator, contract, tokens=[(USDC, owner, SINK, DOLLAR)], salt=n)
        for n, owner in enumerate(OWNERS[:3])
    ]
    assert told(run(ice(), Build().batch(Block(txs)))) == [("ice_phishing", "high", contract)]


def _drains(*, change: Any) -> list[Any]:
    txs = []
    for owner in OWNERS[:4]:
        pair = [approves(owner, spender_is_contract=True), takes(owner)]
        change(owner, *pair)
        txs += pair
    return run(ice(), Build().batch(Block(txs)))


def test_a_swap_is_no_drain() -> None:
    """When the owner gets something back in the same transaction it was an order."""
    assert _drains(change=lambda *_: None) != []

    def swap(owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.tokens.append((USDT, SINK, owner, 899 * DOLLAR))

    assert _drains(change=swap) == []


def test_a_drain_of_thousands_at_once_is_judged_in_time() -> None:
    """Of ten thousand owners in one transaction each is asked what it got; one of them was paid."""
    owners = [wallet(20_000 + n) for n in range(10_000)]
    rule, build = ice(), Build()
    run(rule, build.batch(Block([approves(o, spender_is_contract=True) for o in owners])))
    tokens = [(USDC, owner, SINK, 900 * DOLLAR) for owner in owners]
    tokens.append((USDT, SINK, owners[5_000], 900 * DOLLAR))
    batch = build.batch(Block([Tx(DRAINER, USDC, tokens=tokens)]))
    start = time.process_time()
    found = rule.evaluate(batch)
    assert time.process_time() - start < 2.0
    robbed = {f.evidence.addresses[0] for f in found}
    assert len(robbed) == 9_997  # the first two drains are nothing yet
    assert owners[5_000] not in robbed


def test_half_of_it_back_is_no_swap() -> None:
    """Nine tenths of the dollars must come back; a stranger's worthless tokens pay nothing."""

    def half(owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.tokens.append((USDT, SINK, owner, 450 * DOLLAR))

    def junk(owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.tokens.append((wallet(61), SINK, owner, 10**30))

    for change in (half, junk):
        assert len(_drains(change=change)) == 2


def test_deposits_that_a_custodian_funded_are_its_own() -> None:
    """Owners with the spender's or the receiver's first funder are swept, not drained."""

    def swept(_owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.facts |= {"from_funder": 7, "to_funder": 7}

    def funded_by_the_spender(_owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.facts |= {"from_hash": 9, "from_funder": 9}

    for change in (swept, funded_by_the_spender):
        assert _drains(change=change) == []


def test_what_the_owner_signs_is_no_drain() -> None:
    """A transfer the owner signed itself is its own."""

    def signed(owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.sender = owner

    assert _drains(change=signed) == []


def test_a_revoked_allowance_cannot_be_drained() -> None:
    """Revoking ends the suspicion; failed transfers and transfers of nothing take nothing."""

    def revoked(owner: bytes, approval: Tx, _taking: Tx) -> None:
        approval.approvals.append(
            {
                "token_address": USDC,
                "owner": owner,
                "spender": DRAINER,
                "value": 0,
                "approved": False,
            }
        )

    def failed(_owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.status = 0

    def nothing(owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.tokens[0] = (USDC, owner, SINK, 0)

    for change in (revoked, failed, nothing):
        assert _drains(change=change) == []


def test_a_payment_into_a_contract_is_a_relayed_deposit() -> None:
    """Gasless relayers move funds into contracts the owner uses: no drain."""

    def relayed(_owner: bytes, _approval: Tx, taking: Tx) -> None:
        taking.facts["to_is_contract"] = True

    assert _drains(change=relayed) == []


def test_an_allowance_a_token_reports_is_no_permit() -> None:
    """Approval logs that transferFrom emits, signed by the spender, grant nothing."""
    txs = []
    for owner in OWNERS[:6]:
        left = {"token_address": USDC, "owner": owner, "spender": DRAINER, "value": 5}
        txs.append(
            Tx(
                DRAINER,
                USDC,
                approvals=[left],
                tokens=[(USDC, owner, SINK, DOLLAR)],
                facts={"spender_nonce": 2},
            )
        )
    assert run(ice(), Build().batch(Block(txs))) == []


def test_old_approvals_are_out_of_the_window() -> None:
    """Thirty days later an approval is no longer suspicious."""
    rule, build = ice(), Build()
    run(rule, build.batch(Block([approves(o, spender_is_contract=True) for o in OWNERS[:4]])))
    later = Block([takes(o) for o in OWNERS[:4]], time=build.time + 31 * 86_400)
    assert run(rule, build.batch(later)) == []


def test_nfts_are_drained_too() -> None:
    """An ApprovalForAll cashed in for NFTs of three owners is high."""
    nft, txs = wallet(60), []
    for n, owner in enumerate(OWNERS[:3]):
        approval = {
            "token_address": nft,
            "owner": owner,
            "spender": DRAINER,
            "kind": int(ApprovalKind.FOR_ALL),
        }
        txs.append(Tx(owner, nft, approvals=[approval], facts={"spender_is_contract": True}))
        txs.append(Tx(DRAINER, nft, tokens=[(nft, owner, SINK, 1)], kind=FlowKind.ERC721, salt=n))
    assert told(run(ice(), Build().batch(Block(txs)))) == [("ice_phishing", "high", DRAINER)]


def test_state_is_bounded() -> None:
    """A flood of spenders leaves no more rows than the configuration allows."""
    config = IcePhishingConfig(spenders=64, pending=128)
    rule, build = IcePhishing(LabelBook(), ColumnCache(), config), Build()
    for start in range(0, 1000, 250):
        txs = [approves(wallet(n), wallet(10_000 + n)) for n in range(start, start + 250)]
        run(rule, build.batch(Block(txs)))
    assert len(rule._spenders) <= 64
    assert len(rule._pending) <= 128


# --- claim bait


def claim(victim: bytes, selector: int = 0x4E71D92D, **changes: Any) -> Tx:
    """A payment of a tenth of an ether into a claim function."""
    return Tx(
        victim, TARGET, ETHER // 10, data=selector.to_bytes(4, "big"), gas_used=50_000, **changes
    )


def claims(*txs: Tx) -> list[tuple[str, str, bytes]]:
    """What the rule says about transactions in one block."""
    return told(run(NativeClaim(LabelBook(), ColumnCache()), Build().batch(Block(list(txs)))))


@pytest.mark.parametrize("selector", sorted(NATIVE_CLAIMS))
def test_ether_into_bait_with_nothing_back_is_high(selector: int) -> None:
    """A target without code that is called by a bait's name and paid is high."""
    assert claims(claim(OWNERS[0], selector)) == [("native_claim", "high", TARGET)]


def test_a_contract_needs_several_victims() -> None:
    """A fresh contract is low at first and medium from the third victim on."""
    txs = [claim(owner, facts={"to_is_contract": True}) for owner in OWNERS[:3]]
    assert [severity for _, severity, _ in claims(*txs)] == ["low", "low", "medium"]


def test_without_receipts_nothing_is_certain() -> None:
    """Where the source has no receipts, a first victim is low, not high."""
    tx = claim(OWNERS[0], receipt=False)
    tx.gas_used = None
    assert claims(tx) == [("native_claim", "low", TARGET)]


def test_intrinsic_gas_proves_that_there_is_no_code() -> None:
    """21,064 gas for four bytes is a wallet, whatever else is known of the target."""
    tx = claim(OWNERS[0], facts={"to_is_contract": True})
    tx.gas_used = 21_064
    assert claims(tx) == [("native_claim", "high", TARGET)]


@pytest.mark.parametrize(("code", "severity"), [(b"", "high"), (b"\x60", "low"), (None, "low")])
def test_a_node_knows_whether_there_is_code(code: bytes | None, severity: str) -> None:
    """Asked at the block, it makes a silent doubt high; its silence changes nothing."""
    build = Build()
    batch = build.batch(Block([claim(OWNERS[0], facts={"to_is_contract": True})]))
    node = Told(code={(TARGET, batch.batch.position(0)): code})
    assert told(run(NativeClaim(LabelBook(), ColumnCache(), node=node), batch)) == [
        ("native_claim", severity, TARGET)
    ]
    assert node.asked == [TARGET]


def test_a_real_mint_gives_something_back() -> None:
    """A call that transfers anything to its sender is no bait."""
    tx = claim(OWNERS[0], 0x1249C58B, tokens=[(wallet(9), bytes(20), OWNERS[0], 1)])
    tx.kind = FlowKind.ERC721
    assert claims(tx) == []


@pytest.mark.parametrize(
    "change",
    [
        {"value": 0},
        {"data": bytes.fromhex("4e71d92d") + bytes(32)},
        {"data": bytes.fromhex("4e71d9")},
        {"data": bytes.fromhex("deadbeef")},
        {"status": 0},
        {"to": None},
        {"to": at("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D")},
        {"facts": {"to_first_seen": 0}},
        {"facts": {"to_events": 5_000}},
    ],
)
def test_what_is_no_bait(change: dict[str, Any]) -> None:
    """No value, more calldata, another selector, a failure, a service, an old or busy target."""
    tx = claim(OWNERS[0])
    for name, value in change.items():
        setattr(tx, name, value)
    assert claims(tx) == []
