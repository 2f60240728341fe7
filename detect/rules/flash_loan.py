"""Flash-loan exploits: somebody borrows for the length of a transaction and leaves with more.

Per transaction with a loan, what its maker's cluster gained: the signer, what it called, who got
the loan, and contracts the signer created within a day, in ether and listed tokens at rough prices.
Thresholds follow Forta's bot: more than 1.3 % of the loan and 100,000 dollars, or 200,000, is high.
Ether that contracts pay is seen only where call traces are given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chainwarden.schema import Evidence, FlowKind, Reason, Role, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.known.flash_loans import LIQUIDATION
from detect.known.mixers import TORNADO_POOLS, TORNADO_WITHDRAWAL
from detect.known.prices import Prices
from detect.known.services import SERVICE_ADDRESSES
from detect.known.tokens import VALUE_TOKENS, WETH
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.loan_events import Loan, loans_by_transaction
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

CREATIONS_KEPT: Final = 8  # contracts of one creator
LOANS_TOLD: Final = 4
_ZERO: Final = bytes(20)
_CREATED, _FUNDED, _LENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class FlashLoanConfig:
    """Thresholds in dollars and shares, and how much is remembered.

    ``info_dollars``: less is not worth a word. ``high_share`` of the loan with ``high_dollars``, or
    ``higher_dollars`` alone, are high, critical where the contract is younger than
    ``fresh_seconds`` or its maker was paid by a mixer. ``liquidation_share``: what a liquidator may
    gain of a loan. ``drained_*``: a victim that has at most so little left of so much. ``mev_*``: a
    transaction of that shape is an arbitrage. ``creators``, ``funded``: rows kept.
    """

    info_dollars: float = 1_000.0
    high_share: float = 0.013
    high_dollars: float = 100_000.0
    higher_dollars: float = 200_000.0
    liquidation_share: float = 0.2
    drained_left: float = 0.01
    drained_dollars: float = 10_000.0
    fresh_seconds: int = 86_400
    mev_transfers: int = 12
    mev_tokens: int = 4
    mev_contracts: int = 4
    trusted_nonce: int = 500
    trusted_seconds: int = 90 * 86_400
    trusted_contract_seconds: int = 30 * 86_400
    creators: int = 16_384
    funded: int = 8_192
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True)
class _Balance:
    # What a transaction did to balances: dollars by account, exact amounts by account and coin.
    gains: dict[bytes, dict[bytes | None, int]]
    redeemed: set[bytes]  # accounts that burnt or gave up tokens without a price
    transfers: int
    tokens: int
    contracts: int


class FlashLoanExploit(Journaled):
    """Finds what flash loans earned: high and critical where it looks like a theft, else info.

    Silent where the transaction has the shape of an arbitrage, is a liquidation, closes a position
    (tokens without a price were given for what came out), or its maker has a reputation or is a
    known bot; unless the gain is high and its contract is fresh, a mixer paid its maker, or a node
    says that the victim was drained.
    """

    id = "flash_loan"
    version = 1
    confirms = "what is left of the victim's balance"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: FlashLoanConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or FlashLoanConfig()
        self._creators = JournaledTable(self._config.creators)  # -> ((contract, time), …)
        self._funded = JournaledTable(self._config.funded)  # paid by a mixer -> (time,)
        super().__init__({"creators": self._creators, "funded": self._funded})
        self._labels = labels
        self._cache = cache
        self._node = node

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        loans = loans_by_transaction(columns)
        steps = [(tx, _LENT, tx) for tx in loans]
        steps += self._creations(columns)
        paid = columns.logs_with([TORNADO_WITHDRAWAL]).tolist()
        steps += [(_log_tx(columns, row), _FUNDED, row) for row in paid]
        findings = []
        for tx, kind, row in sorted(steps):
            if tx < 0 or columns.tx_status[tx] == 0:
                continue
            if kind == _CREATED:
                self._create(columns, tx, row)
            elif kind == _FUNDED:
                self._fund(columns, tx, row)
            else:
                finding = self._judge(columns, tx, loans[tx])
                if finding is not None:
                    findings.append(finding)
        return findings

    # --- what is remembered

    def _creations(self, columns: Columns) -> list[tuple[int, int, int]]:
        if not columns.batch.creations.num_rows:
            return []
        return [(tx, _CREATED, row) for row, tx in enumerate(columns.creation_tx.tolist())]

    def _create(self, columns: Columns, tx: int, row: int) -> None:
        creator = columns.cells("transactions")["from_address"][tx]
        contract = columns.cells("creations")["contract_address"][row]
        time = columns.cells("creations")["block_timestamp"][row]
        kept = (self._creators.get(creator) or ())[-CREATIONS_KEPT + 1 :]
        self._creators.put(_serial(columns, tx), creator, (*kept, (contract, time)))

    def _fund(self, columns: Columns, tx: int, row: int) -> None:
        logs = columns.cells("logs")
        data = logs["data"][row]
        if logs["address"][row] in TORNADO_POOLS and len(data) >= 32:
            time = logs["block_timestamp"][row]
            self._funded.put(_serial(columns, tx), data[12:32], (time,))

    # --- one transaction

    def _judge(self, columns: Columns, tx: int, loans: list[Loan]) -> Finding | None:
        transactions, config = columns.cells("transactions"), self._config
        signer, target = (transactions[n][tx] for n in ("from_address", "to_address"))
        time = transactions["block_timestamp"][tx]
        recent = {
            contract
            for contract, born in self._creators.get(signer) or ()
            if time - born <= config.fresh_seconds
        }
        lenders = {loan.lender for loan in loans}
        cluster = {signer, *recent, *(loan.receiver for loan in loans)}
        cluster |= {a for a in (target, transactions["contract_address"][tx]) if a}
        cluster -= lenders
        cluster -= {a for a in cluster - {signer} if self._is_service(columns, a, time)}
        balance = _balance(columns, tx)
        amounts = _sum(balance.gains, cluster)
        profit = sum(config.prices.worth(coin, float(n)) for coin, n in amounts.items())
        loan = sum(config.prices.worth(each.token, float(each.amount)) for each in loans)
        if profit < config.info_dollars:
            return None
        fresh = target is None or target in recent
        mixed = signer in self._funded
        victim, lost = self._victim(balance, cluster | lenders)
        left = self._left(columns, tx, victim, balance)
        innocent = self._innocence(columns, tx, balance, cluster, profit, loan)
        large = profit > config.higher_dollars or (
            profit > config.high_dollars and profit > config.high_share * loan
        )
        drained = left is not None and left <= config.drained_left and lost > config.drained_dollars
        if large and (fresh or mixed):
            severity, score = Severity.CRITICAL, 0.95
        elif large and (not innocent or drained):
            severity, score = Severity.HIGH, 0.8
        elif innocent:
            return None
        else:
            severity, score = (Severity.MEDIUM, 0.6) if drained else (Severity.INFO, 0.2)
        return self._finding(
            columns, tx, loans, victim, severity, score,
            (("profit_dollars", profit, config.high_dollars),
             ("share_of_loan", profit / loan if loan else 0.0, config.high_share),
             ("fresh_contract", float(fresh), 1.0),
             ("paid_by_mixer", float(mixed), 1.0),
             ("victim_left", -1.0 if left is None else left, config.drained_left)),
            amounts,
        )  # fmt: skip

    def _is_service(self, columns: Columns, account: bytes, time: int) -> bool:
        if account in SERVICE_ADDRESSES:
            return True
        return self._labels.is_service(account, time, columns.batch.chain.name)

    def _innocence(
        self,
        columns: Columns,
        tx: int,
        balance: _Balance,
        cluster: set[bytes],
        profit: float,
        loan: float,
    ) -> bool:
        # Whether something else explains the gain.
        config, transactions = self._config, columns.cells("transactions")
        facts = columns.facts_of(tx)
        time = transactions["block_timestamp"][tx]
        if (
            balance.transfers >= config.mev_transfers
            and balance.tokens >= config.mev_tokens
            and balance.contracts >= config.mev_contracts
        ):
            return True  # the shape of an arbitrage
        if _has_log(columns, tx, LIQUIDATION) and profit <= config.liquidation_share * loan:
            return True
        if balance.redeemed & cluster:
            return True
        age, known = (max(0, time - int(facts[f"{side}_first_seen"])) for side in ("from", "to"))
        if facts["from_nonce"] >= config.trusted_nonce and age >= config.trusted_seconds:
            return True
        if facts["to_is_contract"] and known >= config.trusted_contract_seconds:
            return True
        names = (transactions[n][tx] for n in ("from_address", "to_address"))
        chain = columns.batch.chain.name
        words = {w.label for a in names if a for w in self._labels.labels_at(a, time, chain)}
        return bool(words & {"bot", "mev"})

    def _victim(self, balance: _Balance, others: set[bytes]) -> tuple[bytes | None, float]:
        losses = {
            account: -sum(self._config.prices.worth(coin, float(n)) for coin, n in coins.items())
            for account, coins in balance.gains.items()
            if account not in others and account != _ZERO
        }
        if not losses:
            return None, 0.0
        victim = max(losses, key=lambda account: (losses[account], account))
        return (victim, losses[victim]) if losses[victim] > 0 else (None, 0.0)

    def _left(
        self, columns: Columns, tx: int, victim: bytes | None, balance: _Balance
    ) -> float | None:
        # The share of what it lost most of that the victim still has, as a node tells.
        if victim is None:
            return None
        price = self._config.prices.worth
        coins = balance.gains[victim]
        coin = min(coins, key=lambda c: (price(c, float(coins[c])), c or b""))
        at = columns.batch.position(columns.row_of_block(int(columns.tx_block[tx])))
        if coin is None:  # ether and wrapped ether are told as one: pools hold the wrapped one
            left = self._node.token_balance_at(WETH, victim, at)
        else:
            left = self._node.token_balance_at(coin, victim, at)
        lost = -coins[coin]
        return None if left is None or lost <= 0 else left / (left + lost)

    def _finding(
        self,
        columns: Columns,
        tx: int,
        loans: list[Loan],
        victim: bytes | None,
        severity: Severity,
        score: float,
        measures: tuple[tuple[str, float, float], ...],
        amounts: dict[bytes | None, int],
    ) -> Finding:
        transactions = columns.cells("transactions")
        signer, target = (transactions[n][tx] for n in ("from_address", "to_address"))
        tx_hash = transactions["transaction_hash"][tx]
        most = max(loans, key=lambda each: self._config.prices.worth(each.token, each.amount))
        from_whom = "" if victim is None else f", most of it from {hex_of(victim)}"
        profit = measures[0][1]
        gained = sorted((c or b"", n) for c, n in amounts.items() if n > 0)
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="flash_loan",
            severity=severity,
            score=score,
            subject=signer,
            role=Role.ATTACKER,
            block_row=columns.row_of_block(int(columns.tx_block[tx])),
            transaction_index=int(columns.tx_index[tx]),
            transaction_hash=tx_hash,
            ordinal=0,
            sentence=(
                f"{hex_of(signer)} borrowed {amount_text(most.token, most.amount)} from "
                f"{hex_of(most.lender)} within a transaction and gained about "
                f"${profit:,.0f}{from_whom}."
            ),
            reasons=tuple(
                Reason(name, value, score / len(measures), limit) for name, value, limit in measures
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,),
                addresses=tuple(
                    dict.fromkeys(
                        a for a in (victim, target, *(x.lender for x in loans[:LOANS_TOLD])) if a
                    )
                ),
                amounts=tuple((c or None, n) for c, n in gained[:LOANS_TOLD]),
            ),
        )


def _balance(columns: Columns, tx: int) -> _Balance:
    # Ether and wrapped ether are one coin (None): wrapping moves nothing.
    flows = columns.cells("flows")
    gains: dict[bytes, dict[bytes | None, int]] = defaultdict(lambda: defaultdict(int))
    unpriced: dict[tuple[bytes, bytes], int] = defaultdict(int)
    transfers, tokens, contracts = 0, set(), set()
    for row in range(*columns.flows_of(tx)):
        kind, token = int(columns.flow_kind[row]), flows["token_address"][row]
        giver, taker = flows["from_address"][row], flows["to_address"][row]
        amount = columns.amount(row)
        if token is None:
            if amount and WETH not in (giver, taker):
                gains[giver][None] -= amount
                gains[taker][None] += amount
            continue
        transfers += 1
        tokens.add(token)
        contracts |= {giver, taker}
        if kind == FlowKind.ERC20 and token in VALUE_TOKENS:
            coin = None if token == WETH else token
            gains[giver][coin] -= amount
            gains[taker][coin] += amount
        else:
            unpriced[giver, token] -= amount
            unpriced[taker, token] += amount
    redeemed = {account for (account, _), amount in unpriced.items() if amount < 0}
    return _Balance(gains, redeemed, transfers, len(tokens), len(contracts))


def _sum(
    gains: dict[bytes, dict[bytes | None, int]], cluster: set[bytes]
) -> dict[bytes | None, int]:
    total: dict[bytes | None, int] = defaultdict(int)
    for account in cluster & gains.keys():
        for coin, amount in gains[account].items():
            total[coin] += amount
    return total


def _has_log(columns: Columns, tx: int, topic: bytes) -> bool:
    rows = columns.logs_with([topic]).tolist()
    return any(_log_tx(columns, row) == tx for row in rows)


def _log_tx(columns: Columns, row: int) -> int:
    logs = columns.cells("logs")
    return columns.tx_row(logs["block_number"][row], logs["transaction_index"][row])


def _serial(columns: Columns, tx: int) -> int:
    return columns.first_serial + columns.row_of_block(int(columns.tx_block[tx]))
