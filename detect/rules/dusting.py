"""Dust and spam: worthless pieces sent to a hundred wallets or more within a day.

Alone it costs nobody anything, so it is never more than low. What it is for shows later: a
lookalike that waits to be paid (``address_poisoning``), or a token whose name is a link to a
drainer. Of the latter this rule knows where the creation was in view or a node tells the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import ZERO_ADDRESS, Evidence, Position, Reason, Role, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.kernels.dusting import SPRINKLER, scan_dust
from detect.known.bait import IN_CODE, NAME, SYMBOL, is_bait
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.labels import LabelBook
from detect.records import DEFAULT_SECRET, RecordTable, Secret, address_of
from detect.rules.columns import ColumnCache, Columns
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

_TEN_CENTS: Final = 0.1 * np.array(
    [NATIVE.dust, *(token.dust for token in VALUE_TOKENS.values()), np.inf]
)
"""What a piece must be worth less than, by ``Columns.flow_coin``; unlisted tokens always are."""


@dataclass(frozen=True, slots=True)
class DustingConfig:
    """Thresholds and bounds.

    ``wallets``: told when so many different ones were reached within ``window_seconds``, and again
    at the higher numbers. ``senders``, ``tokens``: how many of each are remembered.
    """

    wallets: tuple[int, int, int] = (100, 1_000, 10_000)
    window_seconds: int = 86_400
    senders: int = 65_536
    tokens: int = 16_384
    secret: Secret = DEFAULT_SECRET


class Dusting(Journaled):
    """Finds who signs such transactions: info, or low where the token's name is bait.

    Not counted: what the receiver signs itself (a claim), what a receiver gets that gave something
    in the same transaction (a trade), what goes to contracts. Services are left alone. Airdrop
    distributors that push look the same until somebody is hurt, and are told as info.
    """

    id = "dusting"
    version = 1
    confirms = "a token's own name; only links in code that was created in view are seen"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: DustingConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config = config or DustingConfig()
        self._senders = RecordTable(config.senders, SPRINKLER, config.secret)
        self._baits = JournaledTable(config.tokens)  # contract created with a link in it -> ()
        super().__init__({"senders": self._senders, "baits": self._baits})
        self._labels = labels
        self._cache = cache
        self._node = node

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        self._note_baits(columns)
        rows = self._pieces(columns)
        undo = self._senders.begin(len(scored.batch), len(rows))
        hits = np.empty((len(rows), 4), np.int64)
        signers = columns.tx_from[columns.flow_tx[rows]]
        found = scan_dust(
            signers,
            columns.flow_to[rows],
            columns.block_times[columns.flow_row[rows]],
            columns.flow_row[rows],
            scored.first_serial,
            self._config.window_seconds,
            np.array(self._config.wallets),
            self._senders.table,
            undo,
            hits,
        )
        self._senders.end(undo, scored.first_serial)
        findings = []
        for i, wallets, pieces, _ in hits[:found].tolist():
            sender, row = address_of(signers[i]), int(rows[i])
            time = int(columns.block_times[columns.flow_row[row]])
            if not self._labels.is_service(sender, time, columns.batch.chain.name):
                findings.append(self._finding(columns, row, sender, wallets, pieces))
        return findings

    def _pieces(self, columns: Columns) -> Array:
        """Rows of the flows that bring a stranger something worthless."""
        f, coin = columns.scored.flow_facts, columns.flow_coin
        worthless = (coin < 0) | (columns.flow_units < _TEN_CENTS[coin])
        worthless &= (coin != 0) | (columns.flow_value > 0)
        worthless &= columns.flow_stands & (columns.flow_tx >= 0) & ~f["to_is_contract"]
        rows = np.flatnonzero(worthless & (f["pair_events"] == 0))
        if not len(rows):
            return rows
        to, tx = columns.flow_to[rows], columns.flow_tx[rows]
        rows = rows[(to != columns.tx_from[tx]).any(axis=1) & ~columns.flow_burnt[rows]]
        # Who gives anything in the same transaction is trading, whoever signed for it.
        taking = _in_transaction(columns.flow_tx[rows], f["to_hash"][rows])
        theirs = np.zeros(len(columns.tx_block) + 1, np.bool_)  # one more, for those without
        theirs[columns.flow_tx[rows]] = True
        moved = np.flatnonzero(columns.flow_moved & theirs[columns.flow_tx])
        giving = _in_transaction(columns.flow_tx[moved], f["from_hash"][moved])
        given: Array = rows[~np.isin(taking, giving)]
        return given

    def _note_baits(self, columns: Columns) -> None:
        creations, made = columns.batch.creations, columns.cells("creations")
        for row in range(creations.num_rows):
            code = made["init_code"][row]
            if code and IN_CODE.search(code):
                number = columns.row_of_block(made["block_number"][row])
                contract = made["contract_address"][row]
                self._baits.put(columns.first_serial + number, contract, ())

    def _is_bait(self, token: bytes | None, at: Position) -> bool:
        if token is None:
            return False
        if self._baits.get(token) is not None:
            return True
        for selector in (SYMBOL, NAME):
            said = self._node.call(token, selector.to_bytes(4, "big"), at)
            if said is not None and said[0] and is_bait(said[1]):
                return True
        return False

    def _finding(
        self, columns: Columns, row: int, sender: bytes, wallets: int, pieces: int
    ) -> Finding:
        flows, number = columns.cells("flows"), int(columns.flow_row[row])
        token, tx_hash = (
            flows["token_address"][row],
            flows["transaction_hash"][row],
        )
        bait = self._is_bait(token, columns.batch.position(number))
        severity, score = (Severity.LOW, 0.4) if bait else (Severity.INFO, 0.2)
        what = "the chain's coin" if token is None else f"the token {hex_of(token)}"
        told = " Its name is bait." if bait else ""
        others = tuple(a for a in (token, flows["to_address"][row]) if a != ZERO_ADDRESS)
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="dusting",
            severity=severity,
            score=score,
            subject=sender,
            role=Role.ATTACKER if bait else Role.UNKNOWN,
            block_row=number,
            transaction_index=int(columns.flow_tx_index[row]),
            transaction_hash=tx_hash,
            ordinal=int(columns.flow_ordinal[row]),
            sentence=(
                f"{hex_of(sender)} sent {pieces} worthless pieces to about {wallets} strangers "
                f"within a day, last of {what}.{told}"
            ),
            reasons=(
                Reason("wallets", float(wallets), score / 2, float(self._config.wallets[0])),
                Reason("bait", float(bait), score / 2, 1.0),
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,),
                addresses=tuple(a for a in others if a is not None),
            ),
        )


def _in_transaction(transactions: Array, hashes: Array) -> Array:
    # A wallet within a transaction, as one number.
    mixed: Array = hashes ^ (transactions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return mixed
