"""Machine code as compilers write it: dispatchers, idioms of Solidity, metadata, a constructor.

It is meant to be read, not run: a detector sees opcodes, selectors and constants in plausible order
and proportion. Contracts of one template have the same opcodes and other constants.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from ingest.simulate.contracts import At, selector

# Idioms, as opcodes with holes: A an address, S a selector, N a number, J a place to jump to.
_IDIOMS: Final = (
    "604051806040016040528061NNNN815260200161NNNN81525090509150",  # two words of memory
    "5b604051602001808281526020019150506040516020818303038152906040528051906020012090",  # a hash
    "600160a01b60019003163373ffffffffffffffffffffffffffffffffffffffff161461JJJJ57600080fd5b",
    "5461010090049073ffffffffffffffffffffffffffffffffffffffff1673ffffffffffffffffffffffffffffffffffffffff16",
    "60006020528160005260406000208054820190555b50565b",  # mapping += value
    "828201905083811015151561JJJJ57fe5b8091505092915050565b",  # SafeMath.add
    "600082821115151561JJJJ57fe5b81830390509291505056",  # SafeMath.sub
    "73AAAA63SSSSSSSS60e01b8152600401602060405180830381865afa15801561JJJJ573d6000803e3d6000fd5b",
    "73AAAA63SSSSSSSS60405180830381600087803b15801561JJJJ57600080fd5b505af115801561JJJJ57",
    "3d6000803e3d6000fd5b5050505056",  # bubble a revert up
    "6040517fNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN90839083a3",  # a log
    "60405180910390fd5b60048036036020811015610010575b803590602001909291905050",
    "4262NNNNNN8110156100575760405162461bcd60e51b81526004016020908152600d602482015260448101fd5b",
    "60036000838152602001908152602001600020600090549061010a0a900460ff161561JJJJ57",
    "8060011c90600116156100a15760018160001904831182151516156100b2575b029291505056",  # checked mul
    "80600081146100c85760019182018211156100d9575b04905092915050565b",  # checked div
    "5b8181101561JJJJ578281815181106100ea575b602090810291909101015160019091019056",  # a loop
    "47811115151561JJJJ57600080fd5b6000806000806000853373ffffffffffffffffffffffffffffffffffffffff165af1",
    "5b60005b838110156100f4578181015183820152602001610100565b50506000910152565b",  # copy bytes
    "604051601f19601f8301168101811067ffffffffffffffff8211171561JJJJ5763NNNNNNNN60e01b6000526041600452",
    "60405163SSSSSSSS60e01b815260048101919091526024810191909152604401600060405180830381600087803b",
    "7c0100000000000000000000000000000000000000000000000000000000906020526040600020555050",
    "61NNNN61NNNN0362NNNNNN9081600a0a026127108181048302909103915050",  # fees in basis points
    "34156100c1573660008037600080366000600073AAAA5af43d6000803e3d82f35b",
)

TOKEN: Final = tuple(
    selector(signature)
    for signature in (
        "transfer(address,uint256)", "transferFrom(address,address,uint256)",
        "approve(address,uint256)", "balanceOf(address)", "allowance(address,address)",
        "totalSupply()", "name()", "symbol()", "decimals()", "owner()",
        "transferOwnership(address)", "renounceOwnership()",
    )
)  # fmt: skip
FLASH_CALLBACKS: Final = tuple(
    selector(signature)
    for signature in (
        "uniswapV2Call(address,uint256,uint256,bytes)",
        "uniswapV3FlashCallback(uint256,uint256,bytes)",
        "executeOperation(address[],uint256[],uint256[],address,bytes)",
        "onFlashLoan(address,address,uint256,uint256,bytes)",
        "receiveFlashLoan(address[],uint256[],uint256[],bytes)",
    )
)
_KNOWN: Final = (At.WETH, At.USDC, At.USDT, At.DAI, At.V2_ROUTER, At.V2_FACTORY)
TOKEN_TEMPLATES: Final = 4
ATTACK_TEMPLATES: Final = 3


def ordinary(seed: bytes) -> bytes:
    """Init code of some contract: nobody else's, of usual size."""
    rng = random.Random(seed)
    functions = [rng.randbytes(4) for _ in range(rng.randrange(3, 14))]
    idioms = rng.choices(range(len(_IDIOMS)), k=rng.randrange(12, 60))
    return _deploying(_runtime(functions, idioms, rng), rng)


