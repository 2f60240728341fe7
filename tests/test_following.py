"""``chainwarden alerts``: what follows, what is filtered, and how it fits a terminal."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from chainwarden.commands.alerts import AlertWords, _tell
from chainwarden.errors import SettingsError
from chainwarden.following import AlertFollower
from chainwarden.metrics import Metrics
from chainwarden.schema import ETHEREUM, Alert, Cursor, Label, Position, Retraction, Severity
from chainwarden.serving import serve_ledger
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from detect.labels import LabelBook
from store.answers import alert_answer, alerts_answer
from store.ledger import AlertFilter, Commit, Ledger
from tests.command import COMMAND, run, run_json, running
from tests.environment import environment
from tests.store.made import WALLET, alert, position

STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|9)\d(?:;\d+)*m")


class Direct:
    """A ledger that is asked without a process between."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.asked = 0

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        """A page."""
        self.asked += 1
        return alerts_answer(self.ledger, wanted)

    def alert(self, alert_id: str) -> dict[str, Any]:
        """One alert."""
        self.asked += 1
        return alert_answer(self.ledger, alert_id)


def commit(ledger: Ledger, *raised: Alert, back: tuple[Alert, ...] = ()) -> None:
    """A commit with alerts, and with some that are taken back."""
    cursor = Cursor(position(max((a.position.number for a in raised), default=1)), {}, 1, 1, 1)
    retractions = [Retraction(one.id, one.position) for one in back]
    ledger.commit(Commit(cursor, list(raised), retractions))


