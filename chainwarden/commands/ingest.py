"""``chainwarden ingest``: blocks of a node or a file, verified, onto Kafka."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from chainwarden.deployment import (
    UNDO_BLOCKS,
    kafka_config,
    new_metrics,
    open_source_node,
)
from chainwarden.errors import SourceError
from chainwarden.kafka_bus import BlockProducer
from chainwarden.live import Health, follow, ingest_loop, observe_source, stop_on_signals
from chainwarden.patience import Patience
from chainwarden.schema import ChainEvent
from chainwarden.server import MetricsServer
from chainwarden.settings import Settings, configured_chain, load_settings
from chainwarden.terminal import print_error, print_outcome
from chainwarden.watchdog import Watchdog
from ingest.chain import MOST_UNFINAL, ChainFollower
from ingest.files import open_source
from ingest.intake import Intake
from ingest.publish import Publisher


def ingest(
    *, config: Path | None, flags: Mapping[str, object], file: Path | None, json: bool
) -> None:
    """Publish a file to its end, or a node's chain until a signal comes."""
    settings = load_settings(config, os.environ, flags)
    result = _ingest_node(settings) if file is None else _ingest_file(settings, file)
    print_outcome(result, json)


def _ingest_file(settings: Settings, file: Path) -> dict[str, object]:
    chain = configured_chain(settings)
    intake = Intake(
        open_source(file, chain),
        ChainFollower(UNDO_BLOCKS),
        batch_blocks=64,
        on_rejected=print_error,
    )
    producer = BlockProducer(kafka_config(settings, chain))
    patience = Patience(settings.bus.patience_seconds, threading.Event())
    failure: SourceError | None = None
    try:
        for event in intake.events():
            patience.until_taken(partial(producer.publish, event))
    except SourceError as error:
        failure = error
    finally:
        producer.close()
    if failure is not None:
        raise failure
    counts = intake.counts
    return {
        "blocks": counts.blocks,
        "verified_blocks": counts.verified,
        "unverified_blocks": counts.unverified,
        "rejected_blocks": counts.rejected,
        "transactions": counts.transactions,
    }


def _ingest_node(settings: Settings) -> dict[str, object]:
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        source = stack.enter_context(open_source_node(settings))
        metrics = new_metrics(source.chain)
        health = Health()
        server = MetricsServer(settings.server.host, settings.server.port, metrics.registry, health)
        stack.callback(server.close)
        sys.stderr.write(f"chainwarden: metrics on http://{server.address}/metrics\n")
        out = Path(settings.store.out)
        out.mkdir(parents=True, exist_ok=True)
        cursor_path = out / f"ingest-{source.chain.name}.cursor.json"
        producer = BlockProducer(kafka_config(settings, source.chain))
        stack.callback(producer.close)
        publisher = Publisher(producer, cursor_path, UNDO_BLOCKS)
        follower = ChainFollower(
            UNDO_BLOCKS,
            linked=True,
            unfinal=MOST_UNFINAL,
            resume=publisher.cursor.recent,
            finalized=publisher.cursor.finalized,
        )
        patience = Patience(settings.bus.patience_seconds, stop)
        health.others.append(patience.reason)
        away = metrics.bus_away.labels(metrics.chain)
        away.set_function(lambda: patience.away_seconds)
        watchdog = Watchdog(metrics)
        health.others.append(watchdog.reason)
        events = follow(source, follower, settings, watchdog, metrics, stop)

        def publish(event: ChainEvent) -> None:
            patience.until_taken(lambda: publisher.publish(event))

        ingest_loop(
            events,
            publish,
            metrics,
            health,
            lambda: observe_source(metrics, source.stats),
        )
        head = follower.head
        return {"chain": source.chain.name, "head": str(head) if head else None}
