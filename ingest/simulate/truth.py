"""What the simulator knows and a detector must find out: which transactions belong to an attack."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


class Campaign(msgspec.Struct, frozen=True):
    """One attack, or one disturbance, as it ended up on the winning chain.

    ``addresses`` are ``0x…`` text by role (``attacker``, ``victim``, ``collector`` …),
    ``transactions`` the hashes in order of signing. Blocks are numbers; both are those of the whole
    campaign, its preparation excluded.
    """

    id: str
    typology: str
    start_block: int
    end_block: int
    addresses: dict[str, list[str]]
    transactions: list[str]
    note: str


class Truth(msgspec.Struct, frozen=True):
    """All campaigns of a run, in order of their ids."""

    campaigns: tuple[Campaign, ...]


@dataclass(slots=True)
class Record:
    """A campaign while it goes on: who took part is noted, transactions are added as they land."""

    id: str
    typology: str
    note: str
    roles: dict[str, list[bytes]] = field(default_factory=dict)
    transactions: dict[bytes, int] = field(default_factory=dict)  # hash → block number
    first: int | None = None
    last: int | None = None
    ended: bool = False  # the run was long enough for all of it

    def involve(self, role: str, *addresses: bytes) -> None:
        """Note who took part as what; again is harmless."""
        members = self.roles.setdefault(role, [])
        members.extend(a for a in dict.fromkeys(addresses) if a not in members)

    def landed(self, transaction_hash: bytes, number: int) -> None:
        """Note the block a transaction is in; a later call for the same one moves it."""
        self.transactions[transaction_hash] = number

    def spans(self, first: int, last: int) -> None:
        """Note the blocks of a disturbance that has no transactions."""
        self.first, self.last = first, last

    def finished(self) -> Campaign | None:
        """The campaign, or None where nothing of it has happened."""
        numbers = list(self.transactions.values())
        numbers += [n for n in (self.first, self.last) if n is not None]
        if not numbers:
            return None
        return Campaign(
            id=self.id,
            typology=self.typology,
            start_block=min(numbers),
            end_block=max(numbers),
            addresses={role: ["0x" + a.hex() for a in who] for role, who in self.roles.items()},
            transactions=["0x" + h.hex() for h in self.transactions],
            note=self.note if self.ended else f"{self.note} (cut off by the end of the run)",
        )
