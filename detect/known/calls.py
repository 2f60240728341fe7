"""Calls that victims are made to sign, and the commonest ones of tokens."""

from __future__ import annotations

from typing import Final

TRANSFER: Final = 0xA9059CBB
DISPERSE_ETHER: Final = 0xE63D38ED
DISPERSE_TOKEN: Final = 0xC73A2D60
NATIVE_CLAIMS: Final[dict[int, str]] = {
    0x4E71D92D: "claim()",
    0x3158952E: "Claim()",
    0x372500AB: "claimRewards()",
    0x79372F9A: "ClaimReward()",
    0x12798972: "ClaimRewards()",
    0xB88A802F: "claimReward()",
    0x5FBA79F5: "SecurityUpdate()",
    0xAF347B61: "securityUpdate()",
    0xA16F15C3: "Connect()",
    0x2D66F063: "connectWallet()",
    0x3F6B6F2E: "Airdrop()",
    0x3884D635: "airdrop()",
    0x1249C58B: "mint()",
}
PERMITS: Final[dict[int, str]] = {
    0xD505ACCF: "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
    0x8FCBAF0C: "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
    0x9FD5A6CF: "permit(address,address,uint256,uint256,bytes)",
    0x2B67B570: "permit(address,((address,uint160,uint48,uint48),address,uint256),bytes)",
    0x2A2D80D1: "permit(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)",
}
SELECTORS: Final[dict[int, str]] = {
    TRANSFER: "transfer(address,uint256)",
    DISPERSE_ETHER: "disperseEther(address[],uint256[])",
    DISPERSE_TOKEN: "disperseToken(address,address[],uint256[])",
    **NATIVE_CLAIMS,
    **PERMITS,
}
