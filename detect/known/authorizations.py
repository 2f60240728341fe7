"""Transfers that an owner signed off-chain and anybody may submit: Permit2's and EIP-3009's."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

PERMIT2: Final = _at("0x000000000022D473030F116dDEE9F6B43aC78BA3")
PERMIT2_TRANSFERS: Final[dict[int, str]] = {
    0x30F28B7A: (
        "permitTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes)"
    ),
    0xEDD9444B: (
        "permitTransferFrom(((address,uint256)[],uint256,uint256),(address,uint256)[],"
        "address,bytes)"
    ),
    0x137C29FE: (
        "permitWitnessTransferFrom(((address,uint256),uint256,uint256),(address,uint256),"
        "address,bytes32,string,bytes)"
    ),
    0xFE8EC1A7: (
        "permitWitnessTransferFrom(((address,uint256)[],uint256,uint256),(address,uint256)[],"
        "address,bytes32,string,bytes)"
    ),
}
AUTHORIZED_TRANSFERS: Final[dict[int, str]] = {
    0xE3EE160E: (
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,"
        "uint8,bytes32,bytes32)"
    ),
    0xEF55BEC6: (
        "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,"
        "uint8,bytes32,bytes32)"
    ),
    0xCF092995: (
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    ),
    0x88B7AB63: "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
}
SELECTORS: Final[dict[int, str]] = {**PERMIT2_TRANSFERS, **AUTHORIZED_TRANSFERS}

AUTHORIZATION_USED: Final = bytes.fromhex(
    "98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
)
TOPICS: Final[dict[bytes, str]] = {AUTHORIZATION_USED: "AuthorizationUsed(address,bytes32)"}
