"""``chainwarden demo``."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from chainwarden.commands.simulate import write
from chainwarden.replay import ReplayResult, every_alert, prepare_folder, replay
from chainwarden.schema import ETHEREUM
from chainwarden.scorecard import RuleScore, read_truth, score_rules
from chainwarden.settings import DetectSettings, Settings, configured_chain
from chainwarden.terminal import print_json, print_line, print_table, progress
from ingest.simulate import SimulationConfig
from store.ledger import Ledger


def demo(*, blocks: int, seed: int, out: Path, json: bool) -> None:
    """Simulate, replay, compare with the truth, and say where everything is."""
    written = write(SimulationConfig(seed=seed, blocks=blocks), out / "chain", quiet=json)
    settings = Settings(detect=DetectSettings(labels=[str(written.labels_file)]))
    results = out / "results"
    prepare_folder(results, configured_chain(settings), overwrite=True)
    with progress("replay", written.blocks, quiet=json) as advance:
        result = replay(written.blocks_file, results, settings, batch_blocks=256, advance=advance)
    if result.failure is not None:
        raise result.failure
    with Ledger.open(results / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        alerts = every_alert(ledger)
    scores = score_rules(alerts, read_truth(written.truth_file))
    if json:
        rules = [
            {
                "rule": score.rule,
                "typology": score.typology,
                "alerts": score.alerts,
                "precision": score.precision,
                "recall": score.recall,
                "blocks_to_alert": score.blocks_to_alert,
            }
            for score in scores
        ]
        print_json({**result.to_dict(), "rules": rules})
    else:
        _show(result, scores, written.folder, settings.server.port)


def _show(result: ReplayResult, scores: list[RuleScore], chain: Path, port: int) -> None:
    print_line(
        f"{result.flows:,} flows of {result.blocks:,} blocks, every root recomputed, in "
        f"{result.seconds:.1f} s: {result.flows_per_second:,.0f} flows/s; "
        f"{result.wallets:,} wallets remembered"
    )
    print_table(
        f"{result.alerts} alerts against the truth; on the way forks took {result.retracted} back",
        ("rule", "catches", "alerts", "precision", "found", "of", "recall", "blocks to alert"),
        [
            (
                score.rule,
                score.typology,
                score.alerts,
                score.precision,
                score.found,
                score.campaigns,
                score.recall,
                score.blocks_to_alert,
            )
            for score in scores
        ],
    )
    print_line(f"simulated chain, labels and truth  {chain}")
    print_line(f"ledger (DuckDB)                    {result.out}/ledger.duckdb")
    print_line(f"lake (Parquet)                     {result.out}/lake")
    out, truth = (shlex.quote(str(path)) for path in (result.out, chain / "truth.json"))
    following = [
        *_findable(),
        f"chainwarden alerts --out {out} --severity high",
        f"chainwarden alerts --out {out} --rule ice_phishing --json",
        f"chainwarden report {out} --truth {truth}",
    ]
    for at, command in enumerate(following):
        print_line(f"{'' if at else 'next:':<5} {command}")
    print_line(f"console: chainwarden serve --out {out}, then open http://127.0.0.1:{port}/")


def _findable() -> list[str]:
    """What lets a shell find ``chainwarden``, as every hint of ours calls it, if it does not."""
    if shutil.which("chainwarden") is not None:
        return []
    return [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
