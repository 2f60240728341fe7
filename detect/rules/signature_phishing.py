"""Transfers that owners signed off-chain, submitted by who takes the tokens: no approval is needed.

Permit2's ``permitTransferFrom`` and its witness variants, and EIP-3009's transfers of USDC and its
like, move tokens on nothing but the owner's signature. Relayers, payment facilitators (x402) and
fillers of orders submit them by the thousand, to whom the owners chose; a drainer to himself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chainwarden.schema import ZERO_ADDRESS, Reason, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.kernels.scaling import DEGREE_TOP
from detect.known.tokens import LARGE, VALUE_TOKENS, is_large
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding, about_flow
from detect.rules.settlement import has_reputation, kinship, related, settled, signer_facts
from detect.rules.signed_transfers import CARRIERS, Signed, Way, signed_transfers
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

OWNERS_KEPT: Final = 32
RECEIVERS_KEPT: Final = 8
MILLION: Final = 10**6
MOST_TAKEN: Final = 2**53
_HOW: Final = {
    Way.AUTHORIZED: "a signed EIP-3009 authorization",
    Way.RELAYED: "a transfer signed for Permit2",
    Way.DIRECT: "a transfer signed for Permit2",
}


@dataclass(frozen=True, slots=True)
class SignaturePhishingConfig:
    """Thresholds, and how much is remembered.

    From ``owners_high`` owners on a taker is high, from ``owners_critical`` on critical if it is
    fresh. ``least``: the share of a large theft (100,000 dollars) below which a transfer counts as
    a payment, unless its taker called Permit2 itself; ``loot``: what EIP-3009 transfers must come
    to for each owner where no node says that they were emptied. A taker is a relayer where, after
    ``owners_high`` owners, its main receiver got at most ``main_share`` of them, or where a third
    of the owners came back after ``return_seconds``. ``met``: flows between owner and receiver that
    make an EIP-3009 transfer one of many. ``left``: who keeps more than that share of what was
    taken, as a node tells, has paid and was not emptied. ``hub``: a first funder of so many
    explains no kinship.
    """

    window_seconds: int = 30 * 86_400
    owners_high: int = 3
    owners_critical: int = 10
    fresh_nonce: int = 100
    least: float = 0.001
    loot: float = 0.005
    main_share: float = 1 / 3
    return_seconds: int = 3_600
    met: int = 2
    left: float = 0.1
    hub: int = 50
    takers: int = 16_384


@dataclass(frozen=True, slots=True)
class _Taker:
    # What is known of who submits; times are block times.
    since: int
    owners: tuple[tuple[bytes, int], ...] = ()  # with the time they were met first
    receivers: tuple[tuple[bytes, int], ...] = ()  # with how many owners' tokens they got
    returned: int = 0  # owners who came back
    permit2: bool = False
    large: bool = False
    taken: int = 0  # in millionths of a large theft

    def row(self) -> tuple[Any, ...]:
        return (
            self.since,
            self.owners,
            self.receivers,
            self.returned,
            self.permit2,
            self.large,
            self.taken,
        )

    def is_relayer(self, config: SignaturePhishingConfig) -> bool:
        if len(self.owners) < config.owners_high:
            return False
        return self.main_share() <= config.main_share or 3 * self.returned >= len(self.owners)

    def main_share(self) -> float:
        return max(count for _, count in self.receivers) / len(self.owners)


class SignaturePhishing(Journaled):
    """Finds who submits strangers' signed transfers to take their tokens.

    Permit2: medium at the first owner where the taker calls Permit2 itself, low where a contract
    does; high for a large theft or from the third owner on. EIP-3009, which honest payments use as
    well: low only where a node says that the owner was emptied, medium for a large theft or from
    the third owner on if they lost 500 dollars each, high where both. Suppressed: services and
    whoever has a reputation, transfers into contracts, settled orders, the owner's own cluster,
    relayers and facilitators (see the configuration), payments below a hundred dollars, and owners
    who keep something.
    """

    id = "signature_phishing"
    version = 1
    confirms = "knowing whether a signed transfer has emptied its owner"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: SignaturePhishingConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or SignaturePhishingConfig()
        self._takers = JournaledTable(self._config.takers)
        super().__init__({"takers": self._takers})
        self._labels = labels
        self._cache = cache
        self._node = node
        self._hub = math.log1p(self._config.hub) / math.log1p(DEGREE_TOP)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        findings = []
        for signed in signed_transfers(columns):
            rows = [row for row in signed.rows if not self._is_innocent(columns, signed, row)]
            if rows:
                finding = self._taken(columns, signed, rows)
                if finding is not None:
                    findings.append(finding)
        return findings

    # --- the innocent

    def _is_innocent(self, columns: Columns, signed: Signed, row: int) -> bool:
        flows, facts = columns.cells("flows"), columns.scored.flow_facts[row]
        receiver, token = flows["to_address"][row], flows["token_address"][row]
        amount, now = columns.amount(row), int(columns.block_times[columns.flow_row[row]])
        if receiver in (signed.owner, ZERO_ADDRESS):
            return True
        if signed.way != Way.DIRECT and not _is_loot(token, amount, self._config.least):
            return True
        if signed.way == Way.AUTHORIZED and facts["pair_events"] > self._config.met:
            return True
        chain, transactions = columns.batch.chain.name, columns.cells("transactions")
        parties = {receiver, signed.taker, transactions["from_address"][signed.tx]}
        if any(self._labels.is_service(party, now, chain) for party in parties - CARRIERS):
            return True
        signer = signer_facts(columns, signed.tx)
        if signer is not None and self._is_trusted(columns, signed, signer, now):
            return True
        owner = kinship(facts, "from")
        if facts["from_funder_fan_out"] < self._hub:
            others = [kinship(facts, "to")]
            if signer is not None:
                others.append(kinship(signer, "from"))
            if any(related(owner, other) for other in others):
                return True
        return settled(columns, signed.tx, signed.owner, token, amount)

    def _is_trusted(self, columns: Columns, signed: Signed, signer: np.void, now: int) -> bool:
        if has_reputation(signer, "from", now):
            return True
        called = columns.cells("transactions")["to_address"][signed.tx]
        return called == signed.taker and has_reputation(signer, "to", now)

    # --- the taker

    def _taken(self, columns: Columns, signed: Signed, rows: list[int]) -> Finding | None:
        block = int(columns.flow_row[rows[0]])
        now, serial = int(columns.block_times[block]), columns.first_serial + block
        known = self._takers.get(signed.taker)
        if known is None or now - known[0] > self._config.window_seconds:
            known = _Taker(now).row()  # a new window starts
        taker = self._with(_Taker(*known), columns, signed, rows, now)
        self._takers.put(serial, signed.taker, taker.row())
        if taker.is_relayer(self._config):
            return None
        worst = max(rows, key=lambda row: (_is_large(columns, row), -row))
        left = self._left(columns, worst)
        if left is not None and left > self._config.left:
            return None
        nonce = int(columns.tx_nonce[signed.tx])
        fresh = 0 <= nonce < self._config.fresh_nonce
        judged = self._judge(
            taker,
            signed.way,
            large=_is_large(columns, worst),
            emptied=left is not None,
            fresh=fresh,
        )
        return (
            None if judged is None else self._finding(columns, signed, worst, taker, left, judged)
        )

    def _with(
        self, taker: _Taker, columns: Columns, signed: Signed, rows: list[int], now: int
    ) -> _Taker:
        owners, receivers, returned = taker.owners, dict(taker.receivers), taker.returned
        met = dict(owners).get(signed.owner)
        if met is not None:
            returned += now - met > self._config.return_seconds
        elif len(owners) < OWNERS_KEPT:
            owners = (*owners, (signed.owner, now))
            targets = columns.cells("flows")["to_address"]
            for receiver in dict.fromkeys(targets[row] for row in rows):
                if receiver in receivers or len(receivers) < RECEIVERS_KEPT:
                    receivers[receiver] = receivers.get(receiver, 0) + 1
        return _Taker(
            taker.since,
            owners,
            tuple(receivers.items()),
            min(returned, OWNERS_KEPT),
            taker.permit2 or signed.way != Way.AUTHORIZED,
            taker.large or any(_is_large(columns, row) for row in rows),
            min(taker.taken + sum(_share(columns, row) for row in rows), MOST_TAKEN),
        )

    def _left(self, columns: Columns, row: int) -> float | None:
        # What the owner still has, as a share of what was taken; None: unknown.
        flows = columns.cells("flows")
        token = flows["token_address"][row]
        at = columns.batch.position(int(columns.flow_row[row]))
        balance = self._node.token_balance_at(token, flows["from_address"][row], at)
        return None if balance is None else balance / max(1, columns.amount(row))

    def _judge(
        self, taker: _Taker, way: Way, *, large: bool, emptied: bool, fresh: bool
    ) -> tuple[Severity, float] | None:
        config, owners = self._config, len(taker.owners)
        if owners >= config.owners_high:
            if not taker.permit2:
                if emptied:
                    return Severity.HIGH, 0.8
                much = taker.taken >= config.loot * owners * MILLION
                return (Severity.MEDIUM, 0.6) if much else None
            worst = owners >= config.owners_critical or taker.large
            return (Severity.CRITICAL, 0.95) if worst and fresh else (Severity.HIGH, 0.8)
        if way == Way.DIRECT:
            return (Severity.HIGH, 0.75) if large else (Severity.MEDIUM, 0.6)
        if large:
            return (Severity.MEDIUM, 0.6)
        return (Severity.LOW, 0.4) if way == Way.RELAYED or emptied else None

    def _finding(
        self,
        columns: Columns,
        signed: Signed,
        row: int,
        taker: _Taker,
        left: float | None,
        judged: tuple[Severity, float],
    ) -> Finding:
        flows, config = columns.cells("flows"), self._config
        severity, score = judged
        receiver, token = flows["to_address"][row], flows["token_address"][row]
        amount, owners = columns.amount(row), len(taker.owners)
        reasons = [
            Reason("owners", float(owners), score / 2, float(config.owners_high)),
            Reason("through_permit2", float(signed.way != Way.AUTHORIZED), score / 4, 1.0),
            Reason("main_receiver_share", taker.main_share(), score / 4, config.main_share),
        ]
        if left is not None:
            reasons[2] = Reason("left_to_owner", left, score / 4, config.left)
        emptied = ", which emptied it" if left is not None else ""
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="ice_phishing",
            severity=severity,
            score=score,
            subject=signed.taker,
            sentence=(
                f"{hex_of(signed.taker)} moved {amount_text(token, amount)} from "
                f"{hex_of(signed.owner)} to {hex_of(receiver)} with {_HOW[signed.way]}{emptied}; "
                f"{owners} owner{'s' if owners != 1 else ''} so far, nothing came back."
            ),
            reasons=tuple(reasons),
            addresses=(signed.owner, receiver),
            amounts=((token, amount),),
        )


def _is_large(columns: Columns, row: int) -> bool:
    return is_large(columns.cells("flows")["token_address"][row], columns.amount(row))


def _share(columns: Columns, row: int) -> int:
    token = columns.cells("flows")["token_address"][row]
    known = VALUE_TOKENS.get(token)
    if known is None:
        return 0
    large: int = LARGE[token] * 10**known.decimals
    return min(columns.amount(row) * MILLION // large, MOST_TAKEN)


def _is_loot(token: bytes, amount: int, least: float) -> bool:
    known = VALUE_TOKENS.get(token)
    return known is not None and amount >= LARGE[token] * 10**known.decimals * least
