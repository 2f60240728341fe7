"""The protocol, on streams small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from chainwarden.errors import DetectError
from chainwarden.schema import BlockBatch
from detect.evaluate import LIFE_SECONDS, Record, Recorder, Window, figures, judge, value_saved
from tests.detect.chains import Block, address, batch_of

DAY = 86_400
NONE = float("nan")
WINDOW = Window(100 * DAY, 130 * DAY)
# (day, from, to, coins, risk of the sender, risk of the receiver)
Row = tuple[float, str, str, float, float, float]


def record(*rows: Row) -> Record:
    """A record of one flow a row."""
    names = sorted({name for row in rows for name in row[1:3]}, key=address)
    return Record(
        np.array([address(name) for name in names], "V20"),
        np.array([[names.index(row[1]), names.index(row[2])] for row in rows]),
        np.array([int(row[0] * DAY) for row in rows]),
        np.array([row[3] for row in rows]),
        np.array([row[4:6] for row in rows]),
    )


def verdicts(rows: Sequence[Row], bad: Sequence[str] = ()) -> dict[str, tuple[float, bool]]:
    """Verdict and label of each wallet that is judged."""
    kept = record(*rows)
    judged = judge(kept, {address(name) for name in bad}, WINDOW)
    names = {address(name): name for row in rows for name in row[1:3]}
    return {
        names[kept.addresses[n].tobytes()]: (float(v), bool(p))
        for n, v, p in zip(judged.wallets, judged.verdicts, judged.positive, strict=True)
    }


def test_wallets_are_judged_by_their_first_event() -> None:
    """In are those first seen from the window's first second on, before its end, on either side."""
    rows: list[Row] = [
        (99, "old", "older", 1, 0.9, 0.9),
        (100, "old", "first", 1, 0.9, 0.1),
        (110, "middle", "older", 1, 0.2, 0.9),
        (130 - 1 / DAY, "old", "last", 1, 0.9, 0.3),
        (130, "old", "late", 1, 0.9, 0.9),
    ]
    assert verdicts(rows, ["last"]) == {
        "first": (0.1, False),
        "middle": (0.2, False),
        "last": (0.3, True),
    }


def test_a_verdict_is_the_highest_risk_of_thirty_days() -> None:
    """The last second of the thirty days counts, the one after it does not; NaN is no score."""
    end = 100 + LIFE_SECONDS / DAY
    rows: list[Row] = [
        (100, "a", "b", 1, 0.3, NONE),
        (101, "b", "a", 1, NONE, 0.5),
        (end, "a", "x", 1, 0.6, NONE),
        (end + 1 / DAY, "a", "b", 1, 0.9, 0.9),
    ]
    assert verdicts(rows) == {"a": (0.6, False), "b": (-np.inf, False)}


def test_value_saved_is_what_arrived_after_the_alert() -> None:
    """The flow that raises the alert is lost; the mean is over wallets, the pool over coins."""
    rows: list[Row] = [
        (100, "v", "a", 60, 0, 0.2),  # before the alert
        (101, "v", "a", 20, 0, 0.8),  # raises it
        (102, "a", "v", 50, 0.9, 0),  # sent, not received
        (103, "v", "a", 20, 0, 0.1),  # saved
        (103, "v", "b", 300, 0, 0.1),  # never alerted on
        (104, "b", "c", 7, 0.1, 0.9),  # alerted on when it receives
        (105, "v", "good", 9, 0, 0.9),  # no phishing wallet
        (105, "v", "good", 9, 0, 0.9),
        (140, "v", "a", 1000, 0, 0.9),  # too late to count
    ]
    kept = record(*rows)
    judged = judge(kept, {address(name) for name in "abc"}, WINDOW)
    mean, pooled = value_saved(kept, judged, 0.8)
    assert mean == pytest.approx((0.2 + 0.0 + 0.0) / 3)
    assert pooled == pytest.approx(20 / (100 + 300 + 7))
    assert value_saved(kept, judged, None) == (0.0, 0.0)
    assert value_saved(kept, judged, 0.05) == pytest.approx(((0.4 + 0.0 + 0.0) / 3, 40 / 407))


def test_nothing_received_is_nothing_to_save() -> None:
    """Phishing wallets that received no coins are no part of the value saved."""
    kept = record((100, "a", "v", 5, 0.9, 0.1), (101, "v", "b", 0, 0.1, 0.9))
    judged = judge(kept, {address("a"), address("b")}, WINDOW)
    assert np.isnan(value_saved(kept, judged, 0.5)).all()


