"""Machine code for tests: programs, dispatchers, and the constructors that deploy them."""

from __future__ import annotations

import random

STEPS = (
    b"\x60\x01",
    b"\x54",
    b"\x01",
    b"\x55",
    b"\x80",
    b"\x90",
    b"\x50",
    b"\x5b",
    b"\x33",
    b"\x14",
)
ON_FLASH_LOAN = 0x23E30C8B


def program(seed: int, steps: int = 600) -> bytes:
    """Some code without any constants of 4 or 20 bytes."""
    return b"".join(random.Random(seed).choices(STEPS, k=steps))


def answers(*selectors: int) -> bytes:
    """A dispatcher: it compares calldata with each selector."""
    return b"".join(
        b"\x80\x63" + selector.to_bytes(4, "big") + b"\x14\x61\x01\x00\x57"
        for selector in selectors
    )


def borrower(body: bytes) -> bytes:
    """Code that lenders of flash loans can call back."""
    return answers(ON_FLASH_LOAN) + body


def deploying(runtime: bytes, arguments: bytes = b"") -> bytes:
    """Init code as compilers write it: refuse ether, copy the runtime, return it."""
    head = bytes.fromhex("6080604052348015600e575f80fd5b50")
    size, start = len(runtime).to_bytes(2, "big"), (len(head) + 13).to_bytes(2, "big")
    tail = b"\x61" + size + b"\x80\x61" + start + bytes.fromhex("5f395ff3fe")
    return head + tail.ljust(13, b"\0") + runtime + arguments
