"""What machine code is recognised by: callbacks of flash loans, proxies, metamorphic prefixes."""

from __future__ import annotations

from typing import Final

FLASH_CALLBACKS: Final[dict[int, str]] = {
    0x10D1E85C: "uniswapV2Call(address,uint256,uint256,bytes)",
    0xE9CBAFB0: "uniswapV3FlashCallback(uint256,uint256,bytes)",
    0x920F5C84: "executeOperation(address[],uint256[],uint256[],address,bytes)",
    0x23E30C8B: "onFlashLoan(address,address,uint256,uint256,bytes)",
    0xF04F2707: "receiveFlashLoan(address[],uint256[],uint256[],bytes)",
}
"""What lenders call in the middle of a flash loan: only borrowers have these functions."""

SELECTORS: Final[dict[int, str]] = {**FLASH_CALLBACKS}

METAMORPHIC_PREFIX: Final = bytes.fromhex(
    "5860208158601c335a63aaf10f428752fa158151803b80938091923cf3"
)
"""Init code that deploys whatever its creator answers: another code at the same address later."""

# EIP-1167 and its two shorter cousins: what stands before and behind the target's address.
PROXY_PATTERNS: Final = (
    (bytes.fromhex("363d3d373d3d3d363d73"), bytes.fromhex("5af43d82803e903d91602b57fd5bf3")),
    (bytes.fromhex("3d3d3d3d363d3d37363d73"), bytes.fromhex("5af43d3d93803e602a57fd5bf3")),
    (bytes.fromhex("365f5f375f5f365f73"), bytes.fromhex("5af43d5f5f3e5f3d91602a57fd5bf3")),
)
