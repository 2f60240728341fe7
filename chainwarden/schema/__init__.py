"""What the stages share: the Arrow tables a block becomes, and the small frozen types.

Column names are those ethereum-etl, cryo and the AWS public data set share, so our Parquet joins
theirs. Addresses and hashes are fixed-size binary inside and ``0x…`` text at the edges. Amounts are
exact: ``value`` is an unsigned 256-bit integer as 32 big-endian bytes, ``value_f64`` the float64
beside it that features use. Times are block times, in seconds since 1970 (UTC).

A column is null where the source lacks it (a Parquet file without receipts has no ``status``);
nothing is invented.
"""

from chainwarden.schema.alerts import (
    MAX_HOPS,
    Alert,
    Detections,
    Evidence,
    Hop,
    Reason,
    Retraction,
    RetractionReason,
    Role,
    Severity,
    alert_id,
    alert_to_dict,
    alerts_digest,
    hex_of,
    path_of,
)
from chainwarden.schema.blocks import (
    ETHEREUM,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    Chain,
    ChainEvent,
    Position,
    column,
)
from chainwarden.schema.cursor import Cursor, LakeFile, Offsets
from chainwarden.schema.labels import ANALYST, Label
from chainwarden.schema.tables import (
    ADDRESS,
    APPROVALS,
    AUTHORIZATIONS,
    BLOCKS,
    CREATIONS,
    FLOWS,
    HASH,
    LOGS,
    TABLES,
    TRANSACTIONS,
    UINT256,
    ZERO_ADDRESS,
    ApprovalKind,
    FlowKind,
)

__all__ = [
    "ADDRESS",
    "ANALYST",
    "APPROVALS",
    "AUTHORIZATIONS",
    "BLOCKS",
    "CREATIONS",
    "ETHEREUM",
    "FLOWS",
    "HASH",
    "LOGS",
    "MAX_HOPS",
    "TABLES",
    "TRANSACTIONS",
    "UINT256",
    "ZERO_ADDRESS",
    "Alert",
    "ApprovalKind",
    "BlockBatch",
    "BlockFinalized",
    "BlockReverted",
    "BlocksAdded",
    "Chain",
    "ChainEvent",
    "Cursor",
    "Detections",
    "Evidence",
    "FlowKind",
    "Hop",
    "Label",
    "LakeFile",
    "Offsets",
    "Position",
    "Reason",
    "Retraction",
    "RetractionReason",
    "Role",
    "Severity",
    "alert_id",
    "alert_to_dict",
    "alerts_digest",
    "column",
    "hex_of",
    "path_of",
]
