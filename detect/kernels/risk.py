"""The risk model's pass: relations, learning of what is due, and scores, block by block.

Three learners speak. Bins and pairs of bins of a wallet's own features (logistic, AdaGrad); boosted
trees on everything; and boosted trees for the stake, the share of what the wallet will receive that
is still to come. Their weighted sum, calibrated, is the risk.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled, inlined
from detect.kernels.boosting import (
    BINS,
    COMMON,
    RARE,
    Boosted,
    Growth,
    Regrowth,
    boosted_logit,
    copy,
    learn_boosted,
    tell_boosted,
)
from detect.kernels.relations import (
    NOBODY,
    Related,
    RelationUndo,
    find_row,
    occupy,
    receive,
    relate,
    relation_features,
    remember,
    row_of,
    spend,
)
from detect.kernels.scaling import probability

PENDING: Final = -1  # outcomes of a held row: it waits for its label,
SKIPPED: Final = 2  # or it gave way unlearnt; 0 and 1 are labels, and learnt

BIAS: Final = 0
SLOPE: Final = 1  # of the calibration, and its offset; then the sums of squared gradients
OFFSET: Final = 2
BIAS_SQUARES: Final = 3
SLOPE_SQUARES: Final = 4
OFFSET_SQUARES: Final = 5
STATE: Final = 6

NEGATIVES: Final = 0
POSITIVES: Final = 1

COARSE: Final = 16  # bins of the pairs, where the trees have 64
FINE_PER_COARSE: Final = BINS // COARSE
LEAST_STAKE: Final = 0.005
STAKE_UNKNOWN: Final = -1.0


class Weights(NamedTuple):
    """A weight for each bin of a feature, and of a pair (j, k), k < j, row by row of j."""

    single: Array  # float64 (features, bins)
    single_squares: Array
    paired: Array  # float64 (pairs, bins * bins)
    paired_squares: Array
    state: Array  # float64 (STATE,)
    counts: Array  # int64 (2,): rows learnt by label


class Mix(NamedTuple):
    """How the learners' log odds are added, and how the first of them learns."""

    rate: float
    warm: int  # bad rows learnt before there are scores
    pairs: float  # weight of the bins and pairs; the trees have the rest
    stake: float  # weight of the log of the stake
    alert: float  # a wallet whose risk first comes this high is told of, with what moved it,
    grave: float  # and once more here


class Learners(NamedTuple):
    """The boosted trees: what they are, how they grow, what they overwrite."""

    risk: Boosted
    risk_growth: Growth
    risk_undo: Regrowth
    stake: Boosted
    stake_growth: Growth
    stake_undo: Regrowth


class Flows(NamedTuple):
    """The flows of whole blocks, cut by ``starts`` (blocks + 1,)."""

    starts: Array
    at: Array  # int64
    sender: Array  # uint64: keyed hashes
    receiver: Array
    no_sender: Array  # bool: the zero address
    no_receiver: Array
    value: Array  # float64, cleaned
    is_coin: Array  # bool: of the chain's coin
    moved: Array  # bool: did not fail
    met: Array  # bool: the two had met before
    early: Array  # bool: within the receiver's first life
    features: Array  # float32 (flows, flow features)
    scores: Array  # float64: anomaly, NaN in warm-up


class Rows(NamedTuple):
    """Wallets at their milestones, cut by ``starts``; what is said of them is filled in."""

    starts: Array
    flow: Array  # int32
    sends: Array  # bool
    own: Array  # float32 (rows, wallet features)
    anomaly: Array  # float64, NaN in warm-up
    held: Array  # int64: where a row is held, -1 nowhere
    features: Array  # float32 (rows, risk features), out
    bins: Array  # uint8 (rows, risk features), out
    risks: Array  # float64, out: NaN in warm-up
    told: Array  # float64 (rows, risk features + 2), out: shares of the log odds, then the stake's
    # and what no feature is to blame for; filled from the first on
    told_row: Array  # int64 (rows,), out: the row that each of them is about
    told_used: Array  # int64 (1,), out


