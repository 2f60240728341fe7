"""Safe wallets: the libraries they may delegate to, their calls and events."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

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

# The code that Safes run: master copies, by version. Source: safe-global/safe-eth-py and
# safe-deployments.
SINGLETONS: Final = frozenset(
    {
        _at("0xAC6072986E985aaBE7804695EC2d8970Cf7541A2"),  # 0.0.2
        _at("0x8942595A2dC5181Df0465AF0D7be08c8f23C93af"),  # 0.1.0
        _at("0xb6029EA3B2c51D09a50B53CA8012FeEB05bDa35A"),  # 1.0.0
        _at("0xaE32496491b53841efb51829d6f886387708F99B"),  # 1.1.0
        _at("0x34CfAC646f301356fAa8B21e94227e3583Fe3F5F"),  # 1.1.1
        _at("0x6851D6fDFAfD08c0295C392436245E5bc78B0185"),  # 1.2.0
        _at("0xd9Db270c1B5E3Bd161E8c8503c55cEABeE709552"),  # 1.3.0
        _at("0x69f4D1788e39c87893C980c06EdF4b7f686e2938"),  # 1.3.0, EIP-155
        _at("0x3E5c63644E683549055b9Be8653de26E0B4CD36E"),  # 1.3.0 L2
        _at("0xfb1bffC9d739B8D520DaF37dF666da4C687191EA"),  # 1.3.0 L2, EIP-155
        _at("0x41675C099F32341bf84BFc5382aF534df5C7461a"),  # 1.4.1
        _at("0x29fcB43b46531BcA003ddC8FCB67FFE91900C762"),  # 1.4.1 L2
        _at("0xFf51A5898e281Db6DfC7855790607438dF2ca44b"),  # 1.5.0
        _at("0xEdd160fEBBD92E350D4D398fb636302fccd67C7e"),  # 1.5.0 L2
    }
)
SINGLETON_SLOT: Final = 0  # of a Safe's storage

EXEC_TRANSACTION: Final = 0x6A761202
MULTI_SEND: Final = 0x8D80FF0A
SELECTORS: Final[dict[int, str]] = {
    EXEC_TRANSACTION: (
        "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    ),
    MULTI_SEND: "multiSend(bytes)",
}

SAFE_SUCCESS: Final = bytes.fromhex(
    "442e715f626346e8c54381002da614f62bee8d27386535b2521ec8540898556e"
)
SAFE_FAILURE: Final = bytes.fromhex(
    "23428b18acfb3ea64b08dc0c1d296ea9c09702c09083ca5272e64d115b687d23"
)
MODULE_SUCCESS: Final = bytes.fromhex(
    "6895c13664aa4f67288b25d7a21d7aaa34916e355fb9b6fae0a139a9085becb8"
)
SAFE_SETUP: Final = bytes.fromhex(
    "141df868a6331af528e38c83b7aa03edc19be66e37ae67f9285bf4f8e3c6a1a8"
)
CHANGED_MASTER_COPY: Final = bytes.fromhex(
    "75e41bc35ff1bf14d81d1d2f649c0084a0f974f9289c803ec9898eeec4c8d0b8"
)
TOPICS: Final[dict[bytes, str]] = {
    SAFE_SUCCESS: "ExecutionSuccess(bytes32,uint256)",
    MODULE_SUCCESS: "ExecutionFromModuleSuccess(address)",
    SAFE_SETUP: "SafeSetup(address,address[],uint256,address,address)",
    CHANGED_MASTER_COPY: "ChangedMasterCopy(address)",
    SAFE_FAILURE: "ExecutionFailure(bytes32,uint256)",
}
