"""What becomes of transactions that a fork took away: moved, replaced, or dropped."""

from __future__ import annotations

from typing import Any

from chainwarden.schema import Label, Role, Severity
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.double_spend import DoubleSpend, DoubleSpendConfig
from tests.detect.build import ETHER, Block, Build, Tx, run, split, uint, wallet, word

ALICE, SHOP, ELSE, EXCHANGE = wallet(1), wallet(2), wallet(3), wallet(4)
LABELS = LabelBook([Label(EXCHANGE, "exchange", "test")])


def pays(to: bytes, ether: float, nonce: int = 7, salt: int = 0) -> Tx:
    """A payment of Alice's."""
    return Tx(ALICE, to, int(ether * ETHER), nonce=nonce, salt=salt)


def sends(token: bytes, to: bytes, amount: int) -> Tx:
    """A token transfer of Alice's."""
    data = bytes.fromhex("a9059cbb") + word(to) + uint(amount)
    return Tx(ALICE, token, data=data, nonce=7)


class Chain:
    """A rule and the chain it is told of, with one block orphaned at its end."""

    def __init__(self, *orphaned: Tx, **config: Any) -> None:
        self.rule = DoubleSpend(LABELS, ColumnCache(), DoubleSpendConfig(**config))
        self.build = Build()
        run(self.rule, self.build.batch(Block()))
        mark = self.build.mark()
        run(self.rule, self.build.batch(Block(list(orphaned))))
        self.rule.revert(1)
        self.build.back(mark)

    def goes_on(self, *blocks: Block) -> list[tuple[str, int, Severity]]:
        """What is said of these blocks, in one batch: rule, serial, severity."""
        batch = self.build.batch(*blocks)
        found = run(self.rule, batch)
        return [(f.rule, batch.first_serial + f.block_row, f.severity) for f in found]

    @property
    def counts(self) -> dict[str, int]:
        """The outcomes so far."""
        return {k.partition("/")[2]: int(v) for k, v in self.rule.gauges().items()}


def empty(count: int) -> list[Block]:
    """Blocks of the new branch."""
    return [Block(fork=1) for _ in range(count)]


def test_a_payment_that_is_not_back_after_50_blocks_was_dropped() -> None:
    """It is told in the fiftieth block after the one it was in, once, and counted."""
    chain = Chain(pays(SHOP, 2))
    assert chain.goes_on(*empty(50)) == []
    assert chain.goes_on(*empty(5)) == [("dropped_by_reorg", 51, Severity.LOW)]
    assert chain.counts == {"dropped": 1}
    assert chain.goes_on(*empty(60)) == []


def test_how_bad_a_drop_is_depends_on_value_and_payee() -> None:
    """Small ones are only counted; large ones, and any to a service, are medium."""
    for tx, severity in (
        (pays(SHOP, 0.5), None),
        (pays(SHOP, 0), None),
        (pays(ALICE, 50), None),
        (pays(SHOP, 10), Severity.MEDIUM),
        (pays(EXCHANGE, 0.1), Severity.MEDIUM),
        (sends(USDT, SHOP, 100 * 10**6), None),
        (sends(USDT, SHOP, 5_000 * 10**6), Severity.LOW),
        (sends(USDC, SHOP, 90_000 * 10**6), Severity.MEDIUM),
    ):
        chain = Chain(tx)
        told = [found[2] for found in chain.goes_on(*empty(60))]
        assert told == ([] if severity is None else [severity])
        assert chain.counts == {"dropped": 1}


def test_every_orphan_has_one_outcome() -> None:
    """Moved, sped up, replaced and dropped are counted, each orphan once."""
    chain = Chain(*[pays(SHOP, 1, nonce=n) for n in range(4)])
    after = [pays(SHOP, 1, nonce=0), pays(SHOP, 1, nonce=1, salt=9), pays(ELSE, 1, nonce=2)]
    told = chain.goes_on(Block(after, fork=1), *empty(60))
    assert [rule for rule, _, _ in told] == ["double_spend", "dropped_by_reorg"]
    assert chain.counts == {"moved": 1, "sped_up": 1, "replaced": 1, "dropped": 1}


def test_back_in_the_last_block_is_moved_and_one_later_is_not() -> None:
    """The deadline is exact, in whatever batches the blocks come."""
    for late, outcome in ((49, "moved"), (50, "moved"), (51, "dropped")):
        for at_once in (True, False):
            chain = Chain(pays(SHOP, 2))
            # Serial 51 is the last block in which it may be back.
            blocks = [*empty(late), Block([pays(SHOP, 2)], fork=1), *empty(2)]
            batch = chain.build.batch(*blocks)
            for part in [batch] if at_once else split(batch):
                run(chain.rule, part)
            assert chain.counts == {outcome: 1}, (late, at_once)


def test_a_drop_is_told_again_when_its_block_is_reverted() -> None:
    """The telling goes with its block; the payment may still come back on the other branch."""
    for txs, expected in (([], ["dropped_by_reorg"]), ([pays(SHOP, 2)], [])):
        chain = Chain(pays(SHOP, 2))
        chain.goes_on(*empty(50))
        mark = chain.build.mark()
        assert len(chain.goes_on(*empty(1))) == 1
        copy = DoubleSpend(LABELS, ColumnCache())
        copy.restore(chain.rule.snapshot())
        assert copy.snapshot() == chain.rule.snapshot()
        for rule in (chain.rule, copy):
            rule.revert(51)
            chain.build.back(mark)
            found = run(rule, chain.build.batch(Block(txs, fork=2)))
            assert [f.rule for f in found] == expected


def test_nobody_is_robbed_by_a_payment_to_oneself() -> None:
    """A payment to oneself that is replaced, a cancellation, is no double spend."""
    chain = Chain(pays(ALICE, 5))
    assert chain.goes_on(Block([pays(ELSE, 5)], fork=1)) == []
    assert chain.counts == {"replaced": 1}


def test_tokens_are_weighed_in_ether() -> None:
    """A large token payment that was replaced is critical, as so much ether would be."""
    for dollars, severity in ((500, Severity.HIGH), (90_000, Severity.CRITICAL)):
        chain = Chain(sends(USDT, SHOP, dollars * 10**6))
        told = chain.goes_on(Block([sends(USDT, ELSE, dollars * 10**6)], fork=1))
        assert [found[2] for found in told] == [severity]


def test_a_nonce_that_is_used_for_good_is_forgotten() -> None:
    """Once the block that settled an orphan is final nothing of it is kept; a drop is."""
    chain = Chain(pays(SHOP, 2), pays(SHOP, 2, nonce=8))
    chain.goes_on(Block([pays(SHOP, 2)], fork=1), *empty(60))
    full = len(chain.rule.snapshot())
    chain.rule.forget(61)
    assert len(chain.rule.snapshot()) < full
    told = chain.goes_on(Block([pays(ELSE, 2), pays(ELSE, 2, nonce=8)], fork=1))
    assert told == [("double_spend", 62, Severity.HIGH)]  # later than any merchant waits, and news


def test_the_subject_of_a_drop_is_no_attacker() -> None:
    """A fork dropped it: the sender may be its victim."""
    chain = Chain(pays(SHOP, 2))
    (finding,) = run(chain.rule, chain.build.batch(*empty(60)))
    assert (finding.subject, finding.role) == (ALICE, Role.UNKNOWN)
    assert finding.transaction_hash == pays(SHOP, 2).hash()
    assert finding.evidence.amounts == ((None, 2 * ETHER),)
