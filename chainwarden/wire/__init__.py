"""What stands on the bus: the records of a block as JSON, and blocks from records again.

A block is one ``TransactionRecord`` for each transaction, with all that belongs to it, and one
``BlockRecord``; a revert and a finality mark are a ``BlockRecord`` alone. Values are JSON objects
whose fields are named like the columns of ``chainwarden.schema``:

- addresses, hashes and data are ``0x…`` text; amounts and prices are decimal text, exact up to
  2^256-1; counts, indexes, gas and nonces are numbers; times are seconds since 1970;
- a field that is absent is null, an absent list is empty, and an absent ``value_f64`` is the
  float64 nearest to ``value``;
- ``version`` is 1; within a version fields are only ever added, and readers skip those they do not
  know. Records of another version are refused.

Every record carries ``sequence``, the number of the event on this bus: it rises with every event
and joins the records of one publication. Reading is total: whatever bytes come, the answer is a
record or InvalidWire. Both directions are exact for every column, nulls included.
"""

from chainwarden.wire.decode import check_transaction, decode_blocks
from chainwarden.wire.encode import encode_blocks, encode_mark
from chainwarden.wire.records import (
    BlockRecord,
    EncodedEvent,
    InvalidWire,
    TransactionRecord,
    belong,
    decode_block,
    decode_transaction,
)

__all__ = [
    "BlockRecord",
    "EncodedEvent",
    "InvalidWire",
    "TransactionRecord",
    "belong",
    "check_transaction",
    "decode_block",
    "decode_blocks",
    "decode_transaction",
    "encode_blocks",
    "encode_mark",
]
