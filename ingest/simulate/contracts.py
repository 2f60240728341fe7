"""The contracts, events and calls of mainnet that simulated transactions imitate.

Topics and selectors are computed from their signatures; addresses are the deployed ones.
"""

from __future__ import annotations

from typing import Final

from ingest.codec import keccak


def topic(signature: str) -> bytes:
    """The topic0 of an event: keccak of its signature, 32 bytes."""
    return keccak(signature.encode())


def selector(signature: str) -> bytes:
    """The selector of a function: the first 4 bytes of keccak of its signature."""
    return keccak(signature.encode())[:4]


def address(text: str) -> bytes:
    """20 bytes of ``0x…`` text."""
    return bytes.fromhex(text[2:])


def uint(value: int) -> bytes:
    """An unsigned integer as an ABI word."""
    return value.to_bytes(32, "big")


def sint(value: int) -> bytes:
    """A signed integer as an ABI word."""
    return value.to_bytes(32, "big", signed=True)


def pad(value: bytes) -> bytes:
    """An address as an ABI word."""
    return value.rjust(32, b"\0")


def tail(data: bytes) -> bytes:
    """Dynamic bytes as the ABI writes them: length, then the data padded to words."""
    return uint(len(data)) + data + bytes(-len(data) % 32)


def addresses(items: list[bytes]) -> bytes:
    """A dynamic array of addresses as the ABI writes it."""
    return uint(len(items)) + b"".join(map(pad, items))


def numbers(items: list[int]) -> bytes:
    """A dynamic array of unsigned integers as the ABI writes it."""
    return uint(len(items)) + b"".join(map(uint, items))


class Event:
    """topic0 of the events that occur."""

    TRANSFER: Final = topic("Transfer(address,address,uint256)")
    APPROVAL: Final = topic("Approval(address,address,uint256)")
    APPROVAL_FOR_ALL: Final = topic("ApprovalForAll(address,address,bool)")
    TRANSFER_SINGLE: Final = topic("TransferSingle(address,address,address,uint256,uint256)")
    PERMIT2_APPROVAL: Final = topic("Approval(address,address,address,uint160,uint48)")
    PERMIT2_PERMIT: Final = topic("Permit(address,address,address,uint160,uint48,uint48)")
    WETH_DEPOSIT: Final = topic("Deposit(address,uint256)")
    WETH_WITHDRAWAL: Final = topic("Withdrawal(address,uint256)")
    PAIR_CREATED: Final = topic("PairCreated(address,address,address,uint256)")
    V2_SWAP: Final = topic("Swap(address,uint256,uint256,uint256,uint256,address)")
    V2_MINT: Final = topic("Mint(address,uint256,uint256)")
    V2_BURN: Final = topic("Burn(address,uint256,uint256,address)")
    V2_SYNC: Final = topic("Sync(uint112,uint112)")
    POOL_CREATED: Final = topic("PoolCreated(address,address,uint24,int24,address)")
    V3_SWAP: Final = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
    V3_MINT: Final = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
    V3_BURN: Final = topic("Burn(address,int24,int24,uint128,uint256,uint256)")
    V3_COLLECT: Final = topic("Collect(address,address,int24,int24,uint128,uint128)")
    V4_SWAP: Final = topic("Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)")
    V4_MODIFY: Final = topic("ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)")
    BALANCER_LOAN: Final = topic("FlashLoan(address,address,uint256,uint256)")
    AAVE_V3_LOAN: Final = topic("FlashLoan(address,address,address,uint256,uint8,uint256,uint16)")
    V3_FLASH: Final = topic("Flash(address,address,uint256,uint256,uint256,uint256)")
    LIQUIDATION: Final = topic(
        "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
    )
    ORDER_FULFILLED: Final = topic(
        "OrderFulfilled(bytes32,address,address,address,(uint8,address,uint256,uint256)[],"
        "(uint8,address,uint256,uint256,address)[])"
    )
    OWNERSHIP_TRANSFERRED: Final = topic("OwnershipTransferred(address,address)")
    SAFE_SETUP: Final = topic("SafeSetup(address,address[],uint256,address,address)")
    SAFE_SUCCESS: Final = topic("ExecutionSuccess(bytes32,uint256)")
    TORNADO_DEPOSIT: Final = topic("Deposit(bytes32,uint32,uint256)")
    RAILGUN_UNSHIELD: Final = topic("Unshield(address,(uint8,address,uint256),uint256,uint256)")
    TORNADO_WITHDRAWAL: Final = topic("Withdrawal(address,bytes32,address,uint256)")
    AUTHORIZATION_USED: Final = topic("AuthorizationUsed(address,bytes32)")
    UPGRADED: Final = topic("Upgraded(address)")
    ADMIN_CHANGED: Final = topic("AdminChanged(address,address)")
    ROLE_GRANTED: Final = topic("RoleGranted(bytes32,address,address)")
    CHANGED_MASTER_COPY: Final = topic("ChangedMasterCopy(address)")
    USDT_FROZEN: Final = topic("AddedBlackList(address)")
    USDT_DESTROYED: Final = topic("DestroyedBlackFunds(address,uint256)")
    USDC_FROZEN: Final = topic("Blacklisted(address)")
    SANCTIONS_ADDED: Final = topic("SanctionedAddressesAdded(address[])")
    BRIDGE_DEPOSIT: Final = topic("TransactionDeposited(address,address,uint256,bytes)")


