"""Address poisoning: a stranger plants a lookalike of a peer in a wallet's history, and waits.

The lures are transfers of nothing (anyone may call ``transferFrom`` for 0), of dust, or of a token
that only looks like money. They are cheap and come by the hundred thousand a day, so they are
info, and digest material. The payoff, when the victim copies the wrong address and pays it, is the
alert. Figures: 270 million lures, 6,633 payoffs in two years (arXiv 2501.16681).

What the blocks do not hold is a token's symbol: a fake token is any token that is not listed, not
one whose symbol is a homoglyph of a listed one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import FlowKind, Reason, Role, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.labels import LabelBook
from detect.rules.columns import AFTER_ALL_TRANSACTIONS, ColumnCache, Columns
from detect.rules.peers import (
    HIT_PAID,
    LURE_EITHER,
    LURE_IN,
    LURE_OUT,
    PAID_AFTER_LURE,
    PAID_LOOKALIKE,
    REAL,
    PeerRings,
    is_close,
    is_likeness,
    likeness,
)
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

_DUST: Final = np.array([NATIVE.dust, *(token.dust for token in VALUE_TOKENS.values()), np.inf])
"""Whole units a transfer must exceed to be a real one, by ``Columns.flow_coin``."""


@dataclass(frozen=True, slots=True)
class PoisoningConfig:
    """How much is remembered: wallets with a ring of peers (400 bytes each), lures laid, operators.

    ``secret`` keys the hash of the ring table; give it a random pair where attackers matter.
    ``digest_from``: from so many lures an operator is low. ``told_per_transaction``: lures of one
    transaction told one by one, the rest only count. ``fresh_events``: a stranger with more flows
    behind it needs more than 2 + 3 digits in common, which chance gives as well.
    """

    wallets: int = 524_288
    lures: int = 131_072
    operators: int = 16_384
    digest_from: int = 10
    told_per_transaction: int = 32
    fresh_events: int = 4
    secret: tuple[int, int] = (0x0706050403020100, 0x0F0E0D0C0B0A0908)


class AddressPoisoning(Journaled):
    """Finds lures (``address_poisoning``) and payoffs (``poisoning_payoff``).

    A lure counts when its stranger is a lookalike of one of the last 16 wallets the victim really
    paid. Each is info about the lookalike, but for the rest of a long transaction; at its 10th,
    100th, … an operator (whoever signed) is low. A payoff is critical, high where the likeness is
    only 2 + 3 digits or where a lure is known of and no longer which. A real payment to a close
    lookalike that is in the sender's history, without any lure being remembered, is medium.
    """

    id = "address_poisoning"
    version = 2
    payoff_id = "poisoning_payoff"

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: PoisoningConfig | None = None
    ) -> None:
        self._config = config or PoisoningConfig()
        self._rings = PeerRings(self._config.wallets, self._config.secret)
        # victim + lookalike -> (imitated, block time, transaction or b"", operator)
        self._lures = JournaledTable(self._config.lures)
        # operator -> (lures, first block time)
        self._operators = JournaledTable(self._config.operators)
        super().__init__({"rings": self._rings, "lures": self._lures, "operators": self._operators})
        self._labels = labels
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not columns.flow_count:
            return ()
        serials = columns.flow_row + columns.first_serial
        hits, imitated = self._rings.scan(
            columns.flow_from, columns.flow_to, flow_actions(columns), serials
        )
        findings: list[Finding] = []
        told: dict[int, int] = {}  # lures told, by transaction row
        for (row, what, side), peer in zip(hits.tolist(), imitated, strict=True):
            if what == HIT_PAID:
                finding = self._paid(columns, row, peer if side & PAID_LOOKALIKE else None, side)
                if finding is not None:
                    findings.append(finding)
            else:
                findings += self._lure(columns, row, bool(side), peer, told)
        return findings

    def _lure(
        self, columns: Columns, row: int, to_victim: bool, peer: Array, told: dict[int, int]
    ) -> Iterator[Finding]:
        flows, chain = columns.cells("flows"), columns.batch.chain.name
        sender, receiver = flows["from_address"][row], flows["to_address"][row]
        victim, suspect = (receiver, sender) if to_victim else (sender, receiver)
        tx = int(columns.flow_tx[row])
        original = _address(peer)
        if tx < 0 or not self._is_stranger(columns, row, to_victim, original, suspect):
            return
        time = flows["block_timestamp"][row]
        operator = columns.cells("transactions")["from_address"][tx]
        if any(self._labels.is_service(a, time, chain) for a in (suspect, operator)):
            return
        serial = columns.first_serial + int(columns.flow_row[row])
        tx_hash = flows["transaction_hash"][row]
        self._lures.put(serial, victim + suspect, (original, time, tx_hash or b"", operator))
        count, first = self._operators.get(operator) or (0, time)
        count += 1
        self._operators.put(serial, operator, (count, first))
        who = (suspect, victim, original)
        busy = count >= self._config.digest_from and _is_power_of_ten(count)
        if busy:
            yield self._operator_finding(columns, row, operator, count, who)
        if told.get(tx, 0) < self._config.told_per_transaction and not (
            busy and operator == suspect
        ):
            told[tx] = told.get(tx, 0) + 1
            yield self._lure_finding(columns, row, operator, who)

    def _is_stranger(
        self, columns: Columns, row: int, to_victim: bool, original: bytes, suspect: bytes
    ) -> bool:
        facts = columns.scored.flow_facts[row]
        victim_side, side = ("to", "from") if to_victim else ("from", "to")
        if facts[f"{victim_side}_is_contract"]:
            return False  # contracts do not copy addresses from a history
        # One owner's wallets: whoever first paid the other set it up.
        mine, other = facts[f"{victim_side}_hash"], facts[f"{side}_hash"]
        if (mine and facts[f"{side}_funder"] == mine) or (
            other and facts[f"{victim_side}_funder"] == other
        ):
            return False
        if is_close(*_likeness(original, suspect)):
            return True
        # 2 + 3 digits agree once in a million times: then it must be a wallet out of nowhere.
        return bool(facts[f"{side}_events"] <= self._config.fresh_events)

    def _lure_finding(
        self, columns: Columns, row: int, operator: bytes, who: tuple[bytes, bytes, bytes]
    ) -> Finding:
        suspect, victim, original = who
        lead, trail, _ = _likeness(original, suspect)
        return self._finding(
            columns,
            row,
            severity=Severity.INFO,
            score=0.3,
            subject=suspect,
            sentence=(
                f"{hex_of(suspect)} imitates {hex_of(original)} in {lead} leading and {trail} "
                f"trailing digits and was put into the history of {hex_of(victim)}, which pays it."
            ),
            reason=("digits_in_common", float(lead + trail), 7.0),
            addresses=(victim, original, operator),
        )

    def _operator_finding(
        self,
        columns: Columns,
        row: int,
        operator: bytes,
        count: int,
        who: tuple[bytes, bytes, bytes],
    ) -> Finding:
        suspect, victim, original = who
        return self._finding(
            columns,
            row,
            severity=Severity.LOW,
            score=0.5,
            subject=operator,
            sentence=(
                f"{hex_of(operator)} has planted {count} lookalike addresses; the latest, "
                f"{hex_of(suspect)}, imitates {hex_of(original)} in the history of "
                f"{hex_of(victim)}."
            ),
            reason=("lures", float(count), float(self._config.digest_from)),
            addresses=(victim, original, suspect),
        )

    def _finding(
        self,
        columns: Columns,
        row: int,
        *,
        severity: Severity,
        score: float,
        subject: bytes,
        sentence: str,
        reason: tuple[str, float, float],
        addresses: tuple[bytes, ...],
    ) -> Finding:
        flows = columns.cells("flows")
        amount = columns.amount(row)
        name, value, threshold = reason
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="address_poisoning",
            severity=severity,
            score=score,
            subject=subject,
            sentence=sentence,
            reasons=(Reason(name, value, score, threshold),),
            addresses=addresses,
            amounts=((flows["token_address"][row], amount),),
        )

    def _paid(self, columns: Columns, row: int, peer: Array | None, side: int) -> Finding | None:
        flows, chain = columns.cells("flows"), columns.batch.chain.name
        victim, suspect = flows["from_address"][row], flows["to_address"][row]
        time = flows["block_timestamp"][row]
        lure = self._lures.get(victim + suspect)
        tx_hash = flows["transaction_hash"][row]
        transactions: tuple[bytes, ...] = () if tx_hash is None else (tx_hash,)
        evidence: tuple[bytes, ...]
        if lure is not None:
            original, laid, laid_in, operator = lure
            lead, trail, solid = _likeness(original, suspect)
            sure = is_close(lead, trail, solid)
            severity, score = (Severity.CRITICAL, 1.0) if sure else (Severity.HIGH, 0.85)
            transactions += (laid_in,) if laid_in else ()
            evidence = (suspect, original, operator)
            after = f", planted {max(0, time - laid)} s before by {hex_of(operator)}"
        else:
            if peer is None:
                return None
            original = _address(peer)
            lead, trail, solid = _likeness(original, suspect)
            family = is_likeness(*_likeness(victim, suspect))
            lured = bool(side & PAID_AFTER_LURE)
            if family or not is_close(lead, trail, solid):
                return None
            if not lured and (lead < 4 or trail < 4):
                return None
            # Who was never in the sender's history cannot have been copied from there: that is
            # an owner who funds one more wallet of a mined series.
            if not columns.scored.flow_facts[row]["pair_events"]:
                return None
            if self._labels.is_service(suspect, time, chain):
                return None
            severity, score = (Severity.HIGH, 0.75) if lured else (Severity.MEDIUM, 0.6)
            evidence = (suspect, original)
            after = ""
        token = flows["token_address"][row]
        amount = columns.amount(row)
        return about_flow(
            columns,
            row,
            rule=self.payoff_id,
            rule_version=self.version,
            typology="address_poisoning",
            severity=severity,
            score=score,
            subject=victim,
            role=Role.VICTIM,
            sentence=(
                f"{hex_of(victim)} sent {amount_text(token, amount)} to {hex_of(suspect)}, which "
                f"imitates its peer {hex_of(original)} in {lead} leading and {trail} trailing "
                f"digits{after}."
            ),
            reasons=(Reason("digits_in_common", float(lead + trail), score, 7.0),),
            addresses=evidence,
            amounts=((token, amount),),
            transactions=transactions,
        )


def flow_actions(columns: Columns) -> Array:
    """What each flow is to the ring table (``detect.rules.peers``), int8."""
    coin, kind = columns.flow_coin, columns.flow_kind
    units = columns.flow_units
    actions = np.zeros(columns.flow_count, np.int8)
    valued = columns.flow_worth
    small = units <= _DUST[coin]
    actions[valued & ~small] = REAL
    actions[valued & small] = LURE_IN
    rows = np.flatnonzero(
        columns.flow_stands & (kind == FlowKind.ERC20) & ((coin < 0) | (columns.flow_value == 0))
    )
    if len(rows):
        listed = coin[rows] >= 0
        actions[rows] = np.where(listed, LURE_OUT, LURE_EITHER)
        _drop_own_doing(columns, actions, rows)
    itself = (columns.flow_from == columns.flow_to).all(axis=1)
    nobody = columns.flow_minted | columns.flow_burnt
    actions[nobody | itself | (columns.flow_tx_index == AFTER_ALL_TRANSACTIONS)] = 0
    return actions


def _drop_own_doing(columns: Columns, actions: Array, rows: Array) -> None:
    # Nobody lures himself: what the victim signed is his own doing.
    tx = columns.flow_tx[rows]
    if not len(columns.tx_from):
        actions[rows] = 0
        return
    signers = columns.tx_from[tx]
    sent_it = columns.flow_signed[rows] | (tx < 0)
    got_it = (signers == columns.flow_to[rows]).all(axis=1) | (tx < 0)
    either = actions[rows] == LURE_EITHER
    actions[rows[sent_it & ~either]] = 0
    actions[rows[either & sent_it]] = LURE_IN
    actions[rows[either & got_it]] = LURE_OUT
    actions[rows[either & sent_it & got_it]] = 0


def _address(words: Array) -> bytes:
    return words.astype(">u4").tobytes()


def _likeness(a: bytes, b: bytes) -> tuple[int, int, int]:
    first, second = (np.frombuffer(x, ">u4").astype(np.uint32) for x in (a, b))
    return likeness(first, second)


def _is_power_of_ten(count: int) -> bool:
    while count % 10 == 0:
        count //= 10
    return count == 1
