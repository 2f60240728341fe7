"""The wallet risk model: the probability that a wallet is bad, learnt online from late labels.

A wallet is scored at its milestones; what was seen of it then is held, as scored, until its label
can be known: ``delay_seconds`` of block time later. Then the model learns it, in the order in which
rows were scored, so nothing is learnt before its time. Inputs are the declared features alone: the
wallet's own, its relations (who pays it, whom it pays, how risky those are), and those of the flow
at hand. No date, no block number, no address: the address is kept beside them only to ask for the
label.

Three learners are added in log odds, and two more weights, learnt from the sums as they were
scored, calibrate the result (Platt scaling):

1. bins of each wallet feature and of each pair of them, by AdaGrad (a generalised additive model
   with pairwise interactions, GA2M, made online);
2. boosted trees on all features that grow as rows come;
3. the log of the stake: the share of its early income that is still to come, foretold by boosted
   trees from what became of earlier wallets, good or bad. An alarm is worth what it can save.

All three explain themselves exactly.

References
----------
Lou et al., 2013. Accurate intelligible models with pairwise interactions.
Duchi, Hazan and Singer, 2011. Adaptive subgradient methods for online learning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chainwarden.errors import DeepReorg, DetectError
from detect.boosting import BoostedTrees, BoostingConfig
from detect.compiled import Array
from detect.features import RELATION
from detect.held import ADDRESS_WORDS, HeldRows
from detect.kernels.boosting import BINS
from detect.kernels.risk import (
    BIAS_SQUARES,
    COARSE,
    PENDING,
    POSITIVES,
    SKIPPED,
    SLOPE,
    STATE,
    Flows,
    Held,
    Learners,
    Mix,
    Rows,
    Weights,
    learn_held,
    log_odds,
    risk_pass,
    schedule,
)
from detect.relations import Relations
from detect.snapshot import digest_of, pack, unpack

Outcomes = Callable[[bytes, int], bool]
"""Whether a wallet (20 bytes) is known to be bad at a block time, asked once its label is due."""


@dataclass(frozen=True, slots=True)
class RiskConfig:
    """When labels come, how much waits for them at most, and how the model learns.

    A wallet is learnt from while it is no older than ``life_seconds``. There are no scores before
    ``warm_up`` bad rows are learnt. ``pairs`` is the weight of the bins and pairs beside the trees,
    ``stake_weight`` that of the log of the stake. ``prior`` is what AdaGrad's sums start from. A
    wallet whose risk first reaches ``alert`` is told of, and again at ``grave``.
    """

    delay_seconds: int = 30 * 86_400
    life_seconds: int = 30 * 86_400
    capacity: int = 262_144
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

    def __post_init__(self) -> None:
        if min(self.delay_seconds, self.life_seconds) < 0:
            raise DetectError("the label delay and the life of a wallet are not negative")
        if min(self.capacity, self.warm_up) < 1:
            raise DetectError("the capacity and the warm-up are positive")
        if self.rate <= 0.0 or self.prior <= 0.0 or not 0.0 <= self.pairs <= 1.0:
            raise DetectError("rate and prior are positive, the weight of pairs is in [0, 1]")


@dataclass(frozen=True, slots=True)
class WalletRows:
    """Whole blocks: their flows, and the wallets at their milestones at one of these.

    ``flows`` and ``rows`` are as the pass takes them, ``rows.held``, ``features``, ``bins`` and
    ``risks`` still to be filled in. ``keys`` (rows, 5) uint32 are the wallets' addresses,
    ``hashed`` their keyed hashes, ``at`` the rows' block times, ``ages`` the wallets' ages in
    seconds, ``times`` (blocks,) the block times.
    """

    flows: Flows
    rows: Rows
    keys: Array
    hashed: Array
    at: Array
    ages: Array
    times: Array


class RiskModel:
    """The risk of wallets over a stream of blocks, undone exactly.

    Trees and relations keep an undo journal. Of the bins and pairs, which change all over at once,
    a settled copy stays ``undo_depth`` blocks behind, and what the blocks since then have learnt is
    learnt again when one of them is taken back. If more than ``capacity`` rows wait for labels,
    those that waited longest give way unlearnt.
    """

    def __init__(
        self,
        config: RiskConfig,
        features: tuple[str, ...],
        own: int,
        undo_depth: int,
        outcomes: Outcomes,
    ) -> None:
        self.config = config
        self.features = features
        self.undo_depth = undo_depth
        self._own = own  # how many of the features are the wallet's own, the first ones
        self._outcomes = outcomes
        self._head = _weights(config, own)
        self._settled = _weights(config, own)
        self._settled_serial = -1
        self._trees = BoostedTrees(config.trees, len(features))
        self._stakes = BoostedTrees(config.stake, len(features))
        self._relations = Relations(config.wallets)
        self._mix = Mix(
            config.rate,
            config.warm_up,
            config.pairs,
            config.stake_weight,
            config.alert,
            config.grave,
        )
        # Held rows from the first that the settled weights have not passed. _until and _tails say
        # of the settled block and each since: the first row that waits then, and where rows end.
        self._held = HeldRows.empty(len(features))
        self._until = np.zeros(1, np.int64)
        self._tails = np.zeros(1, np.int64)

    @property
    def head_serial(self) -> int:
        """The serial of the last block, -1 before the first."""
        return self._settled_serial + len(self._until) - 1

    @property
    def waiting(self) -> int:
        """How many rows wait for their labels."""
        return int(self._tails[-1] - self._until[-1])

    @property
    def learnt(self) -> tuple[int, int]:
        """How many rows were learnt: of good wallets and of bad ones."""
        return int(self._head.counts[0]), int(self._head.counts[1])

    @property
    def warming_up(self) -> bool:
        """Whether there are no scores yet."""
        return int(self._head.counts[POSITIVES]) < self.config.warm_up

    def advance(self, batch: WalletRows) -> Rows:
        """Learn what is due, block by block, and score the blocks' wallets; the rows, filled in.

        The blocks have the next serials.
        """
        keep = batch.ages <= self.config.life_seconds
        due = batch.at[keep] + self.config.delay_seconds
        begin, tail = int(self._until[-1]), int(self._tails[-1])
        self._held = held = self._held.extended(batch.keys[keep], batch.hashed[keep], due)
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep, dtype=np.int64)])
        tails = tail + counts[batch.rows.starts]
        blocks, times = len(batch.times), np.ascontiguousarray(batch.times, np.int64)
        until = np.empty(blocks, np.int64)
        asked = np.full(len(held.due), -1, np.int64)
        schedule(held.due, tails, times, begin, self.config.capacity, until, asked)
        end = int(until[-1]) if blocks else begin
        self._ask(begin, end, asked)
        rows = batch.rows._replace(held=np.where(keep, tail + counts[:-1], -1))
        self._pass(batch.flows, rows, begin, until)
        self._until = np.concatenate([self._until, until])
        self._tails = np.concatenate([self._tails, tails[1:]])
        self._settle(self.head_serial - self.undo_depth)
        return rows

    def log_odds(self, features: Array) -> float:
        """The log odds of one row of features as of now; nothing is learnt."""
        row = np.clip(features * BINS, 0, BINS - 1).astype(np.uint8)
        return log_odds(self._head, self._mix, self._trees.model, self._stakes.model, row)

    def revert(self, serial: int) -> None:
        """Undo the last block, which must have that serial. Raises DeepReorg if it is settled."""
        if serial != self.head_serial:
            raise DetectError(f"block serial {serial} is not the last one")
        if serial <= self._settled_serial:
            raise DeepReorg(f"block serial {serial} can no longer be undone")
        self._until, self._tails = self._until[:-1], self._tails[:-1]
        self._held = self._held.part(0, int(self._tails[-1]))
        self._held.outcomes[self._until[-1] :] = PENDING
        for part in (self._trees, self._stakes, self._relations):
            part.revert(serial)
        self._rebuild()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self._settle(min(serial, self.head_serial))

    @property
    def undo_bytes(self) -> int:
        """The size of the relations' undo, most of all there is."""
        return self._relations.undo_bytes

    def digest(self) -> str:
        """A digest of all that scores depend on, undo excluded."""
        waiting = self._held.part(int(self._until[-1]), int(self._tails[-1]))
        parts = [part.digest() for part in (self._trees, self._stakes, self._relations)]
        return digest_of("".join(parts).encode(), *self._head, *waiting.arrays().values())

    def snapshot(self) -> bytes:
        """The state, undo included, as plain arrays."""
        meta: dict[str, object] = {"settled": self._settled_serial}
        arrays = {f"weights_{name}": a for name, a in self._settled._asdict().items()}
        arrays |= {f"held_{name}": a for name, a in self._held.arrays().items()}
        arrays |= {"until": self._until, "tails": self._tails}
        for name, part in self._parts():
            meta[name], content = part.dump()
            arrays |= {f"{name}.{key}": a for key, a in content.items()}
        return pack("risk", self._schema(), meta, arrays)

    def restore(self, data: bytes) -> None:
        """Take over a snapshot. Raises SnapshotRefused for one of another model."""
        meta, arrays = unpack(data, "risk", self._schema(), {"relation_rows": RELATION})
        for name, own in self._settled._asdict().items():
            own[...] = arrays[f"weights_{name}"]
        self._held = HeldRows(**{n: arrays[f"held_{n}"] for n in HeldRows.__slots__})
        self._until, self._tails = arrays["until"], arrays["tails"]
        self._settled_serial = int(meta["settled"])
        for name, part in self._parts():
            prefix = f"{name}."
            mine = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
            part.load(meta[name], mine)
        self._rebuild()

    def _parts(self) -> tuple[tuple[str, BoostedTrees | Relations], ...]:
        return ("trees", self._trees), ("stakes", self._stakes), ("relations", self._relations)

    def _schema(self) -> str:
        schema = (self.config, self.features, self._own, self.undo_depth, str(RELATION))
        return digest_of(repr(schema).encode())

    def _pass(self, flows: Flows, rows: Rows, begin: int, until: Array) -> None:
        """Run the kernel; the blocks that can be reverted are journalled."""
        blocks = len(until)
        first = max(0, blocks - self.undo_depth)
        serial = self.head_serial + 1 + first
        changes = learnt = 0
        if first < blocks:
            learnt = int(until[-1] - (until[first - 1] if first else begin))
            changes = 2 * int(flows.starts[-1] - flows.starts[first]) + learnt
        journalled = blocks - first
        relations = self._relations.room(changes, journalled)
        trees = self._trees.room(learnt, journalled)
        stakes = self._stakes.room(learnt, journalled)
        held = self._held
        risk_pass(
            self._head,
            self._mix,
            Learners(
                self._trees.model,
                self._trees.growth,
                trees,
                self._stakes.model,
                self._stakes.growth,
                stakes,
            ),
            self._relations.rows,
            self._relations.blank,
            relations,
            first,
            Held(held.bins, held.hashed, held.logits, held.received, held.outcomes),
            begin,
            until,
            flows,
            rows,
        )
        self._relations.journal(serial, relations)
        self._trees.journal(serial, trees)
        self._stakes.journal(serial, stakes)

    def _ask(self, begin: int, end: int, asked: Array) -> None:
        """Ask for the labels of the rows that leave the queue."""
        held, outcomes = self._held, self._outcomes
        held.outcomes[begin:end] = SKIPPED
        keys = held.keys[begin:end].astype("<u4").tobytes()
        for n, now in enumerate(asked[begin:end].tolist()):
            if now >= 0:
                address = keys[n * 4 * ADDRESS_WORDS : (n + 1) * 4 * ADDRESS_WORDS]
                held.outcomes[begin + n] = bool(outcomes(address, now))

    def _settle(self, serial: int) -> None:
        """Let the settled weights follow up to a block, and drop what nobody needs."""
        blocks = serial - self._settled_serial
        if blocks <= 0:
            return
        self._follow(self._settled, blocks)
        passed = int(self._until[blocks])
        self._held = self._held.part(passed, int(self._tails[-1]))
        self._until, self._tails = self._until[blocks:] - passed, self._tails[blocks:] - passed
        self._settled_serial = serial
        for part in (self._trees, self._stakes, self._relations):
            part.forget(serial)

    def _rebuild(self) -> None:
        """The head's weights as they are after the blocks that are left."""
        for own, settled in zip(self._head, self._settled, strict=True):
            own[...] = settled
        self._follow(self._head, len(self._until) - 1)

    def _follow(self, model: Weights, blocks: int) -> None:
        """Learn again what the first ``blocks`` blocks after the settled one learnt."""
        held = self._held
        begin, end = int(self._until[0]), int(self._until[blocks])
        learn_held(model, self.config.rate, held.bins, held.logits, held.outcomes, begin, end)


def _weights(config: RiskConfig, features: int) -> Weights:
    pairs, cells = features * (features - 1) // 2, COARSE * COARSE
    state = np.zeros(STATE)
    state[SLOPE] = 1.0
    state[BIAS_SQUARES:] = config.prior
    return Weights(
        np.zeros((features, COARSE)),
        np.full((features, COARSE), config.prior),
        np.zeros((pairs, cells)),
        np.full((pairs, cells), config.prior),
        state,
        np.zeros(2, np.int64),
    )
