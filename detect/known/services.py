"""Exchanges, routers, bridges, builders and other services."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

# Block builders by fee recipient, and the names they go by.
BUILDERS: Final[dict[bytes, str]] = {
    _at("0x95222290DD7278Aa3Ddd389Cc1E1d165CC4BAfe5"): "beaver",
    _at("0x4838B106FCe9647Bdf1E7877BF73cE8B0BAD5f97"): "titan",
    _at("0x1f9090aaE28b8a3dCeaDf281B0F12828e676c326"): "rsync",
    _at("0xDAFEA492D9c6733ae3d56b7Ed1ADB60692c98Bc5"): "flashbots",
    _at("0xdadB0d80178819F2319190D340ce9A924f783711"): "buildernet",
}

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
        *BUILDERS,
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
