"""Transfers that owners signed off-chain, as whoever submits them writes them."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.simulate.contracts import At, Call, Event, pad, tail, uint
from ingest.simulate.draft import Draft, Log, Wallet
from ingest.simulate.tokens import transfer_log

WITNESS_TYPE = (
    b"ExclusiveDutchOrder witness)ExclusiveDutchOrder(OrderInfo info,uint256 decayStartTime)"
)


def permit2_call(
    token: bytes, owner: bytes, target: bytes, amount: int, deadline: int, signed: bytes
) -> bytes:
    """The calldata of ``permitTransferFrom``; ``signed``: a nonce of 32 bytes, the signature."""
    permit = pad(token) + uint(amount) + signed[:32] + uint(deadline)
    details = pad(target) + uint(amount)
    return Call.PERMIT2_SIGNED + permit + details + pad(owner) + uint(256) + tail(signed[32:])


def permit2_signed(
    sender: Wallet,
    token: bytes,
    owner: bytes,
    target: bytes,
    amount: int,
    deadline: int,
    signed: bytes,
) -> Draft:
    """``permitTransferFrom`` by the wallet that the owner signed it for."""
    return Draft(
        sender,
        At.PERMIT2,
        data=permit2_call(token, owner, target, amount, deadline, signed),
        logs=[transfer_log(token, owner, target, amount)],
        gas_used=81_000 + (amount & 0xFFF),
    )


def permit2_witnessed(
    sender: Wallet,
    token: bytes,
    owner: bytes,
    target: bytes,
    amount: int,
    deadline: int,
    signed: bytes,
) -> Draft:
    """``permitWitnessTransferFrom``: the owner signed an order beside it."""
    permit = pad(token) + uint(amount) + signed[:32] + uint(deadline)
    details = pad(target) + uint(amount)
    types = tail(WITNESS_TYPE)
    head = permit + details + pad(owner) + signed[32:64] + uint(320) + uint(320 + len(types))
    return Draft(
        sender,
        At.PERMIT2,
        data=Call.PERMIT2_WITNESSED + head + types + tail(signed[32:]),
        logs=[transfer_log(token, owner, target, amount)],
        gas_used=86_000 + (amount & 0xFFF),
    )


def permit2_batch(
    sender: Wallet,
    owner: bytes,
    target: bytes,
    amounts: Sequence[tuple[bytes, int]],
    deadline: int,
    signed: bytes,
) -> Draft:
    """The batch variant: several tokens of one owner on one signature."""
    permitted = uint(len(amounts)) + b"".join(pad(t) + uint(a) for t, a in amounts)
    permit = uint(96) + signed[:32] + uint(deadline) + permitted
    details = uint(len(amounts)) + b"".join(pad(target) + uint(a) for _, a in amounts)
    head = uint(128) + uint(128 + len(permit)) + pad(owner)
    body = permit + details
    return Draft(
        sender,
        At.PERMIT2,
        data=Call.PERMIT2_SIGNED_BATCH + head + uint(128 + len(body)) + body + tail(signed[32:]),
        logs=[transfer_log(token, owner, target, amount) for token, amount in amounts],
        gas_used=52_000 + 33_000 * len(amounts),
    )


def authorized_transfer(
    sender: Wallet, owner: bytes, target: bytes, amount: int, until: int, signed: bytes
) -> Draft:
    """EIP-3009 ``transferWithAuthorization`` of USDC; ``signed`` is the nonce, then r and s."""
    words = pad(owner) + pad(target) + uint(amount) + uint(0) + uint(until)
    used = Log(At.USDC, (Event.AUTHORIZATION_USED, pad(owner), signed[:32]), b"")
    return Draft(
        sender,
        At.USDC,
        data=Call.AUTHORIZED_TRANSFER + words + signed[:32] + uint(27) + signed[32:96],
        logs=[used, transfer_log(At.USDC, owner, target, amount)],
        gas_used=84_000 + (amount & 0xFFF),
    )