def test_the_alert_threshold_is_set_on_the_thirty_days_before() -> None:
    """The lowest threshold with a precision of 0.7 before the window and one standard error to
    spare, whatever it does within."""
    before: list[Row] = [
        (80, "p1", "p2", 1, 0.9, 0.8),
        (81, "n1", "p3", 1, 0.55, 0.6),  # 0.55: 3 of 4 are phishing, which may be chance
        (82, "n2", "n3", 1, 0.5, 0.4),
        (69, "p0", "n0", 1, 0.3, 0.3),  # more than thirty days before
    ]
    within: list[Row] = [
        (100, "q1", "q2", 4, 0.65, 0.6),
        (101, "m1", "m2", 1, 0.61, 0.59),
        (102, "v", "q1", 4, 0.1, 0.1),
        (103, "v", "q3", 1, 0.1, 0.2),
    ]
    bad = {address(name) for name in ("p0", "p1", "p2", "p3", "q1", "q2", "q3")}
    found = figures(record(*before, *within), bad, WINDOW)
    assert found.alert_threshold == 0.6
    assert (found.wallets, found.positives) == (6, 3)
    assert found.alert_precision == pytest.approx(2 / 3)
    assert found.alert_recall == pytest.approx(2 / 3)
    # q1 received 4 after its alert, q2 4 with it, q3 was never alerted on.
    assert found.value_saved_per_wallet == pytest.approx(1 / 3)
    assert found.value_saved == pytest.approx(4 / 9)
    # Ranked q1 0.65, m1, q2, m2, q3, v.
    assert found.average_precision == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert found.auroc == pytest.approx(1 - 3 / 9)
    assert found.best_f1 == pytest.approx(0.75)
    assert (found.precision, found.recall) == pytest.approx((3 / 5, 1.0))
    assert found.recall_at_precision_0_9 == pytest.approx(1 / 3)


def test_without_a_precise_threshold_there_are_no_alerts() -> None:
    """Nothing to learn the threshold from: no alert, nothing saved, and no precision to state."""
    found = figures(record((100, "a", "b", 5, 0.9, 0.1)), {address("a")}, WINDOW)
    assert found.alert_threshold is None
    assert (found.alert_precision, found.alert_recall) == (None, 0.0)
    assert found.value_saved_per_wallet is None


def test_wallets_that_were_never_scored_raise_no_alert() -> None:
    """Precision by chance, with nothing scored, is no threshold."""
    rows: list[Row] = [(80, "p1", "p2", 1, NONE, NONE), (100, "q", "n", 1, NONE, NONE)]
    found = figures(record(*rows), {address(name) for name in ("p1", "p2", "q")}, WINDOW)
    assert found.alert_threshold is None
    assert found.alert_recall == 0.0
    assert found.auroc == 0.5


@pytest.mark.parametrize(("day", "bad"), [(10, "a"), (100, "x"), (100, "ab")])
def test_a_window_without_wallets_of_both_kinds_is_refused(day: float, bad: str) -> None:
    """Nobody in the window, no phishing in it, or nothing else: an error that says so."""
    with pytest.raises(DetectError):
        figures(record((day, "a", "b", 1, 0.5, 0.5)), {address(name) for name in bad}, WINDOW)


def test_windows_go_forward() -> None:
    """A window that ends where it starts holds nothing."""
    with pytest.raises(DetectError):
        Window(5, 5)


# --- what is recorded of a batch ---------------------------------------------------------------


def flow(block: Block, ordinal: int, sender: str | None, to: str, **values: object) -> None:
    """Add a flow of one coin."""
    block.add(
        "flows",
        transaction_hash=bytes(32),
        transaction_index=0,
        ordinal=ordinal,
        batch_index=0,
        kind=1,
        from_address=None if sender is None else address(sender),
        to_address=address(to),
        **{
            "token_address": None,
            "value": (10**18).to_bytes(32, "big"),
            "value_f64": 1e18,
            "status": None,
            **values,
        },
    )


def risks(batch: BlockBatch, values: Sequence[float | None]) -> pa.Table:
    """A features table with the risks of the senders."""
    nothing = pa.nulls(batch.flows.num_rows, pa.float64())
    return pa.table({"from_risk": pa.array(values, pa.float64()), "to_risk": nothing})


def test_only_coins_that_arrive_are_received() -> None:
    """Tokens, failed flows and payments to oneself bring nothing; a mint has no payer."""
    block = Block(1, 12, bytes(32))
    flow(block, 0, "a", "b")
    flow(block, 1, "a", "b", token_address=address("token"))
    flow(block, 2, "a", "b", status=0)
    flow(block, 3, "a", "a")
    flow(block, 4, None, "b", status=1)
    batch, recorder = batch_of([block]), Recorder()
    recorder.add(batch, risks(batch, [0.5, None, 0.5, 0.5, None]))
    kept = recorder.record()
    assert kept.coins.tolist() == [1e18, 0, 0, 0, 1e18]
    assert kept.addresses[kept.events[4, 0]].tobytes() == bytes(20)
    assert np.isnan(kept.risks[:, 0]).tolist() == [False, True, False, False, True]
    assert np.isnan(kept.risks[:, 1]).all()
    window = Window(0, 2**40)
    judged = judge(kept, {address("b")}, window)
    assert {kept.addresses[n].tobytes() for n in judged.wallets} == {address("a"), address("b")}


def test_a_reverted_block_was_never_recorded() -> None:
    """Blocks are dropped from the head, with their flows, across batches and empty blocks."""
    blocks = [Block(n, 12 * n, bytes(32)) for n in range(1, 6)]
    for n, block in enumerate(blocks):
        for at in range(n % 3):  # 0, 1, 2, 0, 1 flows
            flow(block, at, f"{n}-{at}", "b")
    recorder = Recorder()
    for part in (blocks[:3], blocks[3:]):
        batch = batch_of(part)
        recorder.add(batch, risks(batch, [0.5] * batch.flows.num_rows))
    left = []
    for _ in range(4):
        left.append(len(recorder.record().at))
        recorder.revert()
    assert left == [4, 3, 3, 1]
    recorder.revert()
    with pytest.raises(DetectError):
        recorder.revert()
    with pytest.raises(DetectError):
        recorder.record()
