"""A generated chain whose head moves on as it is followed, and what came out of following it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa

from chainwarden.schema import (
    TABLES,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    Chain,
    ChainEvent,
    Position,
)
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.endpoint import EndpointConfig
from ingest.heads import HeadDoorbell
from ingest.live import LiveConfig, live
from ingest.pool import PoolConfig
from ingest.raw import RawBlock
from ingest.rpc import RpcConfig, RpcSource
from ingest.simulate import Simulation, SimulationConfig
from ingest.verify import Verifier
from tests.rigs.liar import Liar, Recording

BLOCKS = 1_000
FINAL_DEPTH = 70

QUICK = RpcConfig(
    pool=PoolConfig(
        deadline_seconds=2.0,
        patience_seconds=1.0,
        pause_seconds=0.001,
        longest_pause_seconds=0.01,
        endpoint=EndpointConfig(timeout_seconds=2.0),
    )
)
"""As patient as usual in proportion, a hundred times faster."""

HASTY = LiveConfig(
    shortest_pause_seconds=0.0005,
    longest_pause_seconds=0.01,
    failure_pause_seconds=0.005,
    finality_seconds=0.05,
)


def generated(blocks: int = BLOCKS, seed: int = 5) -> list[RawBlock]:
    """Blocks in the order in which a node calls them its head: those of losing branches, too.

    They commit to what they hold and are signed, with transactions of every type, logs, attacks.
    """
    config = SimulationConfig(seed=seed, blocks=blocks, transactions_per_block=0.4)
    return list(Simulation(config).blocks())


@dataclass
class Told:
    """What came out: every block added or taken back, in order, and what was said to be final."""

    steps: list[tuple[str, Position]] = field(default_factory=list)
    batches: list[BlockBatch] = field(default_factory=list)
    events: list[ChainEvent] = field(default_factory=list)
    chain: list[Position] = field(default_factory=list)
    final: list[Position] = field(default_factory=list)

    def hear(self, event: ChainEvent) -> None:
        """Note one event, and hold it to its promise."""
        match event:
            case BlocksAdded(batch=batch, gap=gap):
                assert not gap
                positions = batch.positions()
                self.steps += [("added", position) for position in positions]
                self.chain += positions
                self.batches.append(batch)
                self.events.append(event)
            case BlockReverted(position=position):
                assert self.chain.pop() == position
                self.steps.append(("reverted", position))
                self.events.append(event)
            case BlockFinalized(position=position):
                assert position in self.chain
                self.final.append(position)

    @property
    def reverted(self) -> int:
        """How many blocks were taken back."""
        return sum(what == "reverted" for what, _ in self.steps)

    def same_content(self, other: Told) -> bool:
        """Whether every table of every block that was added is the other's, in the same order."""
        return all(
            _joined(self.batches, name).equals(_joined(other.batches, name)) for name in TABLES
        )


def _joined(batches: list[BlockBatch], name: str) -> pa.Table:
    return pa.concat_tables(batch.tables[name] for batch in batches).combine_chunks()


class Course:
    """The head of a generated chain, the same for every node that tells of it.

    It moves on when it was reached: by one to twelve blocks, now and then by up to eighty, so that
    blocks are asked for by hash and by number, and never past the end of a losing branch unseen.
    """

    def __init__(self, raws: list[RawBlock], seed: int = 1) -> None:
        self._arrivals = [
            (msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts)) for raw in raws
        ]
        self._heads = _stops(raws, random.Random(seed))
        self._at = 0
        self.recording = Recording()
        self._nodes: list[Liar] = []
        self._show(self._heads[0])

    def joined(self, node: Liar) -> Liar:
        """A node that follows the course."""
        self._nodes.append(node)
        self._tell()
        return node

    @property
    def first(self) -> int:
        """The number of the first block."""
        return int(self._arrivals[0][0]["number"], 16)

    @property
    def head(self) -> Position:
        """The newest block now."""
        block = self._arrivals[self._heads[self._at]][0]
        return Position(int(block["number"], 16), bytes.fromhex(block["hash"][2:]))

    def move(self) -> bool:
        """Go on to the next head; False at the end."""
        if self._at + 1 == len(self._heads):
            return False
        self._at += 1
        self._show(self._heads[self._at], self._heads[self._at - 1] + 1)
        self._tell()
        return True

    def _show(self, last: int, first: int = 0) -> None:
        for block, receipts in self._arrivals[first : last + 1]:
            self.recording.add(block, receipts)

    def _tell(self) -> None:
        for node in self._nodes:
            node.head = self.head.number
            final = self.head.number - FINAL_DEPTH
            node.finalized = final if final >= self.first else None


def _stops(raws: list[RawBlock], rng: random.Random) -> list[int]:
    """Which of the blocks, in order of arrival, are called the head."""
    numbers = [int(raw.block.number, 16) for raw in raws]
    # A branch loses when the number does not rise: its last block is shown before.
    losing = {index for index in range(len(raws) - 1) if numbers[index + 1] <= numbers[index]}
    stops, at = set(losing), 0
    while at < len(raws) - 1:
        stops.add(at)
        at += rng.randrange(1, 13) if rng.random() < 0.85 else rng.randrange(40, 81)
    # On the way up a winning branch it is no head yet: it wins when it is longer.
    best = 0
    kept = []
    for index in sorted(stops | {len(raws) - 1}):
        if numbers[index] > best:
            best = numbers[index]
            kept.append(index)
    return kept


class Accept:
    """Verifies every block for real, and decodes each content once: decoding is pure, and slow."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._decoded: dict[bytes, BlockBatch] = {}

    def __call__(self, raw: RawBlock) -> BlockBatch:
        """The block as a batch of one. Raises BadBlock."""
        verified = Verifier().verify(raw)
        content = msgspec.msgpack.encode((raw.block, raw.receipts, raw.unknown_fields, verified))
        batch = self._decoded.get(content)
        if batch is None:
            batch = self._decoded[content] = decode_blocks(self._chain, [raw], [verified])
        return batch


def follow(
    course: Course,
    source: RpcSource,
    accept: Callable[[RawBlock], BlockBatch],
    *,
    doorbell: HeadDoorbell | None = None,
    config: LiveConfig = HASTY,
    seconds: float = 60.0,
) -> Told:
    """Follow the course to its end as the product does; shorter if that takes too long."""
    follower, stop, told = ChainFollower(linked=True), threading.Event(), Told()
    late = threading.Timer(seconds, stop.set)
    late.start()
    events: Iterator[ChainEvent] = live(
        source, follower, accept, start=course.first, stop=stop, doorbell=doorbell, config=config
    )
    try:
        for event in events:
            told.hear(event)
            if follower.head == course.head and not course.move():
                stop.set()
    finally:
        late.cancel()
    return told
