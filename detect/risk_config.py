"""What the wallet risk model may be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Final

from chainwarden.errors import DetectError
from detect.boosting import BoostingConfig
from detect.snapshot import digest_of

DIGEST_DIGITS: Final = 12

# What a champion and its challenger have in common: the same rows, with the same labels.
SHARED: Final = (
    "delay_seconds", "life_seconds", "capacity", "remembered", "wallets", "warm_up",
    "reference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReferenceConfig:
    """When copies are made, which rows are compared, and when an alarm is raised.

    A row counts where either risk reaches ``least``. ``allowance`` is how many log odds the two may
    be apart for good, ``limit`` what a sum of what is beyond it must reach.
    """

    every_seconds: int = 180 * 86_400
    warm_up: int = 200
    sample: int = 16
    least: float = 0.2
    allowance: float = 1.0
    limit: float = 30.0

    def __post_init__(self) -> None:
        if min(self.every_seconds, self.warm_up, self.sample) < 1:
            raise DetectError("a reference's age, warm-up and sample are positive")
        if min(self.allowance, self.limit) <= 0.0 or not 0.0 < self.least < 1.0:
            raise DetectError("allowance and limit are positive, the least risk is in (0, 1)")


@dataclass(frozen=True, slots=True)
class RiskConfig:
    """When labels come, how much waits for them at most, and how the model learns.

    A wallet is learnt from while it is no older than ``life_seconds``. There are no scores before
    ``warm_up`` bad rows are learnt. ``pairs`` is the weight of the bins and pairs beside the trees,
    ``stake_weight`` that of the log of the stake. ``prior`` is what AdaGrad's sums start from. A
    wallet whose risk first reaches ``alert`` is told of, and again at ``grave``. The last
    ``remembered`` rows that were learnt are learnt again where their label changes.
    """

    delay_seconds: int = 30 * 86_400
    life_seconds: int = 30 * 86_400
    capacity: int = 262_144
    remembered: int = 65_536
    wallets: int = 1 << 20
    rate: float = 0.01
    prior: float = 1.0
    warm_up: int = 20
    pairs: float = 0.5
    stake_weight: float = 1.0
    alert: float = 0.5
    grave: float = 0.9
    trees: BoostingConfig = field(default_factory=BoostingConfig)
    stake: BoostingConfig = field(
        default_factory=lambda: BoostingConfig(
            members=1, trees=200, every=512, common=16_384, rare=4_096
        )
    )

    reference: ReferenceConfig = field(default_factory=ReferenceConfig)

    def __post_init__(self) -> None:
        if min(self.delay_seconds, self.life_seconds, self.remembered) < 0:
            raise DetectError("label delay, life of a wallet and remembered rows are not negative")
        if min(self.capacity, self.warm_up) < 1:
            raise DetectError("the capacity and the warm-up are positive")
        if self.rate <= 0.0 or self.prior <= 0.0 or not 0.0 <= self.pairs <= 1.0:
            raise DetectError("rate and prior are positive, the weight of pairs is in [0, 1]")
        if self.stake_weight < 0.0 or not 0.0 < self.alert <= self.grave <= 1.0:
            raise DetectError(
                "0 < alert <= grave <= 1, and the weight of the stake is not negative"
            )

    @property
    def digest(self) -> str:
        """What the configuration is called: a digest of all that two models may differ in."""
        own = sorted((name, value) for name, value in asdict(self).items() if name not in SHARED)
        return digest_of(repr(own).encode())[:DIGEST_DIGITS]

    def shares_rows_with(self, other: RiskConfig) -> bool:
        """Whether both learn from the same rows at the same times."""
        return all(getattr(self, name) == getattr(other, name) for name in SHARED)