MOST_STEPS = 25
LOWEST = MOST_STEPS  # each may move an alert a block down, and none is below the first
STEPS = st.lists(
    st.one_of(
        st.just("look"),
        st.tuples(st.just("raise"), st.integers(1, 7)),
        st.tuples(st.just("back"), st.integers(0, 30)),
        st.tuples(st.just("again"), st.integers(0, 30)),
        st.tuples(st.just("move"), st.integers(0, 30)),
    ),
    max_size=MOST_STEPS,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
@example(steps=[("raise", 2), "look", ("back", 0), "look", ("again", 0)])
@example(steps=[("raise", 1), "look", ("move", 0), ("back", 0)])
@example(steps=[("raise", 1), ("move", 0), ("move", 0), "look", ("back", 0)])
@example(steps=[("raise", 7), "look", ("back", 1), ("move", 2), "look", ("again", 1), ("back", 2)])
def test_nothing_is_lost_between_two_looks(steps: list[Any]) -> None:
    """Whatever is raised, taken back, raised again and moved between looks: every alert is told, in
    the order of arrival; what was told of it last is how it is; nothing is told twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.duckdb"
        with Ledger.open(path, ETHEREUM) as ledger:
            follower, direct = AlertFollower(AlertFilter(), page=3), Direct(ledger)
            told = follower.look(direct)
            current: list[tuple[Alert, bool]] = []
            for step in [*steps, "look"]:
                if step == "look":
                    told += follower.look(direct)
                    continue
                act, number = step
                if act == "raise":
                    new = [alert(LOWEST + len(current) + n) for n in range(number)]
                    commit(ledger, *new)
                    current += [(one, True) for one in new]
                elif current:
                    change(ledger, current, act, number % len(current))
            records = ledger.records(AlertFilter(status="all", limit=1000))[::-1]
            now = {record.alert.id: record.status for record in records}
    last = {one["id"]: one["status"] for one in told}
    assert last == now
    assert list(last) == list(now)
    for key in now:
        states = [one["status"] for one in told if one["id"] == key]
        assert all(a != b for a, b in itertools.pairwise(states))


def change(ledger: Ledger, current: list[tuple[Alert, bool]], act: str, place: int) -> None:
    """Take an alert back, raise it again, or move it to another block in one commit."""
    one, active = current[place]
    if act == "back" and active:
        commit(ledger, back=(one,))
        current[place] = (one, False)
    elif act == "again" and not active:
        commit(ledger, one)
        current[place] = (one, True)
    elif act == "move" and active:
        at = Position(one.position.number - 1, b"\x01" * 32)
        moved = alert(LOWEST + place, at=at)
        commit(ledger, moved, back=(one,))
        current[place] = (moved, True)


def test_the_first_look_is_the_end_and_what_was_left_out_stays_so(tmp_path: Path) -> None:
    """The newest few that are there; then what arrives and what is taken back, by the filter; a
    ledger that does not change is asked little."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        first = [alert(n, severity=Severity.HIGH) for n in range(1, 6)]
        commit(ledger, *first)
        commit(ledger, back=(first[4],))
        wanted = AlertFilter(min_severity=Severity.HIGH, limit=2)
        follower, direct = AlertFollower(wanted), Direct(ledger)
        assert [one["id"] for one in follower.look(direct)] == [first[2].id, first[3].id]
        assert follower.look(direct) == []
        commit(ledger, alert(6, severity=Severity.LOW), alert(7, severity=Severity.CRITICAL))
        commit(ledger, alert(8, severity=Severity.HIGH), back=(first[0], first[3]))
        told = [(one["block_number"], one["status"]) for one in follower.look(direct)]
        assert told == [(7, "active"), (8, "active"), (1, "retracted"), (4, "retracted")]
        direct.asked = 0
        assert follower.look(direct) == []
        assert direct.asked <= 3
        only = AlertFollower(AlertFilter(status="retracted", limit=9))
        assert {one["block_number"] for one in only.look(direct)} == {1, 4, 5}
        commit(ledger, alert(9), back=(first[1],))
        assert [one["block_number"] for one in only.look(direct)] == [2]


@pytest.mark.timeout(300)
def test_follow_goes_on_over_a_process_and_its_end(tmp_path: Path) -> None:
    """Over a process' API, and over the folder when that ended: each alert is a line once, its
    retraction another one; Ctrl-C ends it with 130."""
    metrics = Metrics(CollectorRegistry(), ETHEREUM.name)
    settings = Settings(store=StoreSettings(out=str(tmp_path)), server=ServerSettings(port=0))
    path = tmp_path / "ledger.duckdb"
    words = ("alerts", "--follow", "--json", "--limit", 1, "--out", tmp_path)
    with ExitStack() as stack:
        ledger = Ledger.open(path, ETHEREUM)
        with ledger, ExitStack() as served:
            serve_ledger(settings, ledger, LabelBook(), metrics, lambda: "", served)
            commit(ledger, alert(1), alert(2))
            process = stack.enter_context(running(words, tmp_path))
            assert process.stdout is not None

            def line() -> tuple[int, str]:
                assert process.stdout is not None
                told = json.loads(process.stdout.readline())
                return told["block_number"], told["status"]

            assert line() == (2, "active")
            ledger.add_label(Label(WALLET, "phishing", "analyst"))
            for word, count in (("phishing", 2), ("exchange", 0)):
                found = run_json("alerts", "--label", word, "--out", tmp_path, cwd=tmp_path)
                assert len(found["alerts"]) == count
            commit(ledger, alert(3))
            assert line() == (3, "active")
            commit(ledger, back=(alert(2),))
            assert line() == (2, "retracted")
        with Ledger.open(path, ETHEREUM) as ledger:
            commit(ledger, *(alert(n) for n in range(4, 8)))
        assert [line() for _ in range(4)] == [(n, "active") for n in range(4, 8)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stdout.read() == ""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger of alerts, one of them about a labelled wallet, one taken back."""
    folder = tmp_path_factory.mktemp("alerts")
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        alerts = [alert(n, severity=Severity((n + 2) % 5)) for n in range(1, 6)]
        commit(ledger, *alerts, alert(6, subject=b"\x07" * 20))
        commit(ledger, back=(alerts[0],))
        ledger.add_label(Label(b"\x07" * 20, "exchange", "analyst"))
    return folder


def blocks(out: Path, words: AlertWords) -> list[int]:
    """The blocks of the alerts that the command line's words let through, the newest first."""
    with Ledger.open(out / "ledger.duckdb", ETHEREUM) as ledger:
        return [one.position.number for one in ledger.alerts(words.filter())]


def test_filters_are_what_they_say(out: Path) -> None:
    """Status, label, and block times, the first included and the last not."""
    assert blocks(out, AlertWords()) == [6, 5, 4, 3, 2]
    assert blocks(out, AlertWords(status="retracted")) == [1]
    assert blocks(out, AlertWords(status="all", limit=2)) == [6, 5]
    assert blocks(out, AlertWords(label="exchange")) == [6]
    assert blocks(out, AlertWords(label="phishing")) == []
    second, fourth = str(alert(2).block_timestamp), str(alert(4).block_timestamp)
    assert blocks(out, AlertWords(since=second, until=fourth)) == [3, 2]
    for words, says in (
        (AlertWords(since=fourth, until=second), "is not after"),
        (AlertWords(since="yesterday"), "2026-01-31"),
        (AlertWords(status="open"), "active, retracted, all"),
    ):
        with pytest.raises(SettingsError, match=says):
            words.filter()
    options = ("--label", "exchange", "--until", "2100-01-01", "--out", out)
    found = run_json("alerts", *options, cwd=out)
    assert [one["subject"] for one in found["alerts"]] == ["0x" + "07" * 20]


def on_terminal(out: Path, columns: int, **env: str) -> str:
    """What ``alerts`` writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "alerts", "--status", "all", "--out", str(out)],
        cwd=out, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env=environment({"COLUMNS": str(columns), "TERM": "xterm-256color", **env}),
    )  # fmt: skip
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait(60) == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_alerts_fit_the_terminal(out: Path) -> None:
    """On narrow terminals lines, on wide ones a table, never wider than the terminal; colour there
    unless NO_COLOR says otherwise, and none in a pipe."""
    for columns in (80, 100, 150):
        text = on_terminal(out, columns)
        *lines, command = (STYLE.sub("", line) for line in text.splitlines())
        assert max(map(len, lines)) <= columns
        assert command.endswith(f"chainwarden explain ID --out {out}"), "whole, to be copied"
        assert ("│" in text) == (columns == 150)
        assert COLOUR.search(text)
        plain = STYLE.sub("", text)
        for one in (*(alert(number) for number in range(1, 6)), alert(6, subject=b"\x07" * 20)):
            assert one.id[:8] in plain
        assert "taken back: orphaned" in " ".join(plain.split())
    text = on_terminal(out, 80, NO_COLOR="1")
    assert not COLOUR.search(text)
    assert "\x1b" not in run("alerts", "--out", out, cwd=out).stdout


def test_a_line_has_the_whole_wallet(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the sentence does not name the subject, its address is before it."""
    found = run_json("alerts", "--status", "all", "--out", out, cwd=out)["alerts"]
    _tell(found)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 * len(found)
    assert "0x" + WALLET.hex() in printed[3]
    assert found[0]["severity"] in printed[0]
