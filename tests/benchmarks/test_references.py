from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.references import REFERENCES, SLOW, judged_rows
from benchmarks.detection.stream import DELAY, Rows, read_stream, score
from chainwarden.evaluation import evaluate, read_truth
from chainwarden.settings import Settings
from detect.evaluate import LIFE_SECONDS, Window, figures
from detect.features import RISK_FEATURES
from tests.test_evaluation import labels, stream

DAY = 86_400
WINDOW = Window(150 * DAY, 250 * DAY)
FAST = sorted(set(REFERENCES) - SLOW)


def synthetic(seed: int = 1, count: int = 1_200) -> Rows:
    """Two wallets a day, of four milestones each; bad ones have a high first feature."""
    rng = np.random.default_rng(seed)
    wallets = count // 4
    born = np.sort(rng.integers(0, 300 * DAY, wallets))
    bad = rng.random(wallets) < 0.3
    ages = np.sort(rng.integers(0, 60 * DAY, (wallets, 4)), axis=1)
    order = np.argsort((born[:, None] + ages).ravel(), kind="stable")
    features = rng.random((count, len(RISK_FEATURES))).astype(np.float32)
    features[:, 0] = 0.5 * features[:, 0] + 0.5 * np.repeat(bad, 4)
    return Rows(
        features[order],
        np.arange(count),
        np.zeros(count, np.int64),
        (born[:, None] + ages).ravel()[order],
        ages.ravel()[order],
        np.repeat(bad, 4)[order],
    )


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_a_reference_model_learns_and_scores_the_judged(name: str) -> None:
    """Exactly the rows of judged wallets have a score, and bad ones rank above the others."""
    rows = synthetic()
    scores = REFERENCES[name](rows, WINDOW)
    judged = judged_rows(rows, WINDOW)
    assert np.array_equal(~np.isnan(scores), judged)
    late = judged & (rows.at > 100 * DAY)
    bad, good = scores[late & rows.bad], scores[late & ~rows.bad]
    assert (bad[:, None] > good[None, :]).mean() > 0.8


@pytest.mark.parametrize("name", FAST)
def test_no_label_is_used_before_its_time(name: str) -> None:
    """Every label of a wallet born less than 30 days before a moment is turned round: what was
    scored before that moment stays, to the last bit; later scores change."""
    rows, moment = synthetic(), 135 * DAY
    unknown = rows.born + DELAY > moment
    turned = replace(rows, bad=rows.bad ^ unknown)
    before, after = (REFERENCES[name](r, WINDOW) for r in (rows, turned))
    early = rows.at < moment
    assert np.array_equal(before[early], after[early], equal_nan=True)
    assert not np.array_equal(before, after, equal_nan=True)


def test_a_wallet_is_learnt_from_while_it_is_young() -> None:
    """Rows of wallets older than 30 days teach no reference model anything."""
    rows = synthetic()
    old = rows.ages > LIFE_SECONDS
    turned = replace(rows, bad=rows.bad ^ old)
    for name in FAST:
        before, after = (REFERENCES[name](r, WINDOW) for r in (rows, turned))
        assert np.array_equal(before, after, equal_nan=True), name


def test_the_benchmark_scores_as_the_command_does(tmp_path: Path) -> None:
    """The same figures as ``chainwarden evaluate``, and a row for every score of the record."""
    path = stream(tmp_path / "s.parquet")
    listed = labels(tmp_path / "l.csv", *(f"0x{n + 16:040x},phishing,0" for n in range(0, 108, 3)))
    window = Window(1_514_764_800, 1_546_300_800)
    found = evaluate(
        path, listed, window, Settings(), label_delay_days=30, batch_blocks=50
    )  # fmt: skip
    scored = score(read_stream(path), read_truth(listed).phishing)
    ours = figures(scored.record, scored.phishing, window)
    assert ours.to_dict() == found.figures.to_dict()
    risks = scored.record.risks
    assert not np.isnan(risks).all()
    given = scored.rows.risks(np.ones(len(scored.rows)), len(risks))
    assert np.array_equal(~np.isnan(risks) & ~np.isnan(given), ~np.isnan(risks))
