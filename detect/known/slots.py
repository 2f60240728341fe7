"""The beacon chain's clock."""

from __future__ import annotations

from typing import Final

# --- slots: chain id -> (beacon genesis time, seconds a slot, first slot with an execution block).
# Ethereum: beacon chain spec, and the merge block 15537394 at slot 4700013.
SLOT_CLOCKS: Final[dict[int, tuple[int, int, int]]] = {1: (1606824023, 12, 4700013)}
