"""What each simulated theft leaves on the chain."""

from __future__ import annotations

from collections import Counter, defaultdict

from ingest.senders import recover_authority
from ingest.simulate import Simulation
from ingest.simulate.contracts import ETHER, Call, Event
from tests.ingest.campaigns.reading import (
    CLAIMS,
    delegated,
    first_nonce,
    grants,
    role,
    several,
)
from tests.ingest.simulated import Mined, Run, account, logs_of, text, transfers


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
