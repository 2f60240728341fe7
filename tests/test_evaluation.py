"""``chainwarden evaluate``: the protocol over the real detector, on real wallets."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chainwarden.commands.evaluate import drawn, parse_window
from chainwarden.errors import LabelError, SettingsError
from chainwarden.evaluation import read_truth
from detect.curves import curve_of
from tests.command import run, run_json

KEYS = {
    "wallets",
    "positives",
    "average_precision",
    "auroc",
    "best_f1",
    "precision",
    "recall",
    "recall_at_precision_0_9",
    "value_saved_per_wallet",
    "value_saved",
    "alert_precision",
    "alert_recall",
    "events",
    "seconds",
}
WORDS = ("--window", "2018-04-01:2018-08-01", "--label-delay-days", "30")
A, B, C = (f"0x{n:040x}" for n in (1, 2, 3))


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of the window that everything is chosen on."""
    folder = shared_data / "labelled"
    found: dict[str, Any] = run_json(
        "evaluate",
        folder / "stream.parquet",
        "--labels",
        folder / "labels.csv",
        *WORDS,
        cwd=tmp_path_factory.mktemp("evaluate"),
    )
    return found


@pytest.mark.data
def test_the_model_beats_the_reference_forest(real: dict[str, Any]) -> None:
    """Online, on the protocol's own counts of wallets; River's forest has 0.859."""
    assert real.keys() >= KEYS
    assert (real["wallets"], real["positives"], real["events"]) == (19_818, 767, 320_881)
    assert real["average_precision"] > 0.92
    assert real["auroc"] > 0.99
    assert real["best_f1"] > 0.84
    assert real["recall_at_precision_0_9"] > 0.80
    assert real["value_saved_per_wallet"] > 0.63
    assert real["alert_precision"] > 0.62
    assert real["alert_recall"] > 0.87
    assert real["unknown_labels"] == real["contradictory_labels"] == real["rejected_labels"] == 0


def without_seconds(found: dict[str, Any]) -> dict[str, Any]:
    """Everything that must not differ."""
    return {name: value for name, value in found.items() if name != "seconds"}


@pytest.mark.data
def test_batches_change_nothing(real: dict[str, Any], shared_data: Path, tmp_path: Path) -> None:
    """The same figures to the last bit with other batches."""
    folder = shared_data / "labelled"
    words = ("--labels", folder / "labels.csv", *WORDS, "--batch-blocks", "997")
    found = run_json("evaluate", folder / "stream.parquet", *words, cwd=tmp_path)
    assert without_seconds(found) == without_seconds(real)


@pytest.mark.data
def test_dates_change_nothing(real: dict[str, Any], shared_data: Path, tmp_path: Path) -> None:
    """All times three years later, all blocks renumbered: the same figures to the last bit."""
    folder = shared_data / "labelled"
    table = pq.read_table(folder / "stream.parquet")
    numbers, times = table["block_number"], table["block_timestamp"]
    later: Any = timedelta(days=1095) if pa.types.is_timestamp(times.type) else 1095 * 86_400
    for name, values in (
        ("block_number", pc.add(numbers, pa.scalar(10_000_019, numbers.type))),
        ("block_timestamp", pc.add(times, pa.scalar(later)).cast(times.type)),
    ):
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, tmp_path / "later.parquet")
    found = run_json(
        "evaluate",
        "later.parquet",
        "--labels",
        folder / "labels.csv",
        "--window",
        "2021-03-31:2021-07-31",
        cwd=tmp_path,
    )
    assert without_seconds(found) == pytest.approx(without_seconds(real), rel=1e-9)


