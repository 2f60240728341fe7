"""What a detector is made of: bounds, models, gates."""

from __future__ import annotations

from dataclasses import dataclass, field

from detect.anomaly import AnomalyGates
from detect.learning import LearnerConfig
from detect.risk_config import RiskConfig
from detect.wallets import WalletBounds


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Bounds and models. ``hash_key`` is 16 secret bytes that addresses are placed by.

    Blocks are learnt ``learn_depth`` blocks below the head, and can be reverted as long as they
    are among the last ``undo_depth``. With ``risk`` there is a wallet risk model, which needs
    somebody to ask for labels; with ``challenger`` another one in its shadow.
    """

    wallets: int = 1_000_000
    tokens: int = 65_536
    pairs: int = 1_048_576
    summaries: int = 0
    hash_key: bytes = bytes(16)
    learn_depth: int = 64
    undo_depth: int = 64
    n_trees: int = 25
    height: int = 8
    window_size: int = 1000
    seed: int = 1
    flow_level: float = 0.9999
    wallet_level: float = 0.9999
    gates: AnomalyGates = field(default_factory=AnomalyGates)
    risk: RiskConfig | None = None
    challenger: RiskConfig | None = None

    def bounds(self) -> WalletBounds:
        """The part that concerns the wallets."""
        return WalletBounds(
            self.wallets,
            self.tokens,
            self.pairs,
            self.summaries,
            self.undo_depth,
            self.hash_key,
        )

    def learner(self, level: float) -> LearnerConfig:
        """The part that concerns one model."""
        return LearnerConfig(
            n_trees=self.n_trees,
            height=self.height,
            window_size=self.window_size,
            seed=self.seed,
            learn_depth=self.learn_depth,
            undo_depth=self.undo_depth,
            level=level,
        )
