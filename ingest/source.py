"""The two kinds of source: raw blocks that are verified, and tables that come decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from chainwarden.errors import BadBlock
from chainwarden.schema import BlockBatch, Chain
from ingest.raw import RawBlock


@runtime_checkable
class BlockSource(Protocol):
    """Reads blocks as JSON-RPC objects, one by one, in the order the source has them."""

    chain: Chain

    def blocks(self) -> Iterator[RawBlock | BadBlock]:
        """Every block of the source.

        A block that cannot be read is yielded as the error that says why, and the next one follows.
        Raises FileFormatError or EndpointError where nothing more can be read, after all that could
        be was yielded.
        """
        ...


@runtime_checkable
class TableSource(Protocol):
    """Reads blocks that are tables already (Parquet): nothing to verify, columns may be null."""

    chain: Chain

    def batches(self, batch_blocks: int) -> Iterator[BlockBatch]:
        """Every block of the source, at most ``batch_blocks`` to a batch, in chain order."""
        ...
