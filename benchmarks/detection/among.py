"""Blocks with more in them: an attacker's rows behind those of the same blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from chainwarden.schema import TABLES, BlockBatch, column
from detect.compiled import Array

_BEHIND = 1_000_000  # the attacker's transactions come after all others of their block


def among(batch: BlockBatch, made: BlockBatch) -> BlockBatch:
    """The batch with the rows of another batch of some of the same blocks, after its own."""
    tables = {"blocks": batch.blocks}
    for name in list(TABLES)[1:]:
        extra = getattr(made, name)
        place = extra.schema.get_field_index("transaction_index")
        field = extra.schema.field(place)
        moved = pa.array(column(extra, "transaction_index") + _BEHIND).cast(field.type)
        whole = pa.concat_tables([getattr(batch, name), extra.set_column(place, field, moved)])
        keys = [
            (key, "ascending")
            for key in ("block_number", "transaction_index", "ordinal")
            if key in whole.column_names
        ]
        tables[name] = whole.sort_by(keys)
    return BlockBatch.of(batch.chain, **tables)


def times_of(batch: BlockBatch) -> Callable[[Array], Array]:
    """The times of a batch's own blocks, by number."""
    numbers, times = batch.numbers(), column(batch.blocks, "block_timestamp")

    def times_by_number(wanted: Array) -> Array:
        return np.asarray(times[np.searchsorted(numbers, wanted)])

    return times_by_number
