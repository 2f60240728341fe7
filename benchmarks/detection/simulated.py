"""A simulated chain through the whole detector in memory, forks included."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chainwarden.deployment import UNDO_BLOCKS
from chainwarden.schema import (
    Alert,
    BlockBatch,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Label,
)
from chainwarden.scorecard import Campaign
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.label_lists import parse_address
from detect.labels import LabelBook, builtin_labels
from detect.rules import default_rules
from detect.rules.rule import Rule
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.raw import RawBlock
from ingest.simulate import Simulation, SimulationConfig
from ingest.simulate.labels import COLUMNS

BATCH_BLOCKS: Final = 64


@dataclass(frozen=True, slots=True)
class Run:
    """A simulated chain as it came out: alerts that stand, the truth, and how long it took."""

    alerts: tuple[Alert, ...]
    campaigns: tuple[Campaign, ...]
    blocks: int
    transactions: int
    seconds: float  # the detector's own
    stats: dict[str, float]


def label_book(simulation: Simulation) -> LabelBook:
    """What an analyst would have loaded before the run."""
    book = LabelBook(builtin_labels())
    for row in simulation.labels():
        cells = dict(zip(COLUMNS, row, strict=True))
        book.add(
            Label(
                address=parse_address(cells["address"]),
                label=cells["label"],
                source=cells["source"],
                valid_from=int(cells["valid_from"] or 0),
                valid_to=int(cells["valid_to"]) if cells["valid_to"] else None,
                chain=cells["chain"] or None,
            )
        )
    return book


def events_of(simulation: Simulation) -> Iterator[ChainEvent]:
    """The chain's events, forks and all, at most ``BATCH_BLOCKS`` blocks to one."""
    follower = ChainFollower(UNDO_BLOCKS)

    def added() -> Iterable[ChainEvent]:
        return follower.add(decode_blocks(simulation.chain, raws, [True] * len(raws)))

    raws: list[RawBlock] = []
    for raw in simulation.blocks():
        # A batch goes upwards: where a fork goes back, another begins.
        back = raws and int(raw.block.number, 16) <= int(raws[-1].block.number, 16)
        if back or len(raws) == BATCH_BLOCKS:
            yield from added()
            raws = []
        raws.append(raw)
    if raws:
        yield from added()


def run(
    config: SimulationConfig,
    bounds: DetectorConfig | None = None,
    change: Callable[[BlockBatch], BlockBatch] = lambda batch: batch,
    rules: Sequence[Rule] = (),
) -> Run:
    """Simulate, detect with every rule and the world's labels, keep what no fork took back.

    ``change`` is what somebody does to the blocks before they are seen; ``rules`` come on top.
    """
    simulation = Simulation(config)
    book = label_book(simulation)
    detector = Detector(
        simulation.chain,
        bounds or DetectorConfig(),
        [*default_rules(book, simulation.chain), *rules],
        AlertPolicy(simulation.chain, labels=book),
    )
    alerts: dict[str, Alert] = {}
    spent, transactions = 0.0, 0
    for event in events_of(simulation):
        match event:
            case BlocksAdded(batch, gap):
                changed = change(batch)
                began = time.perf_counter()
                alerts |= {alert.id: alert for alert in detector.process(changed, gap).alerts}
                spent += time.perf_counter() - began
                transactions += batch.transactions.num_rows
            case BlockReverted(position):
                for retraction in detector.revert(position):
                    alerts.pop(retraction.alert_id, None)
    return Run(
        alerts=tuple(alerts.values()),
        campaigns=tuple(
            Campaign(c.id, c.typology, c.start_block, c.end_block, c.addresses, c.transactions)
            for c in simulation.truth().campaigns
        ),
        blocks=config.blocks,
        transactions=transactions,
        seconds=spent,
        stats=detector.stats(),
    )
