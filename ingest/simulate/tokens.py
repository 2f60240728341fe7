"""Transactions on tokens and NFTs: drafts with the calldata and the logs of their contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ingest.simulate.contracts import (
    UNLIMITED,
    At,
    Call,
    Event,
    addresses,
    numbers,
    pad,
    uint,
)
from ingest.simulate.draft import Draft, Log, Wallet

ZERO: Final = bytes(20)


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20: its address, decimals, and dollars per whole token."""

    address: bytes
    decimals: int
    dollars: float

    def units(self, dollars: float) -> int:
        """The amount, in token units, that is worth so many dollars."""
        return max(1, int(dollars / self.dollars * 10**self.decimals))


ETHER_DOLLARS: Final = 2_500.0
USDT: Final = Token(At.USDT, 6, 1.0)
USDC: Final = Token(At.USDC, 6, 1.0)
DAI: Final = Token(At.DAI, 18, 1.0)
WETH: Final = Token(At.WETH, 18, ETHER_DOLLARS)
WBTC: Final = Token(At.WBTC, 8, 100_000.0)
STABLES: Final = (USDT, USDC, DAI)


def ether(dollars: float) -> int:
    """Wei worth so many dollars."""
    return int(dollars / ETHER_DOLLARS * 10**18)


# --- logs --------------------------------------------------------------------------------------


def transfer_log(token: bytes, source: bytes, target: bytes, amount: int) -> Log:
    """ERC-20 Transfer."""
    return Log(token, (Event.TRANSFER, pad(source), pad(target)), uint(amount))


def nft_log(collection: bytes, source: bytes, target: bytes, item: int) -> Log:
    """ERC-721 Transfer: the item is the fourth topic and there is no data."""
    return Log(collection, (Event.TRANSFER, pad(source), pad(target), uint(item)), b"")


def approval_log(token: bytes, owner: bytes, spender: bytes, amount: int) -> Log:
    """ERC-20 Approval."""
    return Log(token, (Event.APPROVAL, pad(owner), pad(spender)), uint(amount))


# --- ether and ERC-20 --------------------------------------------------------------------------


def pay(sender: Wallet, target: bytes, value: int, **options: Any) -> Draft:
    """A plain transfer of ether; ``options`` are fields of Draft."""
    sender.balance = max(0, sender.balance - value)
    return Draft(sender, target, value, gas_used=21_000, **options)


def transfer(sender: Wallet, token: bytes, target: bytes, amount: int) -> Draft:
    """``transfer(target, amount)`` that succeeds."""
    sender.debit(token, amount)
    return Draft(
        sender,
        token,
        data=Call.TRANSFER + pad(target) + uint(amount),
        logs=[transfer_log(token, sender.address, target, amount)],
        gas_used=46_000 + (amount & 0x3FFF),
    )


def transfer_from(spender: Wallet, token: bytes, owner: bytes, target: bytes, amount: int) -> Draft:
    """``transferFrom(owner, target, amount)`` that succeeds; amount 0 needs no allowance."""
    return Draft(
        spender,
        token,
        data=Call.TRANSFER_FROM + pad(owner) + pad(target) + uint(amount),
        logs=[transfer_log(token, owner, target, amount)],
        gas_used=58_000 + (amount & 0x3FFF),
    )


def approve(owner: Wallet, token: bytes, spender: bytes, amount: int = UNLIMITED) -> Draft:
    """``approve(spender, amount)``; 0 revokes."""
    return Draft(
        owner,
        token,
        data=Call.APPROVE + pad(spender) + uint(amount),
        logs=[approval_log(token, owner.address, spender, amount)],
        gas_used=46_500,
    )


def increase_allowance(owner: Wallet, token: bytes, spender: bytes, amount: int) -> Draft:
    """``increaseAllowance(spender, amount)`` from nothing."""
    return Draft(
        owner,
        token,
        data=Call.INCREASE_ALLOWANCE + pad(spender) + uint(amount),
        logs=[approval_log(token, owner.address, spender, amount)],
        gas_used=47_100,
    )


def permit(sender: Wallet, token: bytes, owner: bytes, deadline: int, signature: bytes) -> Draft:
    """EIP-2612 ``permit``: the owner signed off-chain, ``sender`` is the spender and submits it."""
    words = pad(owner) + pad(sender.address) + uint(UNLIMITED) + uint(deadline) + uint(27)
    return Draft(
        sender,
        token,
        data=Call.PERMIT + words + signature,
        logs=[approval_log(token, owner, sender.address, UNLIMITED)],
        gas_used=76_000,
    )


def permit2_permit(
    sender: Wallet, token: bytes, owner: bytes, expiration: int, signature: bytes
) -> Draft:
    """Permit2 ``permit``: the signed allowance of ``owner`` for ``sender``, submitted by it."""
    amount = 2**160 - 1
    words = uint(amount) + uint(expiration) + uint(0)
    topics = (Event.PERMIT2_PERMIT, pad(owner), pad(token), pad(sender.address))
    details = pad(token) + words + pad(sender.address) + uint(expiration)
    return Draft(
        sender,
        At.PERMIT2,
        data=Call.PERMIT2_PERMIT + pad(owner) + details + uint(32 * 8) + uint(64) + signature,
        logs=[Log(At.PERMIT2, topics, words)],
        gas_used=81_000,
    )


def permit2_approve(owner: Wallet, token: bytes, spender: bytes, expiration: int) -> Draft:
    """Permit2 ``approve`` of a router by the owner."""
    words = uint(2**160 - 1) + uint(expiration)
    topics = (Event.PERMIT2_APPROVAL, pad(owner.address), pad(token), pad(spender))
    return Draft(
        owner,
        At.PERMIT2,
        data=Call.PERMIT2_APPROVE + pad(token) + pad(spender) + words,
        logs=[Log(At.PERMIT2, topics, words)],
        gas_used=49_000,
    )


