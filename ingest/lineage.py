"""What a block's header says beside its parent's: the rules between them that need no root.

A header with fields that nobody knows has a hash that nobody can recompute, so that a node may
write into it what it likes. What still holds for it is what held in every fork so far and cannot
change: numbers rise by one, and time goes on. A header whose hash was recomputed is held to all the
rest, for a hash proves only what a block says, not that it could ever have been made.

Only the gas and fees of Ethereum's own networks are judged: other chains have other denominators.
What later forks may change (the blob gas target and limit) is bounded only where every setting of
it agrees.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

from chainwarden.errors import BadBlock
from chainwarden.schema import BlockBatch, Chain

# Mainnet, Sepolia, Holesky and Hoodi.
_ETHEREUM: Final = frozenset({1, 11_155_111, 17_000, 560_048})
# On a development node time and fees are whatever its user sets them to.
_DEVELOPMENT: Final = frozenset({1337, 31337})

_LEAST_GAS_LIMIT: Final = 5_000
_GAS_LIMIT_DIVISOR: Final = 1_024
_FIRST_BASE_FEE: Final = 10**9
_ELASTICITY: Final = 2
_BASE_FEE_DIVISOR: Final = 8
# Blocks remembered: the deepest walk down from a head, and both sides of the forks beside it.
_REMEMBERED: Final = 1_024


class Header(NamedTuple):
    """The part of a header that follows from its parent's; None is what a source does not give.

    ``proven``: the block's hash was recomputed from it.
    """

    number: int
    timestamp: int
    gas_limit: int | None
    gas_used: int | None
    base_fee: int | None
    blob_gas_used: int | None
    excess_blob_gas: int | None
    proven: bool


_COLUMNS: Final = (
    "block_number",
    "block_timestamp",
    "gas_limit",
    "gas_used",
    "base_fee_per_gas",
    "blob_gas_used",
    "excess_blob_gas",
    "verified",
)


def header_of(block: BlockBatch) -> Header:
    """The header of the batch's first block."""
    return Header(*(block.blocks[name][0].as_py() for name in _COLUMNS))


def broken_rule(chain: Chain, header: Header, parent: Header) -> str:
    """The first rule that a block breaks, as a sentence with both values; empty if it breaks none.

    No rule is broken on the word of a parent that is less proven than the block itself.
    """
    if header.proven and not parent.proven:
        return ""
    if header.number != parent.number + 1:
        return f"its number is {header.number}, its parent's {parent.number}"
    if (broken := _broken_time(chain, header, parent)) or not header.proven:
        return broken
    if chain.id not in _ETHEREUM or header.gas_limit is None or parent.gas_limit is None:
        return ""
    return (
        _broken_gas(header, parent)
        or _broken_base_fee(header, parent)
        or _broken_blobs(header, parent)
    )


def _broken_time(chain: Chain, header: Header, parent: Header) -> str:
    # Chains with several blocks a second give these the same time.
    earliest = parent.timestamp + (chain.id in _ETHEREUM)
    if header.timestamp >= earliest or chain.id in _DEVELOPMENT:
        return ""
    return f"its timestamp is {header.timestamp}, its parent's {parent.timestamp}"


def _limit_before(header: Header, parent: Header) -> int:
    """The parent's gas limit, as it counts: at London, blocks became twice as large."""
    assert parent.gas_limit is not None
    begins = header.base_fee is not None and parent.base_fee is None
    return parent.gas_limit * (_ELASTICITY if begins else 1)


def _broken_gas(header: Header, parent: Header) -> str:
    assert header.gas_limit is not None
    before = _limit_before(header, parent)
    if header.gas_used is not None and header.gas_used > header.gas_limit:
        return f"it used {header.gas_used} gas, its limit is {header.gas_limit}"
    if header.gas_limit < _LEAST_GAS_LIMIT:
        return f"its gas limit is {header.gas_limit}, less than {_LEAST_GAS_LIMIT}"
    if abs(header.gas_limit - before) >= before // _GAS_LIMIT_DIVISOR:
        return f"its gas limit is {header.gas_limit}, its parent's {before}: too large a step"
    return ""


def _broken_base_fee(header: Header, parent: Header) -> str:
    if parent.base_fee is None:
        right = None if header.base_fee is None else _FIRST_BASE_FEE
    elif parent.gas_limit is None or parent.gas_used is None:
        return ""
    else:
        right = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
    if header.base_fee == right:
        return ""
    return f"its base fee is {header.base_fee}, not {right}, as its parent's gas says"


def next_base_fee(base_fee: int, gas_used: int, gas_limit: int) -> int:
    """The base fee of the block after one with these, in wei (EIP-1559)."""
    target = gas_limit // _ELASTICITY
    change = base_fee * abs(gas_used - target) // target // _BASE_FEE_DIVISOR
    return base_fee + max(1, change) if gas_used > target else base_fee - change


def _broken_blobs(header: Header, parent: Header) -> str:
    """Whatever the target is (EIP-4844, 7691, 7892, 7918), the excess grows by no more than use."""
    if header.excess_blob_gas is None:
        return ""
    most = (parent.excess_blob_gas or 0) + (parent.blob_gas_used or 0)
    if header.excess_blob_gas <= most:
        return ""
    return f"its excess blob gas is {header.excess_blob_gas}, more than the {most} that there were"


@dataclass(frozen=True, slots=True)
class _Known:
    parent: bytes
    header: Header


class Lineage:
    """The headers of the blocks that were fetched last; each block is held to its parent.

    A block whose parent is not among them is taken as it is: the first after a start, and those on
    the way down from a head, which are held to their parents by ``hold`` when these are there.
    Bounded: 1,024 headers. May be used from several threads.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, block: BlockBatch) -> BlockBatch:
        """The block, a batch of one, which is remembered from now on.

        Raises BadBlock where it breaks a rule: whoever told of it is not to be believed.
        """
        position = block.position(0)
        parent = block.blocks["parent_hash"][0].as_py()
        if not position.hash or not parent:
            return block
        known = _Known(parent, header_of(block))
        self._expect(str(position), known)
        with self._lock:
            self._known[position.hash] = known
            self._known.move_to_end(position.hash)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return block

    def hold(self, block: BlockBatch) -> None:
        """Hold a block that was admitted to its parent, which may have come after it.

        Raises BadBlock where it breaks a rule, and forgets the block: it is to be fetched anew.
        """
        position = block.position(0)
        with self._lock:
            known = self._known.get(position.hash)
        if known is None:
            return
        try:
            self._expect(str(position), known)
        except BadBlock:
            with self._lock:
                self._known.pop(position.hash, None)
            raise

    def _expect(self, name: str, known: _Known) -> None:
        with self._lock:
            parent = self._known.get(known.parent)
        if parent is None:
            return
        if broken := broken_rule(self._chain, known.header, parent.header):
            raise BadBlock(
                broken,
                where=f"block {name}",
                reason="parent",
                number=known.header.number,
                hint="ask another endpoint",
            )
