"""Every rule on simulated chains: what it finds, how soon, and what it says where there is nothing.

Rules and kinds of campaign come from their own registries. Campaigns and benign traffic are run
apart: precision is that of a chain with attacks in it, false alarms are those of one without.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median

from benchmarks.detection.section import Cell, Section
from benchmarks.detection.simulated import Run, run
from chainwarden.schema import Severity
from chainwarden.scorecard import RULES, RuleScore, score_rules
from detect.alerts import DIGEST_RULE
from ingest.simulate import SimulationConfig

TITLE = "Typologies on the simulated chain"
COLUMNS = (
    "rule", "catches", "alerts", "precision", "found", "of", "recall", "blocks",
    "false", "grave",
)  # fmt: skip
BLOCKS = 3_000


def section(quick: bool) -> Section:
    """The table, over several seeds; ``quick`` takes one of each kind, and shorter chains."""
    seeds, blocks = ((1,), 1_500) if quick else ((1, 2), BLOCKS)
    benign_seeds = (101,) if quick else (101, 102, 103)
    attacked = [_run(SimulationConfig(seed=seed, blocks=blocks)) for seed in seeds]
    benign = [
        _run(SimulationConfig(seed=seed, blocks=blocks, campaigns=())) for seed in benign_seeds
    ]
    notes = (
        f"attacks: seeds {_listed(seeds)}; benign: seeds {_listed(benign_seeds)}; {blocks:,} blocks"
        f" each, {sum(r.transactions for r in (*attacked, *benign)):,} transactions in all",
        "blocks: median from a campaign's first to the alert; false: per 1,000 benign blocks,"
        " grave: those of them that are high or critical",
        "alerts are what the policy lets through (cool-down, budget); an anomaly may find any"
        " campaign",
    )
    return Section("typologies", TITLE, COLUMNS, table(attacked, benign), notes)


def table(attacked: Sequence[Run], benign: Sequence[Run]) -> list[tuple[Cell, ...]]:
    """A row per rule: the counts of all runs together."""
    blocks = sum(run.blocks for run in benign)
    false: Counter[str] = Counter()
    grave: Counter[str] = Counter()
    for one in benign:
        false.update(alert.rule for alert in one.alerts)
        grave.update(a.rule for a in one.alerts if a.severity >= Severity.HIGH)
    rules = dict(RULES)
    # A rule that nobody scores would go unseen here; its false alarms at least are counted.
    told = {alert.rule for one in (*attacked, *benign) for alert in one.alerts}
    for name in sorted(told - {DIGEST_RULE}):
        rules.setdefault(name, "–")
    scores = [score_rules(one.alerts, one.campaigns, rules) for one in attacked]
    lines: list[tuple[Cell, ...]] = []
    for of_rule in zip(*scores, strict=True):
        score = together(of_rule)
        lines.append(
            (
                score.rule,
                score.typology,
                score.alerts,
                score.precision,
                score.found,
                score.campaigns,
                score.recall,
                score.blocks_to_alert,
                1000.0 * false[score.rule] / blocks,
                1000.0 * grave[score.rule] / blocks,
            )
        )
    return lines


def together(scores: Sequence[RuleScore]) -> RuleScore:
    """One rule's scores on several chains as one; delays as the median of their medians."""
    delays = [score.blocks_to_alert for score in scores if score.blocks_to_alert is not None]
    return RuleScore(
        rule=scores[0].rule,
        typology=scores[0].typology,
        alerts=sum(score.alerts for score in scores),
        hits=sum(score.hits for score in scores),
        found=sum(score.found for score in scores),
        campaigns=sum(score.campaigns for score in scores),
        blocks_to_alert=median(delays) if delays else None,
    )


def _run(config: SimulationConfig) -> Run:
    what = "attacks" if config.campaigns else "benign traffic"
    sys.stderr.write(f"  {what}, seed {config.seed}, {config.blocks:,} blocks …\n")
    return run(config)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
