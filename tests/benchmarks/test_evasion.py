from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import rewrites
from benchmarks.detection.evasion import attacks, judged, spoilt, without
from benchmarks.detection.rewrites import DAY, HOSTILE, Movements, attackers, read_movements
from benchmarks.detection.sensitivity import make_probe
from benchmarks.detection.stream import WINDOW, read_stream
from chainwarden.schema import column
from detect.compiled import Array
from detect.evaluate import Figures, Record
from detect.features import WALLET_FEATURES
from tests.detect.build import wallet as address


def name_of(wallet: int) -> str:
    """An address, like no other."""
    return "0x" + address(wallet).hex()


BAD = (name_of(0), name_of(1))
PHISHING = frozenset(bytes.fromhex(text[2:]) for text in BAD)


def stream() -> Movements:
    """Good wallets all along; two bad ones are paid in the window, then pay out."""
    rng = np.random.default_rng(1)
    day = np.sort(rng.integers(-200, 100, 900))
    sender = rng.integers(2, 40, 900)
    receiver = 2 + (sender - 2 + rng.integers(1, 38, 900)) % 38
    for place, row in enumerate(np.flatnonzero(day > 10)[::10][:24]):
        sender[row], receiver[row] = (
            (receiver[row], place % 2) if place < 16 else (place % 2, receiver[row])
        )
    at = WINDOW.start + day * DAY
    text = np.array([name_of(n) for n in range(40)])
    return Movements(
        1_000_000 + (at - at[0]) // DAY,
        at,
        text[sender],
        text[receiver],
        rng.lognormal(0, 1, 900),
        np.full(900, "0x", np.object_),
        np.zeros(900, np.bool_),
    )


def touching(moves: Movements, *wallets: str) -> Array:
    """Which movements are theirs."""
    return np.asarray(np.isin(moves.from_address, wallets) | np.isin(moves.to_address, wallets))


def assert_a_stream(moves: Movements, usual: Movements) -> None:
    """Blocks in order, each with its own time as before."""
    assert (np.diff(moves.block_number) >= 0).all()
    times = dict(zip(usual.block_number.tolist(), usual.block_timestamp.tolist(), strict=True))
    assert all(
        times[number] == at
        for number, at in zip(
            moves.block_number.tolist(), moves.block_timestamp.tolist(), strict=True
        )
    )


def test_attackers_are_those_of_the_window() -> None:
    """With the time of their first event; whoever came before is left alone."""
    moves = stream()
    first = attackers(moves, PHISHING)
    assert set(first) == set(BAD)
    for wallet, at in first.items():
        assert at == moves.block_timestamp[touching(moves, wallet)].min()
    early = moves.with_columns(block_timestamp=moves.block_timestamp - 150 * DAY)
    assert attackers(early, PHISHING) == {}


def test_payouts_are_split_to_the_last_coin() -> None:
    """Five for one, the same sum between the same two, never earlier; all else as it was."""
    moves = stream()
    made = rewrites.split(moves, BAD)
    assert_a_stream(made, moves)
    paid, were = (np.isin(m.from_address, BAD) for m in (made, moves))
    assert paid.sum() == 5 * were.sum() > 0
    assert made.value_eth[paid].sum() == pytest.approx(moves.value_eth[were].sum())
    assert Counter(made.to_address[paid].tolist()) == Counter(
        {who: 5 * n for who, n in Counter(moves.to_address[were].tolist()).items()}
    )
    assert sorted(made.value_eth[~paid]) == sorted(moves.value_eth[~were])


def test_who_waits_pays_later_and_nothing_else() -> None:
    """What they receive stays where it is."""
    moves = stream()
    made = rewrites.wait(moves, BAD, days=5)
    assert_a_stream(made, moves)
    paid, were = (np.isin(m.from_address, BAD) for m in (made, moves))
    gone = made.block_timestamp[paid] - moves.block_timestamp[were]
    assert gone.min() >= 5 * DAY or made.block_timestamp[paid].max() == moves.block_timestamp[-1]
    assert np.array_equal(made.part(~paid).block_number, moves.part(~were).block_number)


def test_a_warm_up_comes_before_the_first_victim() -> None:
    """With wallets that a good wallet began with, within three days before."""
    moves = stream()
    first = attackers(moves, PHISHING)
    made = rewrites.warm_up(moves, first)
    assert_a_stream(made, moves)
    assert len(made) == len(moves) + 2 * 8
    for wallet, at in first.items():
        own = made.block_timestamp[touching(made, wallet)]
        assert ((own >= at - 3 * DAY) & (own <= at)).sum() >= 8
        assert own.min() >= at - 3 * DAY


