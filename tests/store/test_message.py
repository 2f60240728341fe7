"""The JSON Schema of webhooks, and what it says of messages."""

from __future__ import annotations

import copy
import json
import typing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from chainwarden.schema import ETHEREUM, Cursor, RetractionReason, Role, Severity
from store.delivery import Delivery
from store.ledger import Commit, Ledger
from store.message import AlertPart, RoleName, SeverityName
from store.outbox_rows import RAISED
from store.payload import MAX_BYTES
from store.sample import KINDS, sample_message
from store.webhook import Receiver, WebhookSender
from tests.conftest import ROOT
from tests.rigs.clock import VirtualClock
from tests.rigs.receiver import LOOPBACK, SECRET, WebhookReceiver
from tests.store.made import WALLET, alert

SCHEMA: Any = json.loads((ROOT / "docs" / "webhook.v1.schema.json").read_bytes())


def closed(schema: Any) -> Any:
    """The schema with no room for fields that it does not name: what is sent is all documented."""
    shut = copy.deepcopy(schema)
    for struct in shut["$defs"].values():
        struct["additionalProperties"] = False
    return shut


DOCUMENTED = Draft202012Validator(closed(SCHEMA))


def test_the_schema_is_one() -> None:
    """By the meta-schema of 2020-12, and it refuses what it should."""
    Draft202012Validator.check_schema(SCHEMA)
    _, body = sample_message(RAISED, ETHEREUM, 1e9)
    good = json.loads(body)
    Draft202012Validator(SCHEMA).validate(good)
    Draft202012Validator(SCHEMA).validate(good | {"new": 1})
    for path, wrong in (
        (("type",), "alert.other"),
        (("version",), 2),
        (("data", "subject"), "0x12"),
        (("data", "severity"), "awful"),
        (("data", "evidence", "amounts", 0, "amount"), 15),
        (("data", "score"), None),
    ):
        broken = copy.deepcopy(good)
        *way, last = path
        place = broken
        for step in way:
            place = place[step]
        place[last] = wrong
        with pytest.raises(ValidationError):
            Draft202012Validator(SCHEMA).validate(broken)


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_valid(kind: str) -> None:
    """What receivers are tried with is what they get, and says that it is a sample."""
    message_id, body = sample_message(kind, ETHEREUM, 1e9)
    message = json.loads(body)
    DOCUMENTED.validate(message)
    assert message["type"] == kind
    assert message_id.startswith(message["data"]["id"])
    if "sentence" in message["data"]:
        assert message["data"]["sentence"].startswith("A sample, nothing happened")


def test_the_words_of_the_schema_are_those_of_the_code() -> None:
    """Severities, roles, reasons of retractions: none is missing or made up."""
    assert set(typing.get_args(SeverityName)) == {one.text for one in Severity}
    assert set(typing.get_args(RoleName)) == {one.value for one in Role}
    reasons = SCHEMA["$defs"]["AlertPart"]["properties"]["retraction_reason"]["anyOf"][0]["enum"]
    assert set(reasons) == {one.value for one in RetractionReason}
    assert {"status", "retraction_reason"} < set(AlertPart.__struct_fields__)


def test_a_letter_that_the_ledger_lost_holds_up_no_other(tmp_path: Path) -> None:
    """It is refused, as by a receiver; what is about others arrives, and within the limit."""
    clock = VirtualClock()
    with (
        WebhookReceiver() as receiver,
        Ledger.open(tmp_path / "l", ETHEREUM, receivers=["ops"], clock=clock) as ledger,
    ):
        others = [alert(2, subject=b"\x02" * 20), alert(3, subject=b"\x03" * 20)]
        ledger.commit(Commit(Cursor(None), [alert(1), *others]))
        with ledger._database.transaction() as tx:
            tx.cursor.execute(
                "UPDATE ledger.outbox SET data = '{\"id\": 1}' WHERE subject = ?", [WALLET]
            )
        sender = WebhookSender(Receiver("ops", receiver.url, (SECRET,), LOOPBACK, 5.0))
        Delivery(ledger.outbox, [sender], clock).deliver_due()
        sender.close()
        assert [one.id for one in receiver.accepted()] == [one.id for one in others]
        assert all(len(one.body) < MAX_BYTES for one in receiver.received)
        (lost,) = ledger.outbox.letters(9)
    assert lost.alert_id == alert(1).id
    assert "cannot be read from the ledger" in lost.error
