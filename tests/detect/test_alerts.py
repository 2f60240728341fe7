"""The alert policy: what a person should see, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import SnapshotRefused
from chainwarden.schema import ETHEREUM, Alert, Label, Reason, Role, Severity, alert_id
from detect.alerts import DIGEST_RULE, AlertConfig, AlertPolicy, Suppression
from detect.labels import LabelBook
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from tests.detect.build import START, Block, Build, at, split, wallet

A, B = wallet(1), wallet(2)
ROUTER = at("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D")
DAY = 86_400


def finding(row: int = 0, index: int = 0, **changes: Any) -> Finding:
    """A high finding about A in the batch's first transaction."""
    plain = Finding(
        rule="ice_phishing",
        rule_version=1,
        typology="ice_phishing",
        severity=Severity.HIGH,
        score=0.8,
        subject=A,
        role=Role.ATTACKER,
        block_row=row,
        transaction_index=index,
        transaction_hash=row.to_bytes(16, "big") + index.to_bytes(16, "big", signed=True),
        ordinal=0,
        sentence="Something happened.",
        reasons=(Reason("x", 1.0, 0.8),),
    )
    return replace(plain, **changes)


def blocks(*times: int) -> ScoredBatch:
    """Empty blocks at these seconds after the start, as one batch."""
    return Build().batch(*[Block(time=START + t) for t in times])


def rows(alerts: tuple[Alert, ...]) -> list[tuple[int, str]]:
    """(block number behind the first, severity)."""
    return [(a.position.number - 18_000_000, a.severity.text) for a in alerts]


def test_an_alert_is_its_finding_with_id_and_position() -> None:
    """The id is that of the schema, the position that of the block, the rest the finding's."""
    scored, told = blocks(0, 12), finding(row=1, index=3, ordinal=5)
    (alert,) = AlertPolicy(ETHEREUM).decide([told], scored)
    assert alert.id == alert_id(ETHEREUM, "ice_phishing", 1, A, told.transaction_hash, 5)
    assert alert.position == scored.batch.position(1)
    assert alert.block_timestamp == START + 12
    assert (alert.sentence, alert.reasons, alert.ordinal) == (told.sentence, told.reasons, 5)