def stream(path: Path) -> Path:
    """Six wallets that pay one another over two years, a flow every other day."""
    rng = np.random.default_rng(1)
    rows = []
    for n in range(360):
        payer, payee = rng.choice(6, 2, replace=False) + 6 * (n // 20)
        rows.append(
            (n, 1_500_000_000 + n * 172_800, f"0x{payer + 16:040x}", f"0x{payee + 16:040x}")
        )
    table = pa.table(
        {
            "transaction_hash": [f"0x{n:064x}" for n, *_ in rows],
            "block_number": [n for n, *_ in rows],
            "block_timestamp": [t for _, t, *_ in rows],
            "from_address": [a for *_, a, _ in rows],
            "to_address": [b for *_, b in rows],
            "value_eth": [1.5] * len(rows),
            "method_id": [""] * len(rows),
            "is_error": [False] * len(rows),
        }
    )
    pq.write_table(table, path)
    return path


def labels(path: Path, *lines: str, header: str = "address,label,first_seen") -> Path:
    """A list of labels."""
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def test_the_text_form_draws_the_curve(tmp_path: Path) -> None:
    """A person sees each figure, the odd labels counted, and the precision-recall curve."""
    stream(tmp_path / "s.parquet")
    lines = [f"0x{n + 16:040x},phishing,0" for n in range(0, 108, 3)]
    lines += [f"0x{16:040x},normal,0", f"0x{5:040x},phishing,0", "0x12,phishing,0"]
    labels(tmp_path / "l.csv", *lines)
    words = ("s.parquet", "--labels", "l.csv", "--window", "2018-01-01:2019-01-01")
    found = run_json("evaluate", *words, cwd=tmp_path)
    assert (found["events"], found["positives"]) == (360, found["wallets"] // 3)
    assert (found["unknown_labels"], found["contradictory_labels"]) == (1, 1)
    assert found["rejected_labels"] == 1
    done = run("evaluate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{found['average_precision']:.4f}" in done.stdout
    assert "Precision over recall" in done.stdout
    assert "•" in done.stdout


def test_the_curve_is_drawn_where_it_is() -> None:
    """A perfect ranking is a line at the top, the worst one falls to the base rate."""
    perfect = drawn(curve_of(np.array([2.0, 1.0]), np.array([True, False])), 10, 4)
    assert perfect[0] == " 1.0 ┤" + "•" * 10
    assert perfect[1:4] == ["     ┤", "     ┤", " 0.0 ┤"]
    halved = drawn(
        curve_of(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, False, True])), 10, 4
    )
    assert halved[0] == " 1.0 ┤•••••"
    assert halved[1] == "     ┤     •••••".replace("     •", " " * 5 + "•", 1)
    assert halved[4] == "     └" + "─" * 10


@pytest.mark.parametrize(
    "window",
    ["", "2018", ":", "2018-04-01:", "2018-04-01:2018-13-01", "1:2:3", "2:1", "5:5", "x:y"],
)
def test_a_window_that_is_none_is_refused(window: str) -> None:
    """The error says what a window looks like."""
    with pytest.raises(SettingsError, match="2018-04-01:2018-08-01"):
        parse_window(window)


def test_windows_are_dates_or_seconds() -> None:
    """Dates begin at midnight UTC."""
    assert parse_window("2018-04-01:2018-08-01") == parse_window("1522540800:1533081600")


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("wallet,kind", f"{A},phishing"),
        ("address,label,first_seen", f"{A},normal,0"),
        ("address,label,first_seen", ""),
    ],
)
def test_labels_that_say_nothing_are_an_error(tmp_path: Path, header: str, line: str) -> None:
    """Another shape, or nobody phishing: no figures, but a LabelError."""
    with pytest.raises(LabelError):
        read_truth(labels(tmp_path / "l.csv", line, header=header))


def test_labels_of_our_own_lists_are_read(tmp_path: Path) -> None:
    """Our CSV works as well; who is called phishing and harmless is phishing, and counted."""
    own = labels(
        tmp_path / "own.csv",
        f"{A},phishing,us,1500000000,,,me,",
        f"{B},normal,us,0,,,me,",
        f"{C},phishing,us,0,,,me,",
        f"{C},normal,us,0,,,you,",
        f"{C},scam,us,0,,,you,",
        header="address,label,source,valid_from,valid_to,chain,author,note",
    )
    truth = read_truth(own)
    assert truth.phishing == {bytes.fromhex(A[2:]), bytes.fromhex(C[2:])}
    assert len(truth.labelled) == 3
    assert truth.contradictory == 1


@pytest.mark.parametrize(
    ("window", "code", "said"),
    [
        ("2016-01-01:2016-02-01", 7, "2017-07-14T02:40:00 to"),
        ("2018:2019", 3, "2018-04-01:2018-08-01"),
    ],
)
def test_a_window_without_wallets_is_one_line(
    tmp_path: Path, window: str, code: int, said: str
) -> None:
    """The error names the time that the stream spans; nothing is on stdout."""
    stream(tmp_path / "s.parquet")
    labels(tmp_path / "l.csv", f"0x{16:040x},phishing,0")
    done = run(
        "evaluate", "s.parquet", "--labels", "l.csv", "--window", window, "--json", cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stderr)
