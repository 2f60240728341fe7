"""Approval phishing: victims sign an allowance, later (or at once) somebody spends it.

Signals and thresholds follow Nethermind's Forta bot: a 30 day window, more than three ERC-20
approvals or any ApprovalForAll to one suspicious spender, more than two transfers of approved
funds. A permit, signed off-chain and cashed in by somebody else, needs no history to look bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import (
    ADDRESS,
    ZERO_ADDRESS,
    ApprovalKind,
    Evidence,
    FlowKind,
    Reason,
    Role,
    Severity,
    column,
    hex_of,
)
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.known.calls import PERMITS
from detect.known.services import SERVICE_ADDRESSES
from detect.known.tokens import is_large
from detect.labels import LabelBook
from detect.rules.arrow_arrays import address_set, bytes_of, fixed_bytes
from detect.rules.columns import ColumnCache, Columns, within_transaction
from detect.rules.rule import Finding, about_flow
from detect.rules.settlement import kinship, related, settled, signer_facts
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

PERMIT_CALLS: Final = tuple(selector.to_bytes(4, "big") for selector in PERMITS)
SEARCHED_CALLDATA: Final = 128 * 1024  # how far a permit is looked for inside a multicall
OWNERS_KEPT: Final = 32
UNLIMITED: Final = 2.0**255
_HARMLESS: Final = pa.array(sorted({ZERO_ADDRESS, *SERVICE_ADDRESSES}), ADDRESS)


@dataclass(frozen=True, slots=True)
class IcePhishingConfig:
    """Thresholds, and how much is remembered.

    ``approvals``: more ERC-20 approvals by distinct owners than that to a wallet are medium.
    ``drains``: more drained owners than that are high, ``drains_critical`` or more by a fresh
    wallet or by permit critical. A spender is trusted from ``trusted_*`` on.
    """

    window_seconds: int = 30 * 86_400
    approvals: int = 3
    drains: int = 2
    drains_critical: int = 10
    fresh_nonce: int = 100
    trusted_nonce: int = 500
    trusted_nonce_seconds: int = 90 * 86_400
    trusted_contract_seconds: int = 30 * 86_400
    trusted_events: int = 5_000
    spenders: int = 16_384
    pending: int = 131_072


@dataclass(frozen=True, slots=True)
class _Spender:
    # What is known about who was approved; times are block times.
    since: int
    nonce: int
    is_contract: bool
    approvals: tuple[bytes, ...] = ()  # owners of ERC-20 approvals
    for_all: tuple[bytes, ...] = ()  # owners of ApprovalForAll
    drained: tuple[bytes, ...] = ()
    permits: int = 0  # drains by permit
    large: bool = False  # one drain was of a large amount

    def row(self) -> tuple[Any, ...]:
        return (
            self.since,
            self.nonce,
            self.is_contract,
            self.approvals,
            self.for_all,
            self.drained,
            self.permits,
            self.large,
        )


class IcePhishing(Journaled):
    """Finds suspicious spenders being approved, and allowances being cashed in against the owner.

    A drain is a transfer away from an owner who did not sign the transaction, by a spender it had
    approved in the window, to somebody else, for which the transaction does not pay the owner (see
    ``settlement.settled``). Suppressed: services and routers, spenders with a reputation, owners
    and receivers that are contracts, spenders and receivers with the owner's first funder,
    allowances that a token merely reports.
    """

    id = "ice_phishing"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: IcePhishingConfig | None = None
    ) -> None:
        self._config = config or IcePhishingConfig()
        self._spenders = JournaledTable(self._config.spenders)
        # token + owner + spender -> (block time, by permit, unlimited)
        self._pending = JournaledTable(self._config.pending)
        super().__init__({"spenders": self._spenders, "pending": self._pending})
        self._labels = labels
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        flows, grants = self._candidate_flows(columns), self._candidate_approvals(columns)
        if not len(grants) and not len(flows):
            return ()
        steps: list[tuple[tuple[int, ...], bool, int]] = []
        approvals = columns.batch.approvals
        if len(grants):
            blocks = columns.block_row(column(approvals, "block_number")[grants]).tolist()
            indexes = column(approvals, "transaction_index")[grants].tolist()
            ordinals = column(approvals, "ordinal")[grants].tolist()
            places = zip(grants.tolist(), blocks, indexes, ordinals, strict=True)
            for row, block, index, ordinal in places:
                steps.append(((block, index, *within_transaction(ordinal)), False, row))
        for row in flows.tolist():
            place = within_transaction(int(columns.flow_ordinal[row]))
            block, index = int(columns.flow_row[row]), int(columns.flow_tx_index[row])
            steps.append(((block, index, *place), True, row))
        findings = []
        for _, is_flow, row in sorted(steps):
            finding = self._moved(columns, row) if is_flow else self._approved(columns, row)
            if finding is not None:
                findings.append(finding)
        return findings

    def _candidate_approvals(self, columns: Columns) -> Array:
        # Grants to spenders without a reputation by owners without code, and all revocations.
        approvals, facts = columns.batch.approvals, columns.scored.approval_facts
        if not approvals.num_rows:
            return np.empty(0, np.int64)
        config = self._config
        age = np.maximum(0, column(approvals, "block_timestamp") - facts["spender_first_seen"])
        trusted = np.where(
            facts["spender_is_contract"],
            age >= config.trusted_contract_seconds,
            (facts["spender_nonce"] >= config.trusted_nonce)
            & (age >= config.trusted_nonce_seconds),
        )
        trusted |= facts["spender_events"] >= config.trusted_events
        harmless = columns.members("approvals", "spender", _HARMLESS)
        granted = approvals["approved"].to_numpy()
        rows: Array = np.flatnonzero(~granted | ~(trusted | harmless | facts["owner_is_contract"]))
        return rows

    def _candidate_flows(self, columns: Columns) -> Array:
        # Token flows whose signer is not the one who pays, in transactions from or to a spender
        # that is remembered or approved in this batch.
        none = np.empty(0, np.int64)
        if not columns.flow_count or not len(columns.tx_block):
            return none
        kind = columns.flow_kind
        token = columns.flow_token
        items = (kind == FlowKind.ERC721) | (kind == FlowKind.ERC1155)
        if items.any():
            token = token | (items & columns.flow_moved & (columns.flow_tx >= 0))
        rows = np.flatnonzero(token & ~columns.flow_signed)
        spenders = set(self._spenders.keys())
        spenders.update(bytes_of(fixed_bytes(columns.batch.approvals["spender"], 20)))
        if not len(rows) or not spenders:
            return none
        wanted = address_set(spenders)
        theirs = columns.members("transactions", "from_address", wanted)
        theirs = theirs | columns.members("transactions", "to_address", wanted)
        return self._allowed(columns, rows[theirs[columns.flow_tx[rows]]])

    def _allowed(self, columns: Columns, rows: Array) -> Array:
        # Of these flows those for which there is an allowance that is remembered or of this batch.
        batch, tx = columns.batch, columns.flow_tx[rows]
        granted = [batch.approvals[name] for name in ("token_address", "owner", "spender")]
        told = set(_joined(*(fixed_bytes(values, 20) for values in granted)))
        mine = [fixed_bytes(batch.flows[n], 20)[rows] for n in ("token_address", "from_address")]
        allowed, pending = np.zeros(len(rows), np.bool_), self._pending.keys()
        for name in ("from_address", "to_address"):
            keys = _joined(*mine, fixed_bytes(batch.transactions[name], 20)[tx])
            allowed |= np.fromiter((k in told or k in pending for k in keys), np.bool_)
        kept: Array = rows[allowed]
        return kept

    # --- approvals

    def _approved(self, columns: Columns, row: int) -> Finding | None:
        approvals = columns.cells("approvals")
        owner, spender = approvals["owner"][row], approvals["spender"][row]
        token, time = (
            approvals["token_address"][row],
            approvals["block_timestamp"][row],
        )
        key = token + owner + spender
        serial = columns.first_serial + columns.row_of_block(approvals["block_number"][row])
        if not approvals["approved"][row]:
            self._pending.remove(serial, key)
            return None
        facts = columns.scored.approval_facts[row]
        if spender == owner or self._labels.is_service(spender, time, columns.batch.chain.name):
            return None
        kind = approvals["kind"][row]
        number = approvals["block_number"][row]
        index = approvals["transaction_index"][row]
        by_permit = False
        tx = columns.tx_row(number, index)
        if tx < 0 or columns.cells("transactions")["from_address"][tx] != owner:
            by_permit = kind == ApprovalKind.PERMIT2_PERMIT or _holds_permit(columns, tx)
            if not by_permit:
                return None  # a token that reports what is left of an allowance
        amount = approvals["value_f64"][row]
        unlimited = kind == ApprovalKind.FOR_ALL or (amount is not None and amount >= UNLIMITED)
        self._pending.put(serial, key, (time, by_permit, unlimited))
        before = self._spender(spender, time)
        if before is None:
            before = _Spender(time, int(facts["spender_nonce"]), bool(facts["spender_is_contract"]))
        erc20 = before.approvals if kind == ApprovalKind.FOR_ALL else _with(before.approvals, owner)
        for_all = _with(before.for_all, owner) if kind == ApprovalKind.FOR_ALL else before.for_all
        after = _Spender(
            before.since,
            max(before.nonce, int(facts["spender_nonce"])),
            before.is_contract or bool(facts["spender_is_contract"]),
            erc20,
            for_all,
            before.drained,
            before.permits,
            before.large,
        )
        self._spenders.put(serial, spender, after.row())
        # That a spender is a wallet is known only once it has signed something itself; contracts
        # and strangers are judged by what they do with an allowance.
        if after.is_contract or not 0 <= after.nonce < self._config.fresh_nonce:
            return None
        grew = (len(erc20), len(for_all)) != (len(before.approvals), len(before.for_all))
        if not grew or not (len(erc20) > self._config.approvals or for_all):
            return None
        many = len(erc20) > self._config.approvals or len(for_all) > self._config.drains
        tx_hash = approvals["transaction_hash"][row]
        score = 0.6 if many else 0.4
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="ice_phishing",
            severity=Severity.MEDIUM if many else Severity.LOW,
            score=score,
            subject=spender,
            role=Role.ATTACKER,
            block_row=serial - columns.first_serial,
            transaction_index=index,
            transaction_hash=tx_hash,
            ordinal=approvals["ordinal"][row],
            sentence=(
                f"{len(erc20)} wallets approved tokens and {len(for_all)} whole collections to "
                f"{hex_of(spender)}, a wallet with {after.nonce + 1} transactions behind it."
            ),
            reasons=(
                Reason("approvals", float(len(erc20)), score / 2, float(self._config.approvals)),
                Reason("approvals_for_all", float(len(for_all)), score / 2, 1.0),
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,), addresses=(owner, token)
            ),
        )

    def _spender(self, address: bytes, time: int) -> _Spender | None:
        row = self._spenders.get(address)
        if row is None or time - row[0] > self._config.window_seconds:
            return None  # a new window starts
        return _Spender(*row)

    # --- transfers

    def _moved(self, columns: Columns, row: int) -> Finding | None:
        flows, transactions = columns.cells("flows"), columns.cells("transactions")
        owner, receiver = flows["from_address"][row], flows["to_address"][row]
        token, time = flows["token_address"][row], flows["block_timestamp"][row]
        tx = int(columns.flow_tx[row])
        pending = None
        for name in ("from_address", "to_address"):
            spender = transactions[name][tx]
            if spender is not None:
                pending = self._pending.get(token + owner + spender)
                if pending is not None:
                    break
        if pending is None or max(0, time - pending[0]) > self._config.window_seconds:
            return None
        facts, chain = columns.scored.flow_facts[row], columns.batch.chain.name
        if (
            receiver in (owner, ZERO_ADDRESS)
            or facts["from_is_contract"]
            or (facts["to_is_contract"] and receiver != spender)
            or self._labels.is_service(receiver, time, chain)
        ):
            return None
        amount = columns.amount(row)
        if settled(columns, tx, owner, token, amount) or _is_own(columns, row, tx, name):
            return None
        before = self._spender(spender, time) or _Spender(time, -1, False)
        large = is_large(token, amount)
        by_permit = bool(pending[1])
        after = _Spender(
            before.since,
            before.nonce,
            before.is_contract,
            before.approvals,
            before.for_all,
            _with(before.drained, owner),
            before.permits + by_permit,
            before.large or large,
        )
        serial = columns.first_serial + int(columns.flow_row[row])
        self._spenders.put(serial, spender, after.row())
        judged = self._judge(after)
        if judged is None:
            return None
        severity, score = judged
        how = "a permit signed off-chain" if by_permit else "an approval"
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="ice_phishing",
            severity=severity,
            score=score,
            subject=spender,
            sentence=(
                f"{hex_of(spender)} took {amount_text(token, amount)} from {hex_of(owner)} to "
                f"{hex_of(receiver)} with {how}; {len(after.drained)} owner"
                f"{'s' if len(after.drained) > 1 else ''} drained so far, nothing came back."
            ),
            reasons=(
                Reason(
                    "drained_owners",
                    float(len(after.drained)),
                    score / 2,
                    float(self._config.drains),
                ),
                Reason("permits", float(after.permits), score / 4, 1.0),
                Reason("unlimited_allowance", float(pending[2]), score / 4, 1.0),
            ),
            addresses=(owner, receiver),
            amounts=((token, amount),),
        )

    def _judge(self, spender: _Spender) -> tuple[Severity, float] | None:
        config, drained = self._config, len(spender.drained)
        fresh = not spender.is_contract and 0 <= spender.nonce < config.fresh_nonce
        if drained > config.drains:
            if (drained >= config.drains_critical or spender.large) and (fresh or spender.permits):
                return Severity.CRITICAL, 0.95
            return Severity.HIGH, 0.8
        if spender.permits:
            return (Severity.HIGH, 0.75) if spender.large else (Severity.MEDIUM, 0.6)
        return None


def _joined(*parts: Array) -> list[bytes]:
    # Arrays of 20 bytes a row, end to end row by row.
    return bytes_of(np.concatenate(parts, axis=1))


def _with(owners: tuple[bytes, ...], owner: bytes) -> tuple[bytes, ...]:
    if owner in owners or len(owners) >= OWNERS_KEPT:
        return owners
    return (*owners, owner)


def _holds_permit(columns: Columns, tx: int) -> bool:
    # Called directly or within a multicall: the selector stands somewhere in the calldata.
    data = columns.cells("transactions")["input"][tx] if tx >= 0 else None
    head = (data or b"")[:SEARCHED_CALLDATA]
    return any(call in head for call in PERMIT_CALLS)


def _is_own(columns: Columns, row: int, tx: int, spender: str) -> bool:
    # Whether the spender ("from_address" or "to_address" of the transaction) or the receiver is of
    # the owner's cluster: custodians sweep deposits that they funded themselves.
    facts, signer = columns.scored.flow_facts[row], signer_facts(columns, tx)
    owner = kinship(facts, "from")
    if related(owner, kinship(facts, "to")):
        return True
    return signer is not None and related(owner, kinship(signer, spender.removesuffix("_address")))
