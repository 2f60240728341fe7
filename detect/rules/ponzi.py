"""Ponzi contracts: what earlier investors are paid is what later ones pay in, and nothing else.

Told from the flows of one coin into and out of a contract. Token ponzis show in logs. Ether leaves
a contract without one, so an ether ponzi is judged only in blocks with call traces: without them
the picture is partial and nothing is said. Signals follow Bartoletti et al., "Dissecting Ponzi
schemes on Ethereum" (2020): many investors, payouts to those who came before, no other income.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chainwarden.schema import ZERO_ADDRESS, FlowKind, Reason, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.known.prices import Prices
from detect.labels import LabelBook
from detect.rules.arrow_arrays import address_set
from detect.rules.columns import ColumnCache, Columns, within_transaction
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

_IN, _OUT, _OTHER = 0, 1, 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PonziConfig:
    """Thresholds, all of which must be met, and how much is remembered.

    ``investors`` at least; ``to_earlier`` the share of payouts that goes to them; ``income`` the
    most that may come from anybody else, as a share of what they paid; ``paid_back`` payouts over
    payments; ``top_share`` what the top tenth takes of the payouts; ``excess`` the share of the
    payouts that is more than its receiver ever paid in, which tells it from a vault; ``winners``
    the share of the investors that are paid at all, which tells it from a lottery. ``schemes``
    contracts are remembered, with the first ``members`` investors of each.
    """

    investors: int = 30
    to_earlier: float = 0.8
    income: float = 0.05
    paid_back: float = 0.8
    top_share: float = 0.5
    excess: float = 0.2
    winners: float = 0.25
    medium_dollars: float = 10_000.0
    high_dollars: float = 100_000.0
    schemes: int = 2_048
    members: int = 128
    prices: Prices = field(default_factory=Prices)


class _Scheme(NamedTuple):
    # Amounts are in units of the coin; a member is (wallet, paid in, got out).
    since: int
    investors: int = 0
    paid_in: float = 0.0
    paid_out: float = 0.0
    to_earlier: float = 0.0
    income: float = 0.0
    told: int = -1  # the severity that was said
    members: tuple[tuple[bytes, float, float], ...] = ()


class Ponzi(Journaled):
    """Finds contracts that pay early investors with the money of later ones.

    Low below 10,000 dollars paid in, medium from there on, high from 100,000. A payment counts as
    an investment where the payer gets nothing for it in the same transaction (no shares of a vault,
    no token of a pool), a payout where its receiver gives nothing.
    """

    id = "ponzi"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: PonziConfig | None = None
    ) -> None:
        self._config = config or PonziConfig()
        self._schemes = JournaledTable(self._config.schemes)  # contract + coin -> _Scheme
        super().__init__({"schemes": self._schemes})
        self._labels = labels
        self._cache = cache
        self._said_partial = False

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if not columns.flow_count or not len(columns.tx_block):
            return ()
        self._say_what_is_missing(columns)
        traced = _traced(columns)
        payments = self._payments(columns, traced)
        steps = [(*_place(columns, row), _IN, row) for row in payments]
        steps += self._movements(columns, payments, traced)
        findings = []
        for *_, kind, row in sorted(steps):
            if kind == _IN:
                self._invest(columns, row)
            elif kind == _OTHER:
                self._earn(columns, row)
            else:
                finding = self._pay(columns, row)
                if finding is not None:
                    findings.append(finding)
        return findings

    def _say_what_is_missing(self, columns: Columns) -> None:
        if not self._said_partial and not bool((columns.flow_kind == FlowKind.INTERNAL).any()):
            self._said_partial = True
            log.info("no call traces in view: ponzi is partial, ether paid out is not seen")

    # --- what may be an investment, a payout, or another income

    def _payments(self, columns: Columns, traced: Array) -> list[int]:
        likely = columns.flow_worth & columns.flow_signed
        likely &= columns.flow_kind != FlowKind.INTERNAL
        rows = np.flatnonzero(likely & ((columns.flow_coin > 0) | traced))
        tx = columns.flow_tx[rows]
        kept = rows[(columns.flow_to[rows] == columns.tx_to[tx]).all(axis=1)]
        return [row for row in kept.tolist() if self._is_investment(columns, row)]

    def _is_investment(self, columns: Columns, row: int) -> bool:
        flows, facts = columns.cells("flows"), columns.scored.flow_facts[row]
        wallet, contract = (flows[n][row] for n in ("from_address", "to_address"))
        token = flows["token_address"][row]
        if token is None and not facts["to_is_contract"]:
            return False
        for other in range(*columns.flows_of(int(columns.flow_tx[row]))):
            if other == row or not columns.flow_value[other]:
                continue
            if flows["to_address"][other] == wallet:
                return False  # got something for it
            if flows["token_address"][other] != token:
                return False  # a swap, a purchase, a deposit for shares
        time = flows["block_timestamp"][row]
        return not self._labels.is_service(contract, time, columns.batch.chain.name)

    def _movements(
        self, columns: Columns, payments: list[int], traced: Array
    ) -> list[tuple[int, int, int, int, int, int]]:
        flows = columns.cells("flows")
        contracts = {key[:20] for key in sorted(self._schemes.keys())}
        contracts |= {flows["to_address"][row] for row in payments}
        if not contracts:
            return []
        known, taken = address_set(contracts), set(payments)
        moved = columns.flow_moved & (columns.flow_tx >= 0)
        moved &= (columns.flow_coin > 0) | ((columns.flow_coin == 0) & traced)
        found = []
        for name, kind in (("from_address", _OUT), ("to_address", _OTHER)):
            rows = np.flatnonzero(moved & columns.members("flows", name, known))
            found += [(*_place(columns, r), kind, r) for r in rows.tolist() if r not in taken]
        return found

    # --- what it does to a scheme

    def _invest(self, columns: Columns, row: int) -> None:
        flows = columns.cells("flows")
        contract, wallet = (flows[n][row] for n in ("to_address", "from_address"))
        key = _key(columns, row, contract)
        before = self._schemes.get(key)
        time = flows["block_timestamp"][row]
        scheme = _Scheme(time) if before is None else _Scheme(*before)
        amount = float(columns.flow_value[row])
        members, place = list(scheme.members), _find(scheme, wallet)
        investors = scheme.investors
        if place is not None:
            members[place] = (wallet, members[place][1] + amount, members[place][2])
        else:
            investors += 1
            if len(members) < self._config.members:
                members.append((wallet, amount, 0.0))
        after = scheme._replace(
            investors=investors, paid_in=scheme.paid_in + amount, members=tuple(members)
        )
        self._schemes.put(_serial(columns, row), key, after)

    def _earn(self, columns: Columns, row: int) -> None:
        key = _key(columns, row, columns.cells("flows")["to_address"][row])
        before = self._schemes.get(key)
        if before is not None:
            scheme = _Scheme(*before)
            income = scheme.income + float(columns.flow_value[row])
            self._schemes.put(_serial(columns, row), key, scheme._replace(income=income))

    def _pay(self, columns: Columns, row: int) -> Finding | None:
        flows = columns.cells("flows")
        contract, wallet = (flows[n][row] for n in ("from_address", "to_address"))
        key = _key(columns, row, contract)
        before = self._schemes.get(key)
        if before is None:
            return None
        scheme, amount = _Scheme(*before), float(columns.flow_value[row])
        members, place = list(scheme.members), _find(scheme, wallet)
        earlier = scheme.to_earlier
        if place is not None and not _gives(columns, row, wallet):
            members[place] = (wallet, members[place][1], members[place][2] + amount)
            earlier += amount
        after = scheme._replace(
            paid_out=scheme.paid_out + amount, to_earlier=earlier, members=tuple(members)
        )
        found = self._judge(columns, row, contract, key[20:], after)
        if found is not None:
            after = after._replace(told=int(found.severity))
        self._schemes.put(_serial(columns, row), key, after)
        return found

    # --- the verdict

    def _judge(
        self, columns: Columns, row: int, contract: bytes, coin: bytes, scheme: _Scheme
    ) -> Finding | None:
        config = self._config
        if scheme.investors < config.investors or not scheme.paid_out:
            return None
        paid_back = scheme.paid_out / scheme.paid_in
        income = scheme.income / scheme.paid_in
        earlier = scheme.to_earlier / scheme.paid_out
        if paid_back < config.paid_back or income > config.income or earlier < config.to_earlier:
            return None
        outs = sorted((out for _, _, out in scheme.members), reverse=True)
        top = sum(outs[: max(1, len(outs) // 10)]) / scheme.paid_out
        winners = sum(out > 0 for out in outs) / len(outs)
        excess = sum(max(0.0, out - paid) for _, paid, out in scheme.members) / scheme.paid_out
        if top < config.top_share or winners < config.winners or excess < config.excess:
            return None
        token = None if coin == ZERO_ADDRESS else coin
        dollars = config.prices.worth(token, scheme.paid_in)
        severity, score = Severity.LOW, 0.4
        if dollars >= config.medium_dollars:
            severity, score = Severity.MEDIUM, 0.6
        if dollars >= config.high_dollars:
            severity, score = Severity.HIGH, 0.8
        if severity <= scheme.told:
            return None
        measures = (
            ("investors", float(scheme.investors), float(config.investors)),
            ("paid_back", paid_back, config.paid_back),
            ("to_earlier", earlier, config.to_earlier),
            ("top_tenth", top, config.top_share),
            ("beyond_own", excess, config.excess),
        )
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="ponzi",
            severity=severity,
            score=score,
            subject=contract,
            sentence=(
                f"{hex_of(contract)} took {amount_text(token, int(scheme.paid_in))} from "
                f"{scheme.investors} investors and paid {paid_back:.0%} of it to earlier ones, "
                f"{top:.0%} of that to a tenth of them; it has no other income."
            ),
            reasons=tuple(
                Reason(name, value, score / len(measures), limit) for name, value, limit in measures
            ),
            addresses=tuple(wallet for wallet, _, _ in scheme.members[:4]),
            amounts=((token, int(scheme.paid_in)), (token, int(scheme.paid_out))),
        )


def _traced(columns: Columns) -> Array:
    # Whether the block of each flow shows any internal call: else ether paid out is not seen.
    shown = np.zeros(len(columns.block_numbers), np.bool_)
    shown[columns.flow_row[columns.flow_kind == FlowKind.INTERNAL]] = True
    traced: Array = shown[columns.flow_row]
    return traced


def _place(columns: Columns, row: int) -> tuple[int, int, int, int]:
    within = within_transaction(int(columns.flow_ordinal[row]))
    return int(columns.flow_row[row]), int(columns.flow_tx_index[row]), *within


def _key(columns: Columns, row: int, contract: bytes) -> bytes:
    token = columns.cells("flows")["token_address"][row]
    return contract + (token or ZERO_ADDRESS)


def _serial(columns: Columns, row: int) -> int:
    return columns.first_serial + int(columns.flow_row[row])


def _find(scheme: _Scheme, wallet: bytes) -> int | None:
    for place, member in enumerate(scheme.members):
        if member[0] == wallet:
            return place
    return None


def _gives(columns: Columns, row: int, wallet: bytes) -> bool:
    # Whether the receiver of a payout gives a token for it in the same transaction.
    flows = columns.cells("flows")
    for other in range(*columns.flows_of(int(columns.flow_tx[row]))):
        if columns.flow_value[other] and flows["from_address"][other] == wallet:
            return True
    return False
