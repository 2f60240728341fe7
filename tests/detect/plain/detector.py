"""The plain parts joined: features, anomaly models and risk model, an event at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chainwarden.schema import ZERO_ADDRESS
from detect.detector_config import DetectorConfig
from tests.detect.chains import Flow
from tests.detect.plain.anomaly import AnomalyModel
from tests.detect.plain.events import Told
from tests.detect.plain.features import cleaned, flow_features, is_milestone, wallet_features
from tests.detect.plain.numbers import single
from tests.detect.plain.risk import Milestone, Rated, RiskModel
from tests.detect.plain.state import Wallet
from tests.detect.plain.wallets import World, seen


@dataclass
class Said:
    """What is said of a flow: features, scores and risks by party, and who stands out.

    ``found`` are rule, subject and score of what is worth an alert. ``milestones`` are the parties'
    features where they were looked at, by whether they sent, and what the risk model saw.
    """

    features: dict[str, float]
    flow_score: float | None
    from_score: float | None
    to_score: float | None
    from_risk: float | None = None
    to_risk: float | None = None
    found: list[tuple[str, bytes, float]] = field(default_factory=list)
    milestones: list[tuple[Milestone, Rated | None]] = field(default_factory=list)


class PlainDetector:
    """The detector without rules and policy. What was a fork's and is taken back it never sees."""

    def __init__(
        self, config: DetectorConfig, outcomes: Callable[[bytes, int], bool] | None = None
    ) -> None:
        self.config, self.gates = config, config.gates
        self.world = World(config)
        self.flow_model = AnomalyModel(config, config.flow_level)
        self.wallet_model = AnomalyModel(config, config.wallet_level)
        self.risk: RiskModel | None = None
        if config.risk is not None and outcomes is not None:
            self.risk = RiskModel(config.risk, outcomes)

    def process(self, block: Told, turned: Iterable[bytes] = ()) -> list[Said]:
        """A block, and what is said of each flow; ``turned`` are wallets with another label now."""
        if self.risk is not None:
            self.risk.learn_due(block.time, turned)
        said = []
        for event in block.events:
            if isinstance(event, Flow):
                said.append(self._flow(event))
            else:
                self.world.note(event)
        self.flow_model.end_block()
        self.wallet_model.end_block()
        if self.risk is not None:
            self.risk.end_block(block.time)
        return said

    def _flow(self, x: Flow) -> Said:
        """Read, then update."""
        world, value = self.world, cleaned(x)
        s = world.wallet(x.sender, x.time)
        r = world.wallet(x.receiver, x.time, s)
        token = None if x.token is None else world.token(x.token, x.time)
        met = sum(world.pair(s, r)) > 0
        features = flow_features(world, x, value, s, r, token)
        score, odd = self.flow_model.score_one(features)
        said = Said(features, score, s.score if s else None, r.score if r else None)
        if odd and score is not None and self._is_worth_it(x, s):
            said.found.append(("flow_anomaly", x.sender, score))
        world.learn(x, value, s, r)
        parties = [(s, True)] if s is r else [(s, True), (r, False)]
        for wallet, sends in parties:
            if wallet is not None:
                seen(wallet, x)
                if is_milestone(wallet.events):
                    said.milestones.append((self._milestone(wallet, sends, x, said), None))
        if x.own:
            world.learn_gas(x)
        if token is not None:
            world.learn_token(token, x, value, r)
        if self.risk is not None:
            self._rate(self.risk, said, x, value, (s, r), met)
        return said

    def _milestone(self, wallet: Wallet, sends: bool, x: Flow, said: Said) -> Milestone:
        own = wallet_features(wallet, x.time)
        score, odd = self.wallet_model.score_one(own)
        wallet.score = None if score is None else single(score)
        if odd and score is not None and self._has_done_enough(wallet, x):
            said.found.append(("wallet_anomaly", wallet.address, score))
        return Milestone(wallet, sends, own, wallet.score)

    def _rate(
        self, risk: RiskModel, said: Said, x: Flow, value: float,
        parties: tuple[Wallet | None, Wallet | None], met: bool,
    ) -> None:  # fmt: skip
        s, r = risk.relate(x, value, *parties, met)
        for n, (at, _) in enumerate(said.milestones):
            mine, other = (s, r) if at.sends else (r, s)
            if mine is None:
                continue
            rated = risk.rate(at, x, value, said.features, said.flow_score, mine, other)
            said.milestones[n] = at, rated
            if at.sends:
                said.from_risk = rated.risk
            else:
                said.to_risk = rated.risk
            few = at.wallet.events - 1 < self.gates.established
            if rated.shares is not None and rated.risk is not None and few:
                said.found.append(("wallet_risk", at.wallet.address, rated.risk))

    def _has_done_enough(self, wallet: Wallet, x: Flow) -> bool:
        """A wallet that did enough and moved enough, and has no reputation."""
        enough = wallet.in_value + wallet.out_value >= self.gates.wallet_value
        few, many = self.gates.wallet_events, self.gates.established
        return enough and few <= wallet.events <= many and not _is_withdrawal(x)

    def _is_worth_it(self, x: Flow, s: Wallet | None) -> bool:
        """A coin flow of some value that succeeded, not of a wallet with a reputation."""
        known = s is not None and s.events > self.gates.established
        worth = x.token is None and not x.failed and x.value >= self.gates.flow_value
        return worth and not known and not _is_withdrawal(x)


def _is_withdrawal(x: Flow) -> bool:
    return x.sender == ZERO_ADDRESS and x.token is None
