"""Commits blocks until it is killed, again and again, and checks what is left each time.

Run as ``python -m tests.rigs.crash FOLDER KILLS SEED`` from the project's root. This process only
imports and forks: the ledger is opened in children, of which one commits and is killed (SIGKILL) at
a random instant or at a chosen file operation, and the next one checks. Ends with exit code 0 if
every check held, and prints what did not.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from chainwarden.schema import ETHEREUM, Cursor, LakeFile, Retraction
from store.lake import Lake
from store.ledger import AlertFilter, Commit, Ledger
from tests.store.made import alert, blocks, features, position

OPERATIONS = 36
"""File operations that opening the ledger and committing a block take, and a few more."""


def commit_for_ever(folder: Path, acknowledge: int) -> None:
    """Commit block after block; number each acknowledged one on the pipe."""
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as ledger:
        lake = Lake(folder / "lake", ETHEREUM)
        lake.sweep(ledger.files())
        cursor = ledger.cursor()
        number = cursor.head.number + 1 if cursor is not None and cursor.head else 1
        os.write(acknowledge, b"%d\n" % (number - 1))
        while True:
            _commit(ledger, lake, number)
            os.write(acknowledge, b"%d\n" % number)
            for row in ledger.outbox.due("ops", 1e12, limit=1):
                ledger.outbox.delivered(row, 1e12)
            number += 1


def _commit(ledger: Ledger, lake: Lake, number: int) -> None:
    batch = blocks(number, 1)
    added = lake.write(batch, features(batch))
    removed: tuple[LakeFile, ...] = ()
    retractions = (
        [Retraction(alert(number - 1).id, position(number - 1))] if number % 3 == 0 else []
    )
    if number % 5 == 0:
        merged, removed = lake.compact([f for f in ledger.files() if f.last.number < number - 2])
        added += merged
    ledger.commit(
        Commit(
            Cursor(position(number), {"t/0": number}, number, 2 * number, 4 * number),
            alerts=[alert(number)],
            retractions=retractions,
            files_added=added,
            files_removed=removed,
        )
    )
    lake.remove(removed)


def check(folder: Path, acknowledged: int) -> int:
    """Everything up to the cursor is there once and whole, and nothing acknowledged is lost.

    Returns the number of the head.
    """
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as ledger:
        cursor = ledger.cursor()
        head = cursor.head.number if cursor is not None and cursor.head else 0
        assert acknowledged <= head <= acknowledged + 1, f"{head} after {acknowledged}"
        lake = Lake(folder / "lake", ETHEREUM)
        manifest = ledger.files()
        assert lake.verify(manifest) == ()
        lake.sweep(manifest)
        assert lake.verify(manifest) == ()
        for dataset, per_block in (
            ("blocks", 1),
            ("transactions", 2),
            ("flows", 4),
            ("features", 4),
        ):
            files = ledger.files(dataset)
            if head:
                numbers = sorted(lake.read(files)["block_number"].to_pylist())
                expected = [n for n in range(1, head + 1) for _ in range(per_block)]
                assert numbers == expected, dataset
        records = ledger.records(AlertFilter(status="all", limit=100_000, oldest_first=True))
        assert [record.alert for record in records] == [alert(n) for n in range(1, head + 1)]
        gone = [r.alert.position.number for r in records if r.status == "retracted"]
        assert gone == [n for n in range(2, head) if (n + 1) % 3 == 0]
        assert sum(ledger.alert_counts().values()) == head
        audit = ledger.verify()
        assert (audit.faults, audit.head) == ((), ledger.audit_head())
        for record in records:
            number = record.alert.position.number
            assert ledger.record(record.alert.id) == record, number
        drained = 0
        while rows := ledger.outbox.due("ops", 1e12):
            drained += len(rows)
            for row in rows:
                ledger.outbox.delivered(row, 1e12)
        assert drained <= 2 * (head + 1)
        assert ledger.outbox.pending() == {}
        return head


def in_child(work: Callable[[], None]) -> int:
    """Fork, do the work in the child, return its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def die_at(operation: int, folder: Path) -> None:
    """Kill this process at the n-th time it opens, renames or deletes a file of the folder."""
    left = operation

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def run(folder: Path, kills: int, seed: int) -> None:
    """Commit, kill and check, ``kills`` times: at each file operation of the first blocks in turn,
    then at random instants, which seldom hit the small windows.
    """
    random_ = random.Random(seed)
    acknowledged = 0
    for kill in range(kills):
        operation = kill + 1 if kill < OPERATIONS else 0
        seen = _commit_and_kill(folder, operation, random_.uniform(0.0, 0.3))
        if seen:
            acknowledged = int(seen[-1])
        last = acknowledged
        reader, writer = os.pipe()

        def look(last: int = last, writer: int = writer) -> None:
            os.write(writer, b"%d" % check(folder, last))

        pid = in_child(look)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            head = pipe.read()
        _, status = os.waitpid(pid, 0)
        if status:
            sys.exit(f"kill {kill} (seed {seed}): not whole after block {acknowledged}")
        # A commit that was not acknowledged may be there: the next child goes on after it.
        acknowledged = int(head)
    print(f"{kills} kills, {acknowledged} blocks")


def _commit_and_kill(folder: Path, operation: int, seconds: float) -> list[bytes]:
    """Let a child commit until it is killed; returns the block numbers it acknowledged."""
    reader, writer = os.pipe()

    def work() -> None:
        if operation:
            die_at(operation, folder)
        commit_for_ever(folder, writer)

    pid = in_child(work)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        seen = pipe.read(1)
        if not operation and seen:
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)
        while part := pipe.read(65_536):
            seen += part
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    return seen.split(b"\n")[:-1]


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