class Held(NamedTuple):
    """Rows that wait for their labels, as they were scored."""

    bins: Array
    hashed: Array  # uint64
    logits: Array  # float64, before calibration
    risks: Array  # float64, NaN in warm-up
    received: Array  # float64: early income when it was scored
    stakes: Array  # float64: the share of it that was still to come, filled in when it is learnt
    outcomes: Array  # int8
    copied: Array  # bool: a correction, of a row that was learnt, or has its label early


@compiled
def raw_logit(model: Weights, row: Array) -> float:
    """The sum of the weights of a row's coarse bins."""
    features, bins, total, pair = len(model.single), model.single.shape[1], 0.0, 0
    total += model.state[BIAS]
    for j in range(features):
        bin_j = row[j] // FINE_PER_COARSE
        total += model.single[j, bin_j]
        at = bin_j * bins
        for k in range(j):
            total += model.paired[pair, at + row[k] // FINE_PER_COARSE]
            pair += 1
    return float(total)


@compiled
def learn_row(model: Weights, rate: float, row: Array, scored: float, label: float) -> None:
    """One AdaGrad step on a row; the calibration learns from the logit that was scored then."""
    features, bins, pair, state = len(model.single), model.single.shape[1], 0, model.state
    off = probability(state[SLOPE] * scored + state[OFFSET]) - label
    state[SLOPE_SQUARES] += (off * scored) ** 2
    state[OFFSET_SQUARES] += off * off
    state[SLOPE] -= rate * off * scored / math.sqrt(state[SLOPE_SQUARES])
    state[OFFSET] -= rate * off / math.sqrt(state[OFFSET_SQUARES])
    off = probability(raw_logit(model, row)) - label
    squared = off * off
    state[BIAS_SQUARES] += squared
    state[BIAS] -= rate * off / math.sqrt(state[BIAS_SQUARES])
    for j in range(features):
        bin_j = row[j] // FINE_PER_COARSE
        model.single_squares[j, bin_j] += squared
        model.single[j, bin_j] -= rate * off / math.sqrt(model.single_squares[j, bin_j])
        at = bin_j * bins
        for k in range(j):
            place = at + row[k] // FINE_PER_COARSE
            model.paired_squares[pair, place] += squared
            model.paired[pair, place] -= rate * off / math.sqrt(model.paired_squares[pair, place])
            pair += 1
    model.counts[POSITIVES if label > 0.0 else NEGATIVES] += 1


@compiled
def is_learnt(model: Weights, outcome: int) -> bool:
    """Whether a row that is due is learnt: not if it gave way, nor before anything bad is known."""
    return bool(outcome == 1 or (outcome == 0 and model.counts[POSITIVES] > 0))


@compiled
def learn_held(
    model: Weights, rate: float, rows: Array, logits: Array, outcomes: Array, begin: int, end: int
) -> None:
    """Learn the bins and pairs of the held rows from ``begin`` to ``end``."""
    for r in range(begin, end):
        if is_learnt(model, outcomes[r]):
            learn_row(model, rate, rows[r], logits[r], float(outcomes[r]))


@compiled
def schedule(
    due: Array, tails: Array, times: Array, begin: int, capacity: int, until: Array, asked: Array
) -> None:
    """When held rows leave: learnt at the first block that is not before they are due, in order,
    or skipped while more than ``capacity`` wait.

    ``tails`` is where the held rows end after each block, ``until`` (out) the first that still
    waits then, ``asked`` (out) the time at which a row is learnt, -1 for one that is not.
    """
    head, known = begin, tails[0]
    for b in range(len(times)):
        while head < known and due[head] <= times[b]:
            asked[head] = times[b]
            head += 1
        known = tails[b + 1]
        while known - head > capacity:
            head += 1
        until[b] = head


@inlined
def teach(
    model: Weights, mix: Mix, learners: Learners, journalled: bool, held: Held, r: int
) -> None:
    """Have every learner of a model learn a held row whose outcome is known."""
    kind, stake = (RARE if held.outcomes[r] == 1 else COMMON), held.stakes[r]
    learn_row(model, mix.rate, held.bins[r], held.logits[r], float(held.outcomes[r]))
    learn_boosted(
        learners.risk, learners.risk_growth, learners.risk_undo, journalled, held.bins[r],
        float(held.outcomes[r]), kind,
    )  # fmt: skip
    if stake >= 0.0:
        learn_boosted(
            learners.stake, learners.stake_growth, learners.stake_undo, journalled, held.bins[r],
            stake, kind,
        )  # fmt: skip


@inlined
def learn_due(
    model: Weights, mix: Mix, learners: Learners, related: Related, undo: RelationUndo,
    journalled: bool, held: Held, r: int,
) -> None:  # fmt: skip
    """Learn one held row whose outcome is known, and remember who is bad."""
    row, known = find_row(related, held.hashed[r]), related.rows
    if row >= 0 and known[row].early_value > 0.0 and not held.copied[r]:
        total = known[row].early_value
        held.stakes[r] = min(1.0, max(0.0, (total - held.received[r]) / total))
    teach(model, mix, learners, journalled, held, r)
    if row < 0:
        return
    bad = held.outcomes[r] == 1
    if bad and known[row].is_bad == 0:
        remember(related, undo, journalled, row)
        known[row].is_bad = 1
    elif not bad and held.copied[r] and known[row].is_bad == 1:
        remember(related, undo, journalled, row)
        known[row].is_bad = 0


@inlined
def meet_parties(
    related: Related, blank: Array, undo: RelationUndo, journalled: bool, flows: Flows, i: int
) -> tuple[int, int]:
    """Update the relations of a flow's parties; their rows."""
    sender = receiver = NOBODY
    now, value, known = flows.at[i], flows.value[i], related.rows
    if not flows.no_sender[i]:
        sender = row_of(related, flows.sender[i], NOBODY)
        remember(related, undo, journalled, sender)
        occupy(related, blank, sender, flows.sender[i])
    if flows.receiver[i] == flows.sender[i]:
        receiver = sender
    elif not flows.no_receiver[i]:
        receiver = row_of(related, flows.receiver[i], sender)
        remember(related, undo, journalled, receiver)
        occupy(related, blank, receiver, flows.receiver[i])
    if flows.is_coin[i] and sender != receiver:
        if sender >= 0 and receiver >= 0:
            relate(known, sender, receiver, now, value, flows.met[i])
        if flows.moved[i] and value > 0.0:
            if receiver >= 0:
                receive(known, receiver, now, value, flows.early[i])
            if sender >= 0:
                spend(known, sender, now, value)
    if sender >= 0:
        known[sender].events += 1
        known[sender].last_seen = now
    if receiver >= 0 and receiver != sender:
        known[receiver].events += 1
        known[receiver].last_seen = now
    return sender, receiver


@inlined
def read_row(relations: Array, flows: Flows, rows: Rows, r: int, mine: int, other: int) -> None:
    """Fill in a row's features and bins."""
    i, own = rows.flow[r], rows.own.shape[1]
    f = rows.features[r]
    for j in range(own):
        f[j] = rows.own[r, j]
    total = len(f)
    first = total - flows.features.shape[1]
    value = flows.value[i]
    relation_features(relations, mine, other, rows.sends[r], value, flows.at[i], f[own:first])
    if not math.isnan(rows.anomaly[r]):
        f[first - 2] = rows.anomaly[r]
    if not math.isnan(flows.scores[i]):
        f[first - 1] = flows.scores[i]
    for j in range(first, total):
        f[j] = flows.features[i, j - first]
    for j in range(total):
        rows.bins[r, j] = min(BINS - 1, max(0, int(f[j] * BINS)))


@inlined
def score_row(model: Weights, mix: Mix, trees: Boosted, stakes: Boosted, row: Array) -> float:
    """What all learners say of a row, before calibration."""
    stake = probability(boosted_logit(stakes, row))
    return (
        mix.pairs * raw_logit(model, row)
        + (1.0 - mix.pairs) * boosted_logit(trees, row)
        + mix.stake * math.log(max(LEAST_STAKE, stake))
    )


@compiled
def log_odds(model: Weights, mix: Mix, trees: Boosted, stakes: Boosted, row: Array) -> float:
    """The log odds of the risk of a row of bins."""
    logit = score_row(model, mix, trees, stakes, row)
    return float(model.state[SLOPE] * logit + model.state[OFFSET])


@compiled
def tell_pairs(model: Weights, row: Array, weight: float, shares: Array) -> None:
    """Add each feature's share of ``weight`` times the bins and pairs, a pair's halved; the last
    is the bias."""
    features, bins, pair = len(model.single), model.single.shape[1], 0
    shares[len(shares) - 1] += weight * model.state[BIAS]
    for j in range(features):
        bin_j = row[j] // FINE_PER_COARSE
        shares[j] += weight * model.single[j, bin_j]
        at = bin_j * bins
        for k in range(j):
            half = 0.5 * weight * model.paired[pair, at + row[k] // FINE_PER_COARSE]
            shares[j] += half
            shares[k] += half
            pair += 1


@inlined
def tell(model: Weights, mix: Mix, learners: Learners, rows: Rows, r: int) -> None:
    """Write down what moved a row's risk; the shares sum to its log odds, calibrated."""
    n, row, slope = rows.told_used[0], rows.bins[r], model.state[SLOPE]
    shares = rows.told[n]
    for j in range(len(shares)):
        shares[j] = 0.0
    tell_pairs(model, row, mix.pairs * slope, shares)
    tell_boosted(learners.risk, row, (1.0 - mix.pairs) * slope, shares)
    stake = probability(boosted_logit(learners.stake, row))
    shares[len(shares) - 2] = slope * mix.stake * math.log(max(LEAST_STAKE, stake))
    shares[len(shares) - 1] += model.state[OFFSET]
    rows.told_row[n] = r
    rows.told_used[0] = n + 1


@inlined
def assess(
    model: Weights, mix: Mix, learners: Learners, held: Held, place: int, row: Array
) -> float:
    """The risk of a row of bins, kept beside it where it is held; NaN in warm-up."""
    if model.counts[POSITIVES] == 0:
        return math.nan
    logit = score_row(model, mix, learners.risk, learners.stake, row)
    risk = math.nan
    if model.counts[POSITIVES] >= mix.warm:
        risk = probability(model.state[SLOPE] * logit + model.state[OFFSET])
    if place >= 0:
        held.logits[place] = logit
        held.risks[place] = risk
    return risk


@inlined
def rate_row(
    model: Weights, mix: Mix, learners: Learners, relations: Array, held: Held, rows: Rows,
    r: int, mine: int,
) -> None:  # fmt: skip
    """Score a row that was read, and remember the wallet's risk."""
    place = rows.held[r]
    if place >= 0:
        copy(held.bins[place], rows.bins[r])
        held.received[place] = relations[mine].early_value
    risk = assess(model, mix, learners, held, place, rows.bins[r])
    rows.risks[r] = risk
    if math.isnan(risk):
        return
    before = relations[mine].top_risk
    if (risk >= mix.alert > before) or (risk >= mix.grave > before):
        tell(model, mix, learners, rows, r)
    relations[mine].risk = np.float32(risk)
    relations[mine].top_risk = max(before, np.float32(risk))


@compiled
def risk_pass(
    model: Weights, mix: Mix, learners: Learners, related: Related, blank: Array,
    undo: RelationUndo, journal_from: int, held: Held, begin: int, until: Array, flows: Flows,
    rows: Rows,
) -> None:  # fmt: skip
    """Block by block: learn what is due, then relate, read and score the block's wallets.

    Held rows from ``begin`` to ``until[b]`` are due by block ``b``. Blocks from ``journal_from`` on
    are journalled.
    """
    for b in range(len(until)):
        journalled = b >= journal_from
        if journalled:
            mark = b - journal_from
            undo.marks[mark] = undo.used[0]
            copy(learners.risk_undo.marks[mark], learners.risk_undo.used)
            copy(learners.stake_undo.marks[mark], learners.stake_undo.used)
        for r in range(begin, until[b]):
            if is_learnt(model, held.outcomes[r]):
                learn_due(model, mix, learners, related, undo, journalled, held, r)
        begin = until[b]
        r = rows.starts[b]
        for i in range(flows.starts[b], flows.starts[b + 1]):
            sender, receiver = meet_parties(related, blank, undo, journalled, flows, i)
            while r < rows.starts[b + 1] and rows.flow[r] == i:
                mine, other = receiver, sender
                if rows.sends[r]:
                    mine, other = sender, receiver
                read_row(related.rows, flows, rows, r, mine, other)
                rate_row(model, mix, learners, related.rows, held, rows, r, mine)
                r += 1
