"""Historical blocks through the same code: same alerts, same state, nothing sent."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.deployment import (
    UNDO_BLOCKS,
    compile_kernels,
    keyed_like,
    label_watch,
    make_detector,
    new_book,
    new_metrics,
    open_stores,
)
from chainwarden.errors import BadBlock, SettingsError, SourceError
from chainwarden.labelling import Labelling
from chainwarden.pipeline import Pipeline
from chainwarden.promoting import make_champion
from chainwarden.recorded_labels import RecordedLabels, labelled
from chainwarden.restart import Orphans
from chainwarden.schema import Alert, Chain, alerts_digest
from chainwarden.settings import Settings, configured_chain
from ingest.chain import ChainFollower
from ingest.files import open_source
from ingest.intake import Intake
from store.durable import replace_file
from store.label_archive import LabelArchive
from store.lake import Lake
from store.lake_blocks import read_blocks, read_orphans
from store.ledger import AlertFilter, Ledger
from store.queries import MAX_LIMIT

RESULT: Final = "replay.json"
"""The file beside the ledger that says what the replay did, and how long it took."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did; ``failure`` is why the source ended early, if it did.

    ``seconds`` begins when the detector is compiled and ready, and ends when all is on disk.
    """

    blocks: int
    verified_blocks: int
    unverified_blocks: int
    rejected_blocks: int
    transactions: int
    flows: int
    wallets: int
    alerts: int
    retracted: int
    seconds: float
    flows_per_second: float
    state_digest: str
    alerts_digest: str
    out: str
    failure: SourceError | None = None

    def to_dict(self) -> dict[str, object]:
        """The documented JSON object."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "failure"}
        return {**fields, "failure": str(self.failure)} if self.failure else fields


def replay(
    path: Path,
    out: Path,
    settings: Settings,
    *,
    batch_blocks: int,
    on_rejected: Callable[[BadBlock], None] = lambda _: None,
    advance: Callable[[int, str], None] = lambda _done, _rate: None,
) -> ReplayResult:
    """Score every block of a file or folder into ``out``, which must be new or empty.

    ``advance`` is told the blocks done and the rate. What can be read of a source that ends early
    is scored and committed; the result then carries the failure.
    """
    chain = configured_chain(settings)
    source = open_source(path, chain)
    compile_kernels(settings)
    stores = open_stores(out, chain, "replay")
    try:
        metrics = new_metrics(chain)
        labels = new_book()
        labelling = Labelling(labels, stores.ledger, stores.lists, label_watch(settings))
        detection = make_detector(settings, chain, labels)
        detection.say_what_is_not_confirmed()
        detector = detection.detector
        pipeline = Pipeline(detector, stores, metrics, labelling=labelling)
        intake = Intake(
            source, ChainFollower(UNDO_BLOCKS), batch_blocks=batch_blocks, on_rejected=on_rejected
        )
        began = time.perf_counter()
        failure: SourceError | None = None
        try:
            for event in intake.events():
                pipeline.handle(event)
                rate = pipeline.cursor.flows / (time.perf_counter() - began)
                advance(intake.counts.blocks, f"{rate:,.0f} flows/s")
        except SourceError as error:
            failure = error
        pipeline.flush()
        seconds = time.perf_counter() - began
        advance(intake.counts.blocks, f"{pipeline.cursor.flows / seconds:,.0f} flows/s")
        alerts = every_alert(stores.ledger)
        result = ReplayResult(
            blocks=intake.counts.blocks,
            verified_blocks=intake.counts.verified,
            unverified_blocks=intake.counts.unverified,
            rejected_blocks=intake.counts.rejected,
            transactions=intake.counts.transactions,
            flows=pipeline.cursor.flows,
            wallets=detector.wallets,
            alerts=len(alerts),
            retracted=pipeline.retracted,
            seconds=seconds,
            flows_per_second=pipeline.cursor.flows / seconds,
            state_digest=detector.digest(),
            alerts_digest=alerts_digest(alerts),
            out=str(out),
            failure=failure,
        )
        with replace_file(out / RESULT) as temporary:
            temporary.write_bytes(msgspec.json.encode(result.to_dict()))
        return result
    finally:
        stores.ledger.close()


