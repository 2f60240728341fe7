"""Every body that a real run sends is what the committed JSON Schema says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from chainwarden.schema import BlockReverted, BlocksAdded, Position, Retraction
from store.ledger import Commit
from store.notice import notice_of
from store.payload import MAX_BYTES, body_of
from store.sinks import ENCODERS
from tests.store.test_message import DOCUMENTED
from tests.store.test_sinks import slack_limits
from tests.test_pipeline import Run, simulated_events


def test_what_a_run_sends_is_valid_by_the_schema(tmp_path: Path) -> None:
    """Alerts of every rule that fires, what forks take back and bring again, and digests.

    No field that is not in the schema is sent, and none of it is too long for Slack.
    """
    run = Run(tmp_path)
    outbox = run.stores.ledger.outbox
    sent: list[Any] = []

    def drain() -> None:
        while rows := outbox.due("ops", 1e12, limit=1):
            body = body_of(rows[0])
            assert len(body) < MAX_BYTES
            slack_limits(json.loads(json.dumps(ENCODERS["slack"](notice_of(body), False))))
            sent.append(json.loads(body))
            outbox.delivered(rows[0], 1e12)

    for number, event in enumerate(simulated_events(160)):
        run.feed([event])
        if number % 5 == 4:
            outbox.collapse("ops", 1e12)
        if number % 2 or isinstance(event, BlockReverted):
            drain()
        assert isinstance(event, BlocksAdded | BlockReverted)
    drain()
    told = run.stores.ledger.alerts()
    cursor = run.pipeline.cursor
    run.stores.ledger.commit(
        Commit(cursor, retractions=[Retraction(one.id, one.position) for one in told[:20]])
    )
    drain()
    run.stores.ledger.commit(Commit(cursor, [moved(one) for one in told[:10]]))
    drain()
    run.close()
    for message in sent:
        DOCUMENTED.validate(message)
    kinds = Counter(message["type"] for message in sent)
    assert set(kinds) == {"alert.raised", "alert.retracted", "alert.moved", "alert.digest"}
    assert kinds["alert.raised"] > 20


def moved(one: Any) -> Any:
    """The alert in another block, as a fork brings it again."""
    values = {name: getattr(one, name) for name in one.__slots__}
    return type(one)(**values | {"position": Position(one.position.number, b"\x77" * 32)})