def permit2_transfer_from(
    spender: Wallet, token: bytes, owner: bytes, target: bytes, amount: int
) -> Draft:
    """Permit2 ``transferFrom`` with an allowance."""
    return Draft(
        spender,
        At.PERMIT2,
        data=Call.PERMIT2_TRANSFER_FROM + pad(owner) + pad(target) + uint(amount) + pad(token),
        logs=[transfer_log(token, owner, target, amount)],
        gas_used=74_000,
    )


def batch(sender: Wallet, contract: bytes, logs: list[Log]) -> Draft:
    """A multicall through a contract: one Transfer or the like for each call in it."""
    calls = [log.address for log in logs]
    return Draft(
        sender,
        contract,
        data=Call.MULTICALL + uint(32) + addresses(calls),
        logs=logs,
        gas_used=30_000 + 29_000 * len(logs),
    )


def disperse_ether(sender: Wallet, targets: Sequence[bytes], amounts: Sequence[int]) -> Draft:
    """``disperseEther``: the ether moves inside the contract and leaves no log."""
    head = uint(64) + uint(96 + 32 * len(targets))
    sender.debit(None, sum(amounts))
    return Draft(
        sender,
        At.DISPERSE,
        value=sum(amounts),
        data=Call.DISPERSE_ETHER + head + addresses(list(targets)) + numbers(list(amounts)),
        gas_used=30_000 + 10_000 * len(targets),
    )


def disperse_token(
    sender: Wallet, token: bytes, targets: Sequence[bytes], amounts: Sequence[int]
) -> Draft:
    """``disperseToken``: the total goes to the contract, then a part to each target."""
    head = pad(token) + uint(96) + uint(128 + 32 * len(targets))
    total = sum(amounts)
    sender.debit(token, total)
    logs = [transfer_log(token, sender.address, At.DISPERSE, total)]
    logs += [
        transfer_log(token, At.DISPERSE, target, amount)
        for target, amount in zip(targets, amounts, strict=True)
    ]
    return Draft(
        sender,
        At.DISPERSE,
        data=Call.DISPERSE_TOKEN + head + addresses(list(targets)) + numbers(list(amounts)),
        logs=logs,
        gas_used=50_000 + 28_000 * len(targets),
    )


# --- NFTs --------------------------------------------------------------------------------------


def approve_all(
    owner: Wallet, collection: bytes, operator: bytes, *, granted: bool = True
) -> Draft:
    """``setApprovalForAll(operator, granted)``."""
    topics = (Event.APPROVAL_FOR_ALL, pad(owner.address), pad(operator))
    return Draft(
        owner,
        collection,
        data=Call.SET_APPROVAL_FOR_ALL + pad(operator) + uint(granted),
        logs=[Log(collection, topics, uint(granted))],
        gas_used=46_300,
    )


def mint_nft(sender: Wallet, collection: bytes, item: int, price: int) -> Draft:
    """``mint()`` of a real collection: the sender pays, and gets the item."""
    sender.debit(None, price)
    return Draft(
        sender,
        collection,
        value=price,
        data=Call.MINT,
        logs=[nft_log(collection, ZERO, sender.address, item)],
        gas_used=98_000,
    )


def take_nft(operator: Wallet, collection: bytes, owner: bytes, target: bytes, item: int) -> Draft:
    """``safeTransferFrom(owner, target, item)`` by the owner or an operator."""
    return Draft(
        operator,
        collection,
        data=Call.SAFE_TRANSFER_FROM + pad(owner) + pad(target) + uint(item),
        logs=[nft_log(collection, owner, target, item)],
        gas_used=64_000,
    )


def buy_nft(buyer: Wallet, seller: bytes, collection: bytes, item: int, price: int) -> Draft:
    """A Seaport basic order: the buyer pays ether and gets the item from the seller."""
    buyer.debit(None, price)
    order = uint(int.from_bytes(collection[:8], "big") ^ item)
    offer = uint(1) + uint(2) + pad(collection) + uint(item) + uint(1)
    consideration = uint(1) + uint(0) + uint(0) + uint(0) + uint(price) + pad(seller)
    body = order + pad(buyer.address) + uint(128) + uint(128 + len(offer)) + offer + consideration
    words = uint(32) + uint(0) + uint(0) + uint(price) + pad(seller) + uint(0)
    fulfilled = (Event.ORDER_FULFILLED, pad(seller), bytes(32))
    return Draft(
        buyer,
        At.SEAPORT,
        value=price,
        data=Call.FULFILL_BASIC_ORDER + words + pad(collection) + uint(item) + uint(1) + bytes(480),
        logs=[Log(At.SEAPORT, fulfilled, body), nft_log(collection, seller, buyer.address, item)],
        gas_used=121_000,
    )


def send_1155(sender: Wallet, collection: bytes, target: bytes, item: int, count: int) -> Draft:
    """ERC-1155 ``safeTransferFrom`` by the owner."""
    topics = (Event.TRANSFER_SINGLE, pad(sender.address), pad(sender.address), pad(target))
    words = pad(sender.address) + pad(target) + uint(item) + uint(count)
    return Draft(
        sender,
        collection,
        data=Call.SAFE_TRANSFER_FROM_1155 + words + uint(160) + uint(0),
        logs=[Log(collection, topics, uint(item) + uint(count))],
        gas_used=52_000,
    )
