"""Rules that are not ours: named by the settings, imported, and run like every other."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from chainwarden.errors import SettingsError
from chainwarden.schema import Chain
from detect.labels import LabelBook
from detect.rules import Rule

_PARTS: Final = ("id", "version", "evaluate", "revert", "forget", "snapshot", "restore", "digest")
_HINT: Final = "module:Class, of a module that Python finds (PYTHONPATH), as docs/rules.md shows"


def own_rules(names: Sequence[str], labels: LabelBook, chain: Chain) -> list[Rule]:
    """The rules that ``module:Class`` names stand for; each is made with the labels and the chain.

    Raises SettingsError for what cannot be imported, or is no rule.
    """
    return [_made(name, labels, chain) for name in names]


def _made(name: str, labels: LabelBook, chain: Chain) -> Rule:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise SettingsError(f"detect.own_rules: {name!r} names no rule", hint=_HINT)
    try:
        found = getattr(importlib.import_module(module), attribute)
        rule: Rule = found(labels, chain)
    except Exception as error:  # a module of somebody else's may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SettingsError(f"detect.own_rules: {name}: {reason}", hint=_HINT) from error
    missing = [part for part in _PARTS if not hasattr(rule, part)]
    if missing:
        raise SettingsError(
            f"detect.own_rules: {name} is no rule: it has no {', '.join(missing)}", hint=_HINT
        )
    return rule