def test_alerts_come_in_chain_order_whatever_order_rules_speak_in() -> None:
    """Block, transaction, then native, internal calls, logs; findings about the block first."""
    subjects = [wallet(10 + i) for i in range(7)]
    places = [(0, -1, 0), (0, 0, 0), (0, 0, -1), (0, 0, -2), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    told = [
        finding(row, index, ordinal=ordinal, subject=subject)
        for subject, (row, index, ordinal) in zip(subjects, places, strict=True)
    ]
    alerts = AlertPolicy(ETHEREUM).decide(list(reversed(told)), blocks(0, 12))
    assert [a.subject for a in alerts] == subjects


def test_the_same_id_is_an_alert_once() -> None:
    """A finding told twice is a duplicate, also in a later batch and after the cool-down."""
    policy, build = AlertPolicy(ETHEREUM), Build()
    again = [finding(), finding()]
    assert len(policy.decide(again, build.batch(Block()))) == 1
    late = build.batch(Block(time=START + 30 * DAY))
    assert policy.decide([finding()], late) == ()
    assert policy.suppressed == {"duplicate": 2}


def test_the_cool_down_is_block_time_and_a_worse_severity_breaks_it() -> None:
    """Within seven days only what is worse than what was said; afterwards anything."""
    policy = AlertPolicy(ETHEREUM)
    scored = blocks(0, DAY, 2 * DAY, 3 * DAY, 9 * DAY + 1, 9 * DAY + 2)
    told = [
        finding(0, severity=Severity.LOW),
        finding(1, severity=Severity.LOW),
        finding(2, severity=Severity.HIGH),
        finding(3, severity=Severity.HIGH),
        finding(4, severity=Severity.LOW),
        finding(5, severity=Severity.LOW),
    ]
    assert rows(policy.decide(told, scored)) == [(0, "low"), (2, "high"), (4, "low")]
    assert policy.suppressed == {"cooldown": 3}


def test_cool_downs_are_per_rule_and_subject() -> None:
    """Another rule about the same wallet, and the same rule about another, both speak."""
    told = [finding(), finding(index=1, rule="native_claim"), finding(index=2, subject=B)]
    assert len(AlertPolicy(ETHEREUM).decide(told, blocks(0))) == 3


def test_critical_alerts_cool_down_for_an_hour_only() -> None:
    """A critical finding repeats after an hour, not within it."""
    told = [finding(row, severity=Severity.CRITICAL) for row in range(3)]
    alerts = AlertPolicy(ETHEREUM).decide(told, blocks(0, 60, 3600))
    assert rows(alerts) == [(0, "critical"), (2, "critical")]


def test_time_that_runs_backwards_is_no_time_passed() -> None:
    """A block with an earlier time than the last alert is within the cool-down."""
    policy, build = AlertPolicy(ETHEREUM), Build()
    policy.decide([finding()], build.batch(Block(time=START + 100 * DAY)))
    assert policy.decide([finding(index=1)], build.batch(Block(time=START))) == ()


def test_suppressions_hold_until_they_expire() -> None:
    """By subject, by rule, or both; with an expiry in block time."""
    muted = (
        Suppression("our own", subject=A, expires=START + 12),
        Suppression("noisy", rule="native_claim"),
        Suppression("known", subject=B, rule="ice_phishing"),
    )
    policy = AlertPolicy(ETHEREUM, AlertConfig(suppressions=muted))
    told = [
        finding(0),
        finding(1),
        finding(1, 1, rule="native_claim", subject=B),
        finding(1, 2, subject=B),
        finding(1, 3, rule="mixer_touch", subject=B),
    ]
    alerts = policy.decide(told, blocks(0, 12))
    assert [(a.rule, a.subject) for a in alerts] == [("ice_phishing", A), ("mixer_touch", B)]
    assert policy.suppressed == {"suppression_list": 3}
    with pytest.raises(ValueError, match="names"):
        Suppression("everything")


def test_services_are_no_attackers_unless_an_exact_rule_is_critical() -> None:
    """A router is let off as attacker, not as victim, and not by a critical exact rule."""
    book = LabelBook([Label(B, "exchange", "x", valid_to=START + 12)])
    policy = AlertPolicy(ETHEREUM, labels=book)
    told = [
        finding(0, 0, subject=ROUTER),
        finding(0, 1, subject=ROUTER, role=Role.VICTIM, rule="wallet_anomaly"),
        finding(0, 2, subject=ROUTER, rule="double_spend", severity=Severity.CRITICAL),
        finding(0, 3, subject=B),
        finding(1, 4, subject=B),
    ]
    alerts = policy.decide(told, blocks(0, 12))
    assert [a.transaction_hash[-1] for a in alerts if a.transaction_hash] == [1, 2, 4]
    assert policy.suppressed == {"known_service": 2}


def test_the_budget_holds_back_and_tells_exactly_what() -> None:
    """Beyond the budget nothing but critical; the next hour starts with a digest of counts."""
    config = AlertConfig(budget_per_hour=5)
    policy = AlertPolicy(ETHEREUM, config)
    hour = 3600 - START % 3600
    told = [finding(0, i, subject=wallet(100 + i)) for i in range(12)]
    told += [finding(0, 20 + i, subject=wallet(200 + i), rule="native_claim") for i in range(3)]
    told += [finding(0, 30, subject=wallet(300), severity=Severity.CRITICAL)]
    told += [finding(2, 0, subject=wallet(400))]
    alerts = policy.decide(told, blocks(0, hour - 1, hour, hour + 3600))
    assert rows(alerts[:6]) == [(0, "high")] * 5 + [(0, "critical")]
    digest = alerts[6]
    assert (digest.rule, digest.position.number) == (DIGEST_RULE, 18_000_002)
    assert {r.feature: r.value for r in digest.reasons} == {"ice_phishing": 7, "native_claim": 3}
    assert "10 alerts" in digest.sentence
    assert abs(sum(r.contribution for r in digest.reasons) - digest.score) < 1e-9
    assert rows(alerts[7:]) == [(2, "high")]
    assert policy.suppressed == {"budget": 10}


def test_a_flood_hides_no_critical_alert() -> None:
    """Ten thousand cheap findings around one critical finding do not delay it."""
    told = [finding(0, i, subject=wallet(i)) for i in range(10_000)]
    told.append(finding(0, 10_000, subject=B, severity=Severity.CRITICAL, rule="safe_delegatecall"))
    alerts = AlertPolicy(ETHEREUM).decide(told, blocks(0))
    assert len(alerts) == AlertConfig().budget_per_hour + 1
    assert alerts[-1].severity == Severity.CRITICAL


def test_info_cannot_use_up_the_budget() -> None:
    """A hundred info findings get their part of the hour; those above info still come through."""
    policy = AlertPolicy(ETHEREUM, AlertConfig(budget_per_hour=10, info_per_hour=4))
    told = [finding(0, i, subject=wallet(i), severity=Severity.INFO) for i in range(100)]
    told += [finding(0, 200 + i, subject=wallet(200 + i), severity=Severity.LOW) for i in range(8)]
    alerts = policy.decide(told, blocks(0))
    assert [a.severity.text for a in alerts] == ["info"] * 4 + ["low"] * 6
    assert policy.suppressed == {"budget": 98}


@pytest.mark.parametrize("severity", [Severity.INFO, Severity.LOW, Severity.HIGH])
def test_a_digest_is_as_severe_as_what_it_holds(severity: Severity) -> None:
    """Held back info makes an info digest, held back alerts above medium a medium one."""
    policy, build = AlertPolicy(ETHEREUM, AlertConfig(budget_per_hour=0)), Build()
    policy.decide([finding(severity=severity)], build.batch(Block()))
    (digest,) = policy.decide([], build.batch(Block(time=START + 7200)))
    assert digest.severity == min(severity, Severity.MEDIUM)


def test_what_was_held_back_is_told_when_a_quiet_block_comes() -> None:
    """The digest needs no finding to come out."""
    policy, build = AlertPolicy(ETHEREUM, AlertConfig(budget_per_hour=0)), Build()
    assert policy.decide([finding()], build.batch(Block())) == ()
    assert policy.decide([], build.batch(Block())) == ()
    assert [a.rule for a in policy.decide([], build.batch(Block(time=START + 7200)))] == [
        DIGEST_RULE
    ]
    assert policy.decide([], build.batch(Block(time=START + 14_400))) == ()


def test_a_revert_names_the_alerts_and_forgets_them() -> None:
    """The ids of a reverted block come back, and the same finding can be an alert again."""
    policy, build = AlertPolicy(ETHEREUM), Build()
    policy.decide([finding()], build.batch(Block()))
    before, mark = policy.digest(), build.mark()
    scored = build.batch(Block(), Block())
    told = [
        finding(0, 5, subject=B),
        finding(0, 6, subject=wallet(3)),
        finding(1, 1, subject=wallet(4)),
    ]
    alerts = policy.decide(told, scored)
    assert policy.revert(2) == (alerts[2].id,)
    assert policy.revert(1) == (alerts[0].id, alerts[1].id)
    assert policy.digest() == before
    build.back(mark)
    assert (
        policy.decide([finding(0, 5, subject=B)], build.batch(Block(fork=1)))[0].id == alerts[0].id
    )
    policy.forget(1)
    assert policy.revert(0) == ()


FINDINGS = st.lists(
    st.builds(
        finding,
        row=st.integers(0, 5),
        index=st.integers(0, 3),
        subject=st.sampled_from([A, B, ROUTER]),
        rule=st.sampled_from(["ice_phishing", "mixer_touch", "double_spend"]),
        severity=st.sampled_from(Severity),
        ordinal=st.integers(-2, 2),
    ),
    max_size=25,
)
TIMES = st.lists(st.integers(0, 20), min_size=6, max_size=6).map(
    lambda gaps: [sum(gaps[: i + 1]) * 900 for i in range(6)]
)
CONFIG = AlertConfig(
    budget_per_hour=2, info_per_hour=1, cooldown_seconds=5000, critical_cooldown_seconds=1000
)


@settings(deadline=None)
@given(FINDINGS, TIMES)
def test_decisions_do_not_depend_on_batching(told: list[Finding], times: list[int]) -> None:
    """Six blocks at once or one by one: the same alerts and the same state."""
    whole, single = AlertPolicy(ETHEREUM, CONFIG), AlertPolicy(ETHEREUM, CONFIG)
    scored = blocks(*times)
    at_once = whole.decide(told, scored)
    one_by_one: list[Alert] = []
    for row, part in enumerate(split(scored)):
        mine = [replace(f, block_row=0) for f in told if f.block_row == row]
        one_by_one += single.decide(mine, part)
    assert list(at_once) == one_by_one
    assert whole.digest() == single.digest()
    assert whole.suppressed == single.suppressed


@settings(deadline=None)
@given(FINDINGS, TIMES, st.integers(0, 6))
def test_reverted_blocks_leave_no_trace(told: list[Finding], times: list[int], kept: int) -> None:
    """After reverting to any block the state is that of never having gone on; ids are complete."""
    policy, fresh = AlertPolicy(ETHEREUM, CONFIG), AlertPolicy(ETHEREUM, CONFIG)
    scored = blocks(*times)
    alerts = policy.decide(told, scored)
    gone = [identity for serial in range(5, kept - 1, -1) for identity in policy.revert(serial)]
    assert set(gone) == {a.id for a in alerts if a.position.number - 18_000_000 >= kept}
    parts = split(scored)[:kept]
    for row, part in enumerate(parts):
        fresh.decide([replace(f, block_row=0) for f in told if f.block_row == row], part)
    assert policy.digest() == fresh.digest()
    copy = AlertPolicy(ETHEREUM, CONFIG)
    copy.restore(policy.snapshot())
    assert copy.snapshot() == policy.snapshot()


def test_what_is_no_snapshot_is_refused() -> None:
    """A rule's snapshot is none of the policy's."""
    with pytest.raises(SnapshotRefused):
        AlertPolicy(ETHEREUM).restore(b"\x94\x01\xa5thing\x03\x80")
