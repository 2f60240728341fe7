"""Champion and challenger from settings to alerts: compared, promoted, replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden.deployment import UNDO_BLOCKS
from chainwarden.errors import RequestRefused, SettingsError
from chainwarden.observe import observe_models
from chainwarden.replay import every_alert, rebuild
from chainwarden.risk_models import risk_models
from chainwarden.schema import ETHEREUM, BlocksAdded, ChainEvent
from chainwarden.settings import DetectSettings, ModelSettings, Settings, load_settings
from detect.risk_config import RiskConfig
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.simulate import Simulation, SimulationConfig
from store.ledger import Ledger
from store.model_answers import PromotionWord, models_answer, promote
from tests.command import run as run_command
from tests.command import run_json
from tests.test_labelling import Run, number_of

EAGER = ModelSettings(alert=0.02, rate=0.05)


@pytest.fixture(scope="module")
def events() -> list[ChainEvent]:
    """The chain events of a simulated chain with forks, block by block."""
    config = SimulationConfig(seed=6, blocks=110, transactions_per_block=8.0)
    follower = ChainFollower(UNDO_BLOCKS)
    return [
        event
        for raw in Simulation(config).blocks()
        for event in follower.add(decode_blocks(ETHEREUM, [raw], [True]))
    ]


@pytest.fixture
def run(tmp_path: Path, events: list[ChainEvent]) -> Iterator[Run]:
    """A run with a challenger, in which every fifth wallet is known to be bad at once."""
    wallets = {
        wallet
        for event in events
        if isinstance(event, BlocksAdded)
        for wallet in event.batch.flows["to_address"].to_pylist()
        if wallet[0] % 5 == 0
    }
    listed = tmp_path / "list.csv"
    listed.write_text(
        "address,label\n" + "".join(f"0x{wallet.hex()},phishing\n" for wallet in sorted(wallets))
    )
    detect = DetectSettings(labels=[str(listed)], label_delay_days=0.0, challenger=EAGER)
    run = Run(tmp_path / "out", Settings(detect=detect))
    yield run
    run.ledger.close()


def risky(ledger: Ledger) -> list[int]:
    """The blocks of the risk model's alerts."""
    return sorted(a.position.number for a in every_alert(ledger) if a.rule == "wallet_risk")


def configurations(run: Run) -> tuple[str, str]:
    """Those of champion and challenger, as the ledger has them."""
    told = models_answer(run.ledger)
    found = told["champion"], told["challenger"]
    assert isinstance(found[0], dict)
    assert isinstance(found[1], dict)
    return found[0]["configuration"], found[1]["configuration"]


def test_a_promotion_takes_force_with_the_next_block(run: Run, events: list[ChainEvent]) -> None:
    """The challenger raises no alert before, and the alerts after; the ledger notes who, and the
    block; a restart and a rebuild come to the same state and the same alerts."""
    run.feed(events[:70])
    before, (champion, challenger) = risky(run.ledger), configurations(run)
    promote(run.ledger, PromotionWord("ana", "it finds more"))
    with pytest.raises(RequestRefused, match="waits for the next block"):
        promote(run.ledger, PromotionWord("bob"))
    assert configurations(run) == (champion, challenger)
    run.feed(events[70:])
    assert configurations(run) == (challenger, champion)
    (noted,) = run.ledger.promotions()
    start = number_of(events, 70)
    assert (noted.number, noted.by, noted.configuration) == (start, "ana", challenger)
    after = [number for number in risky(run.ledger) if number >= start]
    assert len(after) > len(before)
    digest, told = run.detector.digest(), run.ledger.model_figures()
    result = rebuild(run.ledger, run.folder / "lake", run.folder.parent / "again", run.settings)
    assert (result["missing"], result["new"]) == (0, 0)
    assert result["state_digest"] == digest
    with Ledger.open(run.folder.parent / "again" / "ledger.duckdb", ETHEREUM, "replay") as again:
        assert again.promotions()[0].number == start
        assert again.model_figures() == told
    run.ledger.close()
    restarted = Run(run.folder, run.settings)
    run.stores = restarted.stores
    assert restarted.detector.digest() == digest


def test_a_promotion_outlives_the_fork_that_takes_its_block(
    run: Run, events: list[ChainEvent]
) -> None:
    """The other branch is scored by the new champion, too, and a rebuild does the same."""
    reverts = [n for n, e in enumerate(events) if not isinstance(e, BlocksAdded) and n > 50]
    at = next(n for n in reverts if type(events[n]).__name__ == "BlockReverted")
    run.feed(events[: at - 1])
    promote(run.ledger, PromotionWord("ana"))
    run.feed(events[at - 1 :])
    (noted,) = run.ledger.promotions()
    assert noted.number is not None
    assert noted.number <= number_of(events, at)
    result = rebuild(run.ledger, run.folder / "lake", run.folder.parent / "again", run.settings)
    assert (result["missing"], result["new"]) == (0, 0)
    assert result["state_digest"] == run.detector.digest()


