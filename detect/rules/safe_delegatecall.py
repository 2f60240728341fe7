"""A Safe runs foreign code in its own context: the shape of the Bybit theft of February 2025.

``execTransaction`` with operation 1 (delegatecall) hands the Safe's storage, owners and funds to
the target. Wallets do that for a handful of published libraries and nothing else, so any other
target is an alert by itself. Inside a ``multiSend`` every inner operation is looked at likewise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.journal import Journaled
from detect.known.safes import (
    EXEC_TRANSACTION,
    MULTI_SEND,
    MULTI_SENDS,
    SAFE_LIBRARIES,
    SAFE_SUCCESS,
)
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

WORD: Final = 32
HEAD: Final = 4 + 10 * WORD  # the selector and the ten words every execTransaction has
DELEGATECALL: Final = 1


@dataclass(frozen=True, slots=True)
class SafeDelegatecallConfig:
    """``allowed``: libraries a Safe may delegate to. The caps bound what calldata can cost."""

    allowed: frozenset[bytes] = SAFE_LIBRARIES
    max_calls: int = 1024
    max_bytes: int = 128 * 1024


class SafeDelegatecall(Journaled):
    """Finds delegatecalls of Safes to anything but published Safe libraries. Keeps no state.

    Critical where the Safe's own ExecutionSuccess log confirms it or the source has no logs;
    medium where there are logs and none of them does (a contract that only looks like a Safe, or
    an inner failure).
    """

    id = "safe_delegatecall"
    version = 1

    def __init__(self, cache: ColumnCache, config: SafeDelegatecallConfig | None = None) -> None:
        super().__init__()
        self._cache = cache
        self._config = config or SafeDelegatecallConfig()

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        rows = columns.transactions_with([EXEC_TRANSACTION])
        rows = rows[columns.tx_status[rows] != 0]
        if not len(rows):
            return ()
        confirmed = _confirmed(columns)
        findings = []
        for row in rows.tolist():
            finding = self._look_at(columns, row, confirmed)
            if finding is not None:
                findings.append(finding)
        return findings

    def _look_at(
        self, columns: Columns, row: int, confirmed: set[tuple[int, int, bytes]]
    ) -> Finding | None:
        transactions = columns.cells("transactions")
        safe = transactions["to_address"][row]
        if safe is None:
            return None
        config = self._config
        target = foreign_target(transactions["input"][row], config)
        if target is None:
            return None
        number, index = int(columns.tx_block[row]), int(columns.tx_index[row])
        has_logs = transactions["log_count"][row] is not None
        sure = not has_logs or (number, index, safe) in confirmed
        score = 1.0 if sure else 0.5
        tx_hash = transactions["transaction_hash"][row]
        signer = transactions["from_address"][row]
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="safe_takeover",
            severity=Severity.CRITICAL if sure else Severity.MEDIUM,
            score=score,
            subject=safe,
            role=Role.VICTIM,
            block_row=columns.row_of_block(number),
            transaction_index=index,
            transaction_hash=tx_hash,
            ordinal=0,
            sentence=(
                f"The Safe {hex_of(safe)} ran the code of {hex_of(target)} as its own "
                "(delegatecall), which is no published Safe library: it can take over the Safe"
                + ("." if sure else "; no ExecutionSuccess log confirms that it is a Safe.")
            ),
            reasons=(Reason("operation", float(DELEGATECALL), score, float(DELEGATECALL)),),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,), addresses=(target, signer)
            ),
        )


def foreign_target(data: bytes, config: SafeDelegatecallConfig) -> bytes | None:
    """The first delegatecall target outside the allowed libraries, or None.

    ``data`` is the calldata of an ``execTransaction``; anything it may hold is survived, and what
    cannot be a valid call is none.
    """
    if len(data) < HEAD or _word(data, 3) != DELEGATECALL:
        return None
    target = data[4 + 12 : 4 + 32]
    if target not in config.allowed:
        return target
    if target in MULTI_SENDS:
        inner = _bytes_argument(data[4:], _word(data, 2))
        for operation, to in packed_calls(inner, config):
            if operation == DELEGATECALL and to not in config.allowed:
                return to
    return None


def packed_calls(data: bytes, config: SafeDelegatecallConfig) -> Iterator[tuple[int, bytes]]:
    """(operation, to) of each call in the calldata of a ``multiSend``, up to the caps."""
    if len(data) < 4 or int.from_bytes(data[:4], "big") != MULTI_SEND:
        return
    packed = _bytes_argument(data[4:], int.from_bytes(data[4 : 4 + WORD], "big"))
    packed = packed[: config.max_bytes]
    at = 0
    # operation (1), to (20), value (32), length (32), then that many bytes
    for _ in range(config.max_calls):
        if at + 85 > len(packed):
            return
        yield packed[at], packed[at + 1 : at + 21]
        at += 85 + int.from_bytes(packed[at + 53 : at + 85], "big")


def _word(data: bytes, number: int) -> int:
    return int.from_bytes(data[4 + number * WORD : 4 + (number + 1) * WORD], "big")


def _bytes_argument(arguments: bytes, offset: int) -> bytes:
    # Dynamic bytes at an offset the caller claims; slices of Python never run over the end.
    length = int.from_bytes(arguments[offset : offset + WORD], "big")
    return arguments[offset + WORD : offset + WORD + length]


def _confirmed(columns: Columns) -> set[tuple[int, int, bytes]]:
    logs = columns.cells("logs")
    found = set()
    for row in columns.logs_with([SAFE_SUCCESS]).tolist():
        found.add(
            (
                logs["block_number"][row],
                logs["transaction_index"][row],
                logs["address"][row],
            )
        )
    return found
