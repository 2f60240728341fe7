"""The logs that move or grant something: transfers and approvals, decoded in bulk and strictly.

Anyone can emit a log with any topics and any data. A log counts as an event only if it has exactly
the number of topics, the length of data and the clean padding that the event's ABI gives it; every
other one is left over, and nothing about it is guessed. What a log says is still only its emitter's
word. Two emitters are special: the system address of EIP-7708, whose logs report native transfers
and are no token's, and Permit2, whose approvals name another token and count from nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from chainwarden.schema import ApprovalKind, FlowKind
from ingest.columns import Bytes, Index, Mask

# topic0 of each event, with the ABI it is the Keccak-256 of.
TRANSFER: Final = bytes.fromhex(  # Transfer(address,address,uint256), EIP-20 and EIP-721
    "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
)
TRANSFER_SINGLE: Final = bytes.fromhex(  # TransferSingle(address,address,address,uint256,uint256)
    "c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
)
TRANSFER_BATCH: Final = bytes.fromhex(  # TransferBatch(address,address,address,uint256[],uint256[])
    "4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"
)
APPROVAL: Final = bytes.fromhex(  # Approval(address,address,uint256), EIP-20 and EIP-721
    "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
)
APPROVAL_FOR_ALL: Final = bytes.fromhex(  # ApprovalForAll(address,address,bool)
    "17307eab39ab6107e8899845ad3d59bd9653f200f220920489ca2b5937696c31"
)
PERMIT2_APPROVAL: Final = bytes.fromhex(  # Approval(address,address,address,uint160,uint48)
    "da9fa7c1b00402c17d0161b249b1ab8bbec047c5a52207b9c112deffd817036b"
)
PERMIT2_PERMIT: Final = bytes.fromhex(  # Permit(address,address,address,uint160,uint48,uint48)
    "c6a377bfc4eb120024a8ac08eef205be16b817020812c73223e81d1bdb9708ec"
)

PERMIT2: Final = bytes.fromhex("000000000022d473030f116ddee9f6b43ac78ba3")
SYSTEM_LOGS: Final = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")  # EIP-7708


@dataclass(frozen=True, slots=True)
class Logs:
    """Logs in chain order, as columns.

    ``address`` is ``(n, 20)``. Log ``i`` has ``topic_count[i]`` rows of ``topics`` (``(m, 32)``)
    from ``topic_start[i]`` on, and the data ``data[data_offset[i]:data_offset[i + 1]]``.
    """

    address: Bytes
    topics: Bytes
    topic_start: Index
    topic_count: Index
    data: Bytes
    data_offset: Index

    def __len__(self) -> int:
        return len(self.address)


@dataclass(frozen=True, slots=True)
class Transfers:
    """Token transfers in log order. ``log`` is the row in ``Logs``, ``item`` the batch index.

    ``token_id`` and ``value`` are ``(k, 32)``; where ``has_id`` is false the id is zero.
    """

    log: Index
    item: Index
    kind: Index
    token: Bytes
    token_id: Bytes
    has_id: Mask
    sender: Bytes
    recipient: Bytes
    value: Bytes


@dataclass(frozen=True, slots=True)
class Grants:
    """Approvals in log order; ``has_id`` and ``has_value`` say which columns mean something."""

    log: Index
    kind: Index
    token: Bytes
    token_id: Bytes
    has_id: Mask
    owner: Bytes
    spender: Bytes
    value: Bytes
    has_value: Mask
    approved: Mask


def decode_logs(logs: Logs) -> tuple[Transfers, Grants, Index]:
    """The transfers, the approvals, and the rows of all logs that are neither, each in log order.

    Total: no content of a log raises. An ERC-1155 batch gives as many items as its data really
    holds, or none.
    """
    view = _View(logs)
    transfers = _joined(
        [_erc20(view), _erc721(view), _erc1155_single(view), _erc1155_batch(view)], Transfers
    )
    grants = _joined(
        [
            _erc20_approval(view),
            _erc721_approval(view),
            _approval_for_all(view),
            _permit2(view, PERMIT2_APPROVAL, ApprovalKind.PERMIT2, words=2),
            _permit2(view, PERMIT2_PERMIT, ApprovalKind.PERMIT2_PERMIT, words=3),
        ],
        Grants,
    )
    left = np.ones(len(logs), np.bool_)
    left[transfers.log] = False
    left[grants.log] = False
    return transfers, grants, np.flatnonzero(left)


class _View:
    """The logs with what every decoder asks of them: which event, which topic, which word."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self.data_length = np.diff(logs.data_offset)
        self._topic0 = np.zeros((len(logs), 32), np.uint8)
        some = np.flatnonzero(logs.topic_count > 0)
        self._topic0[some] = logs.topics[logs.topic_start[some]]
        self._quick = self._topic0.view(">u8")[:, 0] if len(logs) else np.zeros(0, ">u8")
        self._foreign = (logs.address != _row(SYSTEM_LOGS)).any(axis=1)

    def candidates(self, topic0: bytes, topics: int, data: int | None) -> Index:
        """The rows with that first topic, that many topics and, if given, that much data."""
        rows = np.flatnonzero(self._quick == int.from_bytes(topic0[:8], "big"))
        same = (self._topic0[rows] == _row(topic0)).all(axis=1) & self._foreign[rows]
        same &= self.logs.topic_count[rows] == topics
        if data is not None:
            same &= self.data_length[rows] == data
        chosen: Index = rows[same]
        return chosen

    def topic(self, rows: Index, position: int) -> Bytes:
        words: Bytes = self.logs.topics[self.logs.topic_start[rows] + position]
        return words

    def word(self, rows: Index, position: int | Index) -> Bytes:
        """The 32-byte word of data at that position (counted in words) of each row."""
        start = self.logs.data_offset[rows] + 32 * np.asarray(position)
        words: Bytes = self.logs.data[start[:, None] + np.arange(32)]
        return words

    def clean(self, rows: Index, *positions: int) -> Index:
        """Those of the rows whose topics at these positions are addresses, and nothing more."""
        fine = np.ones(len(rows), np.bool_)
        for position in positions:
            fine &= ~self.topic(rows, position)[:, :12].any(axis=1)
        return rows[fine]

    def address(self, rows: Index, position: int) -> Bytes:
        return self.topic(rows, position)[:, 12:]


