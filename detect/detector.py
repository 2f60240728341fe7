"""The detector: blocks in, alerts and features out. The one place that owns the order.

For each batch: (1) read every event's features and facts, then update the wallets; (2) score flows
and wallets at the head, learn at depth; (3) rules and anomalies find; (4) the policy decides. Rules
that read no score need not wait for (2), and in a large batch they do not: models have a thread of
their own then. Neither sees the other's state, so the result is the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from chainwarden.errors import ChainError, DeepReorg, DetectError, RuleFailed, SnapshotRefused
from chainwarden.schema import (
    Alert,
    BlockBatch,
    Chain,
    Detections,
    Position,
    Retraction,
)
from detect.anomaly import flow_findings, wallet_findings
from detect.challenger import models_told
from detect.compiled import Array
from detect.detector_config import DetectorConfig
from detect.events import events_of
from detect.feature_table import feature_table, feature_table_schema
from detect.features import FLOW_FEATURES, RISK_FEATURES, WALLET_FEATURES
from detect.kernels.arrays import Events, Seen
from detect.kernels.risk import Rows
from detect.kernels.scores import settle_facts
from detect.learning import DepthLearner, ScoredRows
from detect.milestones import wallet_rows
from detect.risk import Outcomes, RiskModel, Turned
from detect.risk_findings import risk_findings
from detect.risk_watch import parting_findings
from detect.rules.rule import Finding, Gauges, HearsBlocks, HearsFinality, HearsForks, Rule
from detect.scored import ScoredBatch
from detect.snapshot import digest_of, pack, unpack
from detect.wallets import SCHEMA, WalletTable

# What a rule may take for a block. Beyond it is counted, never cut short: results must not hang on
# how fast a machine is.
RULE_BUDGET_SECONDS: Final = 1.0
# From so many flows on rules and models work at once. Of fewer most is Python's, which would have
# two threads wait for one another.
APART_FLOWS: Final = 8_192
Heard = Callable[[pa.Table], object]

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


class Policy(Protocol):
    """Decides which findings become alerts, and remembers which to take back."""

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """The alerts that findings, given in chain order, become."""
        ...

    def revert(self, serial: int) -> tuple[str, ...]:
        """Undo the last block; the ids of the alerts that are taken back with it."""
        ...

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        ...

    def snapshot(self) -> bytes:
        """The state, undo included."""
        ...

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand."""
        ...

    def digest(self) -> str:
        """A digest of the state, undo excluded."""
        ...


@dataclass(frozen=True, slots=True)
class _Modelled:
    """What the models say of a batch, and its features with that."""

    scores: tuple[ScoredRows, ScoredRows]  # of flows, of wallets
    rated: Rows | None  # by the risk model, where there is one
    features: pa.Table


