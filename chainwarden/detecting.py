"""What ``run`` and ``detect`` have in common: everything behind the bus."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chainwarden.deployment import (
    UNDO_BLOCKS,
    Detection,
    compile_kernels,
    keyed,
    label_watch,
    make_detector,
    new_book,
    new_metrics,
    open_node_calls,
    open_stores,
)
from chainwarden.labelling import Labelling
from chainwarden.ledgers import once_free
from chainwarden.live import Health, Worker
from chainwarden.metrics import Metrics
from chainwarden.observe import observe_delivery, observe_detection, observe_node_calls
from chainwarden.pipeline import Pipeline, Stores
from chainwarden.promoting import make_champion
from chainwarden.receivers import senders_of, told_of
from chainwarden.recorded_labels import RecordedLabels
from chainwarden.replay import every_alert
from chainwarden.restart import Resumption, sweep
from chainwarden.schema import Chain, Offsets, Position, alerts_digest
from chainwarden.serving import serve_ledger
from chainwarden.settings import Settings
from chainwarden.standby import Taken
from detect.labels import builtin_labels
from detect.rules.node import WITHOUT_NODE
from ingest.chain import MOST_UNFINAL
from ingest.node_calls import RpcNodeCalls
from ingest.workers import cores
from store.delivery import Delivery
from store.encoding_process import EncodingProcess
from store.lake_blocks import recent_positions


@dataclass(frozen=True, slots=True)
class Detecting:
    """A detector at the ledger's cursor, its stores, its deliveries and its metrics."""

    stores: Stores
    detection: Detection
    node: RpcNodeCalls | None
    pipeline: Pipeline
    delivery: Delivery
    metrics: Metrics
    health: Health

    def unfinal(self) -> list[Position]:
        """The newest blocks that were scored, oldest first, down to the finalized one.

        Of a chain without finality, those that the detector can undo and the one below.
        """
        cursor, count = self.pipeline.cursor, UNDO_BLOCKS + 1
        if cursor.head is not None and cursor.finalized is not None:
            count = max(count, cursor.head.number - cursor.finalized.number + 1)
        files = self.stores.ledger.files("blocks")
        return recent_positions(self.stores.lake, files, min(count, MOST_UNFINAL + 1))

    def observe(self) -> None:
        """Bring the metrics of detection and delivery up to date."""
        observe_detection(self.metrics, self.detection.detector, self.detection.policy)
        observe_delivery(self.metrics, self.delivery, self.stores.ledger)
        if self.pipeline.labelling is not None:
            self.pipeline.labelling.observe(self.metrics)
        if self.node is not None:
            observe_node_calls(self.metrics, self.node.stats)

    def outcome(self) -> dict[str, object]:
        """What a command prints at its end; equal digests, equal results."""
        alerts = every_alert(self.stores.ledger)
        return {
            "blocks": self.pipeline.cursor.blocks,
            "transactions": self.pipeline.cursor.transactions,
            "flows": self.pipeline.cursor.flows,
            "wallets": self.detection.detector.wallets,
            "alerts": len(alerts),
            "retracted": self.pipeline.retracted,
            "state_digest": self.detection.detector.digest(),
            "alerts_digest": alerts_digest(alerts),
        }


@contextmanager
def detecting(
    settings: Settings,
    chain: Chain,
    stop: threading.Event,
    bus_commit: Callable[[Offsets], None] = lambda _: None,
    clock: Callable[[], float] = time.time,
    taken: Taken | None = None,
) -> Iterator[Detecting]:
    """Open everything, resume, and deliver in a thread until the context ends.

    Deliveries that are under way at the end are finished; the others wait in the outbox. ``clock``
    is the wall clock, in seconds since 1970: deliveries and metrics go by it, results never. What a
    standby has ``taken`` is open and warm already.
    """
    senders = senders_of(settings)
    with ExitStack() as stack:
        for sender in senders:
            stack.callback(sender.close)
        out = Path(settings.store.out)
        stores = (
            taken.stores
            if taken is not None
            else once_free(
                out,
                lambda: open_stores(
                    out, chain, "live", told_of(settings), settings.store.snapshots_kept, clock
                ),
            )
        )
        stack.callback(stores.ledger.close)
        if cores() > 1:
            stores.lake.encoder = stack.enter_context(EncodingProcess())
        settings = keyed(settings, out)
        metrics, health = new_metrics(chain, clock), Health()
        labels = new_book() if taken is None else taken.warm.labels
        serve_ledger(settings, stores.ledger, labels, metrics, health, stack)
        if taken is None:
            compile_kernels(settings)
        node = open_node_calls(settings, chain) if taken is None else taken.warm.node
        if node is not None:
            stack.callback(node.close)
        if taken is None:
            detection = make_detector(settings, chain, labels, node=node or WITHOUT_NODE)
        else:
            detection = taken.warm.detection
        if node is None:
            detection.say_what_is_not_confirmed()
        promote = partial(make_champion, detection.detector)

        def recorded() -> RecordedLabels:
            labels.start_over(builtin_labels())
            return RecordedLabels(labels, stores.ledger, stores.lists, promote)

        sweep(stores)
        resumption = Resumption(
            detection.detector,
            stores,
            UNDO_BLOCKS,
            recorded,
            None if taken is None else taken.warm.start(),
        )
        cursor = resumption()
        watch = label_watch(settings)
        pipeline = Pipeline(
            detection.detector,
            stores,
            metrics,
            cursor=cursor,
            labelling=Labelling(labels, stores.ledger, stores.lists, watch),
            bus_commit=bus_commit,
        )
        pipeline.rewind = resumption
        health.others.append(lambda: pipeline.halted)
        delivery = Delivery(stores.ledger.outbox, senders, clock)
        no_more = threading.Event()
        deliverer = Worker("deliver", lambda: delivery.run(no_more), stop)
        watcher = Worker("labels", lambda: watch.run(no_more), stop)
        deliverer.start()
        watcher.start()
        try:
            yield Detecting(stores, detection, node, pipeline, delivery, metrics, health)
        finally:
            no_more.set()
            deliverer.join()
            watcher.join()
