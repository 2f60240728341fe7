"""Chains that several benchmarks go by: simulated ones, and tables made up of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from chainwarden.schema import TABLES
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


def table_of(name: str, columns: Mapping[str, Any]) -> pa.Table:
    """That table of ``schema.TABLES`` from some of its columns; nulls in all others."""
    schema, rows = TABLES[name], len(columns["block_number"])
    arrays = [
        pa.nulls(rows, field.type)
        if field.name not in columns
        else columns[field.name]
        if isinstance(columns[field.name], pa.Array)
        else pa.array(columns[field.name]).cast(field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def binary(data: np.ndarray, width: int) -> pa.Array:
    """Bytes, a row for each value, as values of that width."""
    buffer = pa.py_buffer(np.ascontiguousarray(data).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(data), [None, buffer])
