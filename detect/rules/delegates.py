"""What is remembered of an EIP-7702 delegate, and when it looks like a sweeper's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

SINKS: Final = 4  # receivers of what leaves the authorities that are told apart


@dataclass(frozen=True, slots=True)
class SweeperConfig:
    """Thresholds, and how much is remembered.

    ``authorities``: a delegate of fewer is nobody's business; a clone of a known sweeper is from
    ``clone_authorities`` on. ``sponsored``: share of authorizations that somebody else submitted.
    ``sweeps`` of income within ``blocks`` make a pattern where ``sink_share`` of them went to at
    most ``sinks`` receivers. ``valuable``: a sweep of that share of a large theft is told itself.
    Ether that arrives with ``forward_gas`` more than its transfer costs was passed on by the
    account's code: a call with value costs that much; ``forwards`` of them make a suspect.
    """

    authorities_low: int = 10
    clone_authorities: int = 3
    sponsored: float = 0.9
    sweeps: int = 5
    blocks: int = 1
    sinks: int = 3
    sink_share: float = 0.9
    valuable: float = 0.01
    forward_gas: int = 9_000
    forwards: int = 5
    delegates: int = 65_536
    authorities: int = 131_072


@dataclass(frozen=True, slots=True)
class Delegate:
    """The record of one delegate. ``authorities`` counts wallets, ``signed`` authorizations.

    ``sinks`` are the receivers of the sweeps with how often, most first; ``swept`` counts all.
    ``told`` is how loud it was told of: 0 is not. ``forwarded`` counts ether that was passed on
    within the transaction that brought it, to whom only call traces tell.
    """

    since: int
    signed: int = 0
    sponsored: int = 0
    authorities: int = 0
    swept: int = 0
    sinks: tuple[tuple[bytes, int], ...] = ()
    told: int = 0
    forwarded: int = 0

    def row(self) -> tuple[Any, ...]:
        """As a table keeps it."""
        return (
            self.since,
            self.signed,
            self.sponsored,
            self.authorities,
            self.swept,
            self.sinks,
            self.told,
            self.forwarded,
        )

    def sign(self, *, sponsored: bool, new: bool) -> Delegate:
        """With one more authorization."""
        return replace(
            self,
            signed=self.signed + 1,
            sponsored=self.sponsored + sponsored,
            authorities=self.authorities + new,
        )

    def sweep(self, sink: bytes) -> Delegate:
        """With one more sweep. A new receiver takes the place of the rarest one, and its count.

        That is SpaceSaving (Metwally, Agrawal and El Abbadi, 2005): counts are never too low.
        """
        counts = dict(self.sinks)
        if sink not in counts and len(counts) >= SINKS:
            rarest = min(counts, key=lambda who: (counts[who], who))
            counts[sink] = counts.pop(rarest)
        counts[sink] = counts.get(sink, 0) + 1
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return replace(self, swept=self.swept + 1, sinks=tuple(ranked))

    def is_sponsored(self, config: SweeperConfig) -> bool:
        """Whether nearly all authorizations were submitted by somebody else."""
        return self.sponsored >= config.sponsored * self.signed

    def sink_share(self, config: SweeperConfig) -> float:
        """The share of the sweeps that the main receivers took at most; 0 without sweeps."""
        main = sum(count for _, count in self.sinks[: config.sinks])
        return min(1.0, main / self.swept) if self.swept else 0.0

    def sweeps(self, config: SweeperConfig) -> bool:
        """Whether it moves the income of many authorities on to a few receivers."""
        return (
            self.authorities >= config.authorities_low
            and self.is_sponsored(config)
            and self.swept >= config.sweeps
            and self.sink_share(config) >= config.sink_share
        )

    def forwards(self, config: SweeperConfig) -> bool:
        """Whether it passes on the ether of many sponsored authorities as it arrives."""
        return (
            self.authorities >= config.authorities_low
            and self.is_sponsored(config)
            and self.forwarded >= config.forwards
        )

    def is_suspect(self, config: SweeperConfig) -> bool:
        """Whether the first sweeps of many sponsored authorities all went to one receiver.

        That somebody else submitted the authorizations means nothing alone: wallets do that for
        their users, who then pay whom they like.
        """
        return (
            self.authorities >= config.authorities_low
            and self.is_sponsored(config)
            and self.swept >= 2
            and self.sinks[0][1] == self.swept
        )
