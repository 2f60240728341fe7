"""Where a step of a launch took place, and the finding it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chainwarden.schema import Evidence, Reason, Role, Severity
from detect.rules.columns import Columns
from detect.rules.launches import Kind, Step
from detect.rules.pool_events import PoolEvents
from detect.rules.rule import Finding

# Where the ordinal of a step stands. Looked up once: an enumeration does not do it fast.
_TRADE: Final = Kind.TRADE
_OF_FLOWS: Final = (Kind.MINTED, Kind.MOVED)
_OF_LOGS: Final = (Kind.LIQUIDITY, Kind.POOL, Kind.OWNER)


@dataclass(frozen=True, slots=True)
class Place:
    """A transaction, or a block as such (``tx`` -1), with what is known of who signed it."""

    events: PoolEvents
    block_row: int
    time: int
    serial: int
    tx: int = -1
    index: int = -1
    hash: bytes | None = None
    ordinal: int = 0
    signer: bytes = b""
    signer_hash: int = 0
    funder: int = 0
    target: bytes | None = None

    @property
    def columns(self) -> Columns:
        """The columns of the batch."""
        return self.events.columns

    @classmethod
    def at_block(cls, events: PoolEvents, row: int) -> Place:
        """The beginning of a block."""
        columns = events.columns
        return cls(events, row, int(columns.block_times[row]), columns.first_serial + row)

    @classmethod
    def of(cls, events: PoolEvents, step: Step) -> Place:
        """The transaction of a step."""
        columns, transactions, tx = events.columns, events.columns.cells("transactions"), step.tx
        facts = columns.facts_of(tx)
        ordinal = 0
        if step.kind in _OF_FLOWS:
            ordinal = int(columns.flow_ordinal[step.row])
        elif step.kind is _TRADE:
            log = int(events.trades.log[step.row])
            ordinal = int(columns.log_ordinal[log])
        elif step.kind in _OF_LOGS:
            ordinal = int(columns.log_ordinal[step.row])
        return cls(
            events,
            step.block_row,
            int(columns.block_times[step.block_row]),
            columns.first_serial + step.block_row,
            tx,
            step.tx_index,
            transactions["transaction_hash"][tx],
            ordinal,
            transactions["from_address"][tx],
            int(facts["from_hash"]),
            int(facts["from_funder"]),
            transactions["to_address"][tx],
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said about a launch: whom it is about, how bad, why, and what shows it."""

    rule: str
    severity: Severity
    score: float
    subject: bytes
    sentence: str
    reasons: tuple[tuple[str, float, float | None], ...]
    transactions: tuple[bytes | None, ...] = ()
    addresses: tuple[bytes, ...] = ()
    amounts: tuple[tuple[bytes | None, int], ...] = ()

    def finding(self, place: Place, version: int = 1, told_of: bytes | None = None) -> Finding:
        """The finding at that place; ``told_of`` names its transaction where time decided."""
        share = self.score / len(self.reasons)
        hashes = [h for h in (*self.transactions, place.hash) if h]
        return Finding(
            rule=self.rule,
            rule_version=version,
            typology=self.rule,
            severity=self.severity,
            score=self.score,
            subject=self.subject,
            role=Role.ATTACKER,
            block_row=place.block_row,
            transaction_index=place.index,
            transaction_hash=place.hash or told_of,
            ordinal=place.ordinal,
            sentence=self.sentence,
            reasons=tuple(Reason(name, value, share, limit) for name, value, limit in self.reasons),
            evidence=Evidence(
                transactions=tuple(dict.fromkeys(hashes)),
                addresses=tuple(a for a in dict.fromkeys(self.addresses) if len(a) == 20),
                amounts=self.amounts,
            ),
        )
