"""Deposits into and withdrawals from Tornado Cash; Railgun as context.

The topics mean something on the known pools only: others reuse them. A mixer is a privacy tool, so
a touch is exposure, not a verdict; while the pools were under sanction, ``sanctions_touch`` speaks
up by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainwarden.schema import Evidence, Reason, Role, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.known.mixers import (
    RAILGUN,
    RAILGUN_SHIELD,
    RAILGUN_UNSHIELD,
    TORNADO_DEPOSIT,
    TORNADO_DEPOSIT_CALL,
    TORNADO_POOLS,
    TORNADO_ROUTER_DEPOSIT_CALL,
    TORNADO_WITHDRAWAL,
)
from detect.known.tokens import LARGE, PER_ETHER, VALUE_TOKENS
from detect.rules.arrow_arrays import address_word
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

TOPICS = (TORNADO_DEPOSIT, TORNADO_WITHDRAWAL, RAILGUN_SHIELD, RAILGUN_UNSHIELD)
# By ``Columns.flow_coin``, in whole units; a coin that is not listed has no worth.
_LARGE = np.array([LARGE[None], *(LARGE[token] for token in VALUE_TOKENS), np.nan])
DEPOSIT_CALLS = (TORNADO_DEPOSIT_CALL, TORNADO_ROUTER_DEPOSIT_CALL)


@dataclass(frozen=True, slots=True)
class MixerConfig:
    """``large_deposit_wei``: from here a deposit is medium, else low.

    ``exploit_window_seconds``: a contract deployed by a wallet within that time of a withdrawal to
    it is medium: attackers fund their deployers that way. ``railgun_floor``: the share of a large
    theft (100,000 dollars) below which Railgun is nothing. ``capacity``: wallets remembered a side.
    """

    large_deposit_wei: int = 10 * PER_ETHER
    exploit_window_seconds: int = 7 * 86_400
    railgun_floor: float = 0.0015
    capacity: int = 65_536


@dataclass(frozen=True, slots=True)
class _Touch:
    subject: bytes
    severity: Severity
    score: float
    sentence: str
    feature: str
    value: float
    addresses: tuple[bytes, ...] = ()
    amounts: tuple[tuple[bytes | None, int], ...] = ()


class MixerTouch(Journaled):
    """Finds who paid into a mixer, whom a mixer paid, and what mixer-funded wallets deploy.

    The recipient of a Tornado withdrawal is word 0 of the log's data (topic 1 is the relayer). One
    that had deposited before is told as such: evidence of a link, never a proof.
    """

    id = "mixer_touch"
    version = 1

    def __init__(self, cache: ColumnCache, config: MixerConfig | None = None) -> None:
        self._config = config or MixerConfig()
        self._depositors = JournaledTable(self._config.capacity)  # wallet -> (deposits, last time)
        self._funded = JournaledTable(self._config.capacity)  # wallet -> (time, pool)
        super().__init__({"depositors": self._depositors, "funded": self._funded})
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        logs, calls = columns.logs_with(TOPICS), self._bare_deposits(columns)
        creations = columns.batch.creations
        if not len(logs) and not len(calls) and not (creations.num_rows and len(self._funded)):
            return ()
        places = columns.cells("logs")
        steps = [
            (places["block_number"][r], places["transaction_index"][r], 1, r) for r in logs.tolist()
        ]
        steps += [
            (int(columns.tx_block[r]), int(columns.tx_index[r]), 0, r) for r in calls.tolist()
        ]
        steps += [
            (number, index, 2, row)
            for row, (number, index) in enumerate(
                zip(
                    creations["block_number"].to_pylist(),
                    creations["transaction_index"].to_pylist(),
                    strict=True,
                )
            )
        ]
        findings = []
        for number, index, kind, row in sorted(steps):
            serial = columns.first_serial + columns.row_of_block(number)
            if kind == 0:
                touch, table = self._call(columns, row, serial), columns.cells("transactions")
            elif kind == 1:
                touch, table = self._log(columns, row, serial), columns.cells("logs")
            else:
                touch, table = self._creation(columns, row), columns.cells("creations")
            if touch is not None:
                ordinal = 0 if kind == 0 else table["ordinal"][row]
                tx_hash = table["transaction_hash"][row]
                findings.append(
                    self._finding(touch, serial - columns.first_serial, index, tx_hash, ordinal)
                )
        return findings

    def _bare_deposits(self, columns: Columns) -> np.ndarray:
        # Where the source has no logs, the call itself is what there is to see.
        if not len(columns.tx_block):
            return np.empty(0, np.int64)
        rows = columns.transactions_with(DEPOSIT_CALLS)
        rows = rows[(columns.tx_value[rows] > 0) & (columns.tx_status[rows] != 0)]
        counts = columns.batch.transactions["log_count"]
        return np.array([r for r in rows.tolist() if not counts[r].is_valid], np.int64)

    def _call(self, columns: Columns, row: int, serial: int) -> _Touch | None:
        transactions = columns.cells("transactions")
        pool = transactions["to_address"][row]
        if columns.selectors[row] == TORNADO_ROUTER_DEPOSIT_CALL:
            pool = transactions["input"][row][16:36]  # the pool is the router's argument
        if pool not in TORNADO_POOLS:
            return None
        amount = int.from_bytes(transactions["value"][row], "big")
        depositor = transactions["from_address"][row]
        time = transactions["block_timestamp"][row]
        return self._deposit(depositor, pool, (None, amount), serial, time)

    def _log(self, columns: Columns, row: int, serial: int) -> _Touch | None:
        logs = columns.cells("logs")
        topic, emitter = logs["topic0"][row], logs["address"][row]
        time, data = logs["block_timestamp"][row], logs["data"][row]
        if emitter in TORNADO_POOLS and topic == TORNADO_DEPOSIT:
            signer = self._signer(columns, row)
            if signer is None:
                return None
            amount = self._amount(columns, row, emitter)
            return self._deposit(signer, emitter, amount, serial, time)
        if len(data) < 32:
            return None
        recipient = data[12:32]
        if emitter in TORNADO_POOLS and topic == TORNADO_WITHDRAWAL:
            before = self._depositors.get(recipient)
            self._funded.put(serial, recipient, (time, emitter))
            linked = "" if before is None else f", and had paid in {before[0]} times before"
            return _Touch(
                subject=recipient,
                severity=Severity.LOW if before is None else Severity.MEDIUM,
                score=0.4 if before is None else 0.6,
                sentence=f"{hex_of(recipient)} was paid out of Tornado Cash{linked}.",
                feature="mixer_withdrawal",
                value=1.0,
                addresses=(emitter,),
            )
        if emitter in RAILGUN and topic in (RAILGUN_SHIELD, RAILGUN_UNSHIELD):
            shielding = topic == RAILGUN_SHIELD
            subject = self._signer(columns, row) if shielding else recipient
            if subject is None or subject in RAILGUN or self._is_little(columns, row, emitter):
                return None
            verb = "shielded funds in" if shielding else "was paid out of"
            return _Touch(
                subject=subject,
                severity=Severity.INFO,
                score=0.2,
                sentence=f"{hex_of(subject)} {verb} Railgun, a privacy system.",
                feature="railgun",
                value=1.0,
                addresses=(emitter,),
            )
        return None

    def _is_little(self, columns: Columns, row: int, railgun: bytes) -> bool:
        # Whether what went in or out in the transaction is known to be worth less than the floor.
        logs = columns.cells("logs")
        number, index = logs["block_number"][row], logs["transaction_index"][row]
        tx = columns.tx_row(number, index)
        if tx < 0:
            return False
        first, stop = columns.flows_of(tx)
        word = address_word(railgun)
        mine = (columns.flow_from[first:stop] == word).all(axis=1)
        mine |= (columns.flow_to[first:stop] == word).all(axis=1)
        mine &= columns.flow_moved[first:stop]
        coins = columns.flow_coin[first:stop][mine]
        worth = float((columns.flow_units[first:stop][mine] / _LARGE[coins]).sum())
        return bool(len(coins) and (coins >= 0).all() and worth < self._config.railgun_floor)

    def _deposit(
        self,
        depositor: bytes,
        pool: bytes,
        amount: tuple[bytes | None, int] | None,
        serial: int,
        time: int,
    ) -> _Touch:
        count = (self._depositors.get(depositor) or (0, 0))[0] + 1
        self._depositors.put(serial, depositor, (count, time))
        large = amount is not None and (
            amount[0] is None and amount[1] >= self._config.large_deposit_wei
        )
        paid = "" if amount is None else f"{amount_text(*amount)} "
        return _Touch(
            subject=depositor,
            severity=Severity.MEDIUM if large else Severity.LOW,
            score=0.6 if large else 0.4,
            sentence=f"{hex_of(depositor)} paid {paid}into Tornado Cash (deposit {count}).",
            feature="mixer_deposits",
            value=float(count),
            addresses=(pool,),
            amounts=() if amount is None else (amount,),
        )

    def _creation(self, columns: Columns, row: int) -> _Touch | None:
        creations = columns.cells("creations")
        creator = creations["creator"][row]
        funded = self._funded.get(creator)
        if funded is None:
            return None
        since = max(0, creations["block_timestamp"][row] - funded[0])
        if since > self._config.exploit_window_seconds:
            return None
        contract = creations["contract_address"][row]
        return _Touch(
            subject=creator,
            severity=Severity.MEDIUM,
            score=0.65,
            sentence=(
                f"{hex_of(creator)} deployed the contract {hex_of(contract)} {since} s after "
                "Tornado Cash had funded it: how exploits are prepared."
            ),
            feature="seconds_since_withdrawal",
            value=float(since),
            addresses=(contract, funded[1]),
        )

    def _signer(self, columns: Columns, row: int) -> bytes | None:
        logs = columns.cells("logs")
        tx = columns.tx_row(logs["block_number"][row], logs["transaction_index"][row])
        if tx < 0:
            return None
        signer: bytes = columns.cells("transactions")["from_address"][tx]
        return signer

    def _amount(self, columns: Columns, row: int, pool: bytes) -> tuple[bytes | None, int] | None:
        fixed = TORNADO_POOLS[pool]
        if fixed is not None:
            return None, fixed
        # A token pool: what it got is the transfer into it in the same transaction.
        logs, flows = columns.cells("logs"), columns.cells("flows")
        number = logs["block_number"][row]
        index = logs["transaction_index"][row]
        low, high = np.searchsorted(columns.flow_block, [number, number + 1])
        for flow in range(int(low), int(high)):
            if columns.flow_tx_index[flow] == index and flows["to_address"][flow] == pool:
                token = flows["token_address"][flow]
                if token is not None:
                    return token, columns.amount(flow)
        return None

    def _finding(
        self, touch: _Touch, block_row: int, index: int, tx_hash: bytes | None, ordinal: int
    ) -> Finding:
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="mixer",
            severity=touch.severity,
            score=touch.score,
            subject=touch.subject,
            role=Role.UNKNOWN,
            block_row=block_row,
            transaction_index=index,
            transaction_hash=tx_hash,
            ordinal=ordinal,
            sentence=touch.sentence,
            reasons=(Reason(touch.feature, touch.value, touch.score),),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,),
                addresses=touch.addresses,
                amounts=touch.amounts,
            ),
        )
