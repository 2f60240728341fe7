"""The nodes: each alone, so that one cannot answer for another."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from chainwarden.doctor.check import Check, checked, failed, ok, skipped, warning
from chainwarden.errors import ChainwardenError
from chainwarden.schema import Chain
from chainwarden.settings import Settings, shown_url
from ingest.endpoint import EndpointConfig
from ingest.pool import PoolConfig
from ingest.raw import RawBlock
from ingest.rpc import RpcConfig, RpcSource
from ingest.verify import Verifier

# A head this far behind our clock is an old one (a slot is 12 s), this far ahead it is impossible.
BEHIND_SECONDS: Final = 120
AHEAD_SECONDS: Final = 15
_PATIENCE: Final = PoolConfig(
    deadline_seconds=6.0,
    patience_seconds=1.0,
    longest_pause_seconds=1.0,
    endpoint=EndpointConfig(timeout_seconds=8.0, connect_seconds=3.0),
)


def check_nodes(settings: Settings, clock: Callable[[], float] = time.time) -> list[Check]:
    """Every endpoint: its chain, its newest block, finality, its clock; then all of them."""
    if not settings.source.rpc:
        return [skipped("nodes", "source.rpc names none")]
    found: list[Check] = []
    chains: dict[str, Chain] = {}
    for number, secret in enumerate(settings.source.rpc, 1):
        name = _name(number, secret.reveal())
        try:
            source = RpcSource(
                [secret.reveal()], None, RpcConfig(traces=settings.source.traces, pool=_PATIENCE)
            )
        except ChainwardenError as error:
            found.append(failed(name, error.message, error.hint))
            continue
        with source:
            chain = checked(name, partial(check_answers, name, source))
            found.append(chain)
            if chain.status == "failed":
                found.append(skipped(f"{name} head", "it does not answer"))
                continue
            chains[name] = source.chain
            found += check_head(name, source, clock)
            found.append(
                checked(
                    f"{name} finality",
                    partial(check_finality, f"{name} finality", source),
                )
            )
    found.append(check_chain(settings, chains))
    return found


def check_answers(name: str, source: RpcSource) -> Check:
    """Whether the endpoint answers at all."""
    chain = source.connect()
    return ok(name, f"answers: chain {chain.id} ({chain.name})")


def check_head(name: str, source: RpcSource, clock: Callable[[], float]) -> list[Check]:
    """Whether its newest block and all receipts verify root for root, and how old it is."""
    blocks: list[RawBlock] = []
    label = f"{name} head"

    def look() -> Check:
        head = source.head()
        verifier = Verifier()

        def accept(raw: RawBlock) -> bool:
            blocks.append(raw)
            return verifier.verify(raw)

        if not source.fetch(head.hash, accept):
            reasons = ", ".join(sorted(verifier.unverified))
            hint = "update chainwarden: the chain has a fork it does not know"
            return warning(label, f"block {head.number} is known only in part: {reasons}", hint)
        count = len(blocks[-1].block.transactions)
        return ok(label, f"block {head.number}: every root of its {count} transactions agrees")

    found = checked(label, look)
    if found.status == "failed":
        blame = "do not use this endpoint: it gives what no chain has, or leaves something out"
        found = failed(label, found.found, found.hint or blame)
        return [found, skipped(f"{name} clock", "it has no block that verifies")]
    stamp = int(blocks[-1].block.timestamp, 16)
    return [found, check_clock(f"{name} clock", stamp, clock())]


def check_clock(name: str, stamp: int, now: float) -> Check:
    """The head's time against ours."""
    behind = round(now - stamp)
    if behind < -AHEAD_SECONDS:
        hint = "set this machine's clock (timedatectl, chronyc tracking)"
        return failed(name, f"its newest block is {-behind} s ahead of our clock", hint)
    if behind > BEHIND_SECONDS:
        hint = "is the node still catching up (eth_syncing), or our clock ahead?"
        return warning(name, f"its newest block is {behind} s old", hint)
    return ok(name, f"its newest block is {behind} s old")


def check_finality(name: str, source: RpcSource) -> Check:
    """Whether it says what is final."""
    final = source.finalized()
    if final is None:
        hint = "forks are followed all the same; nothing is ever reported as final"
        return warning(name, "it knows no finalized block", hint)
    return ok(name, f"block {final.number} is final")


def check_chain(settings: Settings, chains: dict[str, Chain]) -> Check:
    """Whether all endpoints are on one chain, and on the one of the settings."""
    if not chains:
        return skipped("chain", "no endpoint says which it is on")
    ids = sorted({chain.id for chain in chains.values()})
    if len(ids) > 1:
        each = ", ".join(f"{name} on {chain.id}" for name, chain in chains.items())
        return failed("chain", each, "all endpoints must be nodes of one chain")
    if settings.chain_id not in (None, ids[0]):
        found = f"the nodes are on chain {ids[0]}, the settings say {settings.chain_id}"
        return failed("chain", found, "set chain_id to the nodes', or other endpoints")
    if settings.bus.kind == "kafka" and settings.chain_id is None and ids[0] != 1:
        found = f"the nodes are on chain {ids[0]}, and detect would read the topics of ethereum"
        return failed("chain", found, f"set chain, and chain_id = {ids[0]}")
    return ok("chain", f"all endpoints that answer are on chain {ids[0]}")


def _name(number: int, url: str) -> str:
    try:
        return f"node {number} ({shown_url(url)})"
    except ValueError:
        return f"node {number}"
