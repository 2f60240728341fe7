"""Findings that rules build alike: where they say that something happened, and what shows it."""

from __future__ import annotations

from chainwarden.schema import Reason, Role, Severity
from detect.known.tokens import USDT
from detect.rules.columns import Columns
from detect.rules.rule import about_flow
from tests.detect.build import Block, Build, Tx, wallet


def test_a_finding_about_a_flow_is_where_the_flow_is() -> None:
    """Each flow's own block, transaction and ordinal; a withdrawal has no transaction to show."""
    transfers = [(USDT, wallet(1), wallet(2), 5), (USDT, wallet(1), wallet(3), 6)]
    txs = [Tx(wallet(1), wallet(2)), Tx(wallet(1), USDT, tokens=transfers)]
    columns = Columns(Build().batch(Block(), Block(txs, withdrawals=[(wallet(4), 1)])))
    rows = columns.batch.flows.to_pylist()
    assert {row["ordinal"] for row in rows} > {0, 1}
    for number, row in enumerate(rows):
        found = about_flow(
            columns, number, rule="one", rule_version=3, typology="two", severity=Severity.HIGH,
            score=0.5, subject=wallet(1), sentence="Said.", reasons=(Reason("why", 1.0, 0.5),),
            addresses=(wallet(2),), amounts=((USDT, 5),),
        )  # fmt: skip
        index = row["transaction_index"]
        assert found.block_row == 1
        assert found.transaction_index == index or index is None
        assert (found.transaction_hash, found.ordinal) == (row["transaction_hash"], row["ordinal"])
        shown = () if index is None else (row["transaction_hash"],)
        assert (found.evidence.transactions, found.role) == (shown, Role.ATTACKER)
        assert (found.evidence.addresses, found.evidence.amounts) == ((wallet(2),), ((USDT, 5),))
