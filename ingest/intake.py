"""From a source to chain events: read, verify, decode, follow.

A block that cannot be read, or whose roots do not match, is rejected: counted, handed to
``on_rejected``, and the rest goes on. What a source cannot give at all (a truncated file) is raised
after everything before it was handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chainwarden.errors import BadBlock, SourceError
from chainwarden.schema import BlockBatch, Chain, ChainEvent
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.raw import RawBlock
from ingest.rows import read_ahead
from ingest.source import BlockSource, TableSource
from ingest.verify import Verifier

# A batch of raw blocks is cut here, too: their JSON structs take about 3 kB a transaction.
MAX_RAW_TRANSACTIONS = 20_000


@dataclass(slots=True)
class IntakeCounts:
    """What was taken in so far."""

    blocks: int = 0
    verified: int = 0
    unverified: int = 0
    rejected: int = 0
    transactions: int = 0


class Intake:
    """Turns a source into chain events, at most ``batch_blocks`` blocks to an event.

    Without a ``verifier`` every sender is recovered, and unsigned transactions are allowed: a file
    may hold blocks that were only simulated.
    """

    def __init__(
        self,
        source: BlockSource | TableSource,
        follower: ChainFollower,
        *,
        batch_blocks: int,
        verifier: Verifier | None = None,
        on_rejected: Callable[[BadBlock], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._follower = follower
        self._batch_blocks = batch_blocks
        self._verifier = verifier or Verifier(unsigned=True)
        self._on_rejected = on_rejected
        self.counts = IntakeCounts()

    def events(self) -> Iterator[ChainEvent]:
        """Every chain event of the source, in order."""
        for batch in self._batches():
            self.counts.transactions += batch.transactions.num_rows
            yield from self._follower.add(batch)

    def _batches(self) -> Iterator[BlockBatch]:
        if isinstance(self._source, BlockSource):
            yield from self._decoded(self._source)
            return
        for batch in read_ahead(self._source.batches(self._batch_blocks)):
            self.counts.blocks += len(batch)
            self.counts.unverified += len(batch)
            yield batch

    def _decoded(self, source: BlockSource) -> Iterator[BlockBatch]:
        raws: list[RawBlock] = []
        verified: list[bool] = []
        transactions = 0
        failure: SourceError | None = None
        try:
            for raw in source.blocks():
                ok = self._verified(raw)
                if ok is None or isinstance(raw, BadBlock):
                    continue
                full = len(raws) >= self._batch_blocks or transactions >= MAX_RAW_TRANSACTIONS
                # Numbers increase within a batch: a fork or a jump back starts the next one.
                if raws and (full or _number(raw) <= _number(raws[-1])):
                    yield from self._decode(source.chain, raws, verified)
                    raws, verified, transactions = [], [], 0
                raws.append(raw)
                verified.append(ok)
                transactions += len(raw.block.transactions)
        except SourceError as error:  # what was read before it goes on first
            failure = error
        if raws:
            yield from self._decode(source.chain, raws, verified)
        if failure is not None:
            raise failure

    def _decode(
        self, chain: Chain, raws: list[RawBlock], verified: list[bool]
    ) -> Iterator[BlockBatch]:
        """The blocks as one batch; one by one where a block cannot be decoded, without that."""
        try:
            yield decode_blocks(chain, raws, verified)
        except BadBlock as error:
            if len(raws) > 1:
                for raw, ok in zip(raws, verified, strict=True):
                    yield from self._decode(chain, [raw], [ok])
                return
            if verified[0]:
                self.counts.verified -= 1
            else:
                self.counts.unverified -= 1
            self._reject(error)

    def _verified(self, raw: RawBlock | BadBlock) -> bool | None:
        """Whether the block verified; None: rejected."""
        self.counts.blocks += 1
        try:
            if isinstance(raw, BadBlock):
                raise raw
            ok = self._verifier.verify(raw)
        except BadBlock as error:
            self._reject(error)
            return None
        if ok:
            self.counts.verified += 1
        else:
            self.counts.unverified += 1
        return ok

    def _reject(self, error: BadBlock) -> None:
        self.counts.rejected += 1
        self._on_rejected(error)


def _number(raw: RawBlock) -> int:
    return int(raw.block.number, 16)
