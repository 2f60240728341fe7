from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from chainwarden.errors import BadBlock, FileFormatError
from chainwarden.schema import ETHEREUM, BlocksAdded, Chain
from ingest.chain import ChainFollower
from ingest.intake import Intake
from ingest.raw import RawBlock, RpcCall
from ingest.simulate import Simulation, SimulationConfig


@dataclass
class Listed:
    """A source that has these blocks, and then maybe breaks off."""

    items: list[RawBlock | BadBlock]
    failure: FileFormatError | None = None
    chain: Chain = field(default=ETHEREUM)

    def blocks(self) -> Iterator[RawBlock | BadBlock]:
        """The blocks, then the failure."""
        yield from self.items
        if self.failure is not None:
            raise self.failure


def made(count: int) -> list[RawBlock]:
    """Linked blocks without forks."""
    config = SimulationConfig(blocks=count, transactions_per_block=3.0, campaigns=())
    return list(Simulation(config).blocks())


def taken(source: Listed, batch_blocks: int = 4) -> tuple[Intake, list[int], list[BadBlock]]:
    """The intake after the source's end, the numbers of the blocks added, what was rejected."""
    rejected: list[BadBlock] = []
    intake = Intake(source, ChainFollower(), batch_blocks=batch_blocks, on_rejected=rejected.append)
    numbers: list[int] = []
    failure = None
    try:
        for event in intake.events():
            assert isinstance(event, BlocksAdded)
            numbers += event.batch.numbers().tolist()
    except FileFormatError as error:
        failure = error
    assert failure is source.failure
    return intake, numbers, rejected


def test_a_block_that_is_bad_is_left_out_and_counted() -> None:
    """Read as an error, lying about a root, or impossible to decode: the others go on."""
    blocks = made(9)
    numbers = [int(raw.block.number, 16) for raw in blocks]
    blocks[2].block.state_root = "0x" + "00" * 32
    undecodable = blocks[5]
    undecodable.calls = []
    for index, tx in enumerate(undecodable.block.transactions):
        undecodable.calls.append(
            RpcCall(
                transaction_hash=tx.hash,
                index=1,
                parent_index=0,
                depth=0,
                call_type="CALL" if tx.to else "CREATE",
                from_=tx.from_,
                to=tx.to,
                value=tx.value,
                input=tx.input,
            )
        )
        if index == 0:
            undecodable.calls.append(
                RpcCall(tx.hash, 2, 1, 1, "CALL", from_="0xnonsense", to="0x", value="0x1")
            )
    items: list[RawBlock | BadBlock] = [
        *blocks[:8],
        BadBlock("no block", where="x:9", reason="malformed"),
        blocks[8],
    ]
    intake, added, rejected = taken(Listed(items))
    assert added == [n for i, n in enumerate(numbers) if i not in (2, 5)]
    assert len(rejected) == intake.counts.rejected == 3
    assert intake.counts.blocks == 10
    assert intake.counts.verified == 7
    assert intake.counts.transactions == sum(
        len(raw.block.transactions) for i, raw in enumerate(blocks) if i not in (2, 5)
    )


def test_what_was_read_before_a_break_goes_on() -> None:
    """A source that breaks off in a batch still gives the blocks before it."""
    blocks = made(6)
    failure = FileFormatError("the file ends in the middle")
    intake, added, rejected = taken(Listed([*blocks], failure), batch_blocks=4)
    assert len(added) == 6
    assert not rejected
    assert intake.counts.verified == 6
