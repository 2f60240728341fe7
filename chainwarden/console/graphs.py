"""The money graphs that the console draws, over HTTP.

    GET /api/v1/alerts/{id}/graph         around an alert: its subject and what it names
    GET /api/v1/wallets/{address}/graph   around a wallet

Both answer ``{centre, nodes, edges, others, edges_left_out, since_block, whole}``; see
``chainwarden.explain.money``. The centre is null where an alert is about no wallet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from chainwarden.console.forms import ALERT_GRAPH, WALLET_GRAPH
from chainwarden.explain.money import Answer, centre_of, money_around
from chainwarden.explain.reading import deadline, read_files
from chainwarden.explain.words import words_now
from chainwarden.schema import Alert, LakeFile
from chainwarden.server import GuardedRoute, Role, json_answer
from detect.label_lists import parse_address
from detect.labels import LabelBook
from store.answers import no_alert, whole_id
from store.lake import Lake
from store.ledger import Ledger
from store.ledger_threads import LedgerThreads
from store.parameters import address_reader, query_of

_address: Final = address_reader(parse_address)


class Graphs:
    """Routes over an open ledger and its lake. Close it before the ledger, after the server.

    An answer is bounded in time (``clock``, in seconds), too, and says how far back it goes.
    """

    def __init__(
        self,
        ledger: Ledger,
        lake: Lake,
        labels: LabelBook,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._lake = lake
        self._labels = labels
        # One: each reads much of a lake, and whoever follows the chain has the cores, too.
        self._threads = LedgerThreads(ledger, 1, "graphs")
        self.routes = [
            GuardedRoute("/api/v1/alerts/{id}/graph", self._alert, Role.VIEWER, ALERT_GRAPH),
            GuardedRoute(
                "/api/v1/wallets/{address}/graph", self._wallet, Role.VIEWER, WALLET_GRAPH
            ),
        ]

    def close(self) -> None:
        """Wait for what is being asked."""
        self._threads.close()

    def of_alert(self, alert_id: str) -> Answer:
        """The graph of an alert; four digits of an id may do. Raises RequestRefused for none."""
        with self._ledger.reading():
            found = whole_id(self._ledger, alert_id)
            alert = self._ledger.alert(found)
        if alert is None:
            raise no_alert(found)
        centre = centre_of(alert)
        if centre is None:
            return {
                "centre": None, "since_block": None, "whole": True, "others": 0,
                "edges_left_out": 0, "nodes": [], "edges": [],
            }  # fmt: skip
        return self._around(centre, alert)

    def of_wallet(self, address: bytes) -> Answer:
        """The graph of a wallet; it may be empty."""
        return self._around(address, None)

    def _around(self, centre: bytes, alert: Alert | None) -> Answer:
        words, over = partial(words_now, self._ledger, self._labels), deadline(self._clock)

        def graph(manifest: list[LakeFile]) -> Answer:
            return money_around(self._lake, manifest, centre, words, alert, over)

        return read_files(self._ledger, graph, "flows")

    async def _alert(self, request: Request) -> Response:
        query_of(request, ALERT_GRAPH.query)
        alert_id = str(request.path_params["id"])
        return json_answer(await self._threads.run(lambda: self.of_alert(alert_id)))

    async def _wallet(self, request: Request) -> Response:
        query_of(request, WALLET_GRAPH.query)
        address = _address(str(request.path_params["address"]))
        return json_answer(await self._threads.run(lambda: self.of_wallet(address)))