def _row(value: bytes) -> Bytes:
    return np.frombuffer(value, np.uint8)


def _kind(rows: Index, kind: int) -> Index:
    return np.full(len(rows), kind, np.int64)


def _all(rows: Index) -> Mask:
    return np.ones(len(rows), np.bool_)


def _none(rows: Index) -> Mask:
    return np.zeros(len(rows), np.bool_)


def _some(rows: Bytes) -> Mask:
    """Which rows are not zero."""
    return np.asarray(rows.any(axis=1))


def _zeros(rows: Index) -> Bytes:
    return np.zeros((len(rows), 32), np.uint8)


def _erc20(view: _View) -> Transfers:
    """Transfer(address indexed from, address indexed to, uint256 value)."""
    rows = view.clean(view.candidates(TRANSFER, topics=3, data=32), 1, 2)
    return Transfers(
        log=rows,
        item=np.zeros(len(rows), np.int64),
        kind=_kind(rows, FlowKind.ERC20),
        token=view.logs.address[rows],
        token_id=_zeros(rows),
        has_id=_none(rows),
        sender=view.address(rows, 1),
        recipient=view.address(rows, 2),
        value=view.word(rows, 0),
    )


def _erc721(view: _View) -> Transfers:
    """Transfer(address indexed from, address indexed to, uint256 indexed tokenId)."""
    rows = view.clean(view.candidates(TRANSFER, topics=4, data=0), 1, 2)
    one = _zeros(rows)
    one[:, 31] = 1
    return Transfers(
        log=rows,
        item=np.zeros(len(rows), np.int64),
        kind=_kind(rows, FlowKind.ERC721),
        token=view.logs.address[rows],
        token_id=view.topic(rows, 3),
        has_id=_all(rows),
        sender=view.address(rows, 1),
        recipient=view.address(rows, 2),
        value=one,
    )


def _erc1155_single(view: _View) -> Transfers:
    """TransferSingle(operator indexed, from indexed, to indexed, uint256 id, uint256 value)."""
    rows = view.clean(view.candidates(TRANSFER_SINGLE, topics=4, data=64), 1, 2, 3)
    return Transfers(
        log=rows,
        item=np.zeros(len(rows), np.int64),
        kind=_kind(rows, FlowKind.ERC1155),
        token=view.logs.address[rows],
        token_id=view.word(rows, 0),
        has_id=_all(rows),
        sender=view.address(rows, 2),
        recipient=view.address(rows, 3),
        value=view.word(rows, 1),
    )


def _erc1155_batch(view: _View) -> Transfers:
    """TransferBatch(operator indexed, from indexed, to indexed, uint256[] ids, uint256[] values).

    Both arrays must lie within the data and be of one length. An empty batch moves nothing and
    stays a log.
    """
    found = view.clean(view.candidates(TRANSFER_BATCH, topics=4, data=None), 1, 2, 3)
    kept, counts, id_starts, value_starts = [], [], [], []
    for row in found.tolist():
        start, stop = int(view.logs.data_offset[row]), int(view.logs.data_offset[row + 1])
        data = view.logs.data[start:stop].tobytes()
        ids, values = _array_at(data, 0), _array_at(data, 32)
        if ids is None or values is None or ids[1] != values[1] or ids[1] == 0:
            continue
        kept.append(row)
        counts.append(ids[1])
        id_starts.append(start + ids[0])
        value_starts.append(start + values[0])
    count = np.array(counts, np.int64)
    rows = np.repeat(np.array(kept, np.int64), count)
    item = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    lanes = 32 * item[:, None] + np.arange(32)
    return Transfers(
        log=rows,
        item=item,
        kind=_kind(rows, FlowKind.ERC1155),
        token=view.logs.address[rows],
        token_id=view.logs.data[np.repeat(np.array(id_starts, np.int64), count)[:, None] + lanes],
        has_id=_all(rows),
        sender=view.address(rows, 2),
        recipient=view.address(rows, 3),
        value=view.logs.data[np.repeat(np.array(value_starts, np.int64), count)[:, None] + lanes],
    )


