"""Playing an attack on a real development node: what can be played, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chainwarden.errors import SettingsError
from ingest.recursion import kept_recursion_limit

PLAYABLE: Final = ("native_claim", "ice_phishing", "phishing_wallet")
"""The campaigns that can be played, by typology."""


@dataclass(frozen=True, slots=True)
class Played:
    """What was played: ``0x…`` addresses by role, and the hashes of what was sent, in order.

    ``transactions`` belong to the attack, ``benign`` do not. All of them are in blocks from
    ``first_block`` to ``last_block``, and succeeded.
    """

    campaign: str
    addresses: dict[str, tuple[str, ...]]
    transactions: tuple[str, ...]
    benign: tuple[str, ...]
    first_block: int
    last_block: int


def play(url: str, campaign: str, seed: int, pace_seconds: float) -> Played:
    """Play ``campaign`` on the development node at ``url`` (HTTP), such as anvil.

    One of ``PLAYABLE``. Attackers and victims are fresh accounts, the same for a seed on a new
    chain; the node's own unlocked accounts fund them and make the innocent traffic. There is a
    pause of ``pace_seconds`` after each transaction, and each is mined before the next is sent.
    Raises SettingsError for a campaign that cannot be played, and EndpointError where the node
    does not answer, refuses, or has no unlocked accounts.
    """
    if campaign not in PLAYABLE:
        raise SettingsError(
            f"{campaign} cannot be played on a node", hint=f"there are {', '.join(PLAYABLE)}"
        )
    # web3 takes most of a second to import, and those who only simulate do not need it.
    with kept_recursion_limit():
        from ingest.simulate.player import play_on

    return play_on(url, campaign, seed, pace_seconds)
