"""Tornado Cash and Railgun: addresses, dates, calls and events."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

# --- Tornado Cash: address -> what one deposit is, None where the Transfer log says it. Public
# lists disagree on which USDC pool holds which denomination, so no token pool states one.
TORNADO_POOLS: Final[dict[bytes, int | None]] = {
    _at("0x12D66f87A04A9E220743712cE6d9bB1B5616B8Fc"): 10**17,  # ETH-0.1
    _at("0x47CE0C6eD5B0Ce3d3A51fdb1C52DC66a7c3c2936"): 10**18,  # ETH-1
    _at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF"): 10**19,  # ETH-10
    _at("0xA160cdAB225685dA1d56aa342Ad8841c3b53f291"): 10**20,  # ETH-100
    _at("0xD4B88Df4D29F5CedD6857912842cff3b20C8Cfa3"): None,  # DAI-100
    _at("0xFD8610d20aA15b7B2E3Be39B396a1bC3516c7144"): None,  # DAI-1k
    _at("0x07687e702b410Fa43f4cB4Af7FA097918ffD2730"): None,  # DAI-10k
    _at("0x23773E65ed146A459791799d01336DB287f25334"): None,  # DAI-100k
    _at("0x22aaA7720ddd5388A3c0A3333430953C68f1849b"): None,  # cDAI-5k
    _at("0x03893a7c7463AE47D46bc7f091665f1893656003"): None,  # cDAI-50k
    _at("0x2717c5e28cf931547B621a5dddb772Ab6A35B701"): None,  # cDAI-500k
    _at("0xD21be7248e0197Ee08E0c20D4a96DEBdaC3D20Af"): None,  # cDAI-5M
    _at("0xd96f2B1c14Db8458374d9Aca76E26c3D18364307"): None,  # USDC-pool-a
    _at("0x4736dCf1b7A3d580672CcE6E7c65cd5cc9cFBa9D"): None,  # USDC-pool-b
    _at("0x169AD27A470D064DEDE56a2D3ff727986b15D52B"): None,  # USDT-100
    _at("0x0836222F2B2B24A3F36f98668Ed8F0B38D1a872f"): None,  # USDT-1k
    _at("0x178169B423a011fff22B9e3F3abeA13414dDD0F1"): None,  # WBTC-0.1
    _at("0x610B717796ad172B316836AC95a2ffad065CeaB4"): None,  # WBTC-1
    _at("0xbB93e510BbCD0B7beb5A853875f9eC60275CF498"): None,  # WBTC-10
    _at("0xD691F27f38B395864Ea86CfC7253969B409c362d"): None,  # USDC-pool-c
    _at("0x1356c899D8C9467C7f71C195612F8A395aBf2f0a"): None,  # cUSDC-50k
    _at("0x9AD122c22B14202B4490eDAf288FDb3C7cb3ff5E"): None,  # USDT-100k
    _at("0xA60C772958a3eD56c1F15dD055bA37AC8e523a0D"): None,  # cUSDC-500k
    _at("0xBA214C1c1928a32Bffe790263E38B4Af9bFCD659"): None,  # cDAI-50k
    _at("0xF60dD140cFf0706bAE9Cd734Ac3ae76AD9eBC32A"): None,  # DAI-10k
    _at("0xF67721A2D8F736E75a49FdD7FAd2e31D8676542a"): None,  # USDT-10k
    _at("0xaEaaC358560e11f52454D997AAFF2c5731B6f8a6"): None,  # cUSDC-5k
    _at("0xb1C8094B234DcE6e03f10a5b673c1d8C69739A00"): None,  # cDAI-500k
    _at("0x94A1B5CdB22c43faab4AbEb5c74999895464Ddaf"): None,  # mixer 1
    _at("0xb541fc07bC7619fD4062A54d96268525cBC6FfEF"): None,  # mixer 2
}
TORNADO_ROUTERS: Final = frozenset(
    {
        _at("0xd90e2f925DA726b50C4Ed8D0Fb90Ad053324F31b"),
        _at("0x722122dF12D4e14e13Ac3b6895a86e84145b6967"),
        _at("0x905b63Fff465B9fFBF41DeA908CEb12478ec7601"),
    }
)
# The rest of what OFAC listed under that name (on its list of 2024-09, and called Tornado Cash by
# etherscan-labels): part of the same listing and of the same delisting.
TORNADO_CONTRACTS: Final = frozenset(
    {
        _at("0x09193888b3f38C82dEdfda55259A82C0E7De875E"),  # withdraw verifier
        _at("0x179f48C78f57A3A78f0608cC9197B8972921d1D2"),  # governance vesting
        _at("0x2FC93484614a34f26F7970CBB94615bA109BB4bf"),  # governance staking
        _at("0x2F50508a8a3D323B91336FA3eA6ae50E55f32185"),  # governance vault
        _at("0x3eFA30704D2b8BBAc821307230376556cF8CC39e"),  # vTORN token
        _at("0x527653eA119F3E6a1F5BD18fbF4714081D7B31ce"),  # trees
        _at("0x58E8dCC13BE9780fC42E8723D8EaD4CF46943dF2"),  # relayer registry
        _at("0x5cab7692D4E94096462119ab7bF57319726Eed2A"),  # reward swap
        _at("0x5efda50f22d34F262c29268506C5Fa42cB56A1Ce"),  # governance
        _at("0x5f48C2A71B2CC96e3F0CCae4E39318Ff0dc375b2"),  # team vesting
        _at("0x5f6c97C6AD7bdd0AE7E0Dd4ca33A4ED3fDabD4D7"),  # fee manager
        _at("0x653477c392c16b0765603074f157314Cc4f40c32"),  # tree update verifier
        _at("0x746Aebc06D2aE31B71ac51429A19D54E797878E9"),  # mining
        _at("0x756C4628E57F7e7f8a459EC2752968360Cf4D1AA"),  # echoer
        _at("0x77777FeDdddFfC19Ff86DB637967013e6C6A116C"),  # TORN token
        _at("0x8589427373D6D84E98730D7795D8f6f8731FDA16"),  # donations
        _at("0x88fd245fEdeC4A936e700f9173454D1931B4C307"),  # reward verifier
        _at("0x94C92F096437ab9958fC0A37F09348f30389Ae79"),  # hasher
        _at("0xB20c66C4DE72433F3cE747b58B86830c459CA911"),  # instance registry
        _at("0xD82ed8786D7c69DC7e052F7A542AB047971E73d2"),  # hasher
        _at("0xDD4c48C0B24039969fC16D1cdF626eaB821d3384"),  # grants
        _at("0xb04E030140b30C27bcdfaafFFA98C57d80eDa7B4"),  # community fund
        _at("0xCa0840578f57fE71599D29375e16783424023357"),  # L1 helper
        _at("0xffbaC21a641Dcfe4552920138D90F3638B3c9fba"),  # governance implementation
    }
)
TORNADO: Final = TORNADO_ROUTERS | TORNADO_CONTRACTS | frozenset(TORNADO_POOLS)
# OFAC listed Tornado Cash on 2022-08-08 and delisted it on 2025-03-21 (both 00:00 UTC).
TORNADO_LISTED: Final = 1659916800
TORNADO_DELISTED: Final = 1742515200

RAILGUN: Final = frozenset(
    {
        _at("0xFA7093CDD9EE6932B4eb2c9e1cde7CE00B1FA4b9"),
        _at("0x4025ee6512DBbda97049Bcf5AA5D38C54aF6bE8a"),
    }
)

TORNADO_DEPOSIT_CALL: Final = 0xB214FAA5
TORNADO_ROUTER_DEPOSIT_CALL: Final = 0x13D98D13
SELECTORS: Final[dict[int, str]] = {
    TORNADO_DEPOSIT_CALL: "deposit(bytes32)",
    TORNADO_ROUTER_DEPOSIT_CALL: "deposit(address,bytes32,bytes)",
}

TORNADO_DEPOSIT: Final = bytes.fromhex(
    "a945e51eec50ab98c161376f0db4cf2aeba3ec92755fe2fcd388bdbbb80ff196"
)
TORNADO_WITHDRAWAL: Final = bytes.fromhex(
    "e9e508bad6d4c3227e881ca19068f099da81b5164dd6d62b2eaf1e8bc6c34931"
)
RAILGUN_SHIELD: Final = bytes.fromhex(
    "3a5b9dc26075a3801a6ddccf95fec485bb7500a91b44cec1add984c21ee6db3b"
)
RAILGUN_UNSHIELD: Final = bytes.fromhex(
    "d93cf895c7d5b2cd7dc7a098b678b3089f37d91f48d9b83a0800a91cbdf05284"
)
TOPICS: Final[dict[bytes, str]] = {
    TORNADO_DEPOSIT: "Deposit(bytes32,uint32,uint256)",
    TORNADO_WITHDRAWAL: "Withdrawal(address,bytes32,address,uint256)",
    RAILGUN_SHIELD: (
        "Shield(uint256,uint256,(bytes32,(uint8,address,uint256),uint120)[],"
        "(bytes32[3],bytes32)[],uint256[])"
    ),
    RAILGUN_UNSHIELD: "Unshield(address,(uint8,address,uint256),uint256,uint256)",
}
