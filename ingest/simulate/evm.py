"""A small EVM assembler, and an ERC-20 token written in it, for playing attacks on a real node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ingest.simulate.contracts import Event, selector

_OPCODES: Final = {
    "STOP": 0x00,
    "ADD": 0x01,
    "SUB": 0x03,
    "LT": 0x10,
    "EQ": 0x14,
    "NOT": 0x19,
    "SHR": 0x1C,
    "KECCAK256": 0x20,
    "CALLER": 0x33,
    "CALLVALUE": 0x34,
    "CALLDATALOAD": 0x35,
    "CODECOPY": 0x39,
    "MLOAD": 0x51,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "SSTORE": 0x55,
    "JUMP": 0x56,
    "JUMPI": 0x57,
    "JUMPDEST": 0x5B,
    "DUP1": 0x80,
    "DUP2": 0x81,
    "DUP3": 0x82,
    "SWAP1": 0x90,
    "SWAP2": 0x91,
    "LOG3": 0xA3,
    "RETURN": 0xF3,
    "REVERT": 0xFD,
}

Instruction = str | int | bytes
Program = Sequence[Instruction]


def assemble(program: Program) -> bytes:
    """Machine code of a program.

    An int or bytes is pushed (bytes at their own width), ``NAME`` is an opcode, ``:name`` a jump
    target, and ``@name`` pushes that target's position. Raises ValueError for an unknown opcode or
    target.
    """
    positions: dict[str, int] = {}
    position = 0
    for item in program:
        if isinstance(item, str) and item.startswith(":"):
            positions[item[1:]] = position
        position += _size(item)
    code = bytearray()
    for item in program:
        if isinstance(item, str):
            code += _word(item, positions)
        else:
            data = item if isinstance(item, bytes) else _minimal(item)
            code += bytes([0x5F + len(data)]) + data
    return bytes(code)


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _size(item: Instruction) -> int:
    if isinstance(item, str):
        return 3 if item.startswith("@") else 1
    return 1 + len(item if isinstance(item, bytes) else _minimal(item))


def _word(item: str, positions: dict[str, int]) -> bytes:
    if item.startswith(":"):
        return bytes([_OPCODES["JUMPDEST"]])
    if item.startswith("@"):
        if item[1:] not in positions:
            raise ValueError(f"no such jump target: {item}")
        return b"\x61" + positions[item[1:]].to_bytes(2, "big")
    if item not in _OPCODES:
        raise ValueError(f"no such opcode: {item}")
    return bytes([_OPCODES[item]])


# --- the token ---------------------------------------------------------------------------------
#
# Storage: a balance is at keccak(owner, 0), an allowance at keccak(owner, spender, 1).
# Memory: 0x00 to 0x5f for hashing; then the three arguments of a movement.

_FROM, _TO, _AMOUNT = 0x80, 0xA0, 0xC0
_BALANCE_SLOT: Final[Program] = (0, "MSTORE", 0, 0x20, "MSTORE", 0x40, 0, "KECCAK256")
"""[owner] becomes [slot]."""

_ALLOWANCE_SLOT: Final[Program] = (
    *(0x20, "MSTORE", 0, "MSTORE", 1, 0x40, "MSTORE"),
    *(0x60, 0, "KECCAK256"),
)
"""[spender, owner] becomes [slot]; the first named is on top."""

_TRUE: Final[Program] = (1, 0, "MSTORE", 0x20, 0, "RETURN")
_RETURN_TOP: Final[Program] = (0, "MSTORE", 0x20, 0, "RETURN")


def _argument(index: int) -> Program:
    return (4 + 32 * index, "CALLDATALOAD")


def _entry(signature: str, label: str) -> Program:
    return ("DUP1", selector(signature), "EQ", f"@{label}", "JUMPI")


_MOVE: Final[Program] = (
    ":move",
    *(_FROM, "MLOAD", *_BALANCE_SLOT, "DUP1", "SLOAD", _AMOUNT, "MLOAD"),
    *("DUP1", "DUP3", "LT", "@fail", "JUMPI"),
    *("SWAP1", "SUB", "SWAP1", "SSTORE"),
    *(_TO, "MLOAD", *_BALANCE_SLOT, "DUP1", "SLOAD", _AMOUNT, "MLOAD", "ADD", "SWAP1", "SSTORE"),
    *(_TO, "MLOAD", _FROM, "MLOAD", Event.TRANSFER, 0x20, _AMOUNT, "LOG3"),
    *_TRUE,
)
"""Move the amount between the two in memory, log it, and return true."""

_RUNTIME: Final[Program] = (
    *("CALLVALUE", "@fail", "JUMPI"),  # the token takes no ether
    *(0, "CALLDATALOAD", 0xE0, "SHR"),
    *_entry("transfer(address,uint256)", "transfer"),
    *_entry("transferFrom(address,address,uint256)", "transfer_from"),
    *_entry("approve(address,uint256)", "approve"),
    *_entry("balanceOf(address)", "balance_of"),
    *_entry("allowance(address,address)", "allowance"),
    *(":fail", 0, 0, "REVERT"),
    ":transfer",
    *("CALLER", _FROM, "MSTORE", *_argument(0), _TO, "MSTORE", *_argument(1), _AMOUNT, "MSTORE"),
    *("@move", "JUMP"),
    ":transfer_from",
    *(*_argument(0), _FROM, "MSTORE", *_argument(1), _TO, "MSTORE"),
    *(*_argument(2), _AMOUNT, "MSTORE"),
    *(_FROM, "MLOAD", "CALLER", *_ALLOWANCE_SLOT, "DUP1", "SLOAD"),  # [allowance, slot]
    *("DUP1", 0, "NOT", "EQ", "@move", "JUMPI"),  # an unlimited allowance stays so
    *(_AMOUNT, "MLOAD", "DUP1", "DUP3", "LT", "@fail", "JUMPI"),
    *("SWAP1", "SUB", "SWAP1", "SSTORE", "@move", "JUMP"),
    ":approve",
    *(*_argument(1), _AMOUNT, "MSTORE"),
    *(_AMOUNT, "MLOAD", "CALLER", *_argument(0), *_ALLOWANCE_SLOT, "SSTORE"),
    *(*_argument(0), "CALLER", Event.APPROVAL, 0x20, _AMOUNT, "LOG3"),
    *_TRUE,
    *(":balance_of", *_argument(0), *_BALANCE_SLOT, "SLOAD", *_RETURN_TOP),
    *(":allowance", *_argument(0), *_argument(1), *_ALLOWANCE_SLOT, "SLOAD", *_RETURN_TOP),
    *_MOVE,
)


def erc20_init_code(supply: int) -> bytes:
    """The init code of an ERC-20 whose whole supply goes to its deployer.

    It has ``transfer``, ``transferFrom``, ``approve``, ``balanceOf`` and ``allowance`` with their
    events; what it cannot do it reverts, without a reason. Transfers that overdraw a balance or an
    allowance revert; an allowance of 2^256-1 is not used up.
    """
    runtime = assemble(_RUNTIME)
    constructor: list[Instruction] = [
        *(supply, "DUP1", "CALLER", *_BALANCE_SLOT, "SSTORE"),
        *(0x80, "MSTORE", "CALLER", 0, Event.TRANSFER, 0x20, 0x80, "LOG3"),
        *(len(runtime).to_bytes(2, "big"), "DUP1", "@end", 0, "CODECOPY", 0, "RETURN"),
    ]
    # The runtime follows the constructor: it begins where that ends.
    length = sum(_size(item) for item in constructor)
    constructor[constructor.index("@end")] = length.to_bytes(2, "big")
    return assemble(constructor) + runtime
