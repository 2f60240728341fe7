"""Signed transfers and takeovers on a simulated chain, and the honest ones that look like them."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from ingest.simulate import Campaign, SimulationConfig
from ingest.simulate.contracts import At, Call, Event
from tests.ingest.simulated import Mined, Run, account, logs_of, run, text, transfers

SIGNED = {
    Call.PERMIT2_SIGNED.hex(),
    Call.PERMIT2_SIGNED_BATCH.hex(),
    Call.PERMIT2_WITNESSED.hex(),
    Call.AUTHORIZED_TRANSFER.hex(),
}
CHANGES = (Event.OWNERSHIP_TRANSFERRED, Event.ADMIN_CHANGED, Event.ROLE_GRANTED, Event.UPGRADED)


@pytest.fixture(scope="module")
def chain() -> Run:
    """Six hours with three of either attack, and an innocent chain around them."""
    kinds = ("signature_phishing", "contract_takeover")
    return run(SimulationConfig(seed=8, blocks=1_900, campaigns=kinds))


def several(chain: Run, typology: str) -> list[Campaign]:
    """The campaigns of one kind, of which there must be three."""
    found = chain.campaigns(typology)
    assert len(found) >= 3
    return found


def takes(mined: Mined) -> bool:
    """Whether it submits a signed transfer, itself or in a multicall."""
    inner = any(call in mined.transaction.input for call in SIGNED)
    return mined.selector in SIGNED or (mined.selector == Call.MULTICALL.hex() and inner)


def test_thieves_submit_what_their_victims_signed(chain: Run) -> None:
    """Each victim loses all to the collector in the thief's transaction; every way occurs."""
    ways = set()
    for campaign in several(chain, "signature_phishing"):
        (thief,), (collector,) = campaign.addresses["attacker"], campaign.addresses["collector"]
        robbed = set()
        for mined in filter(takes, chain.of(campaign)):
            assert mined.sender == thief
            ways.add(mined.selector)
            for transfer in transfers(mined):
                assert transfer.target == collector
                robbed.add(transfer.source)
        assert robbed == set(campaign.addresses["victim"])
    assert ways >= {Call.AUTHORIZED_TRANSFER.hex(), Call.MULTICALL.hex()}
    assert ways & {Call.PERMIT2_SIGNED.hex(), Call.PERMIT2_WITNESSED.hex()}


def test_signed_calldata_says_what_moves(chain: Run) -> None:
    """Owner, receiver and amount stand in the calldata where the ABI puts them."""
    seen = set()
    for mined in chain.mined.values():
        moved = transfers(mined)
        if mined.selector == Call.AUTHORIZED_TRANSFER.hex():
            said = (mined.word(0), mined.word(1), int(mined.word(2), 16))
        elif mined.selector in (Call.PERMIT2_SIGNED.hex(), Call.PERMIT2_WITNESSED.hex()):
            said = (mined.word(6), mined.word(4), int(mined.word(5), 16))
        else:
            continue
        seen.add(mined.selector)
        (transfer,) = moved
        source, target = (account("0x" + word) for word in said[:2])
        assert (source, target, said[2]) == (transfer.source, transfer.target, transfer.amount)
    assert Call.AUTHORIZED_TRANSFER.hex() in seen
    assert len(seen) >= 2


def test_honest_relays_spread_come_back_or_pay(chain: Run) -> None:
    """What others submit goes to many, is small, comes from the same customers, or is a swap."""
    owners: dict[str, list[str]] = defaultdict(list)
    receivers: dict[str, set[str]] = defaultdict(set)
    swaps = 0
    for mined in filter(takes, chain.benign()):
        first, *rest = transfers(mined)
        assert mined.sender != first.source
        if rest:
            swaps += 1
            assert {t.target for t in rest} == {first.source}
            continue
        owners[mined.sender].append(first.source)
        receivers[mined.sender].add(first.target)
    assert swaps >= 20
    assert len(owners) == 3
    spread = sorted(len(receivers[s]) for s in owners)
    assert spread[0] == 1
    assert spread[1] == 5
    assert spread[2] > 20
    assert all(len(set(paid)) < len(paid) for paid in owners.values())


def test_stolen_keys_hand_contracts_to_code_that_is_new(chain: Run) -> None:
    """Ownership, admin or a role first, then the attacker's fresh code, then the tokens."""
    first = set()
    for campaign in several(chain, "contract_takeover"):
        (contract,), (attacker,) = campaign.addresses["victim"], campaign.addresses["attacker"]
        (code,) = campaign.addresses["implementation"]
        told = [
            (log.topics[0], mined.sender)
            for mined in chain.of(campaign)
            for log in mined.logs
            if log.address == contract and log.topics[0] in set(map(text, CHANGES))
        ]
        first.add(told[0][0])
        assert told[0][1] in campaign.addresses["stolen_key"]
        assert told[1] == (text(Event.UPGRADED), attacker)
        upgraded = [m for m in chain.of(campaign) if m.selector == Call.UPGRADE_TO.hex()]
        assert account("0x" + upgraded[0].word(0)) == code
        stolen = [t for m in chain.of(campaign) for t in transfers(m) if t.source == contract]
        assert {t.target for t in stolen} == {attacker}
    assert len(first) == 3


def test_innocent_upkeep_is_done_by_those_who_may(chain: Run) -> None:
    """The issuer upgrades its token, a Safe a contract, a Safe itself to a published release."""
    kinds = Counter[str]()
    for mined in chain.benign():
        for _ in logs_of(mined, Event.UPGRADED):
            approved = mined.selector == Call.EXEC_TRANSACTION.hex()
            assert approved or mined.to == text(At.USDC)
            kinds["approved" if approved else "issuer"] += 1
        for log in logs_of(mined, Event.CHANGED_MASTER_COPY):
            assert account(log.data) == text(At.SAFE_1_1_1)
            kinds["update"] += 1
    assert kinds["issuer"] >= 2
    assert kinds["update"] >= 3
