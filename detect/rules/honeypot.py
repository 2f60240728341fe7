"""Honeypots: tokens that can be bought and not sold, or only at a ruinous tax.

Three tells: many buyers and after half an hour not one seller who is no insider; sales that fail,
of many senders, while hardly any succeeds; and the tax that sales are seen to pay. What happens in
the first half hour does not count: launches delay trading and tax bots in their first minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chainwarden.schema import Severity, hex_of
from detect.known.calls import TRANSFER
from detect.known.prices import Prices
from detect.rules.launches import PREFIX, Launch, Token
from detect.rules.node import NodeCalls
from detect.rules.rule import Finding
from detect.rules.verdict import Place, Verdict

NO_SELLERS, FAILING, TAXED, UNSELLABLE = 32, 64, 128, 256
"""The bits of ``Launch.told``."""

HONEYPOT: Final = "honeypot"
_LEVELS: Final = {
    0: (Severity.INFO, 0.2),
    1: (Severity.LOW, 0.4),
    2: (Severity.MEDIUM, 0.6),
    3: (Severity.HIGH, 0.8),
    4: (Severity.HIGH, 0.9),  # nobody is robbed of more than what he paid in
}
_SHOWN: Final = {
    False: ", and a call as one of them shows that it cannot be sold",
    True: ", but a call as one of them shows that the pool would take it",
}


@dataclass(frozen=True, slots=True)
class HoneypotConfig:
    """Thresholds: ``buyers`` without a seller, ``failing`` senders with so few successes, taxes.

    A tax above ``tax_high`` is told from ``taxed`` measured sales on, above ``tax_unsellable`` it
    is a honeypot. From ``loss_dollars`` of buyers' money on a honeypot is high, below it low.
    """

    buyers: int = 20
    quiet_seconds: int = 1_800
    failing: int = 5
    success: float = 0.05
    taxed: int = 3
    tax_high: float = 0.10
    tax_unsellable: float = 0.50
    loss_dollars: float = 10_000.0


def judge_sales(
    config: HoneypotConfig,
    prices: Prices,
    place: Place,
    launch: Launch,
    token: Token,
    failing: bool = False,
    sellable: bool | None = None,
) -> tuple[Finding | None, Launch]:
    """Many have bought and nobody outside has sold; or ``failing``: those who try to sell fail.

    ``sellable`` is what ``can_sell`` says: a token that cannot be sold is worse by a step, one of
    which the pool takes a holder's transfer milder by one.
    """
    buyers, senders = len(launch.buyers) // PREFIX, len(token.failed) // PREFIX
    bit = FAILING if failing else NO_SELLERS
    if launch.told & bit:
        return None, launch
    paid = launch.dollars(prices, launch.paid_in)
    reasons: tuple[tuple[str, float, float | None], ...]
    if failing:
        success = token.sales / (token.sales + token.failures)
        if senders < config.failing or success >= config.success:
            return None, launch
        text = f"Sales of {hex_of(launch.token)} by {senders} wallets failed, {success:.0%} succeed"
        reasons = (
            ("failing_sellers", float(senders), float(config.failing)),
            ("success_share", success, config.success),
        )
    else:
        # Few who bought little may all have had no reason to sell yet; one who tried tells more.
        if paid < config.loss_dollars and not senders:
            return None, launch
        text = f"{buyers} wallets or more bought {hex_of(launch.token)} and no outsider ever sold"
        reasons = (
            ("buyers", float(buyers), float(config.buyers)),
            ("sellers", 0.0, 0.0),
        )
    loss = ("victims_dollars", paid, config.loss_dollars)
    level = (3 if paid >= config.loss_dollars else 1) + {None: 0, False: 1, True: -1}[sellable]
    shown = "" if sellable is None else _SHOWN[sellable]
    if sellable is not None:
        reasons = (*reasons, ("holder_can_sell", float(sellable), 0.0))
    severity, score = _LEVELS[level]
    found = Verdict(
        HONEYPOT,
        severity,
        score,
        launch.token,
        f"{text}; they paid about ${paid:,.0f}{shown}.",
        (*reasons, loss),
        addresses=(token.deployer, launch.adder),
    ).finding(place)
    return found, launch._replace(told=launch.told | bit)


def can_sell(
    node: NodeCalls, place: Place, token: bytes, pool: bytes, holder: bytes
) -> bool | None:
    """Whether a holder could move all it has of a token into its pool, as a sale would.

    A call that changes nothing, as the holder, about the state after the block. None where no node
    tells, the holder has nothing (any more), or the pool is no contract of its own (V4).
    """
    if len(pool) != 20 or len(holder) != 20:
        return None
    at = place.columns.batch.position(place.block_row)
    balance = node.token_balance_at(token, holder, at)
    if not balance:
        return None
    words = pool.rjust(32, b"\0") + balance.to_bytes(32, "big")
    said = node.call(token, TRANSFER.to_bytes(4, "big") + words, at, sender=holder)
    if said is None:
        return None
    # Some tokens return nothing; false is a refusal as good as a revert.
    return said[0] and (not said[1] or any(said[1]))


def judge_tax(
    config: HoneypotConfig, prices: Prices, place: Place, launch: Launch
) -> tuple[Finding | None, Launch]:
    """Of what sellers give the pool gets so much less."""
    if launch.taxed < config.taxed or launch.tax <= config.tax_high:
        return None, launch
    closed = launch.tax > config.tax_unsellable
    bit = UNSELLABLE if closed else TAXED
    if launch.told & (bit | UNSELLABLE):
        return None, launch
    paid = launch.dollars(prices, launch.paid_in)
    large = paid >= config.loss_dollars
    severity = (Severity.HIGH if large else Severity.LOW) if closed else Severity.LOW
    severity = severity if closed or large else Severity.INFO
    score = {Severity.HIGH: 0.8, Severity.LOW: 0.4, Severity.INFO: 0.2}[severity]
    found = Verdict(
        HONEYPOT,
        severity,
        score,
        launch.token,
        f"Sales of {hex_of(launch.token)} lose {launch.tax:.0%} to its own tax, half an hour after "
        f"the launch and later; buyers paid about ${paid:,.0f}.",
        (
            ("sell_tax", launch.tax, config.tax_unsellable if closed else config.tax_high),
            ("victims_dollars", paid, config.loss_dollars),
        ),
        addresses=(launch.adder,),
    ).finding(place)
    return found, launch._replace(told=launch.told | bit)
