"""What an attacker can change about his wallets, done to the labelled stream.

Only wallets that first show in the judged window change; those before them taught the model what
phishing looks like. What is moved in time goes to the first block of the stream that is no earlier,
so that blocks keep their times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.detection.stream import STREAM, WINDOW
from detect.compiled import Array

HOUR: Final = 3_600
DAY: Final = 86_400
HOSTILE: Final = 987_654_321.125
"""An amount that ``spoilt`` turns into one that no arithmetic survives."""


@dataclass(frozen=True, slots=True)
class Movements:
    """The stream's columns; addresses are ``0x…`` text, the receiver "" where there is none."""

    block_number: Array
    block_timestamp: Array
    from_address: Array
    to_address: Array
    value_eth: Array
    method_id: Array
    is_error: Array

    def __len__(self) -> int:
        """How many."""
        return len(self.block_number)

    def part(self, rows: Array) -> Movements:
        """Some of them."""
        return Movements(*(getattr(self, f.name)[rows] for f in fields(self)))

    def with_columns(self, **columns: Array) -> Movements:
        """The same with other columns."""
        return Movements(*(columns.get(f.name, getattr(self, f.name)) for f in fields(self)))

    def write(self, path: Path) -> Path:
        """As a file that the command reads; every movement is a transaction of its own."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        receivers = [text or None for text in self.to_address.tolist()]
        table = pa.table({**columns, "to_address": receivers}).append_column(
            "transaction_hash", pa.array([f"0x{n:064x}" for n in range(len(self))])
        )
        pq.write_table(table, path)
        return path


def read_movements(path: Path = STREAM) -> Movements:
    """The stream as it is."""
    table = pq.read_table(path)
    columns = []
    for f in fields(Movements):
        values = table[f.name]
        if not pa.types.is_string(values.type):
            columns.append(values.to_numpy())
            continue
        # Addresses are of one length; calldata is not, and one is thousands of times the usual.
        kind = np.object_ if f.name == "method_id" else np.str_
        columns.append(np.array(values.fill_null("").to_pylist(), kind))
    return Movements(*columns)


def joined(parts: Sequence[Movements]) -> Movements:
    """All of them in order of block; within a block in the order given."""
    whole = Movements(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Movements))
    )
    return whole.part(np.argsort(whole.block_number, kind="stable"))


def placed(moves: Movements, at: Array, numbers: Array, times: Array) -> Movements:
    """The movements in the first blocks that are no earlier than ``at``; the last where none is."""
    block = np.minimum(np.searchsorted(times, at), len(times) - 1)
    return moves.with_columns(block_number=numbers[block], block_timestamp=times[block])


def attackers(moves: Movements, phishing: frozenset[bytes]) -> dict[str, int]:
    """The phishing wallets of the window, and the times of their first events."""
    bad = np.array(sorted("0x" + address.hex() for address in phishing))
    first: dict[str, int] = {}
    touched = np.isin(moves.from_address, bad) | np.isin(moves.to_address, bad)
    rows = moves.part(np.flatnonzero(touched))
    listed = set(bad.tolist())
    for sender, receiver, at in zip(
        rows.from_address.tolist(), rows.to_address.tolist(), rows.block_timestamp.tolist(),
        strict=True,
    ):  # fmt: skip
        for wallet in {sender, receiver} & listed:
            first.setdefault(wallet, at)
    return {wallet: at for wallet, at in first.items() if WINDOW.start <= at < WINDOW.end}


def split(moves: Movements, wallets: Sequence[str], parts: int = 5) -> Movements:
    """Each payment that they send in so many unequal ones, some hours apart."""
    rng = np.random.default_rng(1)
    own = np.isin(moves.from_address, wallets)
    rows = np.repeat(np.flatnonzero(own), parts)
    shares = rng.dirichlet(np.full(parts, 3.0), int(own.sum())).ravel()
    lag = np.sort(rng.integers(0, 12 * HOUR, (int(own.sum()), parts)), axis=1).ravel()
    pieces = moves.part(rows).with_columns(value_eth=moves.value_eth[rows] * shares)
    return joined([moves.part(np.flatnonzero(~own)), _moved(moves, pieces, lag)])


def spread(
    moves: Movements, wallets: Sequence[str], over: int = 3
) -> tuple[Movements, dict[str, list[str]]]:
    """Victims are told one of so many wallets instead of one, and each pays out its part.

    What came in first decides where a counterparty belongs. Returns the new wallets of each, too.
    """
    rng = np.random.default_rng(1)
    others = {w: [w, *("0x" + rng.bytes(20).hex() for _ in range(over - 1))] for w in wallets}
    chosen: dict[tuple[str, str], str] = {}
    senders, receivers = moves.from_address.tolist(), moves.to_address.tolist()
    for row, (sender, receiver) in enumerate(zip(senders, receivers, strict=True)):
        for own, other, side in ((receiver, sender, receivers), (sender, receiver, senders)):
            if own in others and own != other:
                at = rng.integers(over)
                side[row] = chosen.setdefault((own, other), others[own][at])
    moved = moves.with_columns(from_address=np.array(senders), to_address=np.array(receivers))
    return moved, others


def wait(moves: Movements, wallets: Sequence[str], days: int = 14) -> Movements:
    """Whatever they send, they send so many days later."""
    sent = np.isin(moves.from_address, wallets)
    rows = np.flatnonzero(sent)
    late = _moved(moves, moves.part(rows), np.full(len(rows), days * DAY))
    return joined([moves.part(np.flatnonzero(~sent)), late])


def warm_up(moves: Movements, wallets: dict[str, int], flows: int = 8) -> Movements:
    """For 3 days before its first victim each does what some good wallet did when it was new."""
    rng = np.random.default_rng(1)
    early = moves.part(np.flatnonzero(moves.block_timestamp < WINDOW.start - 30 * DAY))
    histories = _beginnings(early, flows)
    names = list(histories)
    parts, at = [moves], []
    for wallet, first in wallets.items():
        model = names[rng.integers(len(names))]
        rows = early.part(np.array(histories[model]))
        for side in ("from_address", "to_address"):
            own = np.where(getattr(rows, side) == model, wallet, getattr(rows, side))
            rows = rows.with_columns(**{side: own})
        parts.append(rows)
        at.append(np.sort(first - rng.integers(HOUR, 3 * DAY, len(rows))))
    numbers, places = np.unique(moves.block_number, return_index=True)
    made = Movements(
        *(np.concatenate([getattr(p, f.name) for p in parts[1:]]) for f in fields(Movements))
    )
    timed = placed(made, np.concatenate(at), numbers, moves.block_timestamp[places])
    return joined([timed, moves])


def _beginnings(moves: Movements, flows: int) -> dict[str, list[int]]:
    """The first so many movements of each wallet that has so many, and is no hub."""
    rows: dict[str, list[int]] = {}
    for row, pair in enumerate(
        zip(moves.from_address.tolist(), moves.to_address.tolist(), strict=True)
    ):
        for wallet in {*pair} - {""}:
            rows.setdefault(wallet, []).append(row)
    return {w: own[:flows] for w, own in rows.items() if flows <= len(own) <= 20 * flows}


def vanity(moves: Movements, wallets: Sequence[str]) -> tuple[Movements, dict[str, str]]:
    """Their addresses share 4 + 4 digits with the wallet that pays them first; old name to new."""
    renamed: dict[str, str] = {}
    paid = moves.part(np.flatnonzero(np.isin(moves.to_address, wallets)))
    for sender, wallet in zip(paid.from_address.tolist(), paid.to_address.tolist(), strict=True):
        renamed.setdefault(wallet, sender[:6] + wallet[6:38] + sender[38:])
    names = {
        name: np.array([renamed.get(text, text) for text in getattr(moves, name).tolist()])
        for name in ("from_address", "to_address")
    }
    return moves.with_columns(**names), renamed


def wash(
    moves: Movements, wallets: Sequence[str], share: float, seed: int = 1
) -> tuple[Movements, frozenset[bytes]]:
    """Copies of phishing wallets, victims and all, that nobody will call bad: a share of the whole.

    Each copy does what a phishing wallet did, up to a day later, between fresh addresses; those
    are returned as well.
    """
    rng = np.random.default_rng(seed)
    count = round(len(wallets) * share / (1.0 - share))
    chosen = rng.choice(np.array(sorted(wallets)), count, replace=False)
    parts, made = [moves], set()
    own = np.isin(moves.from_address, chosen) | np.isin(moves.to_address, chosen)
    rows = moves.part(np.flatnonzero(own))
    for wallet in chosen.tolist():
        mine = rows.part(
            np.flatnonzero((rows.from_address == wallet) | (rows.to_address == wallet))
        )
        fresh: dict[str, str] = {"": ""}
        for name in np.unique(np.concatenate([mine.from_address, mine.to_address])).tolist():
            fresh.setdefault(name, "0x" + rng.bytes(20).hex())
        made |= {bytes.fromhex(text[2:]) for text in fresh.values() if text}
        copied = mine.with_columns(
            from_address=np.array([fresh[text] for text in mine.from_address.tolist()]),
            to_address=np.array([fresh[text] for text in mine.to_address.tolist()]),
        )
        parts.append(_moved(moves, copied, np.full(len(copied), rng.integers(HOUR, DAY))))
    return joined(parts), frozenset(made)


def hostile(moves: Movements, count: int) -> Movements:
    """So many more movements of ``HOSTILE`` between wallets of the stream, all along it."""
    rng = np.random.default_rng(1)
    rows = np.sort(rng.integers(0, len(moves), count))
    made = moves.part(rows).with_columns(
        to_address=moves.from_address[rng.permutation(rows)], value_eth=np.full(count, HOSTILE)
    )
    return joined([moves, made])


def _moved(moves: Movements, some: Movements, seconds: Array) -> Movements:
    """Some movements so much later, in blocks of the whole stream."""
    numbers, first = np.unique(moves.block_number, return_index=True)
    return placed(some, some.block_timestamp + seconds, numbers, moves.block_timestamp[first])
