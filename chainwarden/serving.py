"""The HTTP side of a process that holds a ledger: metrics, health, API, console, where they are."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from chainwarden.console import Graphs, asset_routes, known
from chainwarden.explain import Explainer, WalletPages
from chainwarden.metrics import Metrics
from chainwarden.server import Bind, HttpServer, Limits, Readiness
from chainwarden.server.tokens import FILE
from chainwarden.server.whereabouts import published
from chainwarden.settings import Settings
from detect.label_lists import parse_address
from detect.labels import LabelBook
from store.api import Api
from store.backup_api import BackupRoutes
from store.lake import Lake
from store.lake_blocks import head_time
from store.ledger import Ledger


def serve_ledger(
    settings: Settings,
    ledger: Ledger,
    labels: LabelBook,
    metrics: Metrics,
    not_ready: Readiness,
    stack: ExitStack,
) -> HttpServer:
    """Serve until the stack unwinds; the ledger must outlive it.

    ``server.json`` in the folder says where, so that ``chainwarden alerts`` and ``chainwarden
    label`` find the process that has the ledger open.
    """
    lake = Lake(Path(settings.store.out) / "lake", ledger.chain)
    explainer = Explainer(ledger, lake, labels)
    wallets = WalletPages(ledger, lake, labels)
    api = Api(ledger, parse_address, lambda: head_time(ledger, lake), explainer, wallets, not_ready)
    stack.callback(api.close)
    graphs = Graphs(ledger, lake, labels)
    stack.callback(graphs.close)
    tokens = Path(settings.store.out) / FILE
    bind = Bind(settings.server.host, settings.server.port, settings.server.token, tokens)
    limits = Limits(per_minute=settings.server.requests_per_minute)
    copies = BackupRoutes(ledger, Path(settings.store.out))
    stack.callback(copies.close)
    api.routes.extend([*graphs.routes, *copies.routes])  # in the API's document, too
    paths = [route.path for route in api.routes]
    assets = asset_routes(known(ledger.chain, settings.alerts.explorer, paths))
    server = HttpServer(bind, metrics.registry, not_ready, api.routes, limits, assets)
    stack.callback(server.close)
    stack.enter_context(published(Path(settings.store.out), server.host, server.port))
    sys.stderr.write(f"chainwarden: metrics on http://{server.address}/metrics\n")
    sys.stderr.write(f"chainwarden: API on http://{server.address}/api/v1/status\n")
    sys.stderr.write(f"chainwarden: console on http://{server.address}/\n")
    return server
