from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from chainwarden.schema import ANALYST, ETHEREUM, Label, Position
from detect.bytecode import CodeReader
from detect.code_learner import CodeLearnerConfig
from detect.code_memory import CodeMemoryConfig
from detect.known.bytecode import METAMORPHIC_PREFIX, PROXY_PATTERNS
from detect.known.mixers import RAILGUN, RAILGUN_UNSHIELD, TORNADO_WITHDRAWAL
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.funding import FundingConfig
from detect.rules.malicious_deployment import MaliciousDeployment, MaliciousDeploymentConfig
from detect.rules.node import WITHOUT_NODE, NodeCalls, confirmations
from detect.rules.rule import Finding
from tests.detect.build import ETHER, START, Block, Build, Tx, at, run, told, uint, wallet, word
from tests.detect.codes import answers, borrower, deploying, program
from tests.detect.told import Told

TEN = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
ONE = at("0x47CE0C6eD5B0Ce3d3A51fdb1C52DC66a7c3c2936")
RELAYER, MAKER, VICTIM = wallet(1), wallet(2), wallet(3)
BAD, NEW, OTHER = wallet(10), wallet(11), wallet(12)
DAY = 86_400
ATTACK = borrower(program(7, 900))
NEWCOMER = {"nonce": 0}
READER = CodeReader()


def rule(
    *labels: Label, node: NodeCalls = WITHOUT_NODE, config: MaliciousDeploymentConfig | None = None
) -> MaliciousDeployment:
    """The rule, with labels loaded."""
    return MaliciousDeployment(LabelBook(labels), ETHEREUM, ColumnCache(), config, node)


def mixed(recipient: bytes, pool: bytes = TEN, salt: int = 0) -> Tx:
    """Tornado Cash pays out through a relayer."""
    data = word(recipient) + uint(salt + 1) + uint(0)
    return Tx(RELAYER, pool, logs=[(pool, [TORNADO_WITHDRAWAL, word(RELAYER)], data)], salt=salt)


def made(code: bytes, contract: bytes = NEW, maker: bytes = MAKER, **more: Any) -> Tx:
    """A contract is created by a new wallet, unless told otherwise."""
    more = {"nonce": 0, **more}
    return Tx(maker, None, data=deploying(code), creates=contract, **more)


def pays(sender: bytes, receiver: bytes, value: int = 5 * ETHER, **facts: Any) -> Tx:
    """A first payment to a wallet that nobody has paid before."""
    return Tx(sender, receiver, value, facts={"to_funder": 0, **facts})


def said(rule: MaliciousDeployment, *blocks: Block) -> list[Finding]:
    """The findings of blocks, one batch."""
    return run(rule, Build().batch(*blocks))


def exploit(contract: bytes = BAD, since: int = 0, **more: Any) -> Label:
    """A bad label."""
    return Label(contract, "exploit", "list", since, **more)


def trained(bad: Sequence[bytes], good: Sequence[bytes], **more: Any) -> tuple[Any, Build]:
    """A rule whose model has learnt these codes, and the chain up to there."""
    labels = [exploit(wallet(1000 + n), START) for n in range(len(bad))]
    memory = CodeMemoryConfig(delay_seconds=60, learner=CodeLearnerConfig(warm_up=5))
    ours = rule(*labels, config=MaliciousDeploymentConfig(memory=memory, **more))
    build = Build()
    for n, code in enumerate((*bad, *good)):
        build.time += 12
        run(ours, build.batch(Block([made(code, wallet(1000 + n), wallet(2000 + n))])))
    build.time += 600
    run(ours, build.batch(Block([made(program(999, 200), wallet(3000), wallet(3001))])))
    return ours, build


def bad_codes(count: int) -> list[bytes]:
    """Codes of many kinds with a selector in common."""
    return [answers(0xDEADBEEF) + program(100 + n, 40) for n in range(count)]


def good_codes(count: int) -> list[bytes]:
    """The same without it."""
    return [answers(0xA9059CBB) + program(300 + n, 40) for n in range(count)]


# --- copies of bad code


