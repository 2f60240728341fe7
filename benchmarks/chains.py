"""Simulated chains that several benchmarks go by."""

from __future__ import annotations

from ingest.raw import RawBlock
from ingest.simulate import Simulation, SimulationConfig


def winning_chain(config: SimulationConfig) -> list[RawBlock]:
    """The blocks of a simulation, without the orphans."""
    raws = {raw.block.hash: raw for raw in Simulation(config).blocks()}
    winning: list[RawBlock] = []
    raw = next(reversed(raws.values()), None)
    while raw is not None:  # from the last block back along the parents
        winning.append(raw)
        raw = raws.get(raw.block.parent_hash)
    return winning[::-1]
