"""``chainwarden deliveries``: on a ledger that nobody has open, and on a running process."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from chainwarden.metrics import Metrics
from chainwarden.observe import observe_delivery
from chainwarden.schema import ETHEREUM, Cursor
from chainwarden.serving import serve_ledger
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from detect.labels import LabelBook
from store.ledger import Commit, Ledger
from store.outbox import RAISED, SCHEDULE, Failure
from tests.command import run as run_command
from tests.command import run_json
from tests.rigs.deliveries import Rig
from tests.store.made import alert


def fail(ledger: Ledger, receiver: str, attempts: int, failure: Failure) -> None:
    """What is due for a receiver fails so often."""
    for _ in range(attempts):
        (row,) = ledger.outbox.due(receiver, 1e12, limit=1)
        ledger.outbox.failed(row, time.time(), failure)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of a run with three receivers: one refused for good, one gone, one never asked."""
    names = ("desk", "ops", "pager")
    with Ledger.open(tmp_path / "out" / "ledger.duckdb", ETHEREUM, receivers=names) as ledger:
        ledger.commit(Commit(Cursor(None), [alert(1)]))
        fail(ledger, "desk", len(SCHEDULE), Failure("desk: answered 422", refused=True))
        fail(ledger, "ops", 1, Failure("ops: answered 410", gone=True))
        ledger.commit(Commit(Cursor(None), [alert(2)]))
    return tmp_path / "out"


def states(found: dict[str, list[dict[str, object]]]) -> list[tuple[object, object, object]]:
    """The receiver, state and attempts of each letter."""
    return [(one["receiver"], one["state"], one["attempts"]) for one in found["letters"]]


def test_letters_are_listed_replayed_and_receivers_enabled_by_command(folder: Path) -> None:
    """Pending, parked and dead ones with reasons; what is sent again is due at once."""
    found = run_json("deliveries", "--out", folder, cwd=folder)
    assert {one["name"]: (one["pending"], one["dead"]) for one in found["receivers"]} == {
        "desk": (1, 1), "ops": (2, 0), "pager": (2, 0),
    }  # fmt: skip
    assert [one["reason"] for one in found["receivers"] if one["disabled"]] == ["ops: answered 410"]
    assert states(found) == [
        ("desk", "dead", 10), ("ops", "parked", 1), ("pager", "pending", 0),
        ("desk", "pending", 0), ("ops", "parked", 0), ("pager", "pending", 0),
    ]  # fmt: skip
    dead = found["letters"][0]
    assert (dead["reason"], dead["alert"], dead["next_attempt"]) == (
        "desk: answered 422", alert(1).id, None,
    )  # fmt: skip
    shown = run_command("deliveries", "--state", "dead", "--out", folder, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    for word in ("disabled since", "desk: answered 422", "1 letters"):
        assert word in shown.stdout, word
    done = run_json("deliveries", "replay", dead["id"], "--out", folder, cwd=folder)
    assert done == {"replayed": 1, "disabled": ["ops"]}
    shown = run_command("deliveries", "replay", "--receiver", "ops", "--out", folder, cwd=folder)
    assert shown.stdout.endswith(f"before: chainwarden deliveries enable ops --out {folder}\n")
    done = run_json("deliveries", "enable", "ops", "--out", folder, cwd=folder)
    assert done == {"receiver": "ops", "status": "enabled", "waiting": 2}
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        for name in ("desk", "ops"):
            told = []
            while rows := ledger.outbox.due(name, time.time()):
                told += [row.message_id for row in rows]
                for row in rows:
                    ledger.outbox.delivered(row, time.time())
            assert told == [alert(1).id, alert(2).id], "in order"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("replay", "77"), 3, "no letter 77"),
        (("replay",), 3, "an id, a receiver, or everything"),
        (("replay", "--receiver", "nobody"), 3, "known: desk, ops, pager"),
        (("enable", "pager"), 3, "pager is not disabled"),
        (("enable",), 3, "enable NAME"),
        (("burn",), 3, "list; replay ID"),
        (("--state", "lost"), 3, "pending or dead"),
    ],
)
def test_what_cannot_be_done_says_what_can(
    folder: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    """One line and an exit code, and nothing changed."""
    done = run_command("deliveries", *words, "--out", folder, cwd=folder)
    assert done.returncode == code
    assert says in done.stderr
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        assert ledger.outbox.state("ops").disabled
        assert len(ledger.outbox.dead_letters()) == 1


def test_beside_a_running_process_its_api_is_asked(tmp_path: Path) -> None:
    """The same answers; a receiver enabled by command is sent to by the process that runs, and its
    metrics say so before and after."""
    rig = Rig(tmp_path / "ledger.duckdb")
    rig.receivers["ops"].mode = "gone"
    rig.raise_(alert(1), alert(2))
    rig.delivery.deliver_due()
    metrics = Metrics(CollectorRegistry(), ETHEREUM.name)
    settings = Settings(store=StoreSettings(out=str(tmp_path)), server=ServerSettings(port=0))

    def disabled() -> float | None:
        observe_delivery(metrics, rig.delivery, rig.ledger)
        labels = {"chain": "ethereum", "receiver": "ops"}
        return metrics.registry.get_sample_value("chainwarden_receiver_disabled", labels)

    with ExitStack() as stack:
        serve_ledger(settings, rig.ledger, LabelBook(), metrics, lambda: "", stack)
        assert disabled() == 1
        found = run_json("deliveries", "--limit", 1, "--out", tmp_path, cwd=tmp_path)
        assert (states(found), found["more"]) == ([("ops", "parked", 1)], True)
        refused = run_command("deliveries", "replay", "99", "--out", tmp_path, cwd=tmp_path)
        assert (refused.returncode, "no letter 99" in refused.stderr) == (3, True)
        assert run_json("deliveries", "replay", "--all", "--out", tmp_path, cwd=tmp_path) == {
            "replayed": 0, "disabled": ["ops"],
        }  # fmt: skip
        run_json("deliveries", "enable", "ops", "--out", tmp_path, cwd=tmp_path)
        rig.receivers["ops"].mode = "ok"
        rig.delivery.deliver_due()
        assert disabled() == 0
    assert rig.told() == [(RAISED, alert(1).id), (RAISED, alert(2).id)]
    rig.end()