class Call:
    """Selectors of the functions that are called."""

    TRANSFER: Final = selector("transfer(address,uint256)")
    TRANSFER_FROM: Final = selector("transferFrom(address,address,uint256)")
    SAFE_TRANSFER_FROM: Final = selector("safeTransferFrom(address,address,uint256)")
    SAFE_TRANSFER_FROM_1155: Final = selector(
        "safeTransferFrom(address,address,uint256,uint256,bytes)"
    )
    APPROVE: Final = selector("approve(address,uint256)")
    INCREASE_ALLOWANCE: Final = selector("increaseAllowance(address,uint256)")
    SET_APPROVAL_FOR_ALL: Final = selector("setApprovalForAll(address,bool)")
    PERMIT: Final = selector("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")
    PERMIT2_APPROVE: Final = selector("approve(address,address,uint160,uint48)")
    PERMIT2_PERMIT: Final = selector(
        "permit(address,((address,uint160,uint48,uint48),address,uint256),bytes)"
    )
    PERMIT2_TRANSFER_FROM: Final = selector("transferFrom(address,address,uint160,address)")
    PERMIT2_SIGNED: Final = selector(
        "permitTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes)"
    )
    PERMIT2_SIGNED_BATCH: Final = selector(
        "permitTransferFrom(((address,uint256)[],uint256,uint256),(address,uint256)[],address,"
        "bytes)"
    )
    PERMIT2_WITNESSED: Final = selector(
        "permitWitnessTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,"
        "bytes32,string,bytes)"
    )
    AUTHORIZED_TRANSFER: Final = selector(
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,"
        "bytes32)"
    )
    UPGRADE_TO: Final = selector("upgradeTo(address)")
    CHANGE_ADMIN: Final = selector("changeAdmin(address)")
    TRANSFER_OWNERSHIP: Final = selector("transferOwnership(address)")
    GRANT_ROLE: Final = selector("grantRole(bytes32,address)")
    CHANGE_MASTER_COPY: Final = selector("changeMasterCopy(address)")
    WETH_DEPOSIT: Final = selector("deposit()")
    WETH_WITHDRAW: Final = selector("withdraw(uint256)")
    WITHDRAW: Final = selector("withdraw()")
    SWAP_ETH_FOR_TOKENS: Final = selector(
        "swapExactETHForTokens(uint256,address[],address,uint256)"
    )
    SWAP_TOKENS_FOR_ETH: Final = selector(
        "swapExactTokensForETH(uint256,uint256,address[],address,uint256)"
    )
    SWAP_TAXED_FOR_ETH: Final = selector(
        "swapExactTokensForETHSupportingFeeOnTransferTokens(uint256,uint256,address[],address,"
        "uint256)"
    )
    ADD_LIQUIDITY_ETH: Final = selector(
        "addLiquidityETH(address,uint256,uint256,uint256,address,uint256)"
    )
    REMOVE_LIQUIDITY_ETH: Final = selector(
        "removeLiquidityETH(address,uint256,uint256,uint256,address,uint256)"
    )
    UNIVERSAL_EXECUTE: Final = selector("execute(bytes,bytes[],uint256)")
    SET_TAXES: Final = selector("setTaxes(uint256,uint256)")
    RENOUNCE_OWNERSHIP: Final = selector("renounceOwnership()")
    MINT_TO: Final = selector("mint(address,uint256)")
    INVEST: Final = selector("invest(uint256)")
    LOCK: Final = selector("lockLPToken(address,uint256,uint256)")
    OPEN_TRADING: Final = selector("openTrading()")
    FULFILL_BASIC_ORDER: Final = selector(
        "fulfillBasicOrder((address,uint256,uint256,address,address,address,uint256,uint256,uint8,"
        "uint256,uint256,bytes32,uint256,bytes32,bytes32,uint256,(uint256,address)[],bytes))"
    )
    FULFILL_ADVANCED_ORDER: Final = selector(
        "fulfillAdvancedOrder(((address,address,(uint8,address,uint256,uint256,uint256)[],"
        "(uint8,address,uint256,uint256,uint256,address)[],uint8,uint256,uint256,bytes32,uint256,"
        "bytes32,uint256),uint120,uint120,bytes,bytes),(uint256,uint8,uint256,uint256,bytes32[])[],"
        "bytes32,address)"
    )
    BULK_TRANSFER: Final = selector(
        "bulkTransfer(((uint8,address,uint256,uint256)[],address,bool)[],bytes32)"
    )
    MINT: Final = selector("mint()")
    CLAIM: Final = selector("claim()")
    CLAIM_REWARDS: Final = selector("claimRewards()")
    SECURITY_UPDATE: Final = selector("SecurityUpdate()")
    DISPERSE_ETHER: Final = selector("disperseEther(address[],uint256[])")
    DISPERSE_TOKEN: Final = selector("disperseToken(address,address[],uint256[])")
    EXEC_TRANSACTION: Final = selector(
        "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    )
    MULTI_SEND: Final = selector("multiSend(bytes)")
    MULTICALL: Final = selector("multicall((address,bytes)[])")
    TORNADO_DEPOSIT: Final = selector("deposit(address,bytes32,bytes)")
    TORNADO_WITHDRAW: Final = selector(
        "withdraw(address,bytes,bytes32,bytes32,address,address,uint256,uint256)"
    )
    USDT_FREEZE: Final = selector("addBlackList(address)")
    USDT_DESTROY: Final = selector("destroyBlackFunds(address)")
    USDC_FREEZE: Final = selector("blacklist(address)")
    SANCTIONS_ADD: Final = selector("addToSanctionsList(address[])")
    INITIALIZE: Final = selector("initialize(address)")
    SWEEP_TOKEN: Final = selector("sweepToken(address,uint256,address)")
    PULL: Final = selector("pull(address,uint256)")
    BRIDGE_DEPOSIT: Final = selector("depositTransaction(address,uint256,uint64,bool,bytes)")


class At:
    """Deployed contracts and builders, as addresses."""

    USDT: Final = address("0xdAC17F958D2ee523a2206206994597C13D831ec7")
    USDC: Final = address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
    DAI: Final = address("0x6B175474E89094C44Da98b954EedeAC495271d0F")
    WETH: Final = address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
    WBTC: Final = address("0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599")
    SAFE_1_1_1: Final = address("0x34CfAC646f301356fAa8B21e94227e3583Fe3F5F")
    V2_FACTORY: Final = address("0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f")
    V2_ROUTER: Final = address("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D")
    BALANCER: Final = address("0xBA12222222228d8Ba445958a75a0704d566BF2C8")
    AAVE_V3: Final = address("0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2")
    LOCKER: Final = address("0x663A5C229c09b049E36dCc11a9B0d4a8Eb9db214")
    V4_MANAGER: Final = address("0x000000000004444c5dc75cB358380D2e3dE08A90")
    UNIVERSAL_ROUTER: Final = address("0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af")
    PERMIT2: Final = address("0x000000000022D473030F116dDEE9F6B43aC78BA3")
    ONE_INCH: Final = address("0x111111125421cA6dc452d289314280a0f8842A65")
    SEAPORT: Final = address("0x0000000000000068F116a894984e2DB1123eB395")
    TRANSFER_HELPER: Final = address("0x0000000000c2d145a2526bD8C716263bFeBe1A72")
    OPENSEA_CONDUIT: Final = address("0x1E0049783F008A0085193E00003D00cd54003c71")
    DISPERSE: Final = address("0xD152f549545093347A162Dce210e7293f1452150")
    MULTI_SEND: Final = address("0x38869bf66a61cF6bDB996A6aE40D5853Fd43B526")
    BASE_PORTAL: Final = address("0x49048044D57e1C92A77f79988d21Fa8fAF74E97e")
    RAILGUN: Final = address("0xFA7093CDD9EE6932B4eb2c9e1cde7CE00B1FA4b9")
    RAILGUN_RELAY: Final = address("0x4025ee6512DBbda97049Bcf5AA5D38C54aF6bE8a")
    TORNADO_ROUTER: Final = address("0xd90e2f925DA726b50C4Ed8D0Fb90Ad053324F31b")
    TORNADO_1: Final = address("0x47CE0C6eD5B0Ce3d3A51fdb1C52DC66a7c3c2936")
    TORNADO_10: Final = address("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
    TORNADO_100: Final = address("0xA160cdAB225685dA1d56aa342Ad8841c3b53f291")
    SANCTIONS_ORACLE: Final = address("0x40C57923924B5c5c5455c48D93317139ADDaC8fb")
    METAMASK_DELEGATE: Final = address("0x63c0c19a282a1B52b07dD5a65b58948A07DAE32B")
    SIMPLE_7702: Final = address("0x4Cd241E8d1510e30b2076397afc7508Ae59C66c9")
    AMBIRE_DELEGATE: Final = address("0x5A7FC11397E9a8AD41BF10bf13F22B0a63f96f6d")
    CALIBUR_DELEGATE: Final = address("0x000000009B1D0aF20D8C6d0A44e162d11F9b8f00")


BUILDERS: Final = (
    (0.44, address("0x4838B106FCe9647Bdf1E7877BF73cE8B0BAD5f97"), b"Titan (titanbuilder.xyz)"),
    (0.84, address("0x95222290DD7278Aa3Ddd389Cc1E1d165CC4BAfe5"), b"beaverbuild.org"),
    (0.94, address("0xdadB0d80178819F2319190D340ce9A924f783711"), b"BuilderNet"),
    (1.00, address("0x1f9090aaE28b8a3dCeaDf281B0F12828e676c326"), b"rsync-builder.xyz"),
)
"""(cumulative share, fee recipient, extra data) of the block builders."""

ETHER: Final = 10**18
GWEI: Final = 10**9
UNLIMITED: Final = 2**256 - 1
