"""What the gas goes to: one contract that takes it all, calls that fail, one call everywhere.

Each is held against what is usual on this chain, and a crowd is no attack: a popular mint takes as
much gas as a spammer, from as many senders as calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Evidence, Reason, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled
from detect.labels import LabelBook
from detect.rules.block_log import HEADER, BlockLog, Versions
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding, about_chain
from detect.rules.tallies import NO_SELECTOR, TOP, Habits, tallies
from detect.scored import ScoredBatch

WINDOW: Final = 10  # blocks
CHUNK: Final = 300  # blocks, an hour of them: what is usual is learnt an hour at a time
TOGETHER: Final = 100  # blocks in a row at an hour's end, at least, for it to be learnt
QUIET: Final = 50  # blocks in which what was told is not told again


@dataclass(frozen=True, slots=True)
class GasUseConfig:
    """All over the last ten blocks. ``hog_share`` of their gas in at least ``hog_calls``
    calls makes a contract a hog; with ``crowd`` senders, counted block by block, and
    ``crowd_share`` senders a call, it is a crowd.

    ``failed_factor`` times the usual share of failures, at least ``failed_share`` and
    ``failed_calls`` of them, are a spike; so are ``selector_factor`` times the usual calls of one
    function, at least ``selector_calls`` and ``selector_share`` of all. What is usual must be known
    from ``known`` blocks.
    """

    hog_share: float = 0.2
    hog_calls: int = 10
    crowd: int = 20
    crowd_share: float = 0.5
    failed_factor: float = 3.0
    failed_share: float = 0.1
    failed_calls: int = 30
    selector_factor: float = 8.0
    selector_calls: int = 60
    selector_share: float = 0.15
    known: int = 900


class GasUse(Journaled):
    """Finds ``gas_hog``, ``failure_spike`` and ``selector_spike``.

    Of each block the four contracts and the four selectors that took most are remembered, so shares
    are floors. Known services are no hogs. Without receipts gas and failures are not known, and
    only selectors are watched.
    """

    id = "gas_use"
    version = 1

    def __init__(
        self, labels: LabelBook, cache: ColumnCache, config: GasUseConfig | None = None
    ) -> None:
        self._config = config or GasUseConfig()
        kind = [
            *HEADER,
            ("gas", np.int64),
            ("calls", np.int32),
            ("failed", np.int32),
            ("hogs", np.uint64, TOP),
            ("hog_gas", np.int64, TOP),
            ("hog_calls", np.int32, TOP),
            ("hog_senders", np.int32, TOP),
            ("selectors", np.uint32, TOP),
            ("selector_calls", np.int32, TOP),
            ("selector_senders", np.int32, TOP),
            ("told_hog", np.uint64),
            ("told_selector", np.uint32),
            ("failing", np.bool_),
        ]
        self._blocks = BlockLog(kind, CHUNK)
        self._habits = Versions(Habits(), Habits)
        super().__init__({"blocks": self._blocks, "habits": self._habits})
        self._labels = labels
        self._cache = cache

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        added = tallies(columns, self._blocks.kind)
        if not len(added):
            return ()
        rows, start = self._blocks.follow(added)
        # Ten blocks that follow one another end at each of these.
        whole = start + np.flatnonzero(rows["run"][start:] >= WINDOW)
        findings = self._hogs(columns, rows, whole)
        # An hour's blocks are learnt if they were together; a source with holes has no habits.
        last = max(0, start - 1)
        chunks, runs = rows["number"][last:] // CHUNK, rows["run"][last:]
        ends = last + 1 + np.flatnonzero((chunks[1:] != chunks[:-1]) & (runs[:-1] >= TOGETHER))
        inner = ends[ends > start].tolist()
        for low, high in zip([start, *inner], [*inner, len(rows)], strict=True):
            if low in ends:
                before = rows[max(0, low - CHUNK) : low]
                before = before[before["number"] // CHUNK == rows["number"][low - 1] // CHUNK]
                self._habits.replace(int(rows["serial"][low]), self._habits.newest.after(before))
            part = whole[(whole >= low) & (whole < high)]
            if len(part) and self._habits.newest.blocks >= self._config.known:
                findings += self._failures(columns, rows, part)
                findings += self._selectors(columns, rows, part)
        self._blocks.append(rows[start:])
        return sorted(findings, key=lambda finding: (finding.block_row, finding.rule))

    # --- one contract

    def _hogs(self, columns: Columns, rows: Array, at: Array) -> list[Finding]:
        if not len(at):
            return []
        gas = _sums(rows, "gas", at)
        share = self._config.hog_share
        taken, calls, senders = _of_top(rows, at, "hogs", ("gas", "calls", "senders"))
        over = (taken > share * gas[:, None]) & (rows["hogs"][at] != 0)
        findings = []
        for place, rank in np.argwhere(over).tolist():
            row, count, crowd = int(at[place]), int(calls[place, rank]), int(senders[place, rank])
            key = rows["hogs"][row, rank]
            recent = rows["told_hog"][max(0, row - QUIET) : row]
            many = crowd >= self._config.crowd and crowd >= self._config.crowd_share * count
            few = count < self._config.hog_calls
            if few or many or (recent == key).any() or rows["told_hog"][row]:
                continue
            contract = _contract(columns, _place(rows, row, columns), int(key))
            time = int(rows["time"][row])
            if self._labels.is_service(contract, time, columns.batch.chain.name):
                continue
            rows["told_hog"][row] = key
            part = float(taken[place, rank]) / float(gas[place])
            number = int(rows["number"][row])
            findings.append(
                about_chain(
                    "gas_hog",
                    self.version,
                    "gas",
                    Severity.MEDIUM,
                    _place(rows, row, columns),
                    number,
                    f"{hex_of(contract)} has taken {part:.0%} of the gas of {WINDOW} blocks up to "
                    f"{number}, in {count} calls of few senders.",
                    (
                        Reason("gas_share", part, 0.5, share),
                        Reason("senders_a_call", crowd / max(1, count), 0.1, None),
                    ),
                    contract,
                    Evidence(addresses=(contract,)),
                )
            )
        return findings

    # --- against what is usual

    def _failures(self, columns: Columns, rows: Array, at: Array) -> list[Finding]:
        config, habits = self._config, self._habits.newest
        failed, calls = _sums(rows, "failed", at), _sums(rows, "calls", at)
        usual = habits.failed_share
        least = max(config.failed_factor * usual, config.failed_share)
        over = (failed >= config.failed_calls) & (failed > least * calls)
        rows["failing"][at] = over
        findings = []
        for place in np.flatnonzero(over).tolist():
            row = int(at[place])
            if rows["failing"][max(0, row - QUIET) : row].any():
                continue
            share, number = float(failed[place]) / float(calls[place]), int(rows["number"][row])
            findings.append(
                about_chain(
                    "failure_spike",
                    self.version,
                    "gas",
                    Severity.LOW,
                    _place(rows, row, columns),
                    number,
                    f"{share:.0%} of the transactions of {WINDOW} blocks up to {number} failed; "
                    f"{usual:.1%} are usual.",
                    (Reason("failed_share", share, 0.4, least),),
                )
            )
        return findings

    def _selectors(self, columns: Columns, rows: Array, at: Array) -> list[Finding]:
        config, habits = self._config, self._habits.newest
        total = _sums(rows, "calls", at)
        made, senders = _of_top(rows, at, "selectors", ("calls", "senders"))
        over = (made >= config.selector_calls) & (made >= config.selector_share * total[:, None])
        over &= rows["selectors"][at] != NO_SELECTOR
        findings = []
        usual: dict[int, float] = {}
        for place, rank in np.argwhere(over).tolist():
            row, selector = int(at[place]), int(rows["selectors"][at[place], rank])
            if selector not in usual:
                usual[selector] = WINDOW * habits.calls_of(selector)
            count, crowd = int(made[place, rank]), int(senders[place, rank])
            if count < config.selector_factor * usual[selector]:
                continue
            recent = rows["told_selector"][max(0, row - QUIET) : row + 1]
            if crowd >= config.crowd_share * count or (recent == selector).any():
                continue
            rows["told_selector"][row] = selector
            number = int(rows["number"][row])
            findings.append(
                about_chain(
                    "selector_spike",
                    self.version,
                    "gas",
                    Severity.LOW,
                    _place(rows, row, columns),
                    number * TOP + rank,
                    f"0x{selector:08x} was called {count} times in {WINDOW} blocks up to {number} "
                    f"by few senders; about {usual[selector]:.0f} calls are usual.",
                    (
                        Reason("calls", float(count), 0.3, float(config.selector_calls)),
                        Reason("senders_a_call", crowd / count, 0.1, config.crowd_share),
                    ),
                )
            )
        return findings


def _windows(at: Array) -> Array:
    # The ten rows that end at each of these, (rows, WINDOW).
    return np.asarray(at[:, None] + np.arange(1 - WINDOW, 1))


def _sums(rows: Array, name: str, at: Array) -> Array:
    # Sums over the ten blocks that end at each row.
    return np.asarray(rows[name][_windows(at)].sum(axis=1))


def _of_top(rows: Array, at: Array, name: str, what: tuple[str, ...]) -> list[Array]:
    # What each of a block's top keys took in the ten blocks that end there, (rows, TOP) each.
    windows = _windows(at)
    keys, own, prefix = rows[name][windows], rows[name][at], name[:-1]
    same = own[:, :, None, None] == keys[:, None, :, :]
    return [
        np.where(same, rows[f"{prefix}_{w}"][windows][:, None], 0).sum(axis=(2, 3)) for w in what
    ]


def _place(rows: Array, row: int, columns: Columns) -> int:
    # The row in the batch of the block in that row.
    return int(rows["serial"][row]) - columns.first_serial


def _contract(columns: Columns, row: int, key: int) -> bytes:
    # The address behind a key that was called in that block of the batch.
    mine = np.flatnonzero(columns.tx_block == columns.block_numbers[row])
    hits = mine[columns.tx_to_key[mine] == key]
    found: bytes = columns.cells("transactions")["to_address"][int(hits[0])]
    return found
