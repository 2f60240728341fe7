"""Flash loans: who lends, and what the lenders log."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

AAVE_V2_LOAN: Final = bytes.fromhex(
    "631042c832b07452973831137f2d73e395028b44b250dedc5abb0ee766e168ac"
)
AAVE_V3_LOAN: Final = bytes.fromhex(
    "efefaba5e921573100900a3ad9cf29f222d995fb3b6045797eaea7521bd8d6f0"
)
SHARED_LOAN: Final = bytes.fromhex(
    "0d7d75e01ab95780d3cd1c8ec0dd6c2ce19e3a20427eec8bf53283b6fb8e95f0"
)
MORPHO_LOAN: Final = bytes.fromhex(
    "c76f1b4fe4396ac07a9fa55a415d4ca430e72651d37d3401f3bed7cb13fc4f12"
)
V3_FLASH: Final = bytes.fromhex("bdbdb71d7860376ba52b25a5028beea23581364a40522f6bcfb86bb1f2dca633")
LIQUIDATION: Final = bytes.fromhex(
    "e413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"
)
LOANS: Final[dict[bytes, str]] = {
    AAVE_V2_LOAN: "FlashLoan(address,address,address,uint256,uint256,uint16)",
    AAVE_V3_LOAN: "FlashLoan(address,address,address,uint256,uint8,uint256,uint16)",
    SHARED_LOAN: "FlashLoan(address,address,uint256,uint256)",
    MORPHO_LOAN: "FlashLoan(address,address,uint256)",
    V3_FLASH: "Flash(address,address,uint256,uint256,uint256,uint256)",
}
TOPICS: Final[dict[bytes, str]] = {
    **LOANS,
    LIQUIDATION: "LiquidationCall(address,address,address,uint256,uint256,address,bool)",
}

# Balancer and Maker log the same event, and so may anybody: the emitter tells whose it is.
BALANCER_VAULTS: Final = frozenset({_at("0xBA12222222228d8Ba445958a75a0704d566BF2C8")})
MAKER_FLASH: Final = frozenset({_at("0x60744434d6339a6B27d73d9Eda62b6F66a0a04FA")})
MORPHO: Final = frozenset({_at("0xBBBBBbbBBb9cC5e90e3b3Af64bdAF62C37EEFFCb")})