def test_settings_that_know_the_promoted_model_no_more_are_the_stronger(
    run: Run, events: list[ChainEvent], caplog: pytest.LogCaptureFixture
) -> None:
    """The champion of the settings stays, and that is said; one that was made the champion of the
    settings is it from the start."""
    run.feed(events[:50])
    _, challenger = configurations(run)
    promote(run.ledger, PromotionWord("ana"))
    run.feed(events[50:54])
    run.ledger.close()
    plain = Run(run.folder, with_models(run.settings, challenger=None))
    assert "neither detect.champion nor detect.challenger" in caplog.text
    plain.ledger.close()
    adopted = Run(run.folder, with_models(run.settings, champion=EAGER, challenger=None))
    adopted.feed(events[54:55])
    told = models_answer(adopted.ledger)
    assert isinstance(told["champion"], dict)
    assert told["champion"]["configuration"] == challenger
    assert told["challenger"] is None
    run.stores = adopted.stores


def with_models(settings: Settings, **detect: ModelSettings | None) -> Settings:
    """The settings with other models."""
    fields = {name: getattr(settings.detect, name) for name in DetectSettings.__struct_fields__}
    return Settings(detect=DetectSettings(**{**fields, **detect}))


def test_the_models_command_shows_and_promotes(run: Run, events: list[ChainEvent]) -> None:
    """Side by side with a verdict, as a table and as JSON; the author is noted."""
    run.feed(events[:50])
    champion, challenger = configurations(run)
    run.ledger.close()
    folder = run.folder.parent
    shown = run_command("models", "--out", run.folder, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    for word in (champion, challenger, "log loss", "AUROC", "McNemar", "alert", "0.02"):
        assert word in shown.stdout, word
    found = run_json("models", "--out", run.folder, cwd=folder)
    figures = found["champion"]["figures"]["all"]
    assert figures["rows"] > 50
    assert figures["rows"] == found["challenger"]["figures"]["all"]["rows"]
    done = run_json(
        "models", "promote", "--author", "ana", "--note", "why not", "--configuration",
        challenger[:5], "--out", run.folder, cwd=folder,
    )  # fmt: skip
    assert done == {"configuration": challenger, "status": "promoted"}
    twice = run_command("models", "promote", "--out", run.folder, cwd=folder)
    assert twice.returncode != 0
    assert "waits for the next block" in twice.stderr
    odd = run_command("models", "demote", "--out", run.folder, cwd=folder)
    assert odd.returncode == 3
    assert "show, or promote" in odd.stderr
    run.stores = Run(run.folder, run.settings).stores
    (noted,) = run.ledger.promotions()
    assert (noted.by, noted.why) == ("ana", "why not")


def test_metrics_tell_both_models_by_role(run: Run, events: list[ChainEvent]) -> None:
    """What the ledger says is what Prometheus reads."""
    run.feed(events[:50])
    told = run.detector.models()
    assert told is not None
    observe_models(run.metrics, told)
    value = run.metrics.registry.get_sample_value
    for role in ("champion", "challenger"):
        labels = {"chain": "ethereum", "role": role, "span": "all"}
        figures = told[role]["figures"]["all"]
        assert value("chainwarden_risk_log_loss", labels) == figures["log_loss"]
        assert value("chainwarden_risk_rows_judged", labels) == figures["rows"] > 0
        info = {
            "chain": "ethereum", "role": role, "configuration": told[role]["configuration"],
        }  # fmt: skip
        assert value("chainwarden_risk_model_info", info) == 1


def test_settings_make_the_two_models(tmp_path: Path) -> None:
    """A challenger differs from the champion in what is given; the rest is the champion's."""
    file = tmp_path / "chainwarden.toml"
    file.write_text(
        "[detect]\nlabel_delay_days = 2\n[detect.champion]\nrate = 0.02\ntrees = 100\n"
        "[detect.challenger]\ndepth = 4\ntree_rate = 0.05\n"
    )
    settings = load_settings(file, {"CHAINWARDEN_DETECT_CHALLENGER_ALERT": "0.25"})
    champion, challenger = risk_models(settings)
    usual = RiskConfig(delay_seconds=2 * 86_400)
    assert champion == dataclasses.replace(
        usual, rate=0.02, trees=dataclasses.replace(usual.trees, trees=100)
    )
    assert challenger == dataclasses.replace(
        champion,
        alert=0.25,
        trees=dataclasses.replace(champion.trees, depth=4, rate=0.05),
    )
    assert risk_models(Settings()) == (RiskConfig(), None)


@pytest.mark.parametrize(
    ("champion", "challenger", "says"),
    [
        (None, ModelSettings(), "differs from the champion in nothing"),
        (ModelSettings(rate=0.2), ModelSettings(rate=0.2), "differs from the champion in nothing"),
        (None, ModelSettings(alert=0.95), "detect.challenger: 0 < alert <= grave"),
        (ModelSettings(grave=0.1), None, "detect.champion: 0 < alert <= grave"),
    ],
)
def test_models_that_make_no_sense_are_refused(
    champion: ModelSettings | None, challenger: ModelSettings | None, says: str
) -> None:
    """The table of the settings is named."""
    settings = Settings(detect=DetectSettings(champion=champion, challenger=challenger))
    with pytest.raises(SettingsError, match=says):
        risk_models(settings)
