"""Labels that come late, early, or are taken back: learnt again as the row was scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.deployment import bad_in, turned_in
from chainwarden.schema import ETHEREUM, Label
from detect.compiled import Array
from detect.corrections import Corrections
from detect.detector import Detector
from detect.held import HeldQueue, HeldRows
from detect.labels import LabelBook
from detect.risk import RiskModel
from detect.risk_config import RiskConfig
from tests.detect.chains import Flow, batch_of
from tests.detect.plain.numbers import probability
from tests.detect.plain.pairs import BinsAndPairs
from tests.detect.risk_story import FEATURES, OWN, Story, coarse, risks, small, story
from tests.detect.runs import RISKY, EveryFinding, blocks

ALONE = small(pairs=1.0, stake_weight=0.0)
Outcomes = Callable[[bytes, int], bool]


def address(number: int) -> bytes:
    """The address of a wallet of a story."""
    return number.to_bytes(4, "little") + bytes(16)


EVERYBODY = tuple(map(address, range(256)))


def turning(at: int) -> Outcomes:
    """Odd wallets are bad; from a time on, those whose number is a multiple of 5 are the other."""
    return lambda wallet, now: (wallet[0] % 2 == 1) != (now >= at and wallet[0] % 5 == 0)


def model(outcomes: Outcomes, config: RiskConfig = ALONE, undo: int = 8) -> RiskModel:
    """A model that has seen nothing."""
    return RiskModel(config, FEATURES, len(OWN), undo, outcomes)


def told_plainly(told: Story, outcomes: Outcomes, turn: int, remembered: int) -> Array:
    """What plain AdaGrad says that learns rows when they are due, and again when a label turns."""
    plain, expected = BinsAndPairs(ALONE.rate, ALONE.prior), []
    waiting: list[tuple[int, list[int], float, int]] = []
    told_early: set[int] = set()  # of waiting rows, by where their list is
    learnt: list[tuple[int, list[int], float, bool]] = []  # as they were learnt, or gave way

    def learn(x: list[int], scored: float, label: bool) -> None:
        if label or plain.bad:
            plain.learn(x, scored, label)

    for b, now in enumerate(told.times.tolist()):
        if b == turn:
            for n, (wallet, x, scored, label) in enumerate(learnt):
                if n >= len(learnt) - remembered and label != outcomes(address(wallet), now):
                    learn(x, scored, not label)
            for _, x, scored, wallet in waiting:
                if outcomes(address(wallet), now):
                    learn(x, scored, True)
                    told_early.add(id(x))
        while waiting and waiting[0][0] <= now:
            _, x, scored, wallet = waiting.pop(0)
            label = outcomes(address(wallet), now)
            if id(x) not in told_early:
                learn(x, scored, label)
            learnt.append((wallet, x, scored, label))
        for i in range(told.starts[b], told.starts[b + 1]):
            x = coarse(told.own[i])
            scored = plain.logit(x) if plain.bad else 0.0
            risk = probability(plain.calibrated(scored)) if plain.bad else float("nan")
            expected.append(risk)
            if told.ages[i] <= 60:
                waiting.append((now + 100, x, scored, int(told.wallets[i])))
    return np.array(expected)


@pytest.mark.parametrize("remembered", [0, 7, 65_536])
def test_a_turned_label_is_learnt_with_the_row_as_it_was_scored(remembered: int) -> None:
    """Of learnt rows the last that are remembered, of waiting ones all that turn bad, each once."""
    told, turn = story(3, 120), 70
    outcomes = turning(int(told.times[turn]))
    warden = model(outcomes, dataclasses.replace(ALONE, remembered=remembered))
    first = warden.advance(told.batch(0, turn)).risks
    warden.reconsider(EVERYBODY)
    rest = warden.advance(told.batch(turn)).risks
    expected = told_plainly(told, outcomes, turn, remembered)
    assert np.array_equal(np.concatenate([first, rest]), expected, equal_nan=True)
    never = model(outcomes)
    assert not np.allclose(risks(never, told)[len(first) :], rest, equal_nan=True)


def test_asking_again_changes_nothing() -> None:
    """Wallets that are asked for with every block are learnt once for each label they had."""
    told, turn = story(4, 80), 40
    outcomes = turning(int(told.times[turn]))
    once, always = model(outcomes), model(outcomes)
    for warden in (once, always):
        warden.advance(told.batch(0, turn))
        warden.reconsider(EVERYBODY)
    for n in range(turn, 80):
        due = once.advance(told.batch(n, n + 1))
        # Bad ones that nobody asked for are not known before they are due.
        always.reconsider(a for a in EVERYBODY if not outcomes(a, int(told.times[n])))
        said = always.advance(told.batch(n, n + 1))
        assert np.array_equal(said.risks, due.risks, equal_nan=True)
    assert once.digest() == always.digest()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 79), max_size=4),
    turn=st.integers(30, 79),
    again=st.integers(0, 5),
    reverts=st.integers(0, 8),
    remembered=st.sampled_from([2, 20, 1000]),
    restored=st.booleans(),
)
def test_batches_reverts_and_snapshots_leave_no_trace(
    seed: int, cuts: list[int], turn: int, again: int, reverts: int, remembered: int, restored: bool
) -> None:
    """With labels that turn, in a branch that is taken back too: as one run over what stayed."""
    config = small(remembered=remembered)
    told, other = story(seed, 80), story(seed + 1, 20)
    outcomes = turning(int(told.times[turn]))
    warden, fresh = model(outcomes, config), model(outcomes, config)
    for cut in sorted({*cuts, turn, 80}):
        done = warden.head_serial + 1
        warden.advance(told.batch(done, cut))
        if cut == turn:
            warden.reconsider(EVERYBODY)
    fresh.advance(told.batch(0, turn))
    fresh.reconsider(EVERYBODY)
    fresh.advance(told.batch(turn))
    assert warden.digest() == fresh.digest()
    # A fork in which labels turn back (its times are before the turn), taken back, and once more.
    for n in range(reverts):
        if n == again:
            warden.reconsider(EVERYBODY)
        warden.advance(other.batch(n, n + 1))
    if restored:
        data, warden = warden.snapshot(), model(outcomes, config)
        warden.restore(data)
        assert warden.snapshot() == data
    for n in range(reverts):
        warden.revert(79 + reverts - n)
    if reverts > again:
        fresh.reconsider(EVERYBODY)  # who was asked for in the other branch is asked for in this
    assert warden.digest() == fresh.digest()
    assert np.array_equal(risks(warden, other), risks(fresh, other), equal_nan=True)
    assert warden.digest() == fresh.digest()


def test_neighbours_know_at_once_and_forget_who_is_cleared() -> None:
    """A wallet that turns bad counts as bad to whom it meets next, until the label is withdrawn."""
    told = story(5, 60)
    recent = int(np.flatnonzero((told.ages <= 60) & (told.at < told.times[59]))[-1])
    number = int(told.wallets[recent])
    wallet, hashed = EVERYBODY[number], np.uint64((number + 1) << 8 | 1)
    known = {"bad": False}
    warden = model(lambda asked, _now: known["bad"] and asked == wallet, small(wallets=4096))
    warden.advance(told.batch(0, 59))

    def is_bad() -> bool:
        rows = warden._relations.related.rows
        return bool(rows["is_bad"][rows["key"] == hashed].any())

    assert not is_bad()
    for word in (True, False):
        known["bad"] = word
        warden.reconsider([wallet])
        warden.advance(told.batch(59, 60))
        assert is_bad() == word


def test_a_word_to_the_label_book_reaches_the_model_with_the_next_block() -> None:
    """What somebody says while a detector runs is learnt then; what was known before is not."""
    book = LabelBook()
    asked = bad_in(book, ETHEREUM), turned_in(book)
    chain = blocks(5, 0, 60)
    config = dataclasses.replace(RISKY, challenger=None)
    warden = Detector(ETHEREUM, config, [], EveryFinding(), *asked)
    warden.process(batch_of(chain[:40]))
    assert warden.stats()["risk_rows_learnt_bad"] == 0
    sender = next(e.sender for e in chain[30].events if isinstance(e, Flow))
    book.say(Label(sender, "phishing", "analyst"), at=chain[39].time)
    warden.process(batch_of(chain[40:41]))
    learnt = warden.stats()["risk_rows_learnt_bad"]
    assert learnt > 0
    warden.process(batch_of(chain[41:42]))
    assert warden.stats()["risk_rows_learnt_bad"] == learnt


# --- the queue -----------------------------------------------------------------------------------


def numbered(numbers: list[int]) -> HeldRows:
    """Rows that say who they are."""
    rows = HeldRows.empty(2, 2, len(numbers))
    rows.due[:] = numbers
    rows.risks[:] = numbers
    rows.bins[:, 1] = numbers
    return rows


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["extend", "insert", "drop_first", "drop"]),
            st.integers(0, 300),
            st.integers(0, 400),
        ),
        max_size=30,
    )
)
def test_the_queue_is_a_list(steps: list[tuple[str, int, int]]) -> None:
    """Rows come, go and are put between others as in a list, in every column."""
    queue, plain, number, dropped = HeldQueue(2, 2), list[int](), 0, 0
    for what, count, place in steps:
        place, number = min(place, len(plain)), number + 1
        if what == "extend":
            more = [number % 256] * count
            queue.extend(np.zeros((count, 5)), np.zeros(count), np.array(more, np.int64))
            queue.rows.part(len(plain), len(queue)).risks[:] = more
            queue.rows.bins[len(plain) :, 1] = more
            plain += more
        elif what == "insert":
            more = [number % 256] * count
            queue.insert(place, numbered(more))
            plain[place:place] = more
        elif what == "drop_first":
            queue.drop_first(place)
            del plain[:place]
            dropped += place
        else:
            count = min(count, len(plain) - place)
            queue.drop(place, count)
            del plain[place : place + count]
        assert len(queue) == len(queue.rows) == len(plain)
        assert queue.dropped == dropped
        for column in (queue.rows.due, queue.rows.risks[1], queue.rows.bins[:, 1]):
            assert column.tolist() == plain


def test_corrections_survive_a_dump() -> None:
    """As JSON can hold them, to the last."""
    state = Corrections({bytes(20), b"\1" * 20}, [(3, b"\2" * 20)], [(3, 17, -1)])
    again = Corrections()
    again.load(state.dump())
    assert again == state
