"""Issuers that freeze: their events."""

from __future__ import annotations

from typing import Final

USDT_FROZEN: Final = bytes.fromhex(
    "42e160154868087d6bfdc0ca23d96a1c1cfa32f1b72ba9ba27b69b98a0d819dc"
)
USDT_UNFROZEN: Final = bytes.fromhex(
    "d7e9ec6e6ecd65492dce6bf513cd6867560d49544421d0783ddf06e76c24470c"
)
USDT_DESTROYED: Final = bytes.fromhex(
    "61e6e66b0d6339b2980aecc6ccc0039736791f0ccde9ed512e789a7fbdd698c6"
)
USDC_FROZEN: Final = bytes.fromhex(
    "ffa4e6181777692565cf28528fc88fd1516ea86b56da075235fa575af6a4b855"
)
USDC_UNFROZEN: Final = bytes.fromhex(
    "117e3210bb9aa7d9baff172026820255c6f6c30ba8999d1c2fd88e2848137c4e"
)
TOPICS: Final[dict[bytes, str]] = {
    USDT_FROZEN: "AddedBlackList(address)",
    USDT_UNFROZEN: "RemovedBlackList(address)",
    USDT_DESTROYED: "DestroyedBlackFunds(address,uint256)",
    USDC_FROZEN: "Blacklisted(address)",
    USDC_UNFROZEN: "UnBlacklisted(address)",
}
