"""Selectors, topics and addresses of mainnet that the rules speak of, each with its source.

Selectors and topics stand beside the signature they are the keccak of; a test recomputes them.
Addresses are written with their EIP-55 checksum, which a test checks too. Where nothing else is
said, an address was cross-checked with the etherscan-labels snapshot of October 2023 or with the
project's own deployment page; exchange wallets change, so the list is a floor, not a census.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


def _at(text: str) -> bytes:
    return bytes.fromhex(text[2:])


ETHER: Final = 1e18
PER_ETHER: Final = 10**18


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose transfers count as value: its symbol, its decimals, roughly a dollar's worth.

    ``dust`` is what a transfer must exceed to count as a real one, in whole units.
    """

    symbol: str
    decimals: int
    dust: float


# Identity is the address, never the symbol: anyone can call a token USDT.
USDT: Final = _at("0xdAC17F958D2ee523a2206206994597C13D831ec7")
USDC: Final = _at("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
DAI: Final = _at("0x6B175474E89094C44Da98b954EedeAC495271d0F")
WETH: Final = _at("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
WBTC: Final = _at("0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599")

VALUE_TOKENS: Final[dict[bytes, Token]] = {
    USDT: Token("USDT", 6, 1.0),
    USDC: Token("USDC", 6, 1.0),
    DAI: Token("DAI", 18, 1.0),
    WETH: Token("WETH", 18, 0.0005),
    WBTC: Token("WBTC", 8, 0.00002),
}
NATIVE: Final = Token("ETH", 18, 0.0005)

# Whoever these are, they are no attackers: what they do to strangers is their service.
SERVICES: Final[dict[str, tuple[bytes, ...]]] = {
    "exchange": (
        _at("0xBE0eB53F46cd790Cd13851d5EFf43D12404d33E8"),  # Binance7
        _at("0xF977814e90dA44bFA03b6295A0616a897441aceC"),  # Binance8
        _at("0x28C6c06298d514Db089934071355E5743bf21d60"),  # Binance14
        _at("0x21a31Ee1afC51d94C2eFcCAa2092aD1028285549"),  # Binance15
        _at("0xDFd5293D8e347dFe59E90eFd55b2956a1343963d"),  # Binance16
        _at("0x56Eddb7aa87536c09CCc2793473599fD21A8b17F"),  # Binance17
        _at("0x9696f59E4d72E237BE84fFD425DCaD154Bf96976"),  # Binance18
        _at("0x71660c4005BA85c37ccec55d0C4493E66Fe775d3"),  # Coinbase1
        _at("0x503828976D22510aad0201ac7EC88293211D23Da"),  # Coinbase2
        _at("0xddfAbCdc4D8FfC6d5beaf154f18B778f892A0740"),  # Coinbase3
        _at("0xA9D1e08C7793af67e9d92fe308d5697FB81d3E43"),  # Coinbase10
        _at("0x2910543Af39abA0Cd09dBb2D50200b3E800A63D2"),  # Kraken1
        _at("0x267be1C1D684F78cb4F6a176C4911b741E4Ffdc0"),  # Kraken4
        _at("0x6cC5F688a315f3dC28A7781717a9A798a59fDA7b"),  # OKX1
        _at("0xf89d7b9c864f589bbF53a82105107622B35EaA40"),  # Bybit
        _at("0xD6216fC19DB775Df9774a6E33526131dA7D19a2c"),  # KuCoin6
        _at("0x0D0707963952f2fBA59dD06f2b425ace40b492Fe"),  # Gate1
        _at("0x6262998Ced04146fA42253a5C0AF90CA02dfd2A3"),  # CryptoCom1
        _at("0x742d35Cc6634C0532925a3b844Bc454e4438f44e"),  # Bitfinex2
        _at("0x876EabF441B2EE5B5b0554Fd502a8E0600950cFa"),  # Bitfinex3
        _at("0xd24400ae8BfEBb18cA49Be86258a3C749cf46853"),  # Gemini4
        _at("0x75e89d5979E4f6Fba9F97c104c2F0AFB3F1dcB88"),  # MEXC
        _at("0x0639556F03714A74a5fEEaF5736a4A64fF70D206"),  # Bitget
        _at("0x4E5B2e1dc63F6b91cb6Cd759936495434C7e972F"),  # FixedFloat
        _at("0xA4e5961B58DBE487639929643dCB1Dc3848dAF5E"),  # ChangeNOW
        _at("0xf1dA173228fcf015F43f3eA15aBBB51f0d8f1123"),  # eXch
        _at("0x18709E89BD403F470088aBDAcEbE86CC60dda12e"),  # HTX
    ),
    "dex": (
        _at("0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f"),  # UniV2Factory
        _at("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D"),  # UniV2Router02
        _at("0x1F98431c8aD98523631AE4a59f267346ea31F984"),  # UniV3Factory
        _at("0xE592427A0AEce92De3Edee1F18E0157C05861564"),  # UniV3Router
        _at("0x68b3465833fb72A70ecDF485E0e4C7bD8665Fc45"),  # UniV3Router02
        _at("0xC36442b4a4522E871399CD717aBDD847Ab11FE88"),  # UniV3NFPM
        _at("0xEf1c6E67703c7BD7107eed8303Fbe6EC2554BF6B"),  # UniversalRouter-old
        _at("0x3fC91A3afd70395Cd496C647d5a6CC9D4B2b7FAD"),  # UniversalRouter1.2
        _at("0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af"),  # UniversalRouterV2
        _at("0x000000000004444c5dc75cB358380D2e3dE08A90"),  # UniV4PoolManager
        _at("0xC0AEe478e3658e2610c5F7A4A2E1777cE9e4f2Ac"),  # SushiFactory
        _at("0xd9e1cE17f2641f24aE83637ab66a2cca9C378B9F"),  # SushiRouter
        _at("0x1111111254EEB25477B68fb85Ed929f73A960582"),  # 1inchV5
        _at("0x111111125421cA6dc452d289314280a0f8842A65"),  # 1inchV6
        _at("0xDef1C0ded9bec7F1a1670819833240f027b25EfF"),  # 0xProxy
        _at("0x9008D19f58AAbD9eD0D60971565AA8510560ab41"),  # CoWSettlement
        _at("0xBA12222222228d8Ba445958a75a0704d566BF2C8"),  # BalancerVault
        _at("0xbA1333333333a1BA1108E8412f11850A5C319bA9"),  # BalancerV3Vault
    ),
    "marketplace": (
        _at("0x00000000006c3852cbEf3e08E8dF289169EdE581"),  # Seaport1.1
        _at("0x00000000000001ad428e4906aE43D8F9852d0dD6"),  # Seaport1.4
        _at("0x00000000000000ADc04C56Bf30aC9d3c0aAF14dC"),  # Seaport1.5
        _at("0x0000000000000068F116a894984e2DB1123eB395"),  # Seaport1.6
        _at("0x1E0049783F008A0085193E00003D00cd54003c71"),  # OpenSeaConduit
        _at("0x0000000000c2d145a2526bD8C716263bFeBe1A72"),  # OpenSeaTransferHelper
        _at("0x00000000000111AbE46ff893f3B2fdF1F759a8A8"),  # BlurExecutionDelegate
        _at("0x000000000000Ad05Ccc4F10045630fb830B95127"),  # BlurMarketplace
        _at("0x0000000000A39bb272e79075ade125fd351887Ac"),  # BlurPool
    ),
    "lending": (
        _at("0x7d2768dE32b0b80b7a3454c06BdAc94A69DDc7A9"),  # AaveV2Pool
        _at("0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2"),  # AaveV3Pool
        _at("0x60744434d6339a6B27d73d9Eda62b6F66a0a04FA"),  # MakerDssFlash
        _at("0xBBBBBbbBBb9cC5e90e3b3Af64bdAF62C37EEFFCb"),  # MorphoBlue
        _at("0x1E0447b19BB6EcFdAe1e4AE1694b0C3659614e4e"),  # dYdXSoloMargin
    ),
    "bridge": (
        _at("0x8315177aB297bA92A06054cE80a67Ed4DBd7ed3a"),  # ArbitrumBridge
        _at("0x4Dbd4fc535Ac27206064B68FfCf827b0A60BAB3f"),  # ArbitrumDelayedInbox
        _at("0xbEb5Fc579115071764c7423A4f12eDde41f106Ed"),  # OptimismPortal
        _at("0x99C9fc46f92E8a1c0deC1b1747d010903E884bE1"),  # OptimismL1StdBridge
        _at("0x49048044D57e1C92A77f79988d21Fa8fAF74E97e"),  # BasePortal
        _at("0xD37BbE5744D730a1d98d8DC97c42F0Ca46aD7146"),  # THORChainRouter
        _at("0x5c7BCd6E7De5423a257D81B442095A1a6ced35C5"),  # AcrossSpokePool
        _at("0x3ee18B2214AFF97000D974cf647E7C347E8fa585"),  # WormholeTokenBridge
    ),
    "builder": (
        _at("0x95222290DD7278Aa3Ddd389Cc1E1d165CC4BAfe5"),  # beaver
        _at("0x4838B106FCe9647Bdf1E7877BF73cE8B0BAD5f97"),  # titan
        _at("0x1f9090aaE28b8a3dCeaDf281B0F12828e676c326"),  # rsync
        _at("0xDAFEA492D9c6733ae3d56b7Ed1ADB60692c98Bc5"),  # flashbots
        _at("0xdadB0d80178819F2319190D340ce9A924f783711"),  # buildernet
        _at("0x388C818CA8B9251b393131C08a736A67ccB19297"),  # lidoEL
    ),
    "infrastructure": (
        _at("0x000000000022D473030F116dDEE9F6B43aC78BA3"),  # Permit2
        _at("0xcA11bde05977b3631167028862bE2a173976CA11"),  # Multicall3
        _at("0xeefBa1e63905eF1D7ACbA5a8513c70307C1cE441"),  # Multicall1
        _at("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),  # EntryPoint0.6
        _at("0x0000000071727De22E5E9d8BAf0edAc6f37da032"),  # EntryPoint0.7
        _at("0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108"),  # EntryPoint0.8
        _at("0x00000000219ab540356cBB839Cbe05303d7705Fa"),  # BeaconDeposit
        _at("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"),  # EIP4788BeaconRoots
        _at("0x0000F90827F1C53a10cb7A02335B175320002935"),  # EIP2935History
        _at("0x00000961Ef480Eb55e80D19ad83579A64c007002"),  # EIP7002Withdrawals
        _at("0x0000BBdDc7CE488642fb579F8B00f3a590007251"),  # EIP7251Consolidations
        _at("0x40C57923924B5c5c5455c48D93317139ADDaC8fb"),  # ChainalysisOracle
        _at("0xa6B71E26C5e0845f74c812102Ca7114b6a896AB2"),  # SafeProxyFactory1.3
        _at("0x4e59b44847b379578588920cA78FbF26c0B4956C"),  # CREATE2Deployer
        _at("0xD152f549545093347A162Dce210e7293f1452150"),  # DisperseApp
        _at("0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE"),  # EIP7708-system-log
        _at("0x63c0c19a282a1B52b07dD5a65b58948A07DAE32B"),  # mm7702
        _at("0x4Cd241E8d1510e30b2076397afc7508Ae59C66c9"),  # ef-simple7702
        _at("0x5A7FC11397E9a8AD41BF10bf13F22B0a63f96f6d"),  # ambire
        _at("0x000000009B1D0aF20D8C6d0A44e162d11F9b8f00"),  # calibur
    ),
}
SERVICE_ADDRESSES: Final = frozenset(a for group in SERVICES.values() for a in group)
SERVICE_LABELS: Final = frozenset(
    {*SERVICES, "stablecoin", "staking", "oracle", "payment", "mining", "service", "router"}
)
"""Label words that mark a wallet as a service wherever the label comes from."""

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

# --- Safe: libraries that a Safe runs in its own context on purpose. Source: safe-global/
# safe-deployments, by version; the alternatives are its EIP-155 deployments.
MULTI_SENDS: Final = frozenset(
    {
        _at("0x8D29bE29923b68abfDD21e541b9374737B49cdAD"),  # MultiSend 1.1.1
        _at("0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761"),  # MultiSend 1.3.0
        _at("0x998739BFdAAdde7C933B942a68053933098f9EDa"),  # MultiSend 1.3.0, EIP-155
        _at("0x38869bf66a61cF6bDB996A6aE40D5853Fd43B526"),  # MultiSend 1.4.1
        _at("0x218543288004CD07832472D464648173c77D7eB7"),  # MultiSend 1.5.0
        _at("0x40A2aCCbd92BCA938b02010E17A5b8929b49130D"),  # MultiSendCallOnly 1.3.0
        _at("0xA1dabEF33b3B82c7814B6D82A79e50F4AC44102B"),  # MultiSendCallOnly 1.3.0, EIP-155
        _at("0x9641d764fc13c8B624c04430C7356C1C7C8102e2"),  # MultiSendCallOnly 1.4.1
        _at("0xA83c336B20401Af773B6219BA5027174338D1836"),  # MultiSendCallOnly 1.5.0
    }
)
SAFE_LIBRARIES: Final = MULTI_SENDS | {
    _at("0xA65387F16B013cf2Af4605Ad8aA5ec25a2cbA3a2"),  # SignMessageLib 1.3.0
    _at("0xd53cd0aB83D845Ac265BE939c57F53AD838012c9"),  # SignMessageLib 1.4.1
    _at("0x8538FcBccba7f5303d2C679Fa5d7A629A8c9bf4A"),  # CreateCall 1.1.1
    _at("0x7cbB62EaA69F79e6873cD1ecB2392971036cFAa4"),  # CreateCall 1.3.0
    _at("0x9b35Af71d77eaf8d7e40252370304687390A1A52"),  # CreateCall 1.4.1
    _at("0x526643F69b81B008F46d95CD5ced5eC0edFFDaC6"),  # SafeMigration 1.4.1
    _at("0xfF83F6335d8930cBad1c0D439A841f01888D9f69"),  # SafeToL2Migration 1.4.1
}

# --- signatures. Selectors are the first four bytes, as a big-endian number.
EXEC_TRANSACTION: Final = 0x6A761202
MULTI_SEND: Final = 0x8D80FF0A
TRANSFER: Final = 0xA9059CBB
TORNADO_DEPOSIT_CALL: Final = 0xB214FAA5
TORNADO_ROUTER_DEPOSIT_CALL: Final = 0x13D98D13
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
    EXEC_TRANSACTION: (
        "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    ),
    MULTI_SEND: "multiSend(bytes)",
    TRANSFER: "transfer(address,uint256)",
    TORNADO_DEPOSIT_CALL: "deposit(bytes32)",
    TORNADO_ROUTER_DEPOSIT_CALL: "deposit(address,bytes32,bytes)",
    **NATIVE_CLAIMS,
    **PERMITS,
}

SAFE_SUCCESS: Final = bytes.fromhex(
    "442e715f626346e8c54381002da614f62bee8d27386535b2521ec8540898556e"
)
SAFE_FAILURE: Final = bytes.fromhex(
    "23428b18acfb3ea64b08dc0c1d296ea9c09702c09083ca5272e64d115b687d23"
)
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
    SAFE_SUCCESS: "ExecutionSuccess(bytes32,uint256)",
    SAFE_FAILURE: "ExecutionFailure(bytes32,uint256)",
    USDT_FROZEN: "AddedBlackList(address)",
    USDT_UNFROZEN: "RemovedBlackList(address)",
    USDT_DESTROYED: "DestroyedBlackFunds(address,uint256)",
    USDC_FROZEN: "Blacklisted(address)",
    USDC_UNFROZEN: "UnBlacklisted(address)",
    TORNADO_DEPOSIT: "Deposit(bytes32,uint32,uint256)",
    TORNADO_WITHDRAWAL: "Withdrawal(address,bytes32,address,uint256)",
    RAILGUN_SHIELD: (
        "Shield(uint256,uint256,(bytes32,(uint8,address,uint256),uint120)[],"
        "(bytes32[3],bytes32)[],uint256[])"
    ),
    RAILGUN_UNSHIELD: "Unshield(address,(uint8,address,uint256),uint256,uint256)",
}

# --- slots: chain id -> (beacon genesis time, seconds a slot, first slot with an execution block).
# Ethereum: beacon chain spec, and the merge block 15537394 at slot 4700013.
SLOT_CLOCKS: Final[dict[int, tuple[int, int, int]]] = {1: (1606824023, 12, 4700013)}
