"""``chainwarden serve``: the API for a folder that nobody writes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from chainwarden.deployment import new_metrics
from chainwarden.ledgers import open_ledger
from chainwarden.live import stop_on_signals
from chainwarden.recorded_labels import recorded_book
from chainwarden.serving import serve_ledger
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json
from store.label_archive import LabelArchive


def serve(*, config: Path | None, flags: Mapping[str, object], json: bool) -> None:
    """Serve a ledger until a signal comes. It is open here meanwhile, and for nobody else.

    As JSON it says where, once it listens.
    """
    settings = load_settings(config, os.environ, flags)
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        ledger = stack.enter_context(open_ledger(Path(settings.store.out), settings))
        metrics = new_metrics(ledger.chain)
        pending = sum(ledger.outbox.pending().values())
        metrics.outbox_pending.labels(metrics.chain).set(pending)
        labels = recorded_book(ledger, LabelArchive(Path(settings.store.out) / "label-lists"))
        server = serve_ledger(settings, ledger, labels, metrics, lambda: "", stack)
        if json:
            root = f"http://{server.address}"
            told = {"address": server.address, "api": f"{root}/api/v1/", "out": settings.store.out}
            print_json(told)
        sys.stderr.write("chainwarden: stop with Ctrl-C\n")
        while not stop.wait(3600):
            pass
