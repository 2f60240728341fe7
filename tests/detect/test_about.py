"""Every rule says what it is, what else that may be, and what to do."""

from __future__ import annotations

import pytest

from chainwarden.schema import ETHEREUM
from chainwarden.scorecard import RULES
from detect.about import ABOUT, anomalies, consensus, listed, market, phishing, theft
from detect.alerts import DIGEST_RULE
from detect.label_words import Verdict, word_verdict
from detect.labels import LabelBook
from detect.rules import default_rules

NO_VERDICT = {"mev"}
SPEAK_BY_OTHER_IDS = {"builders", "fee_market", "gas_use", "token_launch"}


def test_every_rule_is_told_about() -> None:
    """Every id that an alert can carry, models and digest included, has its entry."""
    rules = {rule.id for rule in default_rules(LabelBook(), ETHEREUM)} - SPEAK_BY_OTHER_IDS
    missing = sorted((rules | set(RULES) | {DIGEST_RULE}) - set(ABOUT))
    assert not missing, (
        f"{', '.join(missing)}: add an entry About(what, innocent, check, label) by that id to the "
        "ABOUT of the module in detect/about/ it belongs to; analysts read it in "
        "`chainwarden explain` (or, where a rule's findings carry other ids, name it in "
        "SPEAK_BY_OTHER_IDS here)"
    )


def test_no_rule_is_told_about_twice() -> None:
    """Each id stands in one module only."""
    modules = (anomalies, consensus, listed, market, phishing, theft)
    assert sum(len(module.ABOUT) for module in modules) == len(ABOUT)


@pytest.mark.parametrize("rule", sorted(ABOUT))
def test_each_text_fits_the_screen(rule: str) -> None:
    """One line each, whole sentences, at least one innocent reading, a label that means bad."""
    about = ABOUT[rule]
    assert about.what.endswith(".")
    assert about.check.endswith((".", "?"))
    assert 1 <= len(about.innocent) <= 4
    assert all(len(text) <= 89 for text in (about.what, about.check, *about.innocent))
    assert not any(text.endswith(".") for text in about.innocent)
    if about.label and about.label not in NO_VERDICT:
        assert word_verdict(about.label) == Verdict.BAD
