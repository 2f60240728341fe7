"""``chainwarden models``: from the ledger, or from the process that has it open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chainwarden.asking import ask
from chainwarden.errors import SettingsError
from chainwarden.report.words import moment
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from store.model_answers import PromotionWord

_FIGURES: Final = (
    ("rows", "rows judged"),
    ("positives", "of them bad"),
    ("log_loss", "log loss"),
    ("brier", "Brier score"),
    ("average_precision", "average precision"),
    ("precision_at_100", "precision of the 100 highest"),
    ("auroc", "AUROC"),
    ("calibration_error", "calibration error"),
    ("alerts", "rows at the alert level"),
    ("precision", "precision there"),
    ("recall", "recall there"),
)
_SPANS: Final = (("all", "since the start"), ("recent", "last 30 to 60 days"))


def said_of(act: str, author: str, note: str, configuration: str) -> PromotionWord | None:
    """What the command line says; None where it only asks. Raises SettingsError for no act."""
    if act == "show":
        return None
    if act == "promote":
        return PromotionWord(author, note, configuration)
    raise SettingsError(f"models cannot {act!r}", hint="show, or promote")


def models(
    said: PromotionWord | None, *, config: Path | None, flags: Mapping[str, object], json: bool
) -> None:
    """Show the risk models side by side, or make the challenger the champion."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        found = asked.models() if said is None else asked.promote(said)
    if json:
        print_json(found)
    elif said is None:
        _show(found)
    else:
        print_line(f"{found['configuration']} promoted: it raises the alerts from the next block")


def _show(found: dict[str, Any]) -> None:
    champion, challenger = found["champion"], found["challenger"]
    if champion is None:
        raise SettingsError(
            "no risk model has scored anything here", hint="run or replay with detect.risk on"
        )
    print_line(f"Figures as of block {found['block']}, each row as it was scored.")
    for span, name in _SPANS:
        rows = [_row(key, word, champion, challenger, span) for key, word in _FIGURES]
        print_table(name, ("", *_heads(champion, challenger)), rows)
        if challenger is not None:
            print_line(_verdict(found["comparison"][span]))
    if challenger is not None:
        _show_difference(champion, challenger)
    _show_promotions(found["promotions"])


def _row(
    key: str, word: str, champion: dict[str, Any], challenger: dict[str, Any] | None, span: str
) -> tuple[object, ...]:
    models = [champion] if challenger is None else [champion, challenger]
    return (word, *(_figure(model["figures"][span][key]) for model in models))


def _heads(champion: dict[str, Any], challenger: dict[str, Any] | None) -> list[str]:
    heads = [f"champion {champion['configuration']}"]
    return heads if challenger is None else [*heads, f"challenger {challenger['configuration']}"]


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _verdict(found: dict[str, Any]) -> str:
    alone = f"{found['second_alone']:,} rows against {found['first_alone']:,}"
    alerts = f"Alone right at its alert level: the challenger on {alone}"
    if found["alerts_p_value"] is not None:
        alerts += f" (McNemar, p {found['alerts_p_value']:.2g})"
    if found["p_value"] is None:
        return f"The challenger: {found['verdict']}. {alerts}."
    return (
        f"The challenger: {found['verdict']}. Its log loss is {found['difference']:+.5f} better "
        f"(standard error {found['standard_error']:.5f}; Diebold and Mariano, "
        f"p {found['p_value']:.2g}). {alerts}."
    )


def _show_difference(champion: dict[str, Any], challenger: dict[str, Any]) -> None:
    one, other = _flat(champion["parameters"]), _flat(challenger["parameters"])
    rows = [(name, one[name], other[name]) for name in sorted(one) if one[name] != other[name]]
    print_table("Parameters that differ", ("", *_heads(champion, challenger)), rows)


def _flat(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{at}{name}.")
        else:
            flat[f"{at}{name}"] = value
    return flat


def _show_promotions(promotions: list[dict[str, Any]]) -> None:
    if not promotions:
        return
    print_table(
        "Promotions",
        ("said (UTC)", "by", "configuration", "from block", "why"),
        [
            (
                moment(int(one["said_at"])),
                one["by"],
                one["configuration"],
                "next" if one["in_force_from"] is None else str(one["in_force_from"]),
                one["why"],
            )
            for one in promotions
        ],
    )
