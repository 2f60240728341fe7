"""From settings to the configurations of the wallet risk model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from chainwarden.errors import DetectError, SettingsError
from chainwarden.settings import ModelSettings, Settings
from detect.risk_config import RiskConfig

DAY_SECONDS: Final = 86_400
_MODEL: Final = ("rate", "pairs", "stake_weight", "alert", "grave")
_TREES: Final = {
    "members": "members",
    "trees": "trees",
    "depth": "depth",
    "every": "every",
    "common": "common",
    "rare": "rare",
    "sample": "sample",
    "columns": "columns",
    "tree_rate": "rate",
    "shrinkage": "shrinkage",
    "seed": "seed",
}


def risk_models(
    settings: Settings, label_delay_days: float | None = None
) -> tuple[RiskConfig, RiskConfig | None]:
    """Champion and challenger as the settings want them, labels coming as late as they say, or as
    ``label_delay_days`` does.

    Raises SettingsError for parameters that do not go together.
    """
    days = settings.detect.label_delay_days if label_delay_days is None else label_delay_days
    usual = RiskConfig(delay_seconds=int(days * DAY_SECONDS))
    champion = _varied(usual, settings.detect.champion, "detect.champion")
    if settings.detect.challenger is None:
        return champion, None
    challenger = _varied(champion, settings.detect.challenger, "detect.challenger")
    if challenger.digest == champion.digest:
        raise SettingsError(
            "detect.challenger differs from the champion in nothing",
            hint="give it a parameter of its own",
        )
    return champion, challenger


def _varied(base: RiskConfig, told: ModelSettings | None, key: str) -> RiskConfig:
    if told is None:
        return base
    given = {n: getattr(told, n) for n in told.__struct_fields__ if getattr(told, n) is not None}
    trees: dict[str, Any] = {_TREES[n]: v for n, v in given.items() if n in _TREES}
    own: dict[str, Any] = {n: v for n, v in given.items() if n in _MODEL}
    try:
        return replace(base, trees=replace(base.trees, **trees), **own)
    except DetectError as error:
        raise SettingsError(f"{key}: {error.message}") from error
