"""Kills the pipeline at named failpoints and at random instants, and looks at what is left.

A round is one folder and one receiver: the same chain again, in processes that are killed one after
the other until one of them gets to the end. What ledger, lake and detector hold then, and what the
receiver was told, must be what they are after a run that nothing happened to.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, get_args

import msgspec

from tests.rigs.doomed import End, Outcome, Plan
from tests.rigs.failpoints import POINTS, Failpoint, When
from tests.rigs.receiver import Received, WebhookReceiver

RECEIVER: Final = "before the receiver's 2xx"
ROOT: Final = Path(__file__).resolve().parents[2]
LONGEST_SECONDS: Final = 1.2
MODES: Final = {"ok": 88, "lost": 7, "error": 3, "gateway": 2}
"""How often, in a hundred, the receiver does what; ``lost`` accepts and does not answer."""

Message = tuple[str, dict[str, Any]]


class Moody(WebhookReceiver):
    """A receiver in another mode at every POST, that can kill the sender before it answers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._moods = Counter[str]()
        self.steady = True
        self.kill: Callable[[], None] | None = None
        super().__init__()

    @property
    def mode(self) -> str:
        """What is done with the POST at hand: read once for each."""
        if self.kill is not None:
            self.kill()
        if self.steady:
            return "ok"
        (mode,) = self._random.choices(list(MODES), list(MODES.values()))
        self._moods[mode] += 1
        return mode

    @mode.setter
    def mode(self, _mode: str) -> None:
        """It has moods of its own."""

    @property
    def lost(self) -> int:
        """How many answers did not arrive, or said that they may not have been the receiver's."""
        return self._moods["lost"]


@dataclass(slots=True)
class Tally:
    """What was done, and how often."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    posts: int = 0
    lost_answers: int = 0
    raw_duplicates: int = 0
    alerts: int = 0
    seconds: float = 0.0

    @property
    def trials(self) -> int:
        """How many processes were killed."""
        return self.kills.total()

    def __str__(self) -> str:
        return (
            f"{self.trials} kills at {len(self.kills)} places in {self.rounds} rounds, "
            f"{self.seconds:.0f} s: 0 lost, 0 duplicate ids of {self.alerts} alerts; "
            f"{self.posts} POSTs, {self.lost_answers} answers lost, "
            f"{self.raw_duplicates} raw duplicates; "
            f"failure rate below {3 / max(self.trials, 1):.2%} a kill (95 %)"
        )


class Doomed:
    """The process that forks the pipelines. Closed, it ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders: IO[bytes] = process.stdin
        self._answers: IO[bytes] = process.stdout
        self.close = process.stdin.close

    def answer(self) -> Any:
        """The next line that it says."""
        line = self._answers.readline()
        assert line, "the process that forks the others is gone"
        return json.loads(line)

    def run(self, plan: Plan, started: Callable[[int], None] = lambda _pid: None) -> End:
        """Have a plan carried out."""
        self._orders.write(msgspec.json.encode(plan) + b"\n")
        self._orders.flush()
        started(self.answer())
        return msgspec.convert(self.answer(), End)


