"""What is known of the codes that were deployed: which are bad, which are alike, which wait.

Equal codes share one verdict. A code that is new waits for what is said of its contract: one with a
bad label in force is learnt as bad at the next creation, all others as good once ``delay_seconds``
of block time have passed. What is known to be bad is kept, so that copies of it are recognised,
those with small changes too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from chainwarden.errors import DetectError
from detect.bytecode import Code, pack_features, sketch_of, unpack_features
from detect.code_learner import CodeLearner, CodeLearnerConfig
from detect.compiled import Array
from detect.journal import JournaledTable, Undoable
from detect.kernels.bytecode import SKETCH, jaccard
from detect.label_words import Verdict, word_verdict
from detect.labels import LabelBook

BANDS: Final = 8  # two codes that are 97 % alike share one with a probability of 0.9995
BAND: Final = SKETCH // BANDS
IN_BAND: Final = 4  # codes remembered in one place of the index
CONTRACTS: Final = 4  # of a code: the first, and the last ones
_ONLY: Final = b""  # the key of a table's only row
_NOT_WAITING: Final = -1


@dataclass(frozen=True, slots=True)
class CodeMemoryConfig:
    """Times and bounds.

    ``waiting``: codes that wait for labels; those that waited longest give way unlearnt. ``codes``:
    digests with their verdict. ``bad_codes``: codes that copies are recognised of. ``similar``: the
    Jaccard similarity of opcode 4-grams from which a code is a copy, ``smallest``: opcodes below
    which that says nothing. A code deployed ``common`` times is a template: one bad label on one of
    its contracts says nothing of the others.
    """

    delay_seconds: int = 30 * 86_400
    waiting: int = 16_384
    codes: int = 200_000
    bad_codes: int = 4_096
    similar: float = 0.97
    smallest: int = 100
    common: int = 16
    learner: CodeLearnerConfig = field(default_factory=CodeLearnerConfig)

    def __post_init__(self) -> None:
        if self.delay_seconds < 0 or not 0.0 < self.similar <= 1.0:
            raise DetectError("the label delay is not negative, the similarity is in (0, 1]")


@dataclass(frozen=True, slots=True)
class Likeness:
    """A code known to be bad that another is like, by a contract that has it."""

    contract: bytes
    similarity: float


class CodeMemory:
    """Codes by digest, those that wait, those known to be bad, and the model. See the module.

    ``parts`` are a rule's; all is undone with its blocks. What is kept besides (which contracts are
    about to be called bad) is made from these and the label book.
    """

    def __init__(self, labels: LabelBook, chain: str, config: CodeMemoryConfig) -> None:
        self.config = config
        self.learner = CodeLearner(config.learner)
        self._labels, self._chain = labels, chain
        # digest -> (deployments, contracts, the place in the queue or -1)
        self._codes = JournaledTable(config.codes)
        # place in the queue -> (digest, first contract, due, features, raw logit)
        self._waiting = JournaledTable(config.waiting)
        self._queue = JournaledTable(1)  # -> (next place, first place that may wait)
        self._bad = JournaledTable(config.bad_codes)  # digest -> (contract, features)
        self._bands = JournaledTable(config.bad_codes * BANDS)  # band of a sketch -> digests
        self._watched: dict[int, int] = {}  # place -> when the first bad label begins
        self._watched_for: object = None
        self.parts: dict[str, Undoable] = {
            "codes": self._codes,
            "waiting": self._waiting,
            "queue": self._queue,
            "bad_codes": self._bad,
            "bands": self._bands,
            "model": self.learner,
            "watched": _Derived(self._watch_again),
        }

    @property
    def waiting(self) -> int:
        """How many codes wait for labels."""
        return len(self._waiting)

    @property
    def known_bad(self) -> int:
        """How many codes are known to be bad."""
        return len(self._bad)

    # --- learning ------------------------------------------------------------------------------

    def settle(self, serial: int, now: int) -> None:
        """Learn what can be known by now: called before the creations of a block are looked at."""
        self._refresh()
        # One whose label does not count now stays watched: what contradicts it may end.
        for place in sorted(p for p, since in self._watched.items() if since <= now):
            row = self._waiting.get(place.to_bytes(8, "big"))
            contract = None if row is None else self._bad_contract(row[0], row[1], now)
            if row is None:
                del self._watched[place]
            elif contract is not None:
                self._learn(serial, place, row, contract)
        upcoming, first = self._queue.get(_ONLY) or (0, 0)
        place = first
        while place < upcoming:
            row = self._waiting.get(place.to_bytes(8, "big"))
            if row is not None:
                if row[2] > now:
                    break
                self._learn(serial, place, row, self._bad_contract(row[0], row[1], now))
            place += 1
        if place != first:
            self._queue.put(serial, _ONLY, (upcoming, place))

    def note(self, serial: int, code: Code, contract: bytes, now: int) -> None:
        """A contract with that code was created."""
        known = self._codes.get(code.digest)
        if known is not None:
            deployments, contracts, place = known
            contracts = (*contracts[:1], *(*contracts[1:], contract)[1 - CONTRACTS :])
            self._codes.put(serial, code.digest, (deployments + 1, contracts, place))
            bad = self._bad_contract(code.digest, contract, now)
            if bad is not None and place == _NOT_WAITING and code.digest not in self._bad:
                self._remember(serial, code.digest, bad, code.features)
            self._watch(place, contract)
            return
        place = _NOT_WAITING
        if len(code.features):
            place, first = self._queue.get(_ONLY) or (0, 0)
            self._queue.put(serial, _ONLY, (place + 1, first))
            row = (
                code.digest,
                contract,
                now + self.config.delay_seconds,
                pack_features(code.features),
                self.learner.raw_logit(code.features),
            )
            self._waiting.put(serial, place.to_bytes(8, "big"), row)
        self._codes.put(serial, code.digest, (1, (contract,), place))
        self._watch(place, contract)

    def _learn(self, serial: int, place: int, row: tuple[Any, ...], bad: bytes | None) -> None:
        digest, _, _, packed, raw = row
        features = unpack_features(packed)
        self.learner.learn(serial, features, raw, bad is not None)
        self._waiting.remove(serial, place.to_bytes(8, "big"))
        self._watched.pop(place, None)
        known = self._codes.get(digest)
        if known is not None:
            self._codes.put(serial, digest, (known[0], known[1], _NOT_WAITING))
        if bad is not None:
            self._remember(serial, digest, bad, features)

    def _remember(self, serial: int, digest: bytes, contract: bytes, features: Array) -> None:
        self._bad.put(serial, digest, (contract, pack_features(features)))
        for band in _bands(features):
            others = tuple(d for d in self._bands.get(band) or () if d != digest)
            self._bands.put(serial, band, (*others[1 - IN_BAND :], digest))

    # --- asking --------------------------------------------------------------------------------

    def is_bad(self, address: bytes, now: int) -> bool:
        """Whether a label in force calls an address bad."""
        return self._labels.verdict_at(address, now, self._chain) == Verdict.BAD

    def likeness(self, code: Code, now: int) -> Likeness | None:
        """The code known to be bad that this one is a copy of, small changes allowed; or None.

        What a bad label was taken back from is not bad any more.
        """
        same = self._bad_contract(code.digest, None, now)
        if same is not None:
            return Likeness(same, 1.0)
        if not len(self._bad) or code.opcodes < self.config.smallest:
            return None
        best: Likeness | None = None
        near = {digest for band in _bands(code.features) for digest in self._bands.get(band) or ()}
        for digest in sorted(near):
            row = self._bad.get(digest)
            if row is None or digest == code.digest:
                continue
            similarity = float(jaccard(code.features, unpack_features(row[1])))
            better = best is None or similarity > best.similarity
            if similarity >= self.config.similar and better:
                contract = self._bad_contract(digest, row[0], now)
                if contract is not None:
                    best = Likeness(contract, similarity)
        return best

    def _bad_contract(self, digest: bytes, first: bytes | None, now: int) -> bytes | None:
        # A contract of that code that is labelled bad, unless the code is a template of many.
        deployments, contracts, _ = self._codes.get(digest) or (1, (), _NOT_WAITING)
        if first is not None and first not in contracts:
            contracts = (first, *contracts)
        bad = [contract for contract in contracts if self.is_bad(contract, now)]
        if not bad or (deployments >= self.config.common and 2 * len(bad) < len(contracts)):
            return None
        found: bytes = bad[0]
        return found

    # --- labels to come ------------------------------------------------------------------------

    def _watch(self, place: int, contract: bytes) -> None:
        if place == _NOT_WAITING:
            return
        since = [
            label.valid_from
            for label in self._labels.labels_of(contract)
            if word_verdict(label.label) == Verdict.BAD and label.chain in (None, self._chain)
        ]
        if since:
            self._watched[place] = min([*since, self._watched.get(place, since[0])])

    def _watch_again(self) -> None:
        self._watched_for = None

    def _refresh(self) -> None:
        if self._watched_for == self._labels.state:
            return
        self._watched, self._watched_for = {}, self._labels.state
        for key in self._waiting:
            row = self._waiting.get(key)
            if row is None:
                continue
            known = self._codes.get(row[0])
            for contract in {row[1], *(known[1] if known else ())}:
                self._watch(int.from_bytes(key, "big"), contract)


class _Derived:
    # What is made from the other parts and the labels: after any undo it is made again.

    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again

    def revert(self, _: int) -> None:
        self._again()

    def forget(self, _: int) -> None:
        pass

    def dump(self) -> object:
        return None

    def load(self, _: Any) -> None:
        self._again()

    def content(self) -> bytes:
        return b""


def _bands(features: Array) -> list[bytes]:
    sketch = sketch_of(features)
    if sketch is None:
        return []
    data = sketch.astype("<u4").tobytes()
    size = 4 * BAND
    return [bytes([n]) + data[n * size : (n + 1) * size] for n in range(BANDS)]
