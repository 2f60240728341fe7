"""Ether sent along with a call of nothing but ``claim()``, ``SecurityUpdate()`` and their like.

Fake claim pages make their victims sign such calls: the name is bait, the value is the loot, and
nothing comes back. PTXPhish counts them among the commonest subtypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import Evidence, FlowKind, Reason, Role, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.known.calls import NATIVE_CLAIMS
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

TARGETS_VICTIMS = 16  # how many victims of a target are told apart


@dataclass(frozen=True, slots=True)
class NativeClaimConfig:
    """``fresh_seconds``: a contract known for longer is left alone. ``min_ether``: less is no loot.

    ``victims_high``: from so many distinct victims a contract is medium. ``trusted_events``:
    a target with so many flows behind it has a reputation. ``capacity``: targets remembered.
    """

    fresh_seconds: int = 30 * 86_400
    min_ether: float = 0.0005
    victims_high: int = 3
    trusted_events: int = 5_000
    capacity: int = 16_384


class NativeClaim(Journaled):
    """Finds payments into claim bait: high where the target has no code or logs nothing.

    Else, or without receipts, low at first and medium from the third victim on. Left alone:
    services, targets in view for 30 days or with thousands of flows, and calls that gave the
    sender anything back (a real mint). That the target has no code is certain where the call used
    exactly its intrinsic gas, or where a node says so.
    """

    id = "native_claim"
    version = 1
    confirms = "knowing whether a claim's target has code, unless its gas tells"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: NativeClaimConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or NativeClaimConfig()
        # target -> (payments, ether in all, victims seen first)
        self._targets = JournaledTable(self._config.capacity)
        super().__init__({"targets": self._targets})
        self._labels = labels
        self._cache = cache
        self._node = node

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not len(columns.tx_block):
            return ()
        rows = columns.native_claims
        keep = (
            (columns.input_lengths[rows] == 4)
            & (columns.tx_value[rows] >= self._config.min_ether * 1e18)
            & (columns.tx_status[rows] != 0)
        )
        findings = []
        for row in rows[keep].tolist():
            finding = self._look_at(columns, row)
            if finding is not None:
                findings.append(finding)
        return findings

    def _look_at(self, columns: Columns, row: int) -> Finding | None:
        transactions, config = columns.cells("transactions"), self._config
        target = transactions["to_address"][row]
        victim = transactions["from_address"][row]
        time = transactions["block_timestamp"][row]
        if target is None or self._labels.is_service(target, time, columns.batch.chain.name):
            return None
        number, index = int(columns.tx_block[row]), int(columns.tx_index[row])
        facts, repaid = _native_facts(columns, number, index, victim)
        if facts is None or repaid:
            return None
        known_for = max(0, time - int(facts["to_first_seen"]))
        if known_for > config.fresh_seconds or facts["to_events"] >= config.trusted_events:
            return None
        serial = columns.first_serial + columns.row_of_block(number)
        value = int.from_bytes(transactions["value"][row], "big")
        payments, total, victims = self._targets.get(target) or (0, 0.0, ())
        if victim not in victims and len(victims) < TARGETS_VICTIMS:
            victims = (*victims, victim)
        self._targets.put(serial, target, (payments + 1, total + value / 1e18, victims))
        codeless = _uses_intrinsic_gas(columns, row) or self._has_no_code(columns, number, target)
        # A receipt without any log: whatever ran did not even note what was paid for.
        silent = transactions["log_count"][row] == 0 and not facts["to_is_contract"]
        many = len(victims) >= config.victims_high
        if codeless or silent:
            severity, score = Severity.HIGH, 0.9 if codeless or many else 0.8
        else:
            severity, score = (Severity.MEDIUM, 0.7) if many else (Severity.LOW, 0.5)
        bait = NATIVE_CLAIMS[int(columns.selectors[row])]
        tx_hash = transactions["transaction_hash"][row]
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="native_claim",
            severity=severity,
            score=score,
            subject=target,
            role=Role.ATTACKER,
            block_row=columns.row_of_block(number),
            transaction_index=index,
            transaction_hash=tx_hash,
            ordinal=0,
            sentence=(
                f"{hex_of(victim)} sent {amount_text(None, value)} to {hex_of(target)} calling "
                f"{bait} and got nothing back; {len(victims)} known victim"
                f"{'s' if len(victims) != 1 else ''} so far."
            ),
            reasons=(
                Reason("victims", float(len(victims)), score / 2, float(config.victims_high)),
                Reason("target_has_no_code", float(codeless), score / 4, 1.0),
                Reason("target_is_silent", float(silent), score / 4, 1.0),
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,),
                addresses=(victim,),
                amounts=((None, value),),
            ),
        )

    def _has_no_code(self, columns: Columns, number: int, target: bytes) -> bool:
        at = columns.batch.position(columns.row_of_block(number))
        return self._node.code_at(target, at) == b""


def _native_facts(
    columns: Columns, number: int, index: int, sender: bytes
) -> tuple[np.void | None, bool]:
    # The facts of the transaction's native flow, and whether any flow of it went to the sender.
    flows, facts, native = columns.cells("flows"), None, FlowKind.NATIVE
    kinds, receivers = flows["kind"], flows["to_address"]
    for flow in range(*columns.flows_of(columns.tx_row(number, index))):
        if kinds[flow] == native:
            facts = columns.scored.flow_facts[flow]
        elif receivers[flow] == sender:
            return facts, True
    return facts, False


def _uses_intrinsic_gas(columns: Columns, row: int) -> bool:
    # Code that runs costs gas; a call of a wallet costs what its calldata costs and no more:
    # 16 gas a byte that is not zero and 4 for zero, or EIP-7623's floor of 40 and 10.
    transactions = columns.cells("transactions")
    used = transactions["gas_used"][row]
    data = transactions["input"][row]
    zeros = data.count(0)
    solid = len(data) - zeros
    return used in (21_000 + 16 * solid + 4 * zeros, 21_000 + 40 * solid + 10 * zeros)