@contextmanager
def doomed(folder: Path, seed: int, blocks: int) -> Iterator[Doomed]:
    """It, warm, over a chain of so many blocks; ``folder/stderr.log`` has what the children say."""
    folder.mkdir(parents=True, exist_ok=True)
    words = (str(seed), str(blocks), str(folder))
    command = (sys.executable, "-m", "tests.rigs.doomed", *words)
    with (
        (folder / "stderr.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as process,
        closing(Doomed(process)) as forks,
    ):
        assert forks.answer() == "ready"
        yield forks


class Killer:
    """Rounds over one chain, until so many processes were killed."""

    def __init__(self, forks: Doomed, folder: Path, seed: int) -> None:
        self._forks = forks
        self._folder = folder
        self._seed = seed
        self._random = random.Random(seed)
        self._places: list[tuple[str, When]] = []
        self._undisturbed, self._told = self._run_undisturbed()
        self._tally = Tally()

    def run(self, kills: int) -> Tally:
        """Kill so many, at least; raises AssertionError for what is not as it should be."""
        began = time.monotonic()
        while self._tally.trials < kills:
            self._round(kills)
        self._tally.seconds = time.monotonic() - began
        return self._tally

    def _run_undisturbed(self) -> tuple[Outcome, dict[str, Message]]:
        with Moody(0) as receiver:
            outcome = self._last(self._folder / "undisturbed", receiver)
            assert len(receiver.received) == len({one.id for one in receiver.received})
            return outcome, told(receiver.received)

    def _round(self, kills: int) -> None:
        number = self._tally.rounds
        self._tally.rounds += 1
        folder = self._folder / f"round-{number}"
        with Moody(self._random.randrange(1 << 30)) as receiver:
            receiver.steady = False
            before = self._tally.trials
            while self._tally.trials < kills:
                plan = self._plan(folder, receiver)
                end = self._trial(plan, receiver)
                if not end.signal:
                    break
                self._tally.kills[end.place] += 1
            receiver.steady, receiver.kill = True, None
            outcome = self._last(folder, receiver)
            self._compare(outcome, receiver, self._tally.trials - before)

    def _trial(self, plan: Plan, receiver: Moody) -> End:
        at_post = 0
        if plan.seconds and self._random.random() < 0.2:
            at_post = self._random.randint(1, 8)
        killed_there = False

        def started(pid: int) -> None:
            left = at_post

            def kill() -> None:
                nonlocal left, killed_there
                left -= 1
                if left == 0:
                    os.kill(pid, signal.SIGKILL)
                    killed_there = True

            receiver.kill = kill if at_post else None

        end = self._forks.run(plan, started)
        assert end.signal in (0, signal.SIGKILL), f"{plan}: ended with signal {end.signal}"
        assert end.code == 0, f"{plan}: failed, see stderr.log (seed {self._seed})"
        return End(end.signal, end.code, RECEIVER) if killed_there else end

    def _plan(self, folder: Path, receiver: Moody) -> Plan:
        steps = tuple(self._random.choices((1, 1, 2, 3, 5, 8), k=16))
        failpoint, seconds = None, None
        if self._random.random() < 0.3:
            seconds = self._random.uniform(0.05, LONGEST_SECONDS)
        else:
            if not self._places:
                self._places = [(name, when) for name in POINTS for when in get_args(When)]
                self._random.shuffle(self._places)
            name, when = self._places.pop()
            calls = self._undisturbed.calls.get(name, 1)
            hit = self._random.randint(1, max(1, min(calls // 20, 6)))
            failpoint = Failpoint(name, when, hit)
        return Plan(str(folder), receiver.url, steps, failpoint, seconds)

    def _last(self, folder: Path, receiver: Moody) -> Outcome:
        """Let a process get to the end, and read what it found there."""
        plan = Plan(str(folder), receiver.url, (1, 2))
        end = self._trial(plan, receiver)
        assert end.signal == 0, f"{plan}: {end}"
        return msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)

    def _compare(self, outcome: Outcome, receiver: Moody, kills: int) -> None:
        for name in ("state", "cursor", "alerts", "lists", "lake", "pending"):
            got, want = getattr(outcome, name), getattr(self._undisturbed, name)
            assert got == want, f"{name} is not as undisturbed (seed {self._seed})"
        ids = [alert["id"] for alert in outcome.alerts]
        assert len(ids) == len(set(ids)), "an alert is there twice"
        mine = told(receiver.received)
        active = {alert["id"] for alert in outcome.alerts if alert["status"] == "active"}
        assert {one for one in mine if standing(mine[one])} == active
        for one in active:
            assert mine[one][1] == self._told[one][1], "the receiver was told something else"
        assert not receiver.unsigned()
        accepted = [one.id for one in receiver.received if one.accepted]
        repeats = len(accepted) - len(set(accepted))
        assert repeats <= receiver.lost + kills, f"{repeats} raw duplicates"
        self._tally.posts += len(receiver.received)
        self._tally.lost_answers += receiver.lost
        self._tally.raw_duplicates += repeats
        self._tally.alerts += len(ids)


def told(received: list[Received]) -> dict[str, Message]:
    """The last thing said of each alert, by its id, to a receiver that drops repeats by their id.

    Every repeat has the same bytes; each kind is said only where it follows from the one before.
    """
    bodies: dict[str, bytes] = {}
    last: dict[str, Message] = {}
    for one in received:
        if not one.accepted:
            continue
        if one.id in bodies:
            two = f"{bodies[one.id]!r}\n{one.body!r}"
            assert bodies[one.id] == one.body, f"{one.id} was sent with two bodies:\n{two}"
            continue
        bodies[one.id] = one.body
        kind, data = one.message["type"], one.message["data"]
        before = last.get(data["id"])
        if kind == "alert.raised":
            assert before is None, f"{one.id} was raised twice"
        else:
            assert before is not None, f"{one.id} came before the alert"
        last[data["id"]] = kind, data
    return last


def standing(message: Message) -> bool:
    """Whether somebody who was told this last believes the alert."""
    return message[0] != "alert.retracted"
