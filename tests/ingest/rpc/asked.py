"""What is asked of the nodes of these tests, and how they are told to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chainwarden.errors import BadBlock
from ingest.endpoint import EndpointConfig
from ingest.pool import PoolConfig
from ingest.raw import RawBlock
from ingest.rpc import RpcConfig, RpcSource
from ingest.verify import Verifier
from tests.rigs.liar import Answer, Json, Recording, Tamper

QUICK = RpcConfig(
    pool=PoolConfig(
        deadline_seconds=1,
        patience_seconds=0.3,
        pause_seconds=0.02,
        longest_pause_seconds=0.2,
        endpoint=EndpointConfig(timeout_seconds=0.5),
    )
)
"""For nodes that never answer: it gives up soon."""

LASTING = replace(QUICK, pool=replace(QUICK.pool, patience_seconds=30, deadline_seconds=30))
"""For nodes that do answer in the end: it gives up on no machine, however busy."""


def hash_at(recording: Recording, index: int) -> bytes:
    """The hash of the recording's block of that index."""
    return bytes.fromhex(recording.by_number[recording.numbers[index]][2:])


def all_of(source: RpcSource, recording: Recording) -> list[RawBlock | BadBlock]:
    """The whole recording by range."""
    return list(source.range(recording.numbers[0], recording.numbers[-1] + 1))


def on(method: str, change: Callable[[Json], Json]) -> Tamper:
    """A tamper that changes the results of one method."""
    return lambda name, _, result: change(result) if name == method else result


def always(answer: Answer | None) -> Callable[[Json], Answer | None]:
    """An intercept that answers everything with the same."""
    return lambda _: answer


def is_whole(blocks: list[RawBlock | BadBlock], recording: Recording) -> bool:
    """Every block is there, in order, itself, and verified with its receipts."""
    expected = [recording.by_number[number] for number in recording.numbers]
    return [b.block.hash for b in blocks if isinstance(b, RawBlock)] == expected and all(
        isinstance(b, RawBlock) and b.receipts is not None and Verifier().verify(b) for b in blocks
    )


def small() -> Recording:
    """A recording of one block."""
    recording = Recording()
    recording.grow(1)
    return recording
