"""The contract model over a stream of blocks: what it learnt, undone exactly.

A few lessons come a day, and the bad ones are rare, so each lesson is followed by a few rows from
before, as many bad as good: experience replay, which an online model needs to come as far as one
that may pass over its data again and again. Which rows those are depends on the lessons alone.

As with ``RiskModel``, a settled copy stays behind; what blocks since then have taught is learnt
again when one of them is taken back.

References
----------
Lin, 1992. Self-improving reactive agents based on reinforcement learning, planning and teaching.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from chainwarden.errors import DetectError
from detect.bytecode import FEATURES, pack_features, unpack_features
from detect.code_classifier import CodeClassifier
from detect.compiled import Array


@dataclass(frozen=True, slots=True)
class CodeLearnerConfig:
    """When there are scores, and how much is rehearsed.

    No scores before ``warm_up`` bad and as many good codes are learnt. Each lesson is followed by
    ``rehearsals`` rows out of the last ``kept`` bad and the last ``kept`` good ones, in turn.
    """

    warm_up: int = 20
    kept: int = 256
    rehearsals: int = 4

    def __post_init__(self) -> None:
        if self.warm_up < 1 or self.kept < 1 or self.rehearsals < 0:
            raise DetectError("warm-up and kept rows are positive, rehearsals are not negative")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A code (its features), whether it is bad, and its raw logit when it was scored."""

    serial: int
    features: bytes  # packed
    raw: float
    bad: bool


class _Learner:
    # The part that changes as lessons come: at the head, or settled.

    def __init__(self, config: CodeLearnerConfig) -> None:
        self.config = config
        self.model = CodeClassifier(FEATURES)
        self.counts = [0, 0]
        self.kept: tuple[list[bytes], list[bytes]] = ([], [])
        self.turn = 0

    def learn(self, lesson: Lesson) -> None:
        if not self.warming_up:
            self.model.calibrate(lesson.raw, lesson.bad)
        self.model.learn_row(unpack_features(lesson.features), lesson.bad)
        for n in range(self.config.rehearsals):
            bad = n % 2 == 0
            rows = self.kept[bad]
            if rows:
                self.model.learn_row(unpack_features(rows[self.turn % len(rows)]), bad)
            self.turn += not bad
        rows = self.kept[lesson.bad]
        if len(rows) < self.config.kept:
            rows.append(lesson.features)
        else:
            rows[self.counts[lesson.bad] % self.config.kept] = lesson.features
        self.counts[lesson.bad] += 1

    @property
    def warming_up(self) -> bool:
        return min(self.counts) < self.config.warm_up

    def copy_state(self, other: _Learner) -> None:
        self.model.copy_state(other.model)
        self.counts = list(other.counts)
        self.kept = (list(other.kept[0]), list(other.kept[1]))
        self.turn = other.turn

    def dump(self) -> object:
        arrays = [(n, a.tobytes()) for n, a in self.model.arrays().items()]
        return [arrays, self.counts, self.kept, self.turn]

    def load(self, state: Any) -> None:
        arrays, counts, kept, turn = state
        self.model.load({str(name): np.frombuffer(data) for name, data in arrays})
        self.counts = [int(count) for count in counts]
        good, bad = kept
        if max(len(good), len(bad)) > self.config.kept:
            raise ValueError(f"more than {self.config.kept} rows are kept")
        self.kept = ([bytes(row) for row in good], [bytes(row) for row in bad])
        self.turn = int(turn)


class CodeLearner:
    """A part of a rule's state (see ``detect.journal.Undoable``): the model and its undo."""

    def __init__(self, config: CodeLearnerConfig | None = None) -> None:
        self.config = config or CodeLearnerConfig()
        self._head = _Learner(self.config)
        self._settled = _Learner(self.config)
        self._lessons: list[Lesson] = []

    @property
    def warming_up(self) -> bool:
        """Whether there are no scores yet."""
        return self._head.warming_up

    @property
    def learnt(self) -> tuple[int, int]:
        """How many codes were learnt, good and bad; rehearsals do not count."""
        good, bad = self._head.counts
        return good, bad

    def raw_logit(self, features: Array) -> float:
        """The log odds of a code before calibration, warm-up or not: what a lesson keeps."""
        return self._head.model.raw_logit(features)

    def probability(self, features: Array) -> float | None:
        """The probability that a code is bad; None in warm-up."""
        if self._head.warming_up:
            return None
        return self._head.model.probability_of(self._head.model.raw_logit(features))

    def explain(self, features: Array) -> Array:
        """Each feature's share of the log odds, the bias last; they sum to the log odds."""
        return self._head.model.explain_row(features)

    def learn(self, serial: int, features: Array, raw: float, bad: bool) -> None:
        """Learn a code in the name of the block with that serial."""
        lesson = Lesson(serial, pack_features(features), raw, bad)
        self._head.learn(lesson)
        self._lessons.append(lesson)

    # --- undo ----------------------------------------------------------------------------------

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one that taught anything, if it did."""
        left = len(self._lessons)
        while left and self._lessons[left - 1].serial == serial:
            left -= 1
        if left < len(self._lessons):
            del self._lessons[left:]
            self._rebuild()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        passed = 0
        while passed < len(self._lessons) and self._lessons[passed].serial <= serial:
            self._settled.learn(self._lessons[passed])
            passed += 1
        del self._lessons[:passed]

    def dump(self) -> object:
        """The state, undo included."""
        lessons = [[x.serial, x.features, x.raw, x.bad] for x in self._lessons]
        return [self._settled.dump(), lessons]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        settled, lessons = state
        self._settled.load(settled)
        self._lessons = [
            Lesson(int(serial), bytes(features), float(raw), bool(bad))
            for serial, features, raw, bad in lessons
        ]
        self._rebuild()

    def content(self) -> bytes:
        """The state, undo excluded."""
        encoded = msgspec.msgpack.encode(self._head.dump())
        return hashlib.blake2b(encoded, digest_size=32).digest()

    def _rebuild(self) -> None:
        self._head.copy_state(self._settled)
        for lesson in self._lessons:
            self._head.learn(lesson)
