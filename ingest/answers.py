"""What nodes answer, as the structs of ``ingest.raw``, compared with what was asked for.

Every answer becomes what was asked for or a SourceError: NotYet for ``null``, BadBlock for what is
malformed or about something else. Errors are values here: in a batch each answer has its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from chainwarden.errors import BadBlock, NotYet, SourceError
from chainwarden.schema import Position
from ingest.fault import Fault, NodeError
from ingest.jsonl import parse_block
from ingest.raw import RawBlock, RpcBlock, RpcCall, RpcReceipt

Selector = bytes | int
"""A block's hash, or its number."""

Outcome = msgspec.Raw | NodeError

_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError)
_RECEIPTS: Final = msgspec.json.Decoder(list[RpcReceipt])
_RECEIPT: Final = msgspec.json.Decoder(RpcReceipt)
# A delegate call shows its caller's value again, and nothing moves.
_WITHOUT_VALUE: Final = frozenset({"DELEGATECALL", "STATICCALL"})


class _Header(msgspec.Struct):
    number: str
    hash: str


class _Frame(msgspec.Struct, rename="camel"):
    """A call as geth's callTracer shows it."""

    type: str
    from_: str = msgspec.field(name="from")
    to: str | None = None
    value: str | None = None
    input: str = "0x"
    error: str | None = None
    calls: list[_Frame] = []


class _Traced(msgspec.Struct, rename="camel"):
    result: _Frame
    tx_hash: str | None = None


_TRACES: Final = msgspec.json.Decoder(list[_Traced])


def shown(selector: Selector) -> str:
    """``block 12`` or ``block 0x12…``, for messages."""
    return f"block {selector}" if isinstance(selector, int) else f"block 0x{selector.hex()}"


def read_position(where: str, outcome: Outcome) -> Position:
    """The position of a header. Raises NotYet, NodeError or BadBlock."""
    raw = _given(where, "that head", outcome)
    if isinstance(raw, SourceError):
        raise raw
    try:
        header = msgspec.json.decode(raw, type=_Header)
        hash_ = bytes.fromhex(header.hash.removeprefix("0x"))
        if len(hash_) != 32:
            raise ValueError(f"a hash of {len(hash_)} bytes")
        return Position(_quantity(header.number), hash_)
    except _UNREADABLE as error:
        raise _malformed(where, None, error) from error


def read_block(where: str, selector: Selector, outcome: Outcome) -> RawBlock | SourceError:
    """The block that was asked for, without receipts, or why there is none."""
    raw = _given(where, shown(selector), outcome)
    if isinstance(raw, SourceError):
        return raw
    try:
        block, unknown = parse_block(bytes(raw))
        number = _quantity(block.number)
    except _UNREADABLE as error:
        return _malformed(where, selector, error)
    if isinstance(selector, int) and number != selector:
        return BadBlock(f"block {selector} is numbered {number}", where=where, reason="malformed")
    if isinstance(selector, bytes) and block.hash.lower() != f"0x{selector.hex()}":
        message = f"{shown(selector)} has another hash"
        return BadBlock(message, where=where, reason="header_hash", number=number)
    return RawBlock(block, where=where, unknown_fields=unknown)


def read_receipts(where: str, block: RpcBlock, outcome: Outcome) -> list[RpcReceipt] | SourceError:
    """The receipts of a block, given whole: as many as it has transactions."""
    number = _quantity(block.number)
    raw = _given(where, f"the receipts of block {number}", outcome)
    if isinstance(raw, SourceError):
        return raw
    try:
        return _of_block(where, block, _RECEIPTS.decode(raw))
    except _UNREADABLE as error:
        return _malformed(where, number, error)


def read_single_receipts(
    where: str, block: RpcBlock, outcomes: Sequence[Outcome]
) -> list[RpcReceipt] | SourceError:
    """The receipts of a block, given one by one in the order of its transactions."""
    number = _quantity(block.number)
    receipts = []
    for outcome in outcomes:
        raw = _given(where, f"a receipt of block {number}", outcome)
        if isinstance(raw, SourceError):
            return raw
        try:
            receipts.append(_RECEIPT.decode(raw))
        except _UNREADABLE as error:
            return _malformed(where, number, error)
    return _of_block(where, block, receipts)


def _of_block(
    where: str, block: RpcBlock, receipts: list[RpcReceipt]
) -> list[RpcReceipt] | SourceError:
    """The receipts, if they are those of the block."""
    said = ""
    if len(receipts) != len(block.transactions):
        said = f"{len(receipts)} receipts for {len(block.transactions)} transactions"
    elif any(each.block_hash not in (None, block.hash) for each in receipts):
        said = "the receipts are of another block"
    if said:
        number = _quantity(block.number)
        return BadBlock(said, where=where, reason="receipts_root", number=number)
    return receipts


def read_calls(where: str, block: RpcBlock, outcome: Outcome) -> list[RpcCall] | SourceError:
    """The call trees of a block, flat: each call after its parent, transactions in order."""
    number = _quantity(block.number)
    raw = _given(where, f"the traces of block {number}", outcome)
    if isinstance(raw, SourceError):
        return raw
    try:
        traced = _TRACES.decode(raw)
    except _UNREADABLE as error:
        return _malformed(where, number, error)
    hashes = [tx.hash for tx in block.transactions]
    if len(traced) != len(hashes) or any(
        each.tx_hash not in (None, hash_) for each, hash_ in zip(traced, hashes, strict=True)
    ):
        return BadBlock(
            "the traces are not of its transactions", where=where, reason="malformed", number=number
        )
    return [
        call
        for each, hash_ in zip(traced, hashes, strict=True)
        for call in flatten(hash_, each.result)
    ]


def flatten(transaction_hash: str, outermost: _Frame) -> Iterator[RpcCall]:
    """A call tree as rows, in the order of execution: indexes from 1, 0 is above the outermost."""
    index = 0
    stack = [(outermost, 0, 0, False)]
    while stack:
        frame, parent, depth, undone = stack.pop()
        index += 1
        undone = undone or frame.error is not None
        yield RpcCall(
            transaction_hash=transaction_hash,
            index=index,
            parent_index=parent,
            depth=depth,
            call_type=frame.type,
            from_=frame.from_,
            to=frame.to,
            value="0x0" if frame.type in _WITHOUT_VALUE else frame.value or "0x0",
            input=frame.input,
            status_failed=frame.error is not None,
            reverted=undone,
        )
        stack += [(call, index, depth + 1, undone) for call in reversed(frame.calls)]


def _given(where: str, what: str, outcome: Outcome) -> msgspec.Raw | SourceError:
    """The answer, if it is one."""
    if isinstance(outcome, NodeError):
        if outcome.fault is Fault.NOT_YET:
            return NotYet(outcome.message)
        return outcome
    if bytes(outcome) == b"null":
        return NotYet(f"{where} does not have {what} yet")
    return outcome


def _malformed(where: str, what: Selector | None, error: Exception) -> BadBlock:
    about = shown(what) if what is not None else "the head"
    return BadBlock(
        f"{about} cannot be read ({type(error).__name__})",
        where=where,
        reason="malformed",
        number=what if isinstance(what, int) else None,
    )


def _quantity(text: str) -> int:
    """A non-negative number of at most 63 bits, as hex text."""
    if not text.startswith("0x") or not 3 <= len(text) <= 18:
        raise ValueError("not a quantity")
    value = int(text[2:], 16)
    if value >= 1 << 63:
        raise ValueError("not a block number")
    return value
