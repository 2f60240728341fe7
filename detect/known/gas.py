"""What the fee markets of known chains follow: EIP-1559 and EIP-4844, fork by fork."""

from __future__ import annotations

from typing import Final, NamedTuple

GAS_PER_BLOB: Final = 2**17  # EIP-4844
BLOB_BASE_COST: Final = 2**13  # EIP-7918: execution gas that a blob costs at least


class BlobRules(NamedTuple):
    """The blob fee market from a block time on (EIP-4844, 7691, 7892).

    ``target`` and ``most`` are blobs a block, ``fraction`` how much excess multiplies the fee by e;
    ``floor``: the fee is bounded by the execution cost (EIP-7918).
    """

    since: int
    target: int
    most: int
    fraction: int
    floor: bool


class FeeRules(NamedTuple):
    """The fee market of a chain: ``london`` is the first block with a base fee (EIP-1559)."""

    london: int
    blobs: tuple[BlobRules, ...]


# Cancun, Prague, Osaka, and the two blob-parameter-only forks of EIP-8134 and 8135.
FEE_RULES: Final[dict[int, FeeRules]] = {
    1: FeeRules(
        12_965_000,
        (
            BlobRules(1710338135, 3, 6, 3338477, False),
            BlobRules(1746612311, 6, 9, 5007716, False),
            BlobRules(1764798551, 6, 9, 5007716, True),
            BlobRules(1765290071, 10, 15, 8346193, True),
            BlobRules(1767747671, 14, 21, 11684671, True),
        ),
    ),
    11155111: FeeRules(  # Sepolia
        0,
        (
            BlobRules(1706655072, 3, 6, 3338477, False),
            BlobRules(1741159776, 6, 9, 5007716, False),
            BlobRules(1760427360, 6, 9, 5007716, True),
            BlobRules(1761017184, 10, 15, 8346193, True),
            BlobRules(1761607008, 14, 21, 11684671, True),
        ),
    ),
}
"""By chain id. Chains of other gas rules (the OP stack, Arbitrum, Polygon) are not in it."""
