"""Framing good wallets: with logs that anybody can write (A7), with tainted dust (A8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.detection.among import among, times_of
from benchmarks.detection.traffic import Transfers, batch_of, batches, benign
from chainwarden.schema import (
    APPROVALS,
    ETHEREUM,
    Alert,
    ApprovalKind,
    BlockBatch,
    FlowKind,
    Label,
)
from detect.alerts import AlertPolicy
from detect.compiled import Array
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.labels import LabelBook
from detect.rules import default_rules

BLOCKS: Final = 300
ATTACKED_FROM: Final = 100  # what comes before gives the victims a history
BACKGROUND: Final = 30_000
BEFORE: Final = 5  # blocks from an approval to what is taken
BATCH_ROWS: Final = 2_000
MILLION_TOKENS: Final = float(10**24)


@dataclass(frozen=True, slots=True)
class Framed:
    """How many wallets were framed how often, the alerts about them, and how many there are anyway.

    ``elsewhere`` are new alerts about others: who does the framing, for one.
    """

    wallets: int
    attempts: int
    told: tuple[Alert, ...]
    anyway: int
    elsewhere: tuple[Alert, ...]

    @property
    def brought(self) -> int:
        """Alerts about them that the attack brought."""
        return max(0, len(self.told) - self.anyway)


def phony_logs(count: int, stolen: Array | None = None, seed: int = 1) -> Framed:
    """Made-up tokens log that active wallets approved a stranger, who then took a million of them.

    Half the logs are approvals, half the transfers that follow; strangers sign all of them, and a
    stranger is named by twenty wallets, as one who drains many would be. With ``stolen``, tokens
    (n, 20), it is no pretence: those move, and their owners signed the approvals.
    """
    rng = np.random.default_rng((seed, 1))  # not the traffic's own, or strangers were its wallets
    traffic = benign(BACKGROUND, np.arange(BLOCKS), seed, wallets=5_000)
    victims = _active(traffic, count // 4)
    pairs = count // 2
    strangers = rng.integers(0, 256, (max(1, pairs // 20), 20), np.uint8)
    stranger = strangers[rng.integers(0, len(strangers), pairs)]
    tokens = rng.integers(0, 256, (50, 20), np.uint8) if stolen is None else stolen
    taken = Transfers(
        np.sort(rng.integers(ATTACKED_FROM + BEFORE, BLOCKS, pairs)),
        victims[rng.integers(0, len(victims), pairs)],
        stranger,
        tokens[rng.integers(0, len(tokens), pairs)],
        stranger,
        _words(pairs, MILLION_TOKENS),
        np.full(pairs, MILLION_TOKENS),
    )
    signer = taken.signer if stolen is None else taken.sender
    approved = replace(taken, number=taken.number - BEFORE, signer=signer)

    def attack(batch: BlockBatch) -> BlockBatch:
        moved = among(batch, _made(taken, batch))
        return among(moved, _as_approvals(_made(approved, batch, 2**41)))

    return _framed(traffic, victims, LabelBook(), count, attack)


def tainted_dust(count: int, seed: int = 1) -> Framed:
    """A sanctioned and a phishing wallet each send a little to so many active wallets in all."""
    rng = np.random.default_rng((seed, 1))  # not the traffic's own, or strangers were its wallets
    traffic = benign(BACKGROUND + 4 * count, np.arange(BLOCKS), seed, wallets=3 * count)
    victims = _active(traffic, count)
    culprits = rng.integers(0, 256, (2, 20), np.uint8)
    book = LabelBook(
        Label(culprits[n].tobytes(), word, "list")
        for n, word in enumerate(("sanctioned", "phishing"))
    )
    sender = culprits[np.arange(len(victims)) % 2]
    dust = np.full(len(victims), 1e14)  # a ten-thousandth of a coin
    moves = Transfers(
        np.sort(rng.integers(ATTACKED_FROM, BLOCKS // 2, len(victims))),
        sender,
        victims,
        np.zeros((len(victims), 20), np.uint8),
        sender,
        _words(len(victims), 1e14),
        dust,
    )

    def attack(batch: BlockBatch) -> BlockBatch:
        return among(batch, _made(moves, batch))

    return _framed(traffic, victims, book, len(victims), attack)


def _framed(
    traffic: Transfers,
    victims: Array,
    book: LabelBook,
    attempts: int,
    attack: Callable[[BlockBatch], BlockBatch],
) -> Framed:
    """Run the traffic with and without the attack, and compare the alerts."""
    usual = list(batches(traffic, BATCH_ROWS))
    before, after = (
        _alerts(blocks, book) for blocks in (usual, [attack(batch) for batch in usual])
    )
    names = {victim.tobytes() for victim in victims}
    known = {alert.id for alert in before}
    return Framed(
        len(names),
        attempts,
        tuple(alert for alert in after if alert.subject in names),
        sum(alert.subject in names for alert in before),
        tuple(a for a in after if a.subject not in names and a.id not in known),
    )


def _alerts(batches_: Sequence[BlockBatch], book: LabelBook) -> list[Alert]:
    own = book.twin()  # each detector adds to its own what the chain says
    rules = default_rules(own, ETHEREUM)
    detector = Detector(ETHEREUM, DetectorConfig(), rules, AlertPolicy(ETHEREUM, labels=own))
    return [alert for batch in batches_ for alert in detector.process(batch).alerts]


def _active(traffic: Transfers, count: int) -> Array:
    """So many of the wallets that send most often before the attack, (count, 20)."""
    early = traffic.sender[traffic.number < ATTACKED_FROM]
    wallets, often = np.unique(np.ascontiguousarray(early).view("V20"), return_counts=True)
    chosen = wallets[np.argsort(-often, kind="stable")[:count]]
    return chosen.view(np.uint8).reshape(-1, 20)


def _made(moves: Transfers, batch: BlockBatch, first: int = 2**40) -> BlockBatch:
    """Those of the transfers that belong into a batch's blocks, as a batch."""
    begin, end = np.searchsorted(moves.number, [batch.numbers()[0], batch.numbers()[-1] + 1])
    return batch_of(moves.part(slice(int(begin), int(end))), first + int(begin), times_of(batch))


def _as_approvals(made: BlockBatch) -> BlockBatch:
    """The same transactions, in which what was sent is approved instead."""
    token = pc.equal(made.flows["kind"], int(FlowKind.ERC20))
    sent = made.flows.filter(token)
    approvals = pa.table(
        {
            field.name: {
                "owner": sent["from_address"],
                "spender": sent["to_address"],
                "kind": pa.array([int(ApprovalKind.ERC20)] * len(sent), pa.int8()),
                "approved": pa.array([True] * len(sent)),
            }.get(field.name, sent[field.name] if field.name in sent.column_names else None)
            for field in APPROVALS
        },
        schema=APPROVALS,
    )
    return replace(made, flows=made.flows.filter(pc.invert(token)), approvals=approvals)


def _words(count: int, value: float) -> Array:
    words = np.zeros((count, 4), np.uint64)
    words[:, 2] = int(value) >> 64
    words[:, 3] = int(value) & (2**64 - 1)
    return words
