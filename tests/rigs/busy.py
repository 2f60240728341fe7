"""A deployment in this process that has seen all: attacks, forks, labels, receivers, lies."""

from __future__ import annotations

import csv
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chainwarden.detecting import Detecting, detecting
from chainwarden.errors import BadBlock
from chainwarden.live import (
    DetectOptions,
    Worker,
    accept_blocks,
    detect_loop,
    ingest_loop,
    observe_source,
)
from chainwarden.memory_bus import MemoryBus
from chainwarden.schema import ChainEvent
from chainwarden.settings import (
    DetectSettings,
    Secret,
    ServerSettings,
    Settings,
    StoreSettings,
    WebhookSettings,
)
from chainwarden.settings.sections import ModelSettings
from chainwarden.watchdog import Watchdog
from ingest.chain import ChainFollower
from ingest.rpc import RpcSource
from ingest.simulate import Simulation, SimulationConfig
from ingest.simulate.labels import COLUMNS
from tests.command import wait_for
from tests.rigs.liar import Liar, Recording
from tests.rigs.receiver import LOOPBACK, SECRET, WebhookReceiver

BLOCKS: Final = 300  # from which on every attack runs to its end
FINAL_EVERY: Final = 32
FINAL_DEPTH: Final = 70
_DAYS: Final = 0.005  # until a label is asked for: within the chain's hour


@dataclass(frozen=True, slots=True)
class Busy:
    """The deployment, and where its API and its metrics are."""

    detecting: Detecting
    address: str

    def get(self, path: str) -> Any:
        """What the API says at a path."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, object]) -> None:
        """Say something to the API."""
        data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.address}{path}", data, kind)
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def busy(folder: Path) -> Iterator[Busy]:
    """A simulated chain with every attack, taken in, scored and delivered; open until it ends."""
    simulation = Simulation(SimulationConfig(seed=3, blocks=BLOCKS, transactions_per_block=3.0))
    _write_labels(simulation, folder / "labels.csv")
    with WebhookReceiver() as well, WebhookReceiver() as ill:
        ill.mode = "gone"
        settings = _settings(folder, well, ill)
        with detecting(settings, simulation.chain, threading.Event()) as behind:
            where = json.loads((folder / "out" / "server.json").read_text(encoding="utf-8"))
            running = Busy(behind, f"{where['host']}:{where['port']}")
            _take_in(behind, _events(behind, simulation))
            _people(running)
            _lies(behind)
            counts, outbox = behind.delivery.counts, behind.stores.ledger.outbox
            wait_for(
                "the receivers",
                lambda: counts()["well"].delivered and outbox.state("ill").disabled,
                seconds=120,
            )
            behind.observe()
            yield running


def _settings(folder: Path, well: WebhookReceiver, ill: WebhookReceiver) -> Settings:
    hooks = [
        WebhookSettings(
            name=name, url=Secret(one.url), secret=Secret(SECRET), allow_networks=list(LOOPBACK)
        )
        for name, one in (("well", well), ("ill", ill))
    ]
    return Settings(
        store=StoreSettings(out=str(folder / "out")),
        server=ServerSettings(port=0, requests_per_minute=100_000),
        detect=DetectSettings(
            wallets=100_000,
            summaries=100_000,
            labels=[str(folder / "labels.csv")],
            label_delay_days=_DAYS,
            challenger=ModelSettings(pairs=0.7),
        ),
        webhooks=hooks,
    )


def _write_labels(simulation: Simulation, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(simulation.labels())


def _events(behind: Detecting, simulation: Simulation) -> Iterator[ChainEvent]:
    """The chain as a node tells it, with what is final before its last block."""
    accept, follower = accept_blocks(simulation.chain, behind.metrics), ChainFollower()
    for raw in simulation.blocks():
        number = int(raw.block.number, 16)
        if number % FINAL_EVERY == 0 and (final := follower.at(number - FINAL_DEPTH)):
            yield from follower.finalize(final)
        yield from follower.add(accept(raw))


def _take_in(behind: Detecting, events: Iterator[ChainEvent]) -> None:
    """As ``chainwarden run`` does."""
    metrics, bus = behind.metrics, MemoryBus(chain=behind.stores.ledger.chain)
    stop = threading.Event()
    work = Worker("ingest", lambda: ingest_loop(events, bus.publish, metrics, behind.health), stop)
    work.start()

    def observe() -> None:
        metrics.bus_lag.labels(metrics.chain).set(bus.lag())
        if (ingested := metrics.head_of("ingest")) is not None:
            metrics.behind("detect", ingested)

    detect_loop(
        bus,
        behind.pipeline,
        lambda: not work.alive and bus.lag() == 0,
        behind.health,
        DetectOptions(600.0, offsets=False),
        observe,
    )
    work.join()


def _people(running: Busy) -> None:
    """An analyst labels a wallet with a history, takes its alert in hand, and wants to hear no more
    of some; an admin promotes the challenger."""
    page = running.get("/api/v1/alerts?severity=medium&limit=1000")["alerts"]
    newest = next(one for one in page if _is_known(running, one["subject"]))
    said = {"address": newest["subject"], "label": "phishing", "author": "ana", "note": "seen"}
    running.post("/api/v1/labels", {**said, "from_alert": newest["id"]})
    running.post(f"/api/v1/alerts/{newest['id']}/acknowledgement", {"author": "ana"})
    known = {"rule": "dusting", "subject": newest["subject"], "note": "known"}
    running.post("/api/v1/suppressions", {**known, "until": time.time() + 3600, "author": "ana"})
    running.post("/api/v1/models/promotions", {"author": "ana", "note": "better"})


def _is_known(running: Busy, address: str) -> bool:
    """Whether there are flows and features of a wallet, and anybody behind it."""
    found = running.get(f"/api/v1/wallets/{address}?limit=1")
    return bool(int(address, 16) and found["history"] and found["features"])


def _lies(behind: Detecting) -> None:
    """A node's block whose gas was changed is refused, and counted."""
    chain, metrics = behind.stores.ledger.chain, behind.metrics
    Watchdog(metrics)
    recording = Recording()
    recording.grow(2)
    with Liar(recording) as node, RpcSource([node.url], chain) as source:
        source.fetch(recording.numbers[0], accept_blocks(chain, metrics))
        observe_source(metrics, source.stats)
    raw = next(iter(Simulation(SimulationConfig(seed=9, blocks=1)).blocks()))
    raw.block.gas_used = hex(int(raw.block.gas_used, 16) + 1)
    try:
        accept_blocks(chain, metrics)(raw)
    except BadBlock:
        return
    raise AssertionError("a block that was tampered with was accepted")
