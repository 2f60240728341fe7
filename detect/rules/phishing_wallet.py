"""A wallet that many strangers pay within days, and that cashes out within a day.

The fan-in threshold is Nethermind's: at least seven distinct EOAs in five days, a receiver with
fewer than 2,000 flows, senders with fewer than 9,999. Behaviour alone cannot tell a phisher from a
shop (published precision is 0.7 to 0.9), so this ranks wallets for an analyst and is never high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from chainwarden.schema import Hop, Reason, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.kernels.fan_in import (
    COLLECTOR,
    LEAST_STRANGERS,
    RECEIVER_FLOWS,
    SENDER_FLOWS,
    TRUSTED_NONCE,
    TRUSTED_SECONDS,
    WINDOW,
    scan_fan_in,
)
from detect.known.mixers import RAILGUN, TORNADO
from detect.known.services import SERVICES
from detect.known.tokens import DAI, USDC, USDT, VALUE_TOKENS, WETH
from detect.labels import LabelBook
from detect.records import DEFAULT_SECRET, RecordTable, Secret
from detect.rules.arrow_arrays import address_set
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

_ETHER, _DOLLARS, _OTHER = 0, 1, -1
_MONEY: Final = np.array(
    [
        _ETHER,
        *(
            _DOLLARS if token in (USDT, USDC, DAI) else _ETHER if token == WETH else _OTHER
            for token in VALUE_TOKENS
        ),
        _OTHER,
    ]
)
"""Which money a coin is, by ``Columns.flow_coin``: ether, dollars, or neither."""
_DUST: Final = np.array([0.0005, 1.0])
_EXCHANGE: Final = ("exchange",)
_MIXERS: Final = TORNADO | RAILGUN
_KNOWN_EXCHANGES: Final = address_set(SERVICES["exchange"])
_KNOWN_BRIDGES: Final = frozenset(SERVICES["bridge"])


@dataclass(frozen=True, slots=True)
class PhishingWalletConfig:
    """Thresholds and bounds.

    ``strangers`` first payments within ``window_seconds`` make a collector. ``share`` of its income
    must reach an exchange, a bridge or a mixer within ``exit_seconds`` of the first exit, in parts
    of at least ``least_share``; more than ``most`` of it is money of its own.
    ``receiver_flows``, ``sender_flows``: who has more behind it has a reputation, and so has who
    has ``trusted_nonce`` and ``trusted_seconds``. ``collectors``, ``exits``, ``deposits``: how many
    of each are remembered.
    """

    strangers: int = 7
    window_seconds: int = 5 * 86_400
    share: float = 0.8
    least_share: float = 0.02
    most: float = 1.2
    exit_seconds: int = 86_400
    receiver_flows: int = 2_000
    sender_flows: int = 9_999
    trusted_nonce: int = 500
    trusted_seconds: int = 90 * 86_400
    collectors: int = 131_072
    exits: int = 16_384
    deposits: int = 16_384
    secret: Secret = DEFAULT_SECRET


class _Exit(NamedTuple):
    """Money on its way out: whose, of which money, how much, out of what income."""

    collector: bytes
    money: int
    units: float
    income: float
    strangers: int
    hop: Hop


class PhishingWallet(Journaled):
    """Finds collectors when they have cashed out.

    A cash-out is a payment to a mixer or a bridge, or to a wallet that passes it on to an exchange
    within a day, as deposit addresses do. Out through a mixer is medium, otherwise low. Left alone:
    services, contracts, wallets with a reputation; who pays an exchange's hot wallet itself, since
    only deposit addresses do; who keeps what it gets, as those who take donations do; whom mostly
    acquaintances pay, and who pays out more than came in, since that is money of its own.
    """

    id = "phishing_wallet"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: PhishingWalletConfig | None = None
    ) -> None:
        self._config = config = config or PhishingWalletConfig()
        self._collectors = RecordTable(config.collectors, COLLECTOR, config.secret)
        # collector -> (first exit, [ether, dollars] passed, when told)
        self._exits = JournaledTable(config.exits)
        # where a collector paid -> (collector, money, units, income, strangers, time, transaction,
        # amount, token)
        self._deposits = JournaledTable(config.deposits)
        super().__init__(
            {"collectors": self._collectors, "exits": self._exits, "deposits": self._deposits}
        )
        self._labels = labels
        self._cache = cache
        limits = {
            LEAST_STRANGERS: config.strangers,
            WINDOW: config.window_seconds,
            RECEIVER_FLOWS: config.receiver_flows,
            SENDER_FLOWS: config.sender_flows,
            TRUSTED_NONCE: config.trusted_nonce,
            TRUSTED_SECONDS: config.trusted_seconds,
        }
        self._limits = np.array([limits[place] for place in range(len(limits))])

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not columns.flow_count:
            self._collectors.end(self._collectors.begin(len(scored.batch), 0), scored.first_serial)
            return ()
        count, times = columns.flow_count, columns.block_times
        listed = self._labels.addresses_with(
            _EXCHANGE, int(times.min()), int(times.max()), columns.batch.chain.name
        )
        hits, incomes = np.empty((count, 2), np.int64), np.empty(count)
        undo = self._collectors.begin(len(scored.batch), count)
        found = scan_fan_in(
            columns.flows,
            _MONEY,
            _DUST,
            self._exchanges(columns, "from_address", listed),
            self._config.least_share,
            self._config.most,
            scored.first_serial,
            self._limits,
            self._collectors.table,
            undo,
            hits,
            incomes,
        )
        self._collectors.end(undo, scored.first_serial)
        paying = {
            row: (strangers, income)
            for (row, strangers), income in zip(
                hits[:found].tolist(), incomes[:found].tolist(), strict=True
            )
        }
        to_exchange = self._exchanges(columns, "to_address", listed)
        findings = []
        for row in sorted({*paying, *np.flatnonzero(to_exchange & columns.flow_moved).tolist()}):
            finding = self._look_at(columns, row, paying.get(row), bool(to_exchange[row]))
            if finding is not None:
                findings.append(finding)
        return findings

    def _exchanges(self, columns: Columns, side: str, listed: pa.Array) -> Array:
        """Whether that party of each flow is an exchange at the time; ``listed`` may be one."""
        times, chain = columns.block_times, columns.batch.chain.name
        first, last = int(times.min()), int(times.max())
        found = columns.members("flows", side, listed).copy()
        addresses, cells = columns.batch.flows[side], columns.cells("flows")[side]
        if found.any() and not all(
            self._held_all_along(wallet.as_py(), first, last, chain)
            for wallet in addresses.filter(pa.array(found)).unique()
        ):  # some became an exchange, or ceased to be one, within the batch
            for row in np.flatnonzero(found).tolist():
                time = int(times[columns.flow_row[row]])
                found[row] = "exchange" in self._words(cells[row], time, chain)
        return found | columns.members("flows", side, _KNOWN_EXCHANGES)

    def _held_all_along(self, wallet: bytes, first: int, last: int, chain: str) -> bool:
        """Whether one label made it an exchange at both times, and so between them."""
        return any(
            label.label in _EXCHANGE and label.holds_at(last)
            for label in self._labels.labels_at(wallet, first, chain)
        )

    def _words(self, wallet: bytes, time: int, chain: str) -> set[str]:
        return {label.label for label in self._labels.labels_at(wallet, time, chain)}

    # --- exits -------------------------------------------------------------------------------

    def _look_at(
        self, columns: Columns, row: int, paying: tuple[int, float] | None, to_exchange: bool
    ) -> Finding | None:
        flows, chain = columns.cells("flows"), columns.batch.chain.name
        sender, receiver = flows["from_address"][row], flows["to_address"][row]
        number, time = int(columns.flow_row[row]), flows["block_timestamp"][row]
        serial, money = columns.first_serial + number, int(_MONEY[columns.flow_coin[row]])
        if to_exchange:
            return self._arrived(columns, row, serial, time, sender, receiver)
        if paying is None or self._labels.is_service(sender, time, chain):
            return None
        strangers, income = paying
        hop = Hop(
            flows["transaction_hash"][row],
            sender,
            receiver,
            columns.amount(row),
            flows["token_address"][row],
        )
        units = float(columns.flow_units[row])
        leaving = _Exit(sender, money, units, income, strangers, hop)
        kind = self._kind(receiver, time, chain)
        if kind is not None:
            return self._passed(columns, row, serial, time, leaving, (hop,), kind)
        self._deposit(serial, time, receiver, leaving)
        return None

    def _deposit(self, serial: int, time: int, receiver: bytes, leaving: _Exit) -> None:
        """Remember where a collector paid; several payments of one money are one."""
        hop, held = leaving.hop, self._deposits.get(receiver)
        units, amount = leaving.units, hop.amount
        if held is not None and (held[0], held[1], held[8] or None) == (
            leaving.collector, leaving.money, hop.token,
        ):  # fmt: skip
            units, amount = units + held[2], amount + int(held[7])
        self._deposits.put(
            serial,
            receiver,
            (leaving.collector, leaving.money, units, leaving.income, leaving.strangers, time,
             hop.transaction or b"", str(amount), hop.token or b""),
        )  # fmt: skip

    def _arrived(
        self, columns: Columns, row: int, serial: int, time: int, deposit: bytes, exchange: bytes
    ) -> Finding | None:
        """A wallet pays an exchange: whoever had paid that wallet has cashed out."""
        held = self._deposits.get(deposit)
        if held is None:
            return None
        collector, money, units, income, strangers, paid, tx_hash, amount, token = held
        self._deposits.remove(serial, deposit)
        if time - paid > self._config.exit_seconds:
            return None
        flows = columns.cells("flows")
        first = Hop(tx_hash or None, collector, deposit, int(amount), token or None)
        second = Hop(
            flows["transaction_hash"][row],
            deposit,
            exchange,
            columns.amount(row),
            flows["token_address"][row],
        )
        leaving = _Exit(collector, money, units, income, strangers, first)
        return self._passed(columns, row, serial, time, leaving, (first, second), "exchange")

    def _passed(
        self, columns: Columns, row: int, serial: int, time: int, leaving: _Exit,
        path: tuple[Hop, ...], kind: str,
    ) -> Finding | None:  # fmt: skip
        config = self._config
        first, ether, dollars, told = self._exits.get(leaving.collector) or (time, 0.0, 0.0, 0)
        if time - first > config.exit_seconds:
            first, ether, dollars = time, 0.0, 0.0
        ether += leaving.units if leaving.money == _ETHER else 0.0
        dollars += leaving.units if leaving.money == _DOLLARS else 0.0
        passed = ether if leaving.money == _ETHER else dollars
        share = passed / leaving.income if leaving.income > 0 else 0.0
        tell = config.share <= share <= config.most and (
            not told or time - told > config.window_seconds
        )
        self._exits.put(serial, leaving.collector, (first, ether, dollars, time if tell else told))
        return self._finding(columns, row, leaving, path, kind, min(1.0, share)) if tell else None

    def _kind(self, receiver: bytes, time: int, chain: str) -> str | None:
        """Where money is cashed out at once: ``mixer`` or ``bridge``; None anywhere else."""
        words = self._words(receiver, time, chain)
        if receiver in _MIXERS or "mixer" in words:
            return "mixer"
        return "bridge" if "bridge" in words or receiver in _KNOWN_BRIDGES else None

    def _finding(
        self, columns: Columns, row: int, leaving: _Exit, path: tuple[Hop, ...], kind: str,
        share: float,
    ) -> Finding:  # fmt: skip
        severity, score = (Severity.MEDIUM, 0.7) if kind == "mixer" else (Severity.LOW, 0.5)
        first = path[0]
        least = float(self._config.strangers)
        where = {"mixer": "a mixer", "bridge": "a bridge", "exchange": "an exchange"}[kind]
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="phishing_wallet",
            severity=severity,
            score=score,
            subject=leaving.collector,
            sentence=(
                f"{leaving.strangers} strangers or more paid {hex_of(leaving.collector)} within "
                f"days, and {share:.0%} of it has left for {where} within a day, last "
                f"{amount_text(first.token, first.amount)}."
            ),
            reasons=(
                Reason("strangers", float(leaving.strangers), score * 0.4, least),
                Reason("cashed_out_share", share, score * 0.4, self._config.share),
                Reason("mixed", float(kind == "mixer"), score * 0.2, 1.0),
            ),
            transactions=tuple(hop.transaction for hop in path if hop.transaction),
            addresses=tuple(hop.receiver for hop in path),
            amounts=((first.token, first.amount),),
            path=path,
        )
