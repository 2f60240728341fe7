"""The issuers of USDT and USDC freeze a wallet: the chain's own, self-updating list of the caught.

Only logs of the two token contracts count; the same topic from anywhere else is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.known.freezes import (
    USDC_FROZEN,
    USDC_UNFROZEN,
    USDT_DESTROYED,
    USDT_FROZEN,
    USDT_UNFROZEN,
)
from detect.known.tokens import USDC, USDT, VALUE_TOKENS
from detect.rules.arrow_arrays import address_set
from detect.rules.columns import ColumnCache, Columns, within_transaction
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

FREEZES: Final = {USDT: USDT_FROZEN, USDC: USDC_FROZEN}
THAWS: Final = {USDT: USDT_UNFROZEN, USDC: USDC_UNFROZEN}
ISSUERS: Final = {USDT: "Tether", USDC: "Circle"}


@dataclass(frozen=True, slots=True)
class IssuerFreezeConfig:
    """``capacity``: how many frozen wallets are remembered."""

    capacity: int = 65_536


class IssuerFreeze(Journaled):
    """Finds freezes, destroyed funds, and what frozen wallets still move.

    A freeze is high: the issuer, and usually the police, call that wallet a criminal's. Whatever it
    sends afterwards (other coins can still move) is high once, medium where the transaction failed.
    An unfreeze ends it. Who is frozen is in the label book: see ``chain_labels``.
    """

    id = "issuer_freeze"
    version = 1

    def __init__(self, cache: ColumnCache, config: IssuerFreezeConfig | None = None) -> None:
        # wallet -> (issuer's token, block time of the freeze)
        self._frozen = JournaledTable((config or IssuerFreezeConfig()).capacity)
        super().__init__({"frozen": self._frozen})
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        logs = columns.logs_with([*FREEZES.values(), *THAWS.values(), USDT_DESTROYED])
        flows = self._candidate_flows(columns, logs)
        if not len(logs) and not len(flows):
            return ()
        steps = [(_log_place(columns, row), False, row) for row in logs.tolist()]
        steps += [(_flow_place(columns, row), True, row) for row in flows.tolist()]
        findings = []
        for _, is_flow, row in sorted(steps):
            finding = self._moved(columns, row) if is_flow else self._event(columns, row)
            if finding is not None:
                findings.append(finding)
        return findings

    def _candidate_flows(self, columns: Columns, logs: np.ndarray) -> np.ndarray:
        # Whoever is frozen before the batch or by it; which of their flows come after the freeze
        # is decided flow by flow.
        suspects = set(self._frozen.keys())
        for row in logs.tolist():
            wallet = _wallet(columns, row)
            if wallet is not None:
                suspects.add(wallet)
        if not suspects or not columns.flow_count:
            return np.empty(0, np.int64)
        mine = columns.members("flows", "from_address", address_set(suspects))
        calls = columns.members("flows", "to_address", address_set(ISSUERS))
        return np.flatnonzero(mine & ((columns.flow_value > 0) | calls))

    def _event(self, columns: Columns, row: int) -> Finding | None:
        logs = columns.cells("logs")
        token, topic = logs["address"][row], logs["topic0"][row]
        wallet = _wallet(columns, row)
        if wallet is None or token not in ISSUERS:
            return None
        serial = columns.first_serial + _block_row(columns, row)
        if topic == THAWS[token]:
            held = self._frozen.get(wallet)
            if held is not None and held[0] == token:
                self._frozen.remove(serial, wallet)
            return None
        if topic == FREEZES[token]:
            self._frozen.put(serial, wallet, (token, logs["block_timestamp"][row]))
            what, score, amount = "froze", 0.9, None
        elif token == USDT and topic == USDT_DESTROYED:
            amount = int.from_bytes(logs["data"][row][32:64], "big")
            what, score = f"destroyed {amount_text(token, amount)} of", 0.9
        else:
            return None
        tx_hash = logs["transaction_hash"][row]
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="issuer_freeze",
            severity=Severity.HIGH,
            score=score,
            subject=wallet,
            role=Role.ATTACKER,
            block_row=_block_row(columns, row),
            transaction_index=logs["transaction_index"][row],
            transaction_hash=tx_hash,
            ordinal=logs["ordinal"][row],
            sentence=f"{ISSUERS[token]} {what} {hex_of(wallet)}.",
            reasons=(Reason("issuer_event", 1.0, score, 1.0),),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,),
                addresses=(token,),
                amounts=() if amount is None else ((token, amount),),
            ),
        )

    def _moved(self, columns: Columns, row: int) -> Finding | None:
        flows = columns.cells("flows")
        sender = flows["from_address"][row]
        held = self._frozen.get(sender)
        if held is None:
            return None
        tx = int(columns.flow_tx[row])
        signer = columns.cells("transactions")["from_address"][tx] if tx >= 0 else None
        if columns.flow_coin[row] < 0 and signer != sender:
            return None  # anyone can log a transfer of a token of their own making
        token, since = held
        receiver = flows["to_address"][row]
        if not columns.flow_value[row] and receiver != token:
            return None
        failed = flows["status"][row] == 0
        if not failed and not columns.flow_value[row]:
            return None  # a call that moved nothing and did not fail: an approval, a query
        amount = columns.amount(row)
        moved = flows["token_address"][row]
        what = f"{amount_text(moved, amount)} to {hex_of(receiver)}"
        if not amount:
            what = f"its {VALUE_TOKENS[token].symbol}"
        score = 0.5 if failed else 0.7
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="issuer_freeze",
            severity=Severity.MEDIUM if failed else Severity.HIGH,
            score=score,
            subject=sender,
            sentence=(
                f"{hex_of(sender)}, frozen by {ISSUERS[token]}, "
                f"{'tried to send' if failed else 'sent'} {what}."
            ),
            reasons=(Reason("frozen_since", float(since), score),),
            addresses=(receiver,),
            amounts=((moved, amount),),
        )


def _wallet(columns: Columns, row: int) -> bytes | None:
    # USDT names the wallet in the data, USDC in topic 1 (it is indexed there).
    topic = columns.cells("logs")["topic1"][row]
    word = topic if topic is not None else columns.cells("logs")["data"][row][:32]
    return word[12:32] if len(word) == 32 else None


def _block_row(columns: Columns, row: int) -> int:
    return columns.row_of_block(columns.cells("logs")["block_number"][row])


def _log_place(columns: Columns, row: int) -> tuple[int, int, int, int]:
    logs = columns.cells("logs")
    return (
        _block_row(columns, row),
        logs["transaction_index"][row],
        *within_transaction(logs["ordinal"][row]),
    )


def _flow_place(columns: Columns, row: int) -> tuple[int, int, int, int]:
    ordinal = int(columns.flow_ordinal[row])
    index = int(columns.flow_tx_index[row])
    return (int(columns.flow_row[row]), index, *within_transaction(ordinal))