def read_result(out: Path) -> dict[str, object] | None:
    """What the replay into a folder did, as ``ReplayResult.to_dict`` tells it; None without one."""
    try:
        return msgspec.json.decode((out / RESULT).read_bytes(), type=dict[str, object])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def rebuild(
    ledger: Ledger,
    lake_folder: Path,
    to: Path,
    settings: Settings,
    *,
    advance: Callable[[int, str], None] = lambda _done, _rate: None,
) -> dict[str, object]:
    """Score the blocks of a lake into the folder ``to``, and compare with the ledger they had.

    Labels take force with the blocks with which they did before, lists in the versions of then;
    lists that the ledger does not know are there from the first block on. ``missing`` and ``new``
    are how many alerts only the one or only the other has; both are 0 with the settings of before.
    Promotions likewise. The new ledger has the old one's labels and promotions, with their history.
    """
    prepare_folder(to, ledger.chain, overwrite=False)
    compile_kernels(settings)
    stores = open_stores(to, ledger.chain, "replay")
    try:
        settings = keyed_like(settings, lake_folder.parent, to)
        labels, known = new_book(), ledger.label_lists()
        for content in label_watch(settings).read_all():
            if content.info.name not in {note.path for note in known}:
                labels.take(content)
        archive = LabelArchive(lake_folder.parent / "label-lists")
        detection = make_detector(settings, ledger.chain, labels)
        detection.say_what_is_not_confirmed()
        detector = detection.detector
        recorded = RecordedLabels(labels, ledger, archive, partial(make_champion, detector))
        pipeline = Pipeline(detector, stores, new_metrics(ledger.chain))
        follower = ChainFollower(UNDO_BLOCKS)
        lake, manifest = Lake(lake_folder, ledger.chain), ledger.files()
        orphans = Orphans(read_orphans(lake, manifest), UNDO_BLOCKS)
        for batch in read_blocks(lake, manifest):
            for added in follower.add(batch):
                for event in labelled(recorded, orphans.beside(added)):
                    pipeline.handle(event)
            advance(pipeline.cursor.blocks, "")
        pipeline.flush()
        stores.ledger.take_over(ledger)
        archive.copy(stores.lists)
        before = {alert.id for alert in every_alert(ledger)}
        after = every_alert(stores.ledger)
        return {
            "blocks": pipeline.cursor.blocks,
            "flows": pipeline.cursor.flows,
            "alerts": len(after),
            "missing": len(before - {alert.id for alert in after}),
            "labels": len(ledger.label_changes(pending=False)),
            "label_lists": len(known),
            "new": len({alert.id for alert in after} - before),
            "state_digest": detector.digest(),
            "alerts_digest": alerts_digest(after),
            "out": str(to),
        }
    finally:
        stores.ledger.close()


def every_alert(ledger: Ledger) -> list[Alert]:
    """All active alerts of a ledger, in order of arrival."""
    alerts: list[Alert] = []
    page = AlertFilter(limit=MAX_LIMIT, oldest_first=True)
    while found := ledger.alerts(page):
        alerts += found
        page = dataclasses.replace(page, after=found[-1].id)
    return alerts


def prepare_folder(out: Path, chain: Chain, overwrite: bool) -> None:
    """Make sure that ``out`` is free for a replay.

    Raises SettingsError where it holds something and ``overwrite`` is off, or where it is no output
    of chainwarden; LedgerLocked where another process works in it.
    """
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "ledger.duckdb").exists():
        raise SettingsError(f"{out} holds other things", hint="give --out a new folder")
    if not overwrite:
        raise SettingsError(f"{out} holds results already", hint="--overwrite, or another --out")
    open_stores(out, chain, "replay").ledger.close()  # nobody else works in it
    shutil.rmtree(out)
