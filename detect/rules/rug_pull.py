"""Rug pulls: those who made a token take out what others have paid in.

Four ways: (a) one transaction takes 90 % of the liquidity, (b) supply is minted after the launch,
or sold that nobody saw minted, (c) insiders sell half of the pool within an hour, (d) a call that
only an owner may make succeeds after the ownership was renounced. Insiders are the deployer, the
first to give liquidity, whoever got the first supply, and wallets that one of these funded first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from chainwarden.schema import ZERO_ADDRESS, Severity, hex_of
from detect.known.pools import SWITCHES
from detect.known.prices import Prices
from detect.rules.launches import Launch
from detect.rules.rule import Finding
from detect.rules.verdict import Place, Verdict
from detect.rules.words import amount_text

DUMPED, MINTED, UNSEEN, SWITCHED, PULLED = 1, 2, 4, 8, 16
"""The bits of ``Launch.told``."""

RUG_PULL: Final = "rug_pull"


@dataclass(frozen=True, slots=True)
class RugPullConfig:
    """Thresholds. From ``loss_dollars`` of outsiders' money on it is high, ten times that critical.

    Below, and where the pool never held ``tiny_dollars``, it is info, and nothing where others have
    lost less than ``least_dollars``. ``removed_share`` and ``dumped_share`` are shares of the
    coin's reserve, ``mint_share`` of the supply.
    """

    removed_share: float = 0.9
    mint_share: float = 0.05
    dumped_share: float = 0.5
    dump_seconds: int = 3_600
    migration_seconds: int = 3_600
    loss_dollars: float = 10_000.0
    tiny_dollars: float = 2_500.0
    least_dollars: float = 500.0


class Pull(NamedTuple):
    """Liquidity taken out by an insider that may yet turn out to be a migration."""

    due: int
    puller: bytes
    share: float
    amount: float
    dollars: float
    tx: bytes
    ordinal: int


def judge_pull(
    config: RugPullConfig,
    prices: Prices,
    place: Place,
    launch: Launch,
    pool: bytes,
    pull: Pull,
    moved: bool,
) -> Finding | None:
    """(a) The liquidity is gone: its money moved on (``moved``), or it did not come back."""
    loss = launch.loss(prices)
    if loss < config.least_dollars:
        return None
    severity, score = _grade(config, prices, launch, loss)
    ending = "and passed it on" if moved else "and put nothing back within the hour"
    return Verdict(
        RUG_PULL,
        severity,
        score,
        pull.puller,
        f"{hex_of(pull.puller)} took {pull.share:.0%} of the liquidity of {hex_of(launch.token)}, "
        f"{_coins(launch, pull.amount)}, {ending}; others lost about ${loss:,.0f}.",
        (
            ("removed_share", pull.share, config.removed_share),
            ("victims_dollars", loss, config.loss_dollars),
        ),
        (pull.tx,),
        (launch.token, pool),
        ((_coin(launch), int(pull.amount)),),
    ).finding(place, told_of=pull.tx)


def judge_dump(
    config: RugPullConfig, prices: Prices, place: Place, launch: Launch
) -> tuple[Finding | None, Launch]:
    """(c) Insiders have sold for half of what the pool held, within an hour."""
    share = launch.window_sold / launch.window_reserve if launch.window_reserve > 0 else 0.0
    if share < config.dumped_share or launch.told & DUMPED:
        return None, launch
    loss = launch.loss(prices)
    if loss < config.least_dollars:
        return None, launch
    severity, score = _grade(config, prices, launch, loss)
    found = Verdict(
        RUG_PULL,
        severity,
        score,
        place.signer,
        f"{hex_of(place.signer)} and those with it sold {hex_of(launch.token)} for "
        f"{_coins(launch, launch.window_sold)} within an hour, {share:.0%} of what its pool held; "
        f"others lost about ${loss:,.0f}.",
        (
            ("dumped_share", share, config.dumped_share),
            ("victims_dollars", loss, config.loss_dollars),
        ),
        addresses=(launch.token,),
        amounts=((_coin(launch), int(launch.window_sold)),),
    ).finding(place)
    return found, launch._replace(told=launch.told | DUMPED)


def judge_mint(
    config: RugPullConfig, prices: Prices, place: Place, launch: Launch, share: float
) -> Finding | None:
    """(b) An insider minted after the launch: medium, since what counts is whether it sells."""
    loss = launch.loss(prices)
    if loss < config.least_dollars:
        return None
    severity, score = _grade(config, prices, launch, loss)
    severity = min(severity, Severity.MEDIUM)
    return Verdict(
        RUG_PULL,
        severity,
        min(score, 0.6),
        place.signer,
        f"{hex_of(place.signer)} minted {share:.0%} more of {hex_of(launch.token)} after its "
        f"launch; others have ${loss:,.0f} in its pool.",
        (
            ("minted_share", share, config.mint_share),
            ("victims_dollars", loss, config.loss_dollars),
        ),
        addresses=(launch.token,),
    ).finding(place)


def judge_unseen_supply(
    config: RugPullConfig, prices: Prices, place: Place, launch: Launch, supply: float
) -> tuple[Finding | None, Launch]:
    """(b) The pool holds more of the token than was ever minted: supply that no log tells of."""
    if not supply or launch.token_reserve <= 1.01 * supply or launch.told & UNSEEN:
        return None, launch
    loss = launch.loss(prices)
    if loss < config.least_dollars:
        return None, launch
    severity, score = _grade(config, prices, launch, loss)
    share = launch.token_reserve / supply
    found = Verdict(
        RUG_PULL,
        severity,
        score,
        place.signer,
        f"{hex_of(place.signer)} sold {hex_of(launch.token)} until its pool held {share:.0%} of "
        f"all that was ever minted; others lost about ${loss:,.0f}.",
        (("supply_in_pool", share, 1.0), ("victims_dollars", loss, config.loss_dollars)),
        addresses=(launch.token,),
    ).finding(place)
    return found, launch._replace(told=launch.told | UNSEEN)


def judge_switch(
    config: RugPullConfig, prices: Prices, place: Place, launch: Launch, selector: int
) -> Finding | None:
    """(d) An owner's call succeeded though there is no owner any more: medium at most."""
    loss = launch.loss(prices)
    if loss < config.least_dollars:
        return None
    severity, score = _grade(config, prices, launch, loss)
    severity = min(severity, Severity.MEDIUM)
    return Verdict(
        RUG_PULL,
        severity,
        min(score, 0.6),
        place.signer,
        f"{hex_of(place.signer)} called {SWITCHES[selector]} of {hex_of(launch.token)} with "
        f"success after its ownership was renounced; others have ${loss:,.0f} in its pool.",
        (("after_renouncing", 1.0, 1.0), ("victims_dollars", loss, config.loss_dollars)),
        addresses=(launch.token,),
    ).finding(place)


def _grade(
    config: RugPullConfig, prices: Prices, launch: Launch, loss: float
) -> tuple[Severity, float]:
    tiny = launch.dollars(prices, launch.peak) < config.tiny_dollars
    if tiny or loss < config.loss_dollars:
        return Severity.INFO, 0.3
    if loss < 10 * config.loss_dollars:
        return Severity.HIGH, 0.8
    return Severity.CRITICAL, 0.95


def _coin(launch: Launch) -> bytes | None:
    return None if launch.coin == ZERO_ADDRESS else launch.coin


def _coins(launch: Launch, amount: float) -> str:
    return amount_text(_coin(launch), int(amount))
