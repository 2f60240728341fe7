"""Value that goes to, or comes from, a wallet under sanction at that block's time.

Exact: a set lookup on both sides of every flow that moved value. Who is reported depends on who
acted. Paying a sanctioned wallet is the payer's act. Being paid by one is not the receiver's, yet
its compliance desk must know; dust is how good wallets are framed, so it is held against the
sender alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import ZERO_ADDRESS, Reason, Role, Severity, hex_of
from detect.journal import Journaled
from detect.known.tokens import VALUE_TOKENS
from detect.labels import SANCTIONED, LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

_DUST = np.array([token.dust for token in VALUE_TOKENS.values()])


@dataclass(frozen=True, slots=True)
class SanctionsConfig:
    """``dust_ether``: what a native flow must exceed to count; tokens have their own measure."""

    dust_ether: float = 0.0005


class SanctionsTouch(Journaled):
    """Finds direct dealings with sanctioned wallets. Keeps no state but the label book's.

    ===================================  ==============  ========  =========
    what happened                        subject         role      severity
    ===================================  ==============  ========  =========
    a wallet pays a sanctioned one       the payer       attacker  critical
    a sanctioned wallet pays another     the receiver    unknown   critical
    … with dust                          the sanctioned  attacker  low
    dust is paid to a sanctioned one     the payer       attacker  medium
    an unlisted token, by own signature  the signer      attacker  low
    ===================================  ==============  ========  =========

    A known service is a ``service``. Anyone can log a transfer of a token of their own making, so
    tokens without known value count only where the sender signed the transaction, and not much.
    """

    id = "sanctions_touch"
    version = 1

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: SanctionsConfig | None = None,
    ) -> None:
        super().__init__()
        self._labels = labels
        self._cache = cache
        self._config = config or SanctionsConfig()

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not columns.flow_count:
            return ()
        times = columns.block_times
        listed = self._labels.addresses_with(
            [SANCTIONED], int(times.min()), int(times.max()), columns.batch.chain.name
        )
        if not len(listed):
            return ()
        hit = columns.members("flows", "from_address", listed)
        hit |= columns.members("flows", "to_address", listed)
        findings = []
        for row in np.flatnonzero(hit & columns.flow_moved).tolist():
            finding = self._look_at(columns, row)
            if finding is not None:
                findings.append(finding)
        return findings

    def _look_at(self, columns: Columns, row: int) -> Finding | None:
        flows, chain = columns.cells("flows"), columns.batch.chain.name
        time = flows["block_timestamp"][row]
        sender, receiver = flows["from_address"][row], flows["to_address"][row]
        if sender in (receiver, ZERO_ADDRESS):
            return None  # a mint or a withdrawal from the beacon chain has no payer
        from_listed = self._listed(sender, time, chain)
        to_listed = self._listed(receiver, time, chain)
        if not (from_listed or to_listed):
            return None
        coin = int(columns.flow_coin[row])
        if coin < 0 and not self._signed_by(columns, row, sender):
            return None
        dust = coin >= 0 and float(columns.flow_units[row]) <= (
            self._config.dust_ether if coin == 0 else float(_DUST[coin - 1])
        )
        # A sanctioned wallet that pays another sanctioned wallet acts itself.
        paid_by_listed = from_listed and not to_listed
        if coin < 0:
            subject, severity, score = sender, Severity.LOW, 0.3
        elif paid_by_listed:
            subject = sender if dust else receiver
            severity, score = (Severity.LOW, 0.3) if dust else (Severity.CRITICAL, 1.0)
        else:
            subject = sender
            severity, score = (Severity.MEDIUM, 0.6) if dust else (Severity.CRITICAL, 1.0)
        role = Role.UNKNOWN if subject == receiver else Role.ATTACKER
        if not self._listed(subject, time, chain) and self._labels.is_service(subject, time, chain):
            role = Role.SERVICE
        amount = columns.amount(row)
        token = flows["token_address"][row]
        listed = receiver if to_listed else sender
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="sanctions",
            severity=severity,
            score=score,
            subject=subject,
            role=role,
            sentence=(
                f"{hex_of(sender)} sent {amount_text(token, amount)} to {hex_of(receiver)}; "
                f"{hex_of(listed)} is under sanction ({self._source(listed, time, chain)})."
            ),
            reasons=(Reason("listed_parties", float(from_listed + to_listed), score, 1.0),),
            addresses=tuple(a for a in (sender, receiver) if a != subject),
            amounts=((token, amount),),
        )

    def _listed(self, address: bytes, time: int, chain: str) -> bool:
        return any(
            label.label == SANCTIONED for label in self._labels.labels_at(address, time, chain)
        )

    def _source(self, address: bytes, time: int, chain: str) -> str:
        held = self._labels.labels_at(address, time, chain)
        return ", ".join(sorted({label.source for label in held if label.label == SANCTIONED}))

    def _signed_by(self, columns: Columns, row: int, sender: bytes) -> bool:
        tx = int(columns.flow_tx[row])
        return tx >= 0 and columns.cells("transactions")["from_address"][tx] == sender
