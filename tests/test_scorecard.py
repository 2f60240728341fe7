from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from chainwarden.errors import FileFormatError
from chainwarden.schema import ETHEREUM, Alert, Evidence, Hop, Position, Role, Severity
from chainwarden.scorecard import Campaign, read_truth, score_rules

THIEF, OTHER, VICTIM = bytes([1]) * 20, bytes([2]) * 20, bytes([3]) * 20
THEFT = bytes([9]) * 32
CAMPAIGN = Campaign(
    "ice-1", "ice_phishing", 10, 20, {"attacker": ["0x" + THIEF.hex()]}, ["0x" + THEFT.hex()]
)
SECOND = Campaign("ice-2", "ice_phishing", 30, 40, {"attacker": ["0x" + "07" * 20]}, [])
ALERT = Alert(
    id="1",
    chain=ETHEREUM,
    rule="ice_phishing",
    rule_version=1,
    typology="ice_phishing",
    severity=Severity.HIGH,
    score=1.0,
    subject=THIEF,
    role=Role.ATTACKER,
    position=Position(14, b""),
    block_timestamp=0,
    transaction_hash=None,
    ordinal=0,
    sentence="",
)


def test_precision_and_recall_per_rule() -> None:
    """An alert on a campaign's wallet or transaction, or whose path has one, is a hit."""
    alerts = [
        ALERT,
        replace(ALERT, subject=OTHER),
        replace(ALERT, subject=VICTIM, evidence=Evidence(transactions=(THEFT,))),
        replace(ALERT, subject=OTHER, evidence=Evidence(path=(Hop(THEFT, THIEF, OTHER, 1),))),
        replace(ALERT, subject=OTHER, evidence=Evidence(path=(Hop(None, THIEF, OTHER, 1),))),
    ]
    rules = {"ice_phishing": "ice_phishing", "mixer_touch": "mixer"}
    ice, mixer = score_rules(alerts, [CAMPAIGN, SECOND], rules)
    assert (ice.alerts, ice.hits, ice.found, ice.campaigns) == (5, 3, 1, 2)
    assert ice.precision == pytest.approx(3 / 5)
    assert ice.recall == 0.5
    assert ice.blocks_to_alert == 4.0
    assert (mixer.precision, mixer.recall) == (None, None)


def test_an_anomaly_may_hit_any_campaign() -> None:
    """Anomalies have no typology of their own: any campaign they touch counts."""
    (score,) = score_rules([replace(ALERT, rule="flow")], [CAMPAIGN], {"flow": "anomaly"})
    assert (score.hits, score.found) == (1, 1)


def test_a_file_that_is_no_truth_is_named(tmp_path: Path) -> None:
    """A file that is not there, or not a truth file, is a FileFormatError with its path."""
    path = tmp_path / "truth.json"
    for text in (None, "{}", "[", '[{"id": 1}]'):
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with pytest.raises(FileFormatError, match=r"truth\.json"):
            read_truth(path)


def test_a_disturbance_of_the_chain_is_touched_by_alerts_in_its_blocks() -> None:
    """A campaign without wallets and transactions is hit by its rule's alerts in its blocks."""
    slots = Campaign("consensus-1", "consensus", 10, 12, {}, [])
    alerts = [replace(ALERT, rule="missed_slots", position=Position(n, b"")) for n in (9, 13, 99)]
    (score,) = score_rules(alerts, [slots], {"missed_slots": "consensus"})
    assert (score.hits, score.found) == (1, 1)


def test_an_alert_about_the_chain_touches_a_campaign_in_its_blocks() -> None:
    """Full blocks name no wallet: they are the spam's whose blocks they are, and of no other."""
    full = replace(ALERT, rule="full_blocks", subject=bytes(20))
    alerts = [replace(full, position=Position(n, b"")) for n in (9, 14, 84, 85)]
    (score,) = score_rules(alerts, [CAMPAIGN], {"full_blocks": "ice_phishing"})
    assert (score.hits, score.found) == (2, 1)


def test_a_neighbouring_kind_is_a_hit_and_nothing_to_find() -> None:
    """A drainer's split seen in an ice phishing campaign is no false alarm, and no recall."""
    theft = msgspec.structs.replace(CAMPAIGN, typology="ice_phishing")
    alert = replace(ALERT, rule="drainer_split")
    (score,) = score_rules([alert], [theft], {"drainer_split": "drainer_split"})
    assert (score.hits, score.found, score.campaigns) == (1, 0, 0)