def test_victims_are_spread_and_each_stays_with_one_wallet() -> None:
    """Three wallets for one; whoever pays one of them pays only that one of an attacker's."""
    moves = stream()
    made, others = rewrites.spread(moves, BAD)
    assert {len(names) for names in others.values()} == {3}
    for own, names in others.items():
        were = moves.to_address == own
        pairs = set(
            zip(made.from_address[were].tolist(), made.to_address[were].tolist(), strict=True)
        )
        assert len(pairs) == len({payer for payer, _ in pairs})
        assert {wallet for _, wallet in pairs} <= set(names)
        assert len({wallet for _, wallet in pairs}) > 1
    assert np.array_equal(made.value_eth, moves.value_eth)


def test_vanity_changes_names_alone() -> None:
    """Four digits in front and four behind are those of who paid first."""
    moves = stream()
    made, renamed = rewrites.vanity(moves, BAD)
    assert set(renamed) == set(BAD)
    for old, new in renamed.items():
        payer = moves.from_address[moves.to_address == old][0]
        assert (new[:6], new[-4:]) == (payer[:6], payer[-4:])
        assert touching(made, new).sum() == touching(moves, old).sum()
    assert not touching(made, *BAD).any()


def test_washed_wallets_are_copies_between_fresh_addresses() -> None:
    """As many as make up their share; nobody of the stream has to do with them."""
    moves = stream()
    made, fresh = rewrites.wash(moves, BAD, 0.5)
    assert_a_stream(made, moves)
    names = np.array(["0x" + address.hex() for address in fresh])
    copied = touching(made, *names)
    assert copied.sum() == touching(moves, *BAD).sum()
    assert not np.isin(names, moves.from_address).any()
    assert np.isin(made.from_address[copied], names).all()
    assert np.isin(made.to_address[copied], names).all()


def test_hostile_amounts_reach_the_detector(tmp_path: Path) -> None:
    """NaN, infinity and 2^256-1 as floats, 2^256-1 as exact amounts; the others stay."""
    moves = rewrites.hostile(stream(), 9)
    assert (moves.value_eth == HOSTILE).sum() == 9
    batches = [spoilt(batch) for batch in read_stream(moves.write(tmp_path / "s.parquet"))]
    values = np.concatenate([column(batch.flows, "value_f64") for batch in batches])
    odd = ~np.isfinite(values) | (values > 1e70)
    assert odd.sum() == 9
    assert np.isnan(values).sum() == np.isinf(values).sum() == 3
    exact = [v for batch in batches for v in batch.flows["value"].to_pylist()]
    assert sum(v == b"\xff" * 32 for v in exact) == 9


def test_wallets_apart_are_not_judged() -> None:
    """Nor what happens to them; who is left keeps the order."""
    addresses = np.array([bytes([n]) * 20 for n in (1, 2, 3, 4)], "V20")
    record = Record(
        addresses, np.array([[0, 1], [2, 3], [0, 3], [1, 0]]), np.arange(4), np.arange(4.0),
        np.arange(8.0).reshape(4, 2),
    )  # fmt: skip
    left = without(record, frozenset({bytes([3]) * 20}))
    assert left.addresses.tolist() == addresses[[0, 1, 3]].tolist()
    assert left.events.tolist() == [[0, 1], [0, 2], [1, 0]]
    assert left.at.tolist() == [0, 2, 3]


@pytest.fixture(scope="module")
def usual(shared_data: Path) -> Figures:
    """The real stream as it is."""
    assert shared_data.exists()
    return judged(attacks()["does as ever"]())


@pytest.mark.data
def test_amounts_that_no_arithmetic_survives_cost_nothing(usual: Figures) -> None:
    """A thousand of NaN, infinity and 2^256-1: AUROC falls by no more than 0.01 (A3)."""
    found = judged(attacks()["sends NaN, inf and 2^256-1 (A3)"]())
    assert found.auroc > usual.auroc - 0.01
    assert found.average_precision > usual.average_precision - 0.02


@pytest.mark.data
def test_a_fifth_of_poison_costs_little_recall(usual: Figures) -> None:
    """Every fifth wallet of phishing shape is never called bad: 5 points of recall at most (A4)."""
    found = judged(attacks()["washes: 20 % of the shape is good (A4)"]())
    assert found.alert_recall > usual.alert_recall - 0.05


@pytest.mark.data
def test_names_are_nothing_to_the_model(usual: Figures) -> None:
    """Lookalike addresses change no figure."""
    found = judged(attacks()["has lookalike addresses"]())
    assert found.average_precision == pytest.approx(usual.average_precision, abs=1e-3)
    assert found.alert_recall == pytest.approx(usual.alert_recall, abs=0.005)


@pytest.mark.data
def test_no_single_feature_hides_a_wallet(shared_data: Path) -> None:
    """Whichever one is made ordinary, recall falls by less than 20 points (A5)."""
    assert len(read_movements(shared_data / "labelled" / "stream.parquet")) == 320_881
    probe = make_probe()
    usual = probe.recall(())
    assert usual > 0.8
    losses = [usual - probe.recall((n,)) for n in range(len(WALLET_FEATURES))]
    assert max(losses) < 0.2
    assert probe.recall(range(len(WALLET_FEATURES))) < 0.05