def test_a_copy_of_code_labelled_bad_is_told_as_it_is_created() -> None:
    """Equal code, other constants, or a few more opcodes: medium, with the original named."""
    variants = {
        "the same as": ATTACK,
        "% that of": ATTACK[:400] + b"\x5b\x50\x30" + ATTACK[400:],
    }
    for wording, code in variants.items():
        blocks = [Block([made(ATTACK, BAD, VICTIM)]), Block([made(code)])]
        findings = said(rule(exploit(since=START + 12)), *blocks)
        assert told(findings) == [("malicious_deployment", "medium", NEW)]
        assert wording in findings[0].sentence
        assert BAD in findings[0].evidence.addresses
        assert MAKER in findings[0].evidence.addresses


def test_other_code_is_no_copy() -> None:
    """Half of the code changed, another program, or a tiny one: nothing."""
    for code in (ATTACK[:600] + program(8, 600), program(9, 900), program(7, 60)):
        blocks = [Block([made(ATTACK, BAD, VICTIM)]), Block([made(code)])]
        assert said(rule(exploit(since=START + 12)), *blocks) == []
    tiny = [
        Block([made(b"\x5b" * 90 + b"\x33", BAD, VICTIM)]),
        Block([made(b"\x5b" * 91 + b"\x33")]),
    ]
    assert said(rule(exploit(since=START)), *tiny) == []


def test_a_label_counts_from_its_day_and_until_it_is_taken_back() -> None:
    """Before it holds, after it has ended, on another chain, or cleared by an analyst: nothing."""
    blocks = [Block([made(ATTACK, BAD, VICTIM)]), Block([made(ATTACK)])]
    assert len(said(rule(exploit(since=START + 12)), *blocks)) == 1
    assert said(rule(exploit(since=START + 13)), *blocks) == []
    assert said(rule(exploit(valid_to=START + 12)), *blocks) == []
    assert said(rule(exploit(chain="polygon")), *blocks) == []
    assert said(rule(exploit(), Label(BAD, "benign", ANALYST)), *blocks) == []


def test_a_template_of_many_is_not_bad_for_one_of_them() -> None:
    """A code that seventeen others deployed is no attack because one contract of it is labelled;
    one that three deployed is."""
    for count, expected in ((17, 0), (3, 1)):
        txs = [made(ATTACK, wallet(100 + n), wallet(200 + n)) for n in range(count)]
        blocks = [Block([made(ATTACK, BAD, VICTIM), *txs]), Block([made(ATTACK)])]
        assert len(said(rule(exploit(since=START + 6)), *blocks)) == expected


def test_a_proxy_is_as_bad_as_what_it_delegates_to() -> None:
    """Clones of a factory are innocent; one whose target is labelled bad is told."""
    head, tail = PROXY_PATTERNS[0]
    clone = head + BAD + tail
    txs = [made(clone, wallet(100 + n), wallet(200 + n)) for n in range(30)]
    assert said(rule(), Block(txs)) == []
    findings = said(rule(exploit()), Block([made(clone)]))
    assert told(findings) == [("malicious_deployment", "medium", NEW)]


# --- who made it


@pytest.mark.parametrize("hops", [0, 1, 2, 3, 4])
def test_a_copy_by_a_mixer_funded_maker_is_high_up_to_three_hops(hops: int) -> None:
    """The way from the mixer to the maker is in the evidence; four hops are too many."""
    chain = [wallet(50 + n) for n in range(hops)] + [MAKER]
    steps = [Block([pays(a, b)]) for a, b in pairwise(chain)]
    blocks = [Block([mixed(chain[0])]), Block([made(ATTACK, BAD, VICTIM)]), *steps]
    findings = said(rule(exploit(since=START + 24)), *blocks, Block([made(ATTACK)]))
    severity = "high" if hops <= 3 else "medium"
    assert told(findings) == [("malicious_deployment", severity, NEW)]
    path = findings[0].evidence.path
    assert len(path) == (hops + 1 if hops <= 3 else 0)
    if path:
        assert (path[0].sender, path[-1].receiver) == (TEN, MAKER)
        assert path[0].amount == 10 * ETHER
        assert "Tornado Cash" in findings[0].sentence


