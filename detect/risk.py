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

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from chainwarden.errors import DeepReorg, DetectError
from detect.compiled import Array
from detect.corrections import Corrections
from detect.features import RELATION
from detect.held import ADDRESS_WORDS, HeldQueue, HeldRows
from detect.kernels.boosting import BINS
from detect.kernels.risk import (
    PENDING,
    POSITIVES,
    SKIPPED,
    STAKE_UNKNOWN,
    Flows,
    Rows,
    log_odds,
    risk_pass,
    schedule,
)
from detect.kernels.sampling import PACE, TIME, one_in, sample_rows
from detect.kernels.shadow import shadow_pass
from detect.oversight import Oversight
from detect.prequential import Prequential
from detect.reference import Alarm
from detect.relations import Relations
from detect.risk_config import RiskConfig
from detect.risk_learner import RiskLearner, within
from detect.snapshot import digest_of, pack, unpack

_Part = RiskLearner | Relations | Prequential | Oversight
Outcomes = Callable[[bytes, int], bool]
"""Whether a wallet (20 bytes) is known to be bad at a block time, asked once its label is due."""

Turned = Callable[[], Iterable[bytes]]
"""The wallets of which something else is known since it was asked last."""


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
    and of the figures, a settled copy stays ``undo_depth`` blocks behind, and what the blocks since
    then have learnt is learnt again when one of them is taken back.

    No more than ``capacity`` rows wait for their labels. Where more would, only those of a sample
    of wallets do (see ``detect.kernels.sampling``); should they still be too many, for a while,
    those that waited longest give way unlearnt.

    A ``challenger`` learns and scores the same rows in shadow: same features, same labels, nothing
    that it says is told. ``promote`` exchanges the two.
    """

    def __init__(
        self,
        config: RiskConfig,
        features: tuple[str, ...],
        own: int,
        undo_depth: int,
        outcomes: Outcomes,
        challenger: RiskConfig | None = None,
    ) -> None:
        self.config = config
        self.features = features
        self.undo_depth = undo_depth
        self._own = own  # how many of the features are the wallet's own, the first ones
        self._outcomes = outcomes
        configs = [config] if challenger is None else [config, challenger]
        if not config.shares_rows_with(configs[-1]):
            raise DetectError("champion and challenger learn from the same rows at the same times")
        if len({one.digest for one in configs}) < len(configs):
            raise DetectError("the challenger has the champion's parameters")
        # In the order of the configuration; _leading says which one is the champion.
        self._learners = [RiskLearner(one, len(features), own, n) for n, one in enumerate(configs)]
        self._leading = 0
        self._settled_serial = -1
        self._relations = Relations(config.wallets)
        alerts = tuple(one.alert for one in configs)
        self._figures, self._settled_figures = Prequential(alerts), Prequential(alerts)
        self._oversight = Oversight(features, config.reference, config.delay_seconds)
        # Held rows from the first that the settled weights have not passed. _until and _tails say
        # of the settled block and each since: the first row that waits then, and where rows end.
        # Before them are the last that it passed, remembered in case that their label changes.
        # _inserted says how many corrections came before each block, _paces how fast rows came.
        self._queue = HeldQueue(len(features), len(configs))
        self._until = np.zeros(1, np.int64)
        self._tails = np.zeros(1, np.int64)
        self._inserted = np.zeros(1, np.int64)
        self._paces = np.zeros((1, PACE))
        self._paces[0, TIME] = -1.0
        self._corrections = Corrections()

    @property
    def head_serial(self) -> int:
        """The serial of the last block, -1 before the first."""
        return self._settled_serial + len(self._until) - 1

    @property
    def waiting(self) -> int:
        """How many rows wait for their labels."""
        return int(self._tails[-1] - self._until[-1])

    @property
    def one_in(self) -> int:
        """Of how many wallets one is learnt from: more than one where all would not fit."""
        return int(one_in(self._paces[-1], self.config.delay_seconds, self.config.capacity))

    @property
    def learnt(self) -> tuple[int, int]:
        """How many rows were learnt: of good wallets and of bad ones."""
        counts = self.champion.head.counts
        return int(counts[0]), int(counts[1])

    @property
    def warming_up(self) -> bool:
        """Whether there are no scores yet."""
        return int(self.champion.head.counts[POSITIVES]) < self.config.warm_up

    @property
    def champion(self) -> RiskLearner:
        """Whose scores are told."""
        return self._learners[self._leading]

    @property
    def challenger(self) -> RiskLearner | None:
        """Who scores in shadow, if there is somebody."""
        return self._learners[1 - self._leading] if len(self._learners) > 1 else None

    @property
    def alarms(self) -> list[Alarm]:
        """Where in the last batch the champion and its fixed reference parted ways."""
        return self._oversight.alarms

    def watched(self) -> dict[str, float]:
        """Drifts of the errors of all models, of how many wallets one is learnt from, and what
        else is watched: see ``Oversight.told``."""
        drifts = sum(learner.errors.detections for learner in self._learners)
        own = {"risk_error_drifts": float(drifts), "risk_learns_one_in": float(self.one_in)}
        return own | self._oversight.told()

    @property
    def figures(self) -> Prequential:
        """How good the models were so far, in the order of their columns."""
        return self._figures

    def promote(self, digest: str) -> bool:
        """From the next block on the model with that configuration is the champion.

        False where neither has it; then nothing has changed. The reference is copied from it then.
        A revert does not take it back: the blocks of the other branch are scored by who is the
        champion then.
        """
        for learner in self._learners:
            if learner.config.digest == digest:
                self._leading = learner.column
                return True
        return False

    def advance(self, batch: WalletRows) -> Rows:
        """Learn what is due, block by block, and score the blocks' wallets; the rows, filled in.

        The blocks have the next serials.
        """
        keep, paces = self._sample(batch)
        due = batch.at[keep] + self.config.delay_seconds
        begin, inserted = int(self._until[-1]), self._correct(batch.times)
        tail = int(self._tails[-1]) + inserted
        self._queue.extend(batch.keys[keep], batch.hashed[keep], due)
        held = self._queue.rows
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep, dtype=np.int64)])
        tails = tail + counts[batch.rows.starts]
        blocks, times = len(batch.times), np.ascontiguousarray(batch.times, np.int64)
        until = np.empty(blocks, np.int64)
        asked = np.full(len(held), -1, np.int64)
        schedule(held.due, tails, times, begin, self.config.capacity, until, asked)
        end = int(until[-1]) if blocks else begin
        self._ask(begin, end, asked)
        rows = batch.rows._replace(held=np.where(keep, tail + counts[:-1], -1))
        self._run(batch.flows, rows, begin, until, times, tails)
        self._figures.count(held, begin, end)
        for learner in self._learners:
            learner.judge(held, begin, end)
        self._until = np.concatenate([self._until, until])
        self._tails = np.concatenate([self._tails, tails[1:]])
        corrected = np.zeros(blocks, np.int64)
        corrected[:1] = inserted
        self._inserted = np.concatenate([self._inserted, corrected])
        self._paces = np.concatenate([self._paces, paces[1:]])
        self._settle(self.head_serial - self.undo_depth)
        return rows

    def reconsider(self, addresses: Iterable[bytes]) -> None:
        """Ask for these wallets once more with the next block: their label may be another one.

        Rows of theirs that were learnt with another label, among the last ``remembered`` that were
        learnt, are learnt with this one as well; rows that wait for theirs learn at once of a bad
        one.
        """
        self._corrections.waiting.update(addresses)

    def log_odds(self, features: Array) -> float:
        """The log odds of one row of features as of now; nothing is learnt."""
        row = np.clip(features * BINS, 0, BINS - 1).astype(np.uint8)
        model = self.champion
        return log_odds(model.head, model.mix, model.trees.model, model.stakes.model, row)

    def revert(self, serial: int) -> None:
        """Undo the last block, which must have that serial. Raises DeepReorg if it is settled."""
        if serial != self.head_serial:
            raise DetectError(f"block serial {serial} is not the last one")
        if serial <= self._settled_serial:
            raise DeepReorg(f"block serial {serial} can no longer be undone")
        inserted = int(self._inserted[-1])
        self._until, self._tails = self._until[:-1], self._tails[:-1]
        self._inserted, self._paces = self._inserted[:-1], self._paces[:-1]
        head, end = int(self._until[-1]), int(self._tails[-1]) + inserted
        self._queue.drop(end, len(self._queue) - end)
        self._corrections.revert(self._queue, serial)
        self._queue.drop(head, inserted)
        self._queue.rows.outcomes[head:] = PENDING
        self._queue.rows.stakes[head:] = STAKE_UNKNOWN
        for learner in self._learners:
            learner.revert(serial)
        self._relations.revert(serial)
        self._oversight.revert(serial)
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
        first = max(0, int(self._until[-1]) - self.config.remembered)
        kept = self._queue.rows.part(first, len(self._queue))
        parts = [learner.digest() for learner in self._learners]
        others = (self._relations, self._figures, self._corrections, self._oversight)
        parts += [part.digest() for part in others]
        role = self._leading.to_bytes(1, "little")
        held = (np.ascontiguousarray(a) for _, a in kept)
        return digest_of("".join(parts).encode(), role, self._paces[-1], *held)

    def snapshot(self) -> bytes:
        """The state, undo included, as plain arrays."""
        meta: dict[str, object] = {"settled": self._settled_serial, "leading": self._leading}
        meta |= {"dropped": self._queue.dropped, "corrections": self._corrections.dump()}
        arrays = {f"held.{name}": np.ascontiguousarray(a) for name, a in self._queue.rows}
        arrays |= {"until": self._until, "tails": self._tails, "inserted": self._inserted}
        arrays["paces"] = self._paces
        for name, part in self._parts():
            meta[name], content = part.dump()
            arrays |= {f"{name}.{key}": a for key, a in content.items()}
        return pack("risk", self._schema(), meta, arrays)

    def restore(self, data: bytes) -> None:
        """Take over a snapshot. Raises SnapshotRefused for one of another model."""
        meta, arrays = unpack(data, "risk", self._schema(), {"relation_rows": RELATION})
        held = HeldRows(**{n: arrays[f"held.{n}"] for n in HeldRows.__slots__})
        self._queue.load(held, int(meta["dropped"]))
        self._corrections.load(meta["corrections"])
        self._until, self._tails = arrays["until"], arrays["tails"]
        self._inserted, self._paces = arrays["inserted"], arrays["paces"]
        self._settled_serial, self._leading = int(meta["settled"]), int(meta["leading"])
        for name, part in self._parts():
            part.load(meta[name], within(arrays, f"{name}."))
        self._rebuild()

    def _parts(self) -> Iterator[tuple[str, _Part]]:
        for learner in self._learners:
            yield f"model_{learner.column}", learner
        yield "relations", self._relations
        yield "figures", self._settled_figures
        yield "oversight", self._oversight

    def _schema(self) -> str:
        configs = [learner.config for learner in self._learners]
        schema = (configs, self.features, self._own, self.undo_depth, str(RELATION), PACE)
        return digest_of(repr(schema).encode())

    def _sample(self, batch: WalletRows) -> tuple[Array, Array]:
        """Which rows are held, and how fast they came before the first block and by each."""
        paces = np.empty((len(batch.times) + 1, PACE))
        paces[0] = self._paces[-1]
        young = batch.ages <= self.config.life_seconds
        held = np.empty(len(young), np.bool_)
        sample_rows(
            batch.rows.starts,
            np.ascontiguousarray(batch.times, np.int64),
            batch.hashed,
            young,
            float(self.config.delay_seconds),
            self.config.capacity,
            paces,
            held,
        )
        return held, paces

    def _run(
        self, flows: Flows, rows: Rows, begin: int, until: Array, times: Array, tails: Array
    ) -> None:
        """Run the pass over whole blocks, in parts where the reference is copied in between."""
        blocks, at, held, watch = len(until), 0, self._queue.rows, self._oversight
        learnt = np.append(begin, until)
        bad = np.append(0, np.cumsum(held.outcomes[begin : learnt[-1]] == 1))
        bad = bad[learnt[:-1] - begin] + int(self.champion.head.counts[POSITIVES])
        watch.begin(tails)
        while at < blocks:
            stop = watch.next_copy(times, bad, at, self._leading)
            if stop == at:
                watch.copy(self.champion, self.head_serial + 1 + at, int(times[at]))
                continue
            part = rows._replace(starts=rows.starts[at : stop + 1])
            starts, journalled = flows.starts[at : stop + 1], blocks - self.undo_depth - at
            self._pass(
                flows._replace(starts=starts), part, int(learnt[at]), until[at:stop], at, journalled
            )
            watch.see(part, held, at, stop)
            at = stop
        watch.end(held)

    def _pass(
        self, flows: Flows, rows: Rows, begin: int, until: Array, at: int, journal_from: int
    ) -> None:
        """Run the kernels over the batch's blocks from ``at`` on; those from the
        ``journal_from``-th of them on can be reverted."""
        blocks = len(until)
        first = min(blocks, max(0, journal_from))
        serial = self.head_serial + 1 + at + first
        changes = learnt = 0
        if first < blocks:
            learnt = int(until[-1] - (until[first - 1] if first else begin))
            changes = 2 * int(flows.starts[-1] - flows.starts[first]) + learnt
        journalled = blocks - first
        relations = self._relations.room(changes, journalled)
        model = self.champion
        learners, held = model.room(learnt, journalled), model.columns(self._queue.rows)
        risk_pass(
            model.head,
            model.mix,
            learners,
            self._relations.related,
            self._relations.blank,
            relations,
            first,
            held,
            begin,
            until,
            flows,
            rows,
        )
        self._relations.journal(serial, relations)
        model.journal(serial, learners)
        shadow = self.challenger
        if shadow is not None:
            learners, held = shadow.room(learnt, journalled), shadow.columns(self._queue.rows)
            shadow_pass(shadow.head, shadow.mix, learners, first, held, begin, until, rows)
            shadow.journal(serial, learners)

    def _correct(self, times: Array) -> int:
        """Put rows whose label has changed at the head of the queue; how many."""
        if not len(times):
            return 0
        now = int(times[0])
        return self._corrections.make(
            self._queue,
            int(self._until[-1]),
            self.config.remembered,
            lambda address: bool(self._outcomes(address, now)),
            self.head_serial + 1,
            now,
        )

    def _ask(self, begin: int, end: int, asked: Array) -> None:
        """Ask for the labels of the rows that leave the queue."""
        held, outcomes = self._queue.rows, self._outcomes
        held.outcomes[begin:end] = SKIPPED
        keys = held.keys[begin:end].astype("<u4").tobytes()
        said, copied = held.said[begin:end].tolist(), held.copied[begin:end].tolist()
        for n, now in enumerate(asked[begin:end].tolist()):
            if copied[n]:
                held.outcomes[begin + n] = said[n]
            elif now >= 0:
                address = keys[n * 4 * ADDRESS_WORDS : (n + 1) * 4 * ADDRESS_WORDS]
                bad = bool(outcomes(address, now))
                if bad != said[n]:  # else it was learnt before its time
                    held.outcomes[begin + n] = bad

    def _settle(self, serial: int) -> None:
        """Let the settled weights follow up to a block, and drop what nobody needs."""
        blocks = serial - self._settled_serial
        if blocks <= 0:
            return
        begin, passed = int(self._until[0]), int(self._until[blocks])
        for learner in self._learners:
            learner.settle(self._queue.rows, begin, passed)
        self._settled_figures.count(self._queue.rows, begin, passed)
        self._oversight.settle(serial, blocks)
        dropped = max(0, passed - self.config.remembered)
        self._queue.drop_first(dropped)
        self._corrections.forget(serial)
        self._until, self._tails = self._until[blocks:] - dropped, self._tails[blocks:] - dropped
        self._inserted, self._paces = self._inserted[blocks:], self._paces[blocks:]
        self._settled_serial = serial
        for learner in self._learners:
            learner.forget(serial)
        self._relations.forget(serial)

    def _rebuild(self) -> None:
        """The head as it is after the blocks that are left: the settled state, and these."""
        begin, end = int(self._until[0]), int(self._until[-1])
        for learner in self._learners:
            learner.rebuild(self._queue.rows, begin, end)
        self._figures.copy_state(self._settled_figures)
        self._figures.count(self._queue.rows, begin, end)
        self._oversight.rebuild()