def _array_at(data: bytes, head: int) -> tuple[int, int] | None:
    """Where the uint256[] that the head at that byte points to begins, and how many it holds.

    None where the offset or the length leaves the data.
    """
    if len(data) < head + 32:
        return None
    offset = int.from_bytes(data[head : head + 32], "big")
    if offset > len(data) - 32:
        return None
    length = int.from_bytes(data[offset : offset + 32], "big")
    if length > (len(data) - offset - 32) // 32:
        return None
    return offset + 32, length


def _erc20_approval(view: _View) -> Grants:
    """Approval(address indexed owner, address indexed spender, uint256 value)."""
    rows = view.clean(view.candidates(APPROVAL, topics=3, data=32), 1, 2)
    spender, value = view.address(rows, 2), view.word(rows, 0)
    return Grants(
        log=rows,
        kind=_kind(rows, ApprovalKind.ERC20),
        token=view.logs.address[rows],
        token_id=_zeros(rows),
        has_id=_none(rows),
        owner=view.address(rows, 1),
        spender=spender,
        value=value,
        has_value=_all(rows),
        approved=_some(spender) & _some(value),
    )


def _erc721_approval(view: _View) -> Grants:
    """Approval(address indexed owner, address indexed approved, uint256 indexed tokenId)."""
    rows = view.clean(view.candidates(APPROVAL, topics=4, data=0), 1, 2)
    spender = view.address(rows, 2)
    return Grants(
        log=rows,
        kind=_kind(rows, ApprovalKind.ERC721),
        token=view.logs.address[rows],
        token_id=view.topic(rows, 3),
        has_id=_all(rows),
        owner=view.address(rows, 1),
        spender=spender,
        value=_zeros(rows),
        has_value=_none(rows),
        approved=_some(spender),
    )


def _approval_for_all(view: _View) -> Grants:
    """ApprovalForAll(address indexed owner, address indexed operator, bool approved)."""
    rows = view.clean(view.candidates(APPROVAL_FOR_ALL, topics=3, data=32), 1, 2)
    flag = view.word(rows, 0)
    boolean = ~flag[:, :31].any(axis=1) & (flag[:, 31] <= 1)
    rows, flag = rows[boolean], flag[boolean]
    spender = view.address(rows, 2)
    return Grants(
        log=rows,
        kind=_kind(rows, ApprovalKind.FOR_ALL),
        token=view.logs.address[rows],
        token_id=_zeros(rows),
        has_id=_none(rows),
        owner=view.address(rows, 1),
        spender=spender,
        value=_zeros(rows),
        has_value=_none(rows),
        approved=_some(spender) & (flag[:, 31] == 1),
    )


def _permit2(view: _View, topic0: bytes, kind: ApprovalKind, *, words: int) -> Grants:
    """Approval or Permit(owner indexed, token indexed, spender indexed, uint160 amount, …).

    The words behind the amount are uint48: expiration and, for Permit, nonce.
    """
    rows = view.clean(view.candidates(topic0, topics=4, data=32 * words), 1, 2, 3)
    fine = (view.logs.address[rows] == _row(PERMIT2)).all(axis=1)
    fine &= ~view.word(rows, 0)[:, :12].any(axis=1)
    for position in range(1, words):
        fine &= ~view.word(rows, position)[:, :26].any(axis=1)
    rows = rows[fine]
    spender, value = view.address(rows, 3), view.word(rows, 0)
    return Grants(
        log=rows,
        kind=_kind(rows, kind),
        token=view.address(rows, 2),
        token_id=_zeros(rows),
        has_id=_none(rows),
        owner=view.address(rows, 1),
        spender=spender,
        value=value,
        has_value=_all(rows),
        approved=_some(spender) & _some(value),
    )


Rows = TypeVar("Rows", Transfers, Grants)


def _joined(parts: Sequence[Rows], kind: type[Rows]) -> Rows:
    """The parts as one, in log order; items of a batch keep theirs."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in kind.__dataclass_fields__
    }
    order = np.argsort(columns["log"], kind="stable")
    return kind(**{name: values[order] for name, values in columns.items()})