def test_funding_is_by_whoever_paid_first_enough_and_lately() -> None:
    """Not by dust, not to a wallet with a past, not after three days, not out of a hub, not from
    1 ETH out of the mixer; twice 1 ETH is enough."""
    start = [Block([mixed(wallet(50))])]
    attack = Block([made(borrower(program(1, 200)))])

    def found(*blocks: Block) -> int:
        return len(said(rule(), *blocks, attack))

    assert found(*start, Block([pays(wallet(50), MAKER)])) == 1
    assert found(*start, Block([pays(wallet(50), MAKER, ETHER // 100)])) == 0
    assert found(*start, Block([pays(wallet(50), MAKER, to_funder=7)])) == 0
    assert found(*start, Block([pays(wallet(50), MAKER, from_counterparties=500.0)])) == 0
    assert found(*start, Block([pays(wallet(50), MAKER)], time=START + 4 * DAY)) == 0
    assert found(Block([mixed(MAKER, ONE)])) == 0
    assert found(Block([mixed(MAKER, ONE)]), Block([mixed(MAKER, ONE, 1)])) == 1
    failed = pays(wallet(50), MAKER)
    failed.status = 0
    assert found(*start, Block([failed])) == 0
    assert said(rule(), *start, replace(attack, time=START + 5 * DAY)) == []


def test_dusting_a_maker_out_of_the_mixer_frames_nobody() -> None:
    """Ten thousand developers with a past are sent coins by a mixer-funded wallet: no alert."""
    makers = [wallet(5_000 + n) for n in range(10_000)]
    dust = [pays(wallet(50), maker, ETHER // 10, to_funder=9) for maker in makers]
    txs = [made(borrower(program(1, 200)), wallet(20_000 + n), m) for n, m in enumerate(makers)]
    assert said(rule(), Block([mixed(wallet(50))]), Block(dust), Block(txs)) == []


def test_a_maker_that_is_labelled_bad_makes_a_copy_high() -> None:
    """Known attackers come back: with a copy high, with a code nobody knows nothing in warm-up."""
    labels = (exploit(since=START + 12), exploit(MAKER))
    findings = said(rule(*labels), Block([made(ATTACK, BAD, VICTIM)]), Block([made(ATTACK)]))
    assert told(findings) == [("malicious_deployment", "high", NEW)]
    assert said(rule(*labels), Block([made(program(1, 300))])) == []


def test_makers_with_a_reputation_and_services_are_not_suspected() -> None:
    """Nonce 500 and 90 days, or a service's label: nothing; either alone is no reputation."""
    old = {"from_first_seen": START - 100 * DAY}

    def found(*labels: Label, **more: Any) -> int:
        blocks = [Block([made(ATTACK, BAD, VICTIM)]), Block([made(ATTACK, **more)])]
        return len(said(rule(exploit(since=START + 12), *labels), *blocks))

    assert found() == 1
    assert found(nonce=600, facts=old) == 0
    assert found(nonce=600) == 1
    assert found(nonce=5, facts=old) == 1
    assert found(Label(MAKER, "exchange", "list")) == 0
    assert found(exploit(MAKER), nonce=600, facts=old) == 1


def test_armed_code_of_a_fresh_mixer_funded_maker_is_told_while_the_model_warms_up() -> None:
    """Flash-loan callbacks or the metamorphic prefix; not ordinary code, not an old maker's."""
    funded = Block([mixed(MAKER)])
    for code, expected in ((borrower(program(1, 200)), 1), (program(1, 200), 0)):
        assert len(said(rule(), funded, Block([made(code)]))) == expected
    metamorphic = Tx(MAKER, None, data=METAMORPHIC_PREFIX, creates=NEW, nonce=1)
    assert told(said(rule(), funded, Block([metamorphic]))) == [
        ("malicious_deployment", "medium", NEW)
    ]
    assert said(rule(), funded, Block([made(borrower(program(1, 200)), nonce=21)])) == []


def test_railgun_funded_makers_are_not_suspected() -> None:
    """Railgun is a privacy system: a borrower's code by a maker it paid is nothing."""
    pool = min(RAILGUN)
    unshield = Tx(RELAYER, pool, logs=[(pool, [RAILGUN_UNSHIELD], word(MAKER) + bytes(96))])
    assert said(rule(), Block([unshield]), Block([made(borrower(program(1, 200)))])) == []


def test_searchers_and_token_makers_are_not_suspected() -> None:
    """A flash-loan borrower by a maker out of an exchange, and equal tokens by many: nothing."""
    exchange = Label(wallet(60), "exchange", "list")
    blocks = [Block([pays(wallet(60), MAKER)]), Block([made(borrower(program(1, 300)))])]
    assert said(rule(exchange), *blocks) == []
    tokens = [made(program(5, 300), wallet(100 + n), wallet(200 + n)) for n in range(40)]
    assert said(rule(), Block([mixed(wallet(200))]), Block(tokens)) == []


# --- the model


def test_the_model_learns_from_late_labels_and_tells_its_reasons() -> None:
    """What bad codes have in common is found in a new one: low alone, high out of the mixer."""
    ours, build = trained(bad_codes(30), good_codes(30))
    assert not ours.memory.learner.warming_up
    assert ours.memory.learner.learnt == (30, 30)
    code = answers(0xDEADBEEF) + program(77, 40)
    features = READER.of_runtime(code).features
    probability = ours.memory.learner.probability(features)
    assert probability is not None
    assert probability > 0.5
    findings = run(ours, build.batch(Block([mixed(MAKER)]), Block([made(code)])))
    assert told(findings) == [("malicious_deployment", "high", NEW)]
    leading = max(findings[0].reasons, key=lambda r: r.contribution if "code" in r.feature else 0)
    assert leading.feature == "code: selector 0xdeadbeef"
    assert f"{probability:.0%}" in findings[0].sentence
    benign = answers(0xA9059CBB) + program(78, 40)
    assert run(ours, build.batch(Block([made(benign, OTHER)]))) == []


def test_a_high_probability_alone_is_low() -> None:
    """Nothing but the code speaks against it: a line in a list, no more."""
    ours, build = trained(bad_codes(40), good_codes(40), alone=0.5)
    code = answers(0xDEADBEEF) + program(77, 40)
    findings = run(ours, build.batch(Block([made(code)])))
    assert told(findings) == [("malicious_deployment", "low", NEW)]


def test_bad_codes_are_learnt_when_their_label_begins_and_good_ones_when_it_is_due() -> None:
    """The next creation after either time teaches; codes that were there before teach once."""
    config = MaliciousDeploymentConfig(memory=CodeMemoryConfig(delay_seconds=1_000))
    ours, build = rule(exploit(since=START + 100), config=config), Build()

    def learnt(seconds: int) -> tuple[int, int]:
        build.time = START + seconds
        run(ours, build.batch(Block([made(program(5), OTHER, wallet(70 + seconds))])))
        return ours.memory.learner.learnt

    run(ours, build.batch(Block([made(ATTACK, BAD), made(ATTACK, OTHER), made(program(2))])))
    assert learnt(99) == (0, 0)
    assert learnt(100) == (0, 1)
    assert learnt(999) == (0, 1)
    assert learnt(1_000) == (1, 1)
    assert learnt(1_099) == (2, 1)
    assert learnt(5_000) == (2, 1)
    assert ours.gauges()["contract_codes/known_bad"] == 1.0


def test_a_lesson_that_a_fork_took_back_is_learnt_again() -> None:
    """The block in which a label began is reverted: its child's brother learns the same."""
    ours, build = rule(exploit(since=START + 20)), Build()
    run(ours, build.batch(Block([made(ATTACK, BAD)])))
    mark, before = build.mark(), ours.digest()
    for fork in range(2):
        build.back(mark)
        build.time += 12
        serial = build.serial
        run(ours, build.batch(Block([made(program(5), OTHER, wallet(9), salt=fork)], fork=fork)))
        assert ours.memory.learner.learnt == (0, 1)
        if not fork:
            ours.revert(serial)
            assert ours.digest() == before
            assert ours.memory.learner.learnt == (0, 0)


def test_codes_that_waited_longest_give_way_unlearnt() -> None:
    """Beyond the bound of waiting codes the oldest are dropped, and the others still learnt."""
    memory = CodeMemoryConfig(delay_seconds=100, waiting=8)
    ours, build = rule(config=MaliciousDeploymentConfig(memory=memory)), Build()
    txs = [made(program(n, 120), wallet(100 + n), wallet(200 + n)) for n in range(20)]
    run(ours, build.batch(Block(txs)))
    assert ours.memory.waiting <= 8
    build.time += 200
    run(ours, build.batch(Block([made(program(50), OTHER)])))
    assert 0 < ours.memory.learner.learnt[0] <= 8


# --- what is not in view


def test_a_node_gives_the_code_of_contracts_made_by_contracts() -> None:
    """Asked only where the maker is suspect; without a node such contracts are passed over."""
    build = Build()
    first = build.batch(Block([made(ATTACK, BAD, VICTIM)]), Block([mixed(MAKER)]))
    inner = Tx(MAKER, wallet(40), nonce=1, creates=NEW)
    stranger = Tx(OTHER, wallet(40), nonce=1, creates=wallet(41))
    last = build.batch(Block([stranger, inner]))
    position = Position(last.batch.numbers()[0], last.batch.position(0).hash)
    node = Told(code={(NEW, position): ATTACK, (wallet(41), position): ATTACK})
    ours = rule(exploit(since=START + 12), node=node)
    assert run(ours, first) == []
    assert told(run(ours, last)) == [("malicious_deployment", "high", NEW)]
    assert node.asked == [NEW]
    without = rule(exploit(since=START + 12))
    assert run(without, first, last) == []
    assert without.digest() == ours.digest()
    assert confirmations([without]) == {without.id: without.confirms}


def test_missing_init_code_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A source without it: one line, no finding."""
    caplog.set_level("INFO")
    blocks = [Block([Tx(MAKER, wallet(40), creates=wallet(n))]) for n in range(5)]
    assert said(rule(), *blocks) == []
    assert sum("without init code" in r.message for r in caplog.records) == 1


def test_failed_and_empty_creations_are_nothing() -> None:
    """A transaction that failed created nothing; init code without a byte deploys nothing."""
    bad = exploit(since=START + 12)
    first = Block([made(ATTACK, BAD, VICTIM)])
    assert said(rule(bad), first, Block([made(ATTACK, status=0)])) == []
    assert said(rule(bad), first, Block([Tx(MAKER, None, data=b"", creates=NEW)])) == []


def test_hostile_init_code_crashes_nothing_and_costs_little() -> None:
    """Random bytes, endless pushes and 50,000 bytes of one opcode, a thousand times: bounded."""
    rng, ours, build = random.Random(1), rule(exploit()), Build()
    for turn in range(20):
        txs = [
            Tx(wallet(n), None, data=code, creates=wallet(1000 * turn + n), salt=n)
            for n, code in enumerate(
                [rng.randbytes(rng.randrange(2_000)) for _ in range(8)]
                + [bytes([rng.randrange(256)]) * 50_000, b"\x7f" * 5_000]
            )
        ]
        run(ours, build.batch(Block(txs)))
    assert len(ours.snapshot()) < 2_000_000


def test_who_labels_an_alerts_subject_teaches_the_model() -> None:
    """An analyst's word about the subject is the label of the code that was scored."""
    book = LabelBook()
    memory = CodeMemoryConfig(delay_seconds=1_000)
    config = MaliciousDeploymentConfig(memory=memory, funding=FundingConfig())
    ours = MaliciousDeployment(book, ETHEREUM, ColumnCache(), config)
    build = Build()
    findings = run(ours, build.batch(Block([mixed(MAKER)]), Block([made(ATTACK)])))
    book.add(Label(findings[0].subject, "malicious", ANALYST, build.time))
    again = run(ours, build.batch(Block([made(ATTACK, OTHER, wallet(9))])))
    assert ours.memory.learner.learnt == (0, 1)
    assert told(again) == [("malicious_deployment", "medium", OTHER)]
