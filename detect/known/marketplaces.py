"""NFT marketplaces: the orders and calls that phishers make their victims sign."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

SEAPORTS: Final = frozenset(
    {
        _at("0x00000000006c3852cbEf3e08E8dF289169EdE581"),  # 1.1
        _at("0x00000000000001ad428e4906aE43D8F9852d0dD6"),  # 1.4
        _at("0x00000000000000ADc04C56Bf30aC9d3c0aAF14dC"),  # 1.5
        _at("0x0000000000000068F116a894984e2DB1123eB395"),  # 1.6
    }
)
TRANSFER_HELPER: Final = _at("0x0000000000c2d145a2526bD8C716263bFeBe1A72")

ORDER_FULFILLED: Final = bytes.fromhex(
    "9d9af8e38d66c62e2c12f0225249fd9d721c54b83f48d9352c97c6cacdcb6f31"
)
TOPICS: Final[dict[bytes, str]] = {
    ORDER_FULFILLED: (
        "OrderFulfilled(bytes32,address,address,address,(uint8,address,uint256,uint256)[],"
        "(uint8,address,uint256,uint256,address)[])"
    ),
}

BULK_TRANSFER: Final = 0x32389B71
UPGRADE_TO: Final = 0x3659CFE6
SELECTORS: Final[dict[int, str]] = {
    BULK_TRANSFER: "bulkTransfer(((uint8,address,uint256,uint256)[],address,bool)[],bytes32)",
    UPGRADE_TO: "upgradeTo(address)",
}

# Seaport's item types.
NATIVE_ITEM: Final = 0
ERC20_ITEM: Final = 1
NFT_ITEMS: Final = frozenset({2, 3, 4, 5})  # ERC-721 and ERC-1155, by id or by criteria