class Detector:
    """Scores every wallet and flow of a chain, and says what is worth an alert.

    The result depends on the chain of blocks alone: not on how it was batched, on forks that were
    reverted, on snapshots in between, or on the process. An error out of ``process``, ``revert``
    or ``restore`` leaves the state undefined: restore a snapshot.

    ``early`` are the rules that read no score: they are given no features, and whether their facts
    have scores by then is left open. They come before ``rules``, which see everything.
    """

    def __init__(
        self,
        chain: Chain,
        config: DetectorConfig,
        rules: Sequence[Rule],
        policy: Policy,
        outcomes: Outcomes | None = None,
        turned: Turned | None = None,
        early: Sequence[Rule] = (),
    ) -> None:
        self.chain = chain
        self.config = config
        self._early, self._late = tuple(early), tuple(rules)
        self._rules = (*self._early, *self._late)
        self._hearing = tuple(rule for rule in self._rules if isinstance(rule, HearsBlocks))
        self._policy = policy
        self._turned = turned
        if len({rule.id for rule in self._rules}) != len(self._rules):
            raise DetectError("two rules have the same id")
        self._wallets = WalletTable(config.bounds())
        self._flow_model = DepthLearner(config.learner(config.flow_level), FLOW_FEATURES)
        self._wallet_model = DepthLearner(config.learner(config.wallet_level), WALLET_FEATURES)
        self._risk: RiskModel | None = None
        if config.risk is None and config.challenger is not None:
            raise DetectError("a challenger needs a risk model to challenge")
        if config.risk is not None:
            if outcomes is None:
                raise DetectError("a risk model needs somebody to ask for labels")
            self._risk = RiskModel(
                config.risk,
                RISK_FEATURES,
                len(WALLET_FEATURES),
                config.undo_depth,
                outcomes,
                config.challenger,
            )
        self._serial = -1  # of the last block
        self._forgotten = -1  # blocks up to this one cannot be reverted
        self._positions: list[Position] = []  # of the last blocks, the head last
        self._seconds = dict.fromkeys((rule.id for rule in self._rules), 0.0)
        self._over_budget = dict.fromkeys((rule.id for rule in self._rules), 0)

    @property
    def head(self) -> Position | None:
        """The last block processed, None before the first."""
        return self._positions[-1] if self._positions else None

    @property
    def undoable(self) -> int:
        """How many blocks can be reverted, from the head down."""
        return self._serial - self._forgotten

    @property
    def wallets(self) -> int:
        """How many wallets are remembered."""
        return len(self._wallets)

    def process(
        self, batch: BlockBatch, gap: bool = False, heard: Heard = lambda _: None
    ) -> Detections:
        """Score whole blocks that follow the head; ``gap``: they start anew.

        After a gap, what came before it can no longer be reverted. ``heard`` is given the
        features of the ``Detections`` as soon as they are there, perhaps in another thread.
        """
        if batch.chain != self.chain:
            raise DetectError(f"a batch of {batch.chain.name}, this is {self.chain.name}")
        if gap:
            self._forget(self._serial)
        if not len(batch):
            return Detections((), feature_table_schema().empty_table())
        first = self._serial + 1
        for hears in self._hearing:
            hears.advance(batch, first)  # the risk model asks for labels before the rules run
        events = events_of(batch)
        seen = self._wallets.observe(events, first)
        none_yet = feature_table_schema().empty_table()
        unscored = ScoredBatch(batch, first, seen.flow_facts, seen.approval_facts, none_yet)
        modelled, findings = _both(
            lambda: self._model(batch, events, seen, heard),
            lambda: self._find(self._early, unscored),
            at_once=batch.flows.num_rows >= APART_FLOWS,
        )
        (flows, wallets), rated, gates = modelled.scores, modelled.rated, self.config.gates
        scored = replace(unscored, features=modelled.features)
        findings += self._find(self._late, scored)
        findings += flow_findings(scored, flows, self._flow_model, gates)
        findings += wallet_findings(scored, seen, wallets, self._wallet_model, gates)
        if rated is not None:
            findings += risk_findings(scored, rated, gates.established)
        if self._risk is not None:
            findings += parting_findings(scored, self._risk.alarms)
        findings.sort(key=_chain_order)
        alerts = self._policy.decide(findings, scored)
        self._serial += len(batch)
        kept = self.config.undo_depth + 1
        self._positions = (self._positions + _last_positions(batch, kept))[-kept:]
        self._forget(self._serial - self.config.undo_depth)
        return Detections(alerts, scored.features)

    def revert(self, position: Position) -> tuple[Retraction, ...]:
        """Undo the head, which must be ``position``; its parent is the head again.

        Returns what is taken back. Raises ChainError when it is not the head, DeepReorg when it
        can no longer be undone; then nothing has changed.
        """
        if position != self.head:
            raise ChainError(f"{position} cannot be reverted: the head is {self.head}")
        if self._serial <= self._forgotten:
            raise DeepReorg(
                f"block {position} can no longer be undone",
                hint="rebuild the state from a snapshot below the fork",
            )
        serial = self._serial
        for rule in self._rules:
            rule.revert(serial)
        self._wallets.revert(serial)
        self._flow_model.revert(serial)
        self._wallet_model.revert(serial)
        if self._risk is not None:
            self._risk.revert(serial)
        taken_back = self._policy.revert(serial)
        self._serial -= 1
        self._positions.pop()
        return tuple(Retraction(alert, position) for alert in taken_back)

    def finalize(self, position: Position) -> None:
        """This block and all below it will never be reverted."""
        for rule in self._rules:
            if isinstance(rule, HearsFinality):
                rule.finalize(position)
        if position in self._positions:
            above = len(self._positions) - 1 - self._positions.index(position)
            self._forget(self._serial - above)

    def orphaned(self, depth: int) -> None:
        """So many blocks were orphaned on the head, of which it was shown fewer."""
        for rule in self._rules:
            if isinstance(rule, HearsForks):
                rule.orphaned(depth)

    def promote(self, digest: str) -> bool:
        """From the next block on the risk model of that configuration raises the alerts.

        False where no model has it.
        """
        return self._risk is not None and self._risk.promote(digest)

    def models(self) -> dict[str, Any] | None:
        """The risk models and how good they were: see ``detect.challenger``. None without."""
        return None if self._risk is None else models_told(self._risk)

    def digest(self) -> str:
        """A digest of all that future results depend on; undo does not count."""
        parts = [
            str(self.head),
            str(self._serial),
            self._wallets.digest(),
            self._flow_model.digest(),
            self._wallet_model.digest(),
            *([] if self._risk is None else [self._risk.digest()]),
            *(f"{rule.id} {rule.digest()}" for rule in self._rules),
            self._policy.digest(),
        ]
        return digest_of(*(part.encode() for part in parts))

    def snapshot(self) -> bytes:
        """The state, undo included; restored, it continues bit for bit."""
        meta = {
            "serial": self._serial,
            "forgotten": self._forgotten,
            "positions": [[p.number, p.hash.hex()] for p in self._positions],
        }
        return pack("detector", self._schema(), meta, {n: _bytes(b) for n, b in self._parts()})

    def restore(self, data: bytes) -> None:
        """Take over a snapshot, whole or not at all.

        Raises SnapshotRefused for one of another version, chain, configuration, feature set or
        set of rules, or one that is damaged.
        """
        meta, arrays = unpack(data, "detector", self._schema(), {}, copied=False)
        targets: dict[str, Any] = {
            "flow_model": self._flow_model,
            "wallet_model": self._wallet_model,
            "policy": self._policy,
            **({} if self._risk is None else {"risk": self._risk}),
            **{f"rule.{rule.id}": rule for rule in self._rules},
        }
        wanted = {"wallets", *targets}
        if set(arrays) != wanted:
            raise SnapshotRefused(f"the snapshot holds {sorted(arrays)}, not {sorted(wanted)}")
        # The wallets, by far the largest, come last: they refuse before they change anything, so
        # only of what is small both states are held.
        before: list[tuple[Any, bytes]] = []
        try:
            for name, target in targets.items():
                before.append((target, target.snapshot()))
                target.restore(arrays[name].tobytes())
            self._wallets.restore(arrays["wallets"].data)
        except SnapshotRefused:
            for target, state in before:
                target.restore(state)
            raise
        self._serial, self._forgotten = int(meta["serial"]), int(meta["forgotten"])
        self._positions = [Position(n, bytes.fromhex(h)) for n, h in meta["positions"]]

    def stats(self) -> dict[str, float]:
        """Bounds in use, warm-up, drift, the seconds each rule took, and how the chain is."""
        table, flows, wallets = self._wallets, self._flow_model, self._wallet_model
        return {
            "wallets": float(len(table)),
            "wallets_capacity": float(self.config.wallets),
            "wallets_evicted": float(table.evictions),
            "summaries": float(table.summaries),
            "summaries_capacity": float(self.config.summaries),
            "tokens": float(table.tokens),
            "tokens_capacity": float(self.config.tokens),
            "journal_bytes": float(table.undo_bytes + flows.undo_bytes + wallets.undo_bytes),
            "flow_model_warming_up": float(flows.warming_up),
            "wallet_model_warming_up": float(wallets.warming_up),
            "flow_score_drifts": float(flows.drift.detections),
            "flow_score_last_drift_block": float(flows.drift.last_block),
            "wallet_score_drifts": float(wallets.drift.detections),
            "wallet_score_last_drift_block": float(wallets.drift.last_block),
            **self._risk_stats(),
            **{f"rule_seconds.{name}": spent for name, spent in self._seconds.items()},
            **{f"rule_over_budget.{name}": float(n) for name, n in self._over_budget.items()},
            **self._chain_stats(),
        }

    def _chain_stats(self) -> dict[str, float]:
        """What rules measure of the chain, as ``chain.NAME``."""
        gauged = (rule for rule in self._rules if isinstance(rule, Gauges))
        return {f"chain.{name}": value for r in gauged for name, value in r.gauges().items()}

    def _risk_stats(self) -> dict[str, float]:
        if self._risk is None:
            return {}
        good, bad = self._risk.learnt
        return {
            "risk_warming_up": float(self._risk.warming_up),
            "risk_rows_waiting": float(self._risk.waiting),
            "risk_rows_learnt_good": float(good),
            "risk_rows_learnt_bad": float(bad),
            **self._risk.watched(),
        }

    def _model(self, batch: BlockBatch, events: Events, seen: Seen, heard: Heard) -> _Modelled:
        """Score a batch's flows and wallets, and let their facts know."""
        numbers = batch.numbers()
        flows = self._flow_model.advance(seen.flow_features, seen.flow_starts, numbers)
        wallets = self._wallet_model.advance(seen.wallet_features, seen.wallet_starts, numbers)
        # As a wallet's row keeps it, in single precision: the same within a batch and after it.
        scores = wallets.scores.astype(np.float32)
        self._wallets.settle(seen, scores)
        _settle_facts(seen, scores)
        seen.flow_facts["score"] = flows.scores
        rated = self._rate(batch, events, seen, flows.scores, scores.astype(np.float64))
        features = feature_table(batch, seen, rated)
        heard(features)
        return _Modelled((flows, wallets), rated, features)

    def _rate(
        self, batch: BlockBatch, events: Events, seen: Seen, flow_scores: Array, scores: Array
    ) -> Rows | None:
        """What the risk model says of the wallets; None where there is none."""
        if self._risk is None:
            return None
        if self._turned is not None:
            self._risk.reconsider(self._turned())
        life = self._risk.config.life_seconds
        return self._risk.advance(wallet_rows(batch, events, seen, flow_scores, scores, life))

    def _find(self, rules: Sequence[Rule], scored: ScoredBatch) -> list[Finding]:
        findings: list[Finding] = []
        for rule in rules:
            began = time.perf_counter()
            try:
                findings += rule.evaluate(scored)
            except Exception as error:
                log.exception("rule %s failed", rule.id)
                numbers = scored.batch.numbers()
                raise RuleFailed(rule.id, int(numbers[0]), int(numbers[-1]), error) from error
            spent = time.perf_counter() - began
            self._seconds[rule.id] += spent
            self._over_budget[rule.id] += spent > RULE_BUDGET_SECONDS * len(scored.batch)
        return findings

    def _forget(self, serial: int) -> None:
        if serial <= self._forgotten:
            return
        self._forgotten = serial
        self._wallets.forget(serial)
        self._flow_model.forget(serial)
        self._wallet_model.forget(serial)
        if self._risk is not None:
            self._risk.forget(serial)
        for rule in self._rules:
            rule.forget(serial)
        self._policy.forget(serial)

    def _parts(self) -> list[tuple[str, bytes]]:
        return [
            ("wallets", self._wallets.snapshot()),
            ("flow_model", self._flow_model.snapshot()),
            ("wallet_model", self._wallet_model.snapshot()),
            ("policy", self._policy.snapshot()),
            *([] if self._risk is None else [("risk", self._risk.snapshot())]),
            *((f"rule.{rule.id}", rule.snapshot()) for rule in self._rules),
        ]

    def _schema(self) -> str:
        config = sorted((k, repr(v)) for k, v in asdict(self.config).items())
        rules = [(rule.id, rule.version) for rule in self._rules]
        return digest_of(repr((SCHEMA, self.chain.id, config, rules)).encode())


def _both(one: Callable[[], A], other: Callable[[], B], *, at_once: bool) -> tuple[A, B]:
    """What both return; ``at_once``: the one in a thread, which has ended in any case."""
    if not at_once:
        return one(), other()
    with ThreadPoolExecutor(1, "models") as thread:
        ahead = thread.submit(one)
        found = other()
    return ahead.result(), found


def _chain_order(finding: Finding) -> tuple[int, int, int, str]:
    return finding.block_row, finding.transaction_index, finding.ordinal, finding.rule


def _last_positions(batch: BlockBatch, count: int) -> list[Position]:
    return [batch.position(row) for row in range(max(0, len(batch) - count), len(batch))]


def _settle_facts(seen: Seen, scores: Array) -> None:
    """Fill in the scores that wallets got within the batch, as of each event."""
    for facts, side, rows in (
        (seen.flow_facts, "from", seen.from_score_row),
        (seen.flow_facts, "to", seen.to_score_row),
        (seen.approval_facts, "owner", seen.owner_score_row),
        (seen.approval_facts, "spender", seen.spender_score_row),
    ):
        settle_facts(facts[f"{side}_score"], rows, scores)


def _bytes(data: bytes) -> Array:
    return np.frombuffer(data, np.uint8)
