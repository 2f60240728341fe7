"""What each rule is, its usual false positives, and what to do: by rule, a module a subject.

A new rule adds its entry to the ``ABOUT`` of the module it belongs to. Every id that findings carry
has one, those of models and of the alert digest too; a test says which are missing.
"""

from __future__ import annotations

from typing import Final

from detect.about import anomalies, consensus, listed, market, phishing, theft
from detect.about.text import About

__all__ = ["ABOUT", "About"]

_MODULES: Final = (anomalies, consensus, listed, market, phishing, theft)

ABOUT: Final[dict[str, About]] = {
    rule: about for module in _MODULES for rule, about in module.ABOUT.items()
}
"""By the id that findings and alerts carry as their rule."""
