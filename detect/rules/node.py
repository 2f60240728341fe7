"""Questions to a node about one block's state: the balance, the code, what a call would return.

Some typologies can only be confirmed by what blocks and receipts do not show. A rule asks through
``NodeCalls`` and takes None for an answer: off, out of time, over the bound, or not known any more.
Then it says what is in view alone allows it to say, milder where the typology demands confirmation.

Answers may change how loudly a rule speaks. They should not be kept in its state, so that the state
stays the same with and without a node; where a rule must keep one, it keeps None too, as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

from chainwarden.schema import Position


class NodeCalls(Protocol):
    """What a node can be asked, each time about the state after the block at ``at``.

    Asked by the block's hash, so that an answer is about that block whatever became of it. The
    number of questions per block is bounded, answers are cached, and no method ever raises: None is
    *unknown*. Ask about candidates only, after everything in view speaks for them.
    """

    def balance_at(self, address: bytes, at: Position) -> int | None:
        """The account's ether in wei; None where it is unknown."""
        ...

    def token_balance_at(self, token: bytes, owner: bytes, at: Position) -> int | None:
        """What ERC-20 ``balanceOf(owner)`` says; None where it is unknown or says no number."""
        ...

    def code_at(self, address: bytes, at: Position) -> bytes | None:
        """The account's code, empty for an EOA (23 bytes for an EIP-7702 one); None unknown."""
        ...

    def storage_at(self, address: bytes, slot: int, at: Position) -> bytes | None:
        """The word (32 bytes) in a slot of a contract's storage; None where it is unknown."""
        ...

    def call(
        self, to: bytes, data: bytes, at: Position, *, sender: bytes | None = None, value: int = 0
    ) -> tuple[bool, bytes] | None:
        """What calling would give: (True, returned bytes), or (False, revert data); None unknown.

        Without a ``sender`` the zero address calls.
        """
        ...


class WithoutNode:
    """The ``NodeCalls`` of a replay: everything is unknown."""

    def _unknown(self, *_: object, **__: object) -> None:
        """Unknown."""

    balance_at = token_balance_at = code_at = storage_at = call = _unknown


WITHOUT_NODE: Final[NodeCalls] = WithoutNode()


@runtime_checkable
class Confirms(Protocol):
    """A rule that asks a node. ``confirms`` says what for, in words that follow "without"."""

    id: str
    confirms: str


def confirmations(rules: Iterable[object]) -> dict[str, str]:
    """What each rule that asks a node asks it for, by rule id."""
    return {rule.id: rule.confirms for rule in rules if isinstance(rule, Confirms)}
