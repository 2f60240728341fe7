"""Who rules over a contract and what code it runs: events and slots that tell, and timelocks."""

from __future__ import annotations

from typing import Final

# ERC-1967, and ZeppelinOS before it, which does not index the implementation.
UPGRADED: Final = bytes.fromhex("bc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b")
BEACON_UPGRADED: Final = bytes.fromhex(
    "1cf3b03a6cf19fa2baba4df148e9dcabedea7f8a5c07840e207e5c089be95d3e"
)
ADMIN_CHANGED: Final = bytes.fromhex(
    "7e644d79422f17c01e4894b5f4f588d331ebfa28653d42ae832dc59e38c9798f"
)
OWNER_CHANGED: Final = bytes.fromhex(
    "8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0"
)
ROLE_GRANTED: Final = bytes.fromhex(
    "2f8788117e7eff1d82e926ec794901d17c78024a50270940304540a733656f0d"
)
# Timelocks of OpenZeppelin and of Compound: a call is announced, and carried out later.
CALL_SCHEDULED: Final = bytes.fromhex(
    "4cf4410cc57040e44862ef0f45f3dd5a5e02db8eb8add648d4b0e236f1d07dca"
)
CALL_EXECUTED: Final = bytes.fromhex(
    "c2617efa69bab66782fa219543714338489c4e9e178271560a91b82c3f612b58"
)
CALL_QUEUED: Final = bytes.fromhex(
    "76e2796dc3a81d57b0e8504b647febcbeeb5f4af818e164f11eef8131a6a763f"
)
QUEUED_EXECUTED: Final = bytes.fromhex(
    "a560e3198060a2f10670c1ec5b403077ea6ae93ca8de1c32b451dc1a943cd6e7"
)
TOPICS: Final[dict[bytes, str]] = {
    UPGRADED: "Upgraded(address)",
    BEACON_UPGRADED: "BeaconUpgraded(address)",
    ADMIN_CHANGED: "AdminChanged(address,address)",
    OWNER_CHANGED: "OwnershipTransferred(address,address)",
    ROLE_GRANTED: "RoleGranted(bytes32,address,address)",
    CALL_SCHEDULED: "CallScheduled(bytes32,uint256,address,uint256,bytes,bytes32,uint256)",
    CALL_EXECUTED: "CallExecuted(bytes32,uint256,address,uint256,bytes)",
    CALL_QUEUED: "QueueTransaction(bytes32,address,uint256,string,bytes,uint256)",
    QUEUED_EXECUTED: "ExecuteTransaction(bytes32,address,uint256,string,bytes,uint256)",
}

# ERC-1967: the keccak of "eip1967.proxy.implementation", "… .beacon" and "… .admin", less one.
IMPLEMENTATION_SLOT: Final = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
BEACON_SLOT: Final = 0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50
ADMIN_SLOT: Final = 0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103

# Roles of OpenZeppelin's AccessControl that give the contract away: the keccak of their names.
POWERFUL_ROLES: Final[dict[bytes, str]] = {
    bytes(32): "DEFAULT_ADMIN_ROLE",
    bytes.fromhex("a49807205ce4d355092ef5a8a18f56e8913cf4a201fbe287825b095693c21775"): "ADMIN_ROLE",
    bytes.fromhex("189ab7a9244df0848122154315af71fe140f3db0fe014031783b0946b8c9d2e3"): (
        "UPGRADER_ROLE"
    ),
    bytes.fromhex("9f2df0fed2c77648de5860a4cc508cd0818c85b8b8a1ab4ceeef8d981c8956a6"): (
        "MINTER_ROLE"
    ),
    bytes.fromhex("b09aa5aeb3702cfd50b6b62bc4532604938f21248a27a1d5ca736082b6819cc1"): (
        "PROPOSER_ROLE"
    ),
    bytes.fromhex("5f58e3a2316349923ce3780f8d587db2d72378aed66a8261c916544fa6846ca5"): (
        "TIMELOCK_ADMIN_ROLE"
    ),
}
