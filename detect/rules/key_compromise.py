"""Several unrelated people's wallets, emptied into one fresh wallet within hours.

Whoever has stolen keys (a leaked seed database, weak random numbers, a wallet with a back door)
sweeps them together: each victim signs, as far as the chain can tell, and loses all it has. The
thresholds are those of Nethermind's Forta bot: more than two drained senders in six hours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Position, Reason, Severity, hex_of
from detect.acquaintances import Acquaintances
from detect.journal import Journaled
from detect.kernels.scaling import DEGREE_TOP
from detect.kernels.sweeps import (
    AT_ONCE,
    BUSY,
    COIN,
    FRESH,
    HELD_SECONDS,
    PAYERS,
    RECEIVER,
    RECEIVER_FLOWS,
    SENDER_NONCE,
    SENDER_SECONDS,
    TOKEN_SHIFT,
    WINDOW,
    is_emptied,
    scan_sweeps,
)
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.labels import LabelBook
from detect.records import DEFAULT_SECRET, RecordTable, Secret, address_of
from detect.rules.columns import ColumnCache, Columns
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding, about_flow
from detect.scored import ScoredBatch

_LEAST: Final = 100.0 * np.array(
    [NATIVE.dust, *(token.dust for token in VALUE_TOKENS.values()), np.inf]
)
"""What a payment must be worth, about 100 dollars, by ``Columns.flow_coin``."""


_TOKENS: Final = tuple(VALUE_TOKENS)
_SEVERITIES: Final = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
DELEGATED: Final = bytes.fromhex("ef0100")  # EIP-7702: an EOA with borrowed code


@dataclass(frozen=True, slots=True)
class KeyCompromiseConfig:
    """Thresholds and bounds.

    ``window_seconds``: how long a sweep may take, ``at_once_seconds``: how long that of one wallet.
    ``held_seconds``: how long a wallet must have been in view for what it holds to be known.
    ``senders``: from so many emptied wallets of
    different people it is told, told again, and told a third time. ``fresh_seconds`` and
    ``receiver_events``: a receiver that is older, or had more flows, is no fresh one.
    ``sender_seconds`` or ``sender_nonce``: what a victim's wallet has behind it. ``hub``: who has
    funded so many is an exchange and relates nobody, nor does who has more than ``busy`` flows.
    ``drained_ether``: what is left in an emptied
    wallet at most, where a node says. ``capacity``: receivers remembered, ``pairs``: who has
    dealt with whom.
    """

    window_seconds: int = 6 * 3600
    at_once_seconds: int = 300
    held_seconds: int = 86_400
    senders: tuple[int, int, int] = (3, 6, 11)
    fresh_seconds: int = 30 * 86_400
    receiver_events: int = 500
    sender_seconds: int = 30 * 86_400
    sender_nonce: int = 3
    hub: int = 50
    busy: int = 5_000
    drained_ether: float = 0.01
    capacity: int = 65_536
    pairs: int = 262_144
    secret: Secret = DEFAULT_SECRET


class KeyCompromise(Journaled):
    """Finds the receiver of a sweep, from the third emptied wallet on.

    A wallet counts as emptied when it sent at least nine tenths of the coins it was seen to hold,
    or coins and tokens within minutes. Where most payers did, that is low, medium and high at the
    three levels. Where a node says that the balances are gone, it is medium, high and critical.
    Left alone: receivers that are services, contracts (a Safe somebody moves to), old or busy (an
    exchange's hot wallet); senders that are new or that the receiver funded or dealt with before;
    of senders that one person funded, or that have dealt with one another, all but one.
    """

    id = "key_compromise"
    version = 1
    confirms = "the balances that swept wallets have left; what they were seen to hold stands in"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: KeyCompromiseConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or KeyCompromiseConfig()
        self._receivers = RecordTable(self._config.capacity, RECEIVER, self._config.secret)
        self._dealings = Acquaintances(self._config.pairs)
        super().__init__({"receivers": self._receivers, "dealings": self._dealings})
        self._labels = labels
        self._cache = cache
        self._node = node
        self._hub = math.log1p(self._config.hub) / math.log1p(DEGREE_TOP)
        self._levels = np.array(self._config.senders)
        limits = {
            WINDOW: self._config.window_seconds,
            AT_ONCE: self._config.at_once_seconds,
            FRESH: self._config.fresh_seconds,
            RECEIVER_FLOWS: self._config.receiver_events,
            SENDER_SECONDS: self._config.sender_seconds,
            SENDER_NONCE: self._config.sender_nonce,
            BUSY: self._config.busy,
            HELD_SECONDS: self._config.held_seconds,
        }
        self._limits = np.array([limits[place] for place in range(len(limits))])

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        count, blocks = columns.flow_count, len(scored.batch)
        undo, pair_undo = self._receivers.begin(blocks, count), self._dealings.begin(blocks, count)
        hits = np.empty((count, 4), np.int64)
        rings, ring_what = np.empty((count, PAYERS, 5), np.uint32), np.empty((count, PAYERS), "u1")
        found = scan_sweeps(
            columns.flows,
            scored.first_serial,
            self._limits,
            self._hub,
            _LEAST,
            self._levels,
            self._receivers.table,
            undo,
            self._dealings.pairs,
            pair_undo,
            np.zeros(PAYERS, np.int64),
            hits,
            rings,
            ring_what,
        )
        self._receivers.end(undo, scored.first_serial)
        self._dealings.end(pair_undo, scored.first_serial)
        findings = []
        for number, (row, emptied, _, more) in enumerate(hits[:found].tolist()):
            payers = {
                address_of(rings[number, place]): what
                for place, what in enumerate(ring_what[number].tolist())
                if what
            }
            finding = self._look_at(columns, row, payers, emptied if more else 0)
            if finding is not None:
                findings.append(finding)
        return findings

    def _look_at(
        self, columns: Columns, row: int, payers: dict[bytes, int], emptied: int
    ) -> Finding | None:
        """What to say of a receiver: ``emptied`` wallets in view, 0 where nothing new is."""
        flows = columns.cells("flows")
        receiver, time = flows["to_address"][row], flows["block_timestamp"][row]
        if self._labels.is_service(receiver, time, columns.batch.chain.name):
            return None
        block_row = int(columns.flow_row[row])
        at = columns.position(block_row)
        drained = {payer: self._is_drained(payer, what, at) for payer, what in payers.items()}
        confirmed = [payer for payer, is_ in drained.items() if is_]
        least = self._config.senders[0]
        if len(confirmed) >= least:
            code = self._node.code_at(receiver, at)
            if code is not None and code[:3] != DELEGATED and code:
                return None
            return self._finding(columns, row, confirmed, True)
        # Who still has something was not emptied, whatever it was seen to hold.
        left = [p for p, w in payers.items() if is_emptied(w) and drained[p] is not False]
        return self._finding(columns, row, left, False) if emptied and len(left) >= least else None

    def _is_drained(self, payer: bytes, what: int, at: Position) -> bool | None:
        """Whether a node says that nothing is left of what the payer paid with; None unknown."""
        if what & COIN:
            left = self._node.balance_at(payer, at)
            return None if left is None else left <= self._config.drained_ether * 1e18
        token = _TOKENS[(what >> TOKEN_SHIFT) - 1]
        left = self._node.token_balance_at(token, payer, at)
        return None if left is None else left == 0

    def _finding(self, columns: Columns, row: int, payers: list[bytes], confirmed: bool) -> Finding:
        flows, senders = columns.cells("flows"), self._config.senders
        level = sum(len(payers) >= least for least in senders) - 1
        severity = _SEVERITIES[level + confirmed]
        score = (0.4, 0.6, 0.8, 0.95)[level + confirmed]
        receiver, amount = flows["to_address"][row], columns.amount(row)
        how = "have nothing left, says a node" if confirmed else "sent all they were seen to hold"
        hours = self._config.window_seconds / 3600
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="key_compromise",
            severity=severity,
            score=score,
            subject=receiver,
            sentence=(
                f"{len(payers)} wallets of different people paid {hex_of(receiver)} within "
                f"{hours:g} h and {how}."
            ),
            reasons=(
                Reason("emptied_wallets", float(len(payers)), score * 0.7, float(senders[0])),
                Reason("confirmed_by_node", float(confirmed), score * 0.3, 1.0),
            ),
            addresses=tuple(payers),
            amounts=((flows["token_address"][row], amount),),
        )