def token(seed: bytes) -> bytes:
    """Init code of an ERC-20 out of one of a few templates, which differ in constants only."""
    rng = random.Random(seed)
    template = random.Random(f"token template {rng.randrange(TOKEN_TEMPLATES)}")
    idioms = template.choices(range(len(_IDIOMS)), k=40)
    return _deploying(_runtime(TOKEN, idioms, rng), rng)


def borrower(seed: bytes) -> bytes:
    """Init code of a contract that trades with flash loans, a searcher's own."""
    rng = random.Random(seed)
    functions = [rng.choice(FLASH_CALLBACKS), *(rng.randbytes(4) for _ in range(3))]
    return _deploying(_runtime(functions, rng.choices(range(len(_IDIOMS)), k=45), rng), rng)


def attack(template: int, seed: bytes, changes: int = 0) -> bytes:
    """Init code of an attacker's contract: a template's opcodes, victims of its own.

    ``changes``: so many idioms more than the template has.
    """
    rng, fixed = random.Random(seed), random.Random(f"attack template {template}")
    functions = [*fixed.sample(FLASH_CALLBACKS, 2), *(fixed.randbytes(4) for _ in range(2))]
    idioms = fixed.choices(range(len(_IDIOMS)), k=130)
    for _ in range(changes):
        place = rng.randrange(len(idioms))
        idioms.insert(place, idioms[place])
    return _deploying(_runtime(functions, idioms, rng), rng)


def minimal_proxy(target: bytes) -> bytes:
    """Init code of an EIP-1167 clone of a contract."""
    head, tail = "363d3d373d3d3d363d73", "5af43d82803e903d91602b57fd5bf3"
    return bytes.fromhex("3d602d80600a3d3981f3" + head + target.hex() + tail)


def _runtime(functions: Sequence[bytes], idioms: Sequence[int], rng: random.Random) -> bytes:
    code = bytearray.fromhex("608060405234801561000f575f80fd5b505f3560e01c")
    for function in functions:
        code += b"\x80\x63" + function + b"\x14\x61" + rng.randbytes(2) + b"\x57"
    code += bytes.fromhex("5f80fd")
    for idiom in idioms:
        code += _filled(_IDIOMS[idiom], rng)
    cbor = bytes.fromhex("a2646970667358221220") + rng.randbytes(32)
    cbor += b"dsolcC" + bytes([0, 8, rng.randrange(17, 30)])
    return bytes(code) + cbor + len(cbor).to_bytes(2, "big")


def _filled(idiom: str, rng: random.Random) -> bytes:
    known = rng.random() < 0.6
    target = rng.choice(_KNOWN) if known else b"\x5a" + rng.randbytes(19)
    text = idiom.replace("AAAA", target.hex()).replace("SSSSSSSS", rng.randbytes(4).hex())
    text = text.replace("JJJJ", rng.randbytes(2).hex())
    while "N" in text:
        text = text.replace("NN", rng.randbytes(1).hex(), 1)
    return bytes.fromhex(text)


def _deploying(runtime: bytes, rng: random.Random) -> bytes:
    head = bytes.fromhex("6080604052348015600e575f80fd5b50")
    tail = b"\x61" + len(runtime).to_bytes(2, "big") + b"\x80\x61"
    tail += (len(head) + 12).to_bytes(2, "big") + bytes.fromhex("5f395ff3fe")
    arguments = b"".join(bytes(12) + rng.randbytes(20) for _ in range(rng.randrange(3)))
    return head + tail + runtime + arguments
