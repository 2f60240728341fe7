"""What the chain itself says about wallets: the sanctions oracle's list, issuers' freezes.

Those who keep these lists write them on the chain, so they are always up to date, and they come
with the block from which they hold. Here they become labels of the book: ``sanctioned`` and
``frozen``, for every rule, for the risk model and for whoever asks. A label holds from the first
later block time on, never within its own block, so how blocks are batched cannot be seen; a block
that is reverted takes its labels with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.schema import (
    HASH,
    BlockBatch,
    Chain,
    Evidence,
    Label,
    Reason,
    Role,
    Severity,
    hex_of,
)
from detect.journal import Journaled, JournaledTable, Value
from detect.known.freezes import USDC_FROZEN, USDC_UNFROZEN, USDT_FROZEN, USDT_UNFROZEN
from detect.known.sanctions import SANCTIONS_ADDED, SANCTIONS_ORACLE, SANCTIONS_REMOVED
from detect.known.tokens import USDC, USDT
from detect.label_words import FROZEN, SANCTIONED
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

MOST_LISTED: Final = 4_096  # addresses of one event that are read
MOST_PERIODS: Final = 8  # of one wallet that are remembered; the oldest give way


@dataclass(frozen=True, slots=True)
class _Teller:
    # Whose event it is, what it says of the wallets it names, and whether it takes that back.

    contract: bytes
    word: str
    source: str
    ends: bool = False


_TELLERS: Final = {
    SANCTIONS_ADDED: _Teller(SANCTIONS_ORACLE, SANCTIONED, "chainalysis oracle"),
    SANCTIONS_REMOVED: _Teller(SANCTIONS_ORACLE, SANCTIONED, "chainalysis oracle", ends=True),
    USDT_FROZEN: _Teller(USDT, FROZEN, "tether"),
    USDT_UNFROZEN: _Teller(USDT, FROZEN, "tether", ends=True),
    USDC_FROZEN: _Teller(USDC, FROZEN, "circle"),
    USDC_UNFROZEN: _Teller(USDC, FROZEN, "circle", ends=True),
}
_TOLD: Final = pa.array(_TELLERS, HASH)


@dataclass(frozen=True, slots=True)
class ChainLabelsConfig:
    """``capacity``: how many wallets are remembered. When full, new ones are not taken, and a
    warning says so: to forget an old one would free a sanctioned wallet.
    """

    capacity: int = 65_536


class ChainLabels(Journaled):
    """Keeps the labels that the chain gives, and tells when the oracle lists a wallet.

    Only logs of the oracle and of the two token contracts count; the same topic from anywhere else
    is nothing. A listing is high, like a freeze: from now on nobody may deal with that wallet. It
    goes first among the rules, so that the others see what it learnt.
    """

    id = "sanctions_list"
    version = 1

    def __init__(
        self,
        labels: LabelBook,
        chain: Chain,
        cache: ColumnCache,
        config: ChainLabelsConfig | None = None,
    ) -> None:
        # wallet -> ((word, source, since, until or None), …)
        self._periods = JournaledTable((config or ChainLabelsConfig()).capacity)
        super().__init__({"periods": self._periods})
        self._chain = chain
        self._cache = cache
        self.changes = 0
        """Goes up with every change, undone ones too."""
        self._taken: BlockBatch | None = None  # the batch whose events were taken last
        self._full = False
        labels.attach(self, chain.name)

    def advance(self, batch: BlockBatch, first_serial: int) -> None:
        """Take the events of a batch, once: called again with the same one it does nothing.

        ``evaluate`` does it, too; who needs the labels earlier calls it before.
        """
        if self._taken is batch:
            return
        self._taken = batch
        told = pc.is_in(batch.logs["topic0"], value_set=_TOLD).to_numpy()
        for row in np.flatnonzero(told).tolist():
            teller = _teller(batch, row)
            if teller is None:
                continue
            number = batch.logs["block_number"][row].as_py()
            serial = first_serial + int(batch.numbers().searchsorted(number))
            since = batch.logs["block_timestamp"][row].as_py() + 1
            for wallet in _named(batch, row):
                self._tell(serial, wallet, teller, since)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The listings in a batch, in chain order."""
        columns = self._cache.of(scored)
        self.advance(scored.batch, scored.first_serial)
        return [
            self._listed(scored.batch, row, wallet)
            for row in columns.logs_with([SANCTIONS_ADDED]).tolist()
            if _teller(scored.batch, row) is not None
            for wallet in _named(scored.batch, row)
        ]

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, which is the last one evaluated."""
        super().revert(serial)
        self._taken = None
        self.changes += 1

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand."""
        super().restore(state)
        self._taken = None
        self.changes += 1

    def labels_of(self, address: bytes) -> tuple[Label, ...]:
        """What the chain says about a wallet, whenever it held."""
        row = self._periods.get(address)
        return () if row is None else tuple(self._label(address, period) for period in row)

    def labels(self) -> Iterator[Label]:
        """Everything the chain said, by address."""
        for address in sorted(self._periods.keys()):
            yield from self.labels_of(address)

    def _label(self, address: bytes, period: Value) -> Label:
        word, source, since, until = period
        return Label(address, word, source, since, until, self._chain.name)

    def _tell(self, serial: int, wallet: bytes, teller: _Teller, since: int) -> None:
        row = self._periods.get(wallet) or ()
        if not row and len(self._periods) >= self._periods.capacity:
            if not self._full:
                self._full = True
                log.warning("no room for more than %d labels of the chain", len(self._periods))
            return
        mine = (teller.word, teller.source)
        opened = [period for period in row if period[:2] == mine and period[3] is None]
        if bool(opened) != teller.ends:
            return  # listed already, or never
        if teller.ends:
            row = tuple((*p[:3], max(p[2], since)) if p in opened else p for p in row)
        else:
            row = (*row, (*mine, since, None))[-MOST_PERIODS:]
        self._periods.put(serial, wallet, row)
        self.changes += 1

    def _listed(self, batch: BlockBatch, row: int, wallet: bytes) -> Finding:
        logs = batch.logs
        tx_hash = logs["transaction_hash"][row].as_py()
        score = 0.9
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="sanctions",
            severity=Severity.HIGH,
            score=score,
            subject=wallet,
            role=Role.UNKNOWN,  # a service that gets listed is news, not a false alarm
            block_row=int(batch.numbers().searchsorted(logs["block_number"][row].as_py())),
            transaction_index=logs["transaction_index"][row].as_py(),
            transaction_hash=tx_hash,
            ordinal=logs["ordinal"][row].as_py(),
            sentence=f"The Chainalysis sanctions oracle put {hex_of(wallet)} on its list.",
            reasons=(Reason("oracle_event", 1.0, score, 1.0),),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,), addresses=(SANCTIONS_ORACLE,)
            ),
        )


def _teller(batch: BlockBatch, row: int) -> _Teller | None:
    """Whose event a log is; None where the contract is another one."""
    teller = _TELLERS[batch.logs["topic0"][row].as_py()]
    return teller if batch.logs["address"][row].as_py() == teller.contract else None


def _named(batch: BlockBatch, row: int) -> list[bytes]:
    """The wallets an event names, each once: USDC in topic 1, USDT in the data, the oracle many."""
    topic, data = batch.logs["topic1"][row].as_py(), batch.logs["data"][row].as_py()
    if topic is not None:
        return [topic[12:32]]
    if batch.logs["address"][row].as_py() == USDT:
        return [data[12:32]] if len(data) >= 32 else []
    start = int.from_bytes(data[:32], "big")
    count = int.from_bytes(data[start : start + 32], "big") if start <= len(data) - 32 else 0
    words = range(start + 32, min(len(data) - 31, start + 32 * min(count, MOST_LISTED) + 1), 32)
    return list(dict.fromkeys(data[word + 12 : word + 32] for word in words))
