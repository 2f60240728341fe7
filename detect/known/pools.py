"""Uniswap V2, V3 and V4 and whatever has their shape: events, calls, and who holds liquidity."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

PAIR_CREATED: Final = bytes.fromhex(
    "0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9"
)
V2_SWAP: Final = bytes.fromhex("d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822")
V2_MINT: Final = bytes.fromhex("4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f")
V2_BURN: Final = bytes.fromhex("dccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496")
V2_SYNC: Final = bytes.fromhex("1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1")
POOL_CREATED: Final = bytes.fromhex(
    "783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118"
)
V3_SWAP: Final = bytes.fromhex("c42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67")
V3_MINT: Final = bytes.fromhex("7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde")
V3_BURN: Final = bytes.fromhex("0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c")
V3_COLLECT: Final = bytes.fromhex(
    "70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0"
)
V4_INITIALIZE: Final = bytes.fromhex(
    "dd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438"
)
V4_SWAP: Final = bytes.fromhex("40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f")
V4_MODIFY: Final = bytes.fromhex("f208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec")
OWNERSHIP_TRANSFERRED: Final = bytes.fromhex(
    "8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0"
)
TOPICS: Final[dict[bytes, str]] = {
    PAIR_CREATED: "PairCreated(address,address,address,uint256)",
    V2_SWAP: "Swap(address,uint256,uint256,uint256,uint256,address)",
    V2_MINT: "Mint(address,uint256,uint256)",
    V2_BURN: "Burn(address,uint256,uint256,address)",
    V2_SYNC: "Sync(uint112,uint112)",
    POOL_CREATED: "PoolCreated(address,address,uint24,int24,address)",
    V3_SWAP: "Swap(address,address,int256,int256,uint160,uint128,int24)",
    V3_MINT: "Mint(address,address,int24,int24,uint128,uint256,uint256)",
    V3_BURN: "Burn(address,int24,int24,uint128,uint256,uint256)",
    V3_COLLECT: "Collect(address,address,int24,int24,uint128,uint128)",
    V4_INITIALIZE: "Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)",
    V4_SWAP: "Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)",
    V4_MODIFY: "ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)",
    OWNERSHIP_TRANSFERRED: "OwnershipTransferred(address,address)",
}

# --- calls: sales through routers, and what owners of tokens switch.

SELL_FOR_ETHER: Final = 0x18CBAFE5
SELL_FOR_ETHER_WITH_TAX: Final = 0x791AC947
UNIVERSAL_EXECUTE: Final = 0x3593564C
SALES: Final[dict[int, str]] = {
    SELL_FOR_ETHER: "swapExactTokensForETH(uint256,uint256,address[],address,uint256)",
    SELL_FOR_ETHER_WITH_TAX: (
        "swapExactTokensForETHSupportingFeeOnTransferTokens"
        "(uint256,uint256,address[],address,uint256)"
    ),
    UNIVERSAL_EXECUTE: "execute(bytes,bytes[],uint256)",
}
REMOVE_LIMITS: Final = 0x751039FC
SWITCHES: Final[dict[int, str]] = {
    0xC9567BF9: "openTrading()",
    0xC647B20E: "setTaxes(uint256,uint256)",
    0x8B4CEE08: "setSellFee(uint256)",
    0xF9F92BE4: "blacklist(address)",
    0xB515566A: "setBots(address[])",
    REMOVE_LIMITS: "removeLimits()",
    0xC0246668: "excludeFromFees(address,bool)",
    0x44337EA1: "addToBlacklist(address)",
    0x69FE0E2D: "setFee(uint256)",
    0xEC28438A: "setMaxTxAmount(uint256)",
    0xC2E5EC04: "setTradingEnabled(bool)",
    0x8A8C523C: "enableTrading()",
    0x8456CB59: "pause()",
}
"""What an owner, and nobody after the owner renounced, may do to a token's holders."""

SELECTORS: Final[dict[int, str]] = {**SALES, **SWITCHES}

# --- contracts

POOL_MANAGERS: Final = frozenset({_at("0x000000000004444c5dc75cB358380D2e3dE08A90")})
"""Where the events of V4 pools come from; a V2 or V3 pool is its own emitter."""

LOCKERS: Final = frozenset(
    {
        _at("0x663A5C229c09b049E36dCc11a9B0d4a8Eb9db214"),  # UNCX, V2 liquidity
        _at("0xFD235968e65B0990584585763f837A5b5330e6DE"),  # UNCX, V3 positions
        _at("0xE2fE530C047f2d85298b07D9333C05737f1435fB"),  # Team Finance
        _at("0x71B5759d73262FBb223956913ecF4ecC51057641"),  # PinkLock
    }
)
"""Contracts that hold liquidity for its provider until a date, and move it between versions."""
