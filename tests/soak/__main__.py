"""``python -m tests.soak --minutes 20``: ends with a table, and with 0 only if all is equal.

A chain grows, with forks up to 150 blocks deep, on three nodes that lie by turns. Two deployments
follow it: ``run``, all in one process, and ``ingest`` and a pair of ``detect``, of which one stands
by, with a real Kafka broker between them; each posts to two receivers. All of them are killed,
frozen, tampered with and asked.
Then everything is honest again, what is behind catches up, and ledgers, lakes, states and receivers
are held against a replay of the winning chain.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from chainwarden.deployment import UNDO_BLOCKS
from chainwarden.errors import BusError
from tests.command import run_json, wait_for
from tests.kafka_broker import KafkaNode, free_ports, start_node
from tests.rigs.liar import Liar
from tests.rigs.receiver import SECRET, WebhookReceiver
from tests.soak.chain import FINAL, GrowingChain, random_depth
from tests.soak.deployment import START_SECONDS, Service
from tests.soak.faults import (
    Faults,
    broker_faults,
    node_faults,
    process_faults,
    question_faults,
    receiver_faults,
    snapshot_faults,
)
from tests.soak.verdict import (
    MOST_GROWTH,
    Verdict,
    compare_receiver,
    compare_states,
    compare_stores,
    growth,
    show,
)

_TICK: Final = 0.1
_FARTHEST_BEHIND: Final = 300
"""Blocks: the chain waits for who is further behind, as nodes do not keep everything here."""
_CATCH_UP_SECONDS: Final = 600.0
_FLIPPED: Final = 8
"""Blocks of the branches that are shown in turn while memory is measured."""
_FLIP_SECONDS: Final = 0.5
_MEASURED_SHARE: Final = 0.35
"""Of the time, which comes on top of it."""
_DEEP: Final = f"fork of 4 to {UNDO_BLOCKS} blocks"

CONFIG: Final = """
[detect]
wallets = 50000
summaries = 40000
hash_key = "{key}"
labels = ["{labels}"]

[source]
rpc = [{nodes}]
start = {start}

[bus]
bootstrap_servers = "{bootstrap}"

[store]
snapshot_minutes = 0.25

[server]
requests_per_minute = 100000
"""
HASH_KEY: Final = bytes(range(16))
"""Digests agree only between runs with one key."""
RECEIVER: Final = """
[[webhooks]]
name = "{name}"
url = "{url}"
secret = "{secret}"
allow_networks = ["127.0.0.0/8"]
rate_per_minute = 100000
"""


class Deployment:
    """A folder with settings, services that work in it, and two receivers of its own."""

    def __init__(self, name: str, folder: Path, receivers: Sequence[WebhookReceiver]) -> None:
        self.name = name
        self.folder = folder
        self.out = folder / "chainwarden-out"
        self.receivers = receivers
        self.services: list[Service] = []
        self.scoring: list[Service] = []
        folder.mkdir()

    def configure(self, chain: GrowingChain, liars: Sequence[Liar], bootstrap: str) -> None:
        """Write ``chainwarden.toml``."""
        text = CONFIG.format(
            labels=chain.labels_file,
            nodes=", ".join(f'"{liar.url}"' for liar in liars),
            start=chain.number,
            key=HASH_KEY.hex(),
            bootstrap=bootstrap,
        )
        for number, receiver in enumerate(self.receivers, 1):
            text += RECEIVER.format(name=f"ops-{number}", url=receiver.url, secret=SECRET)
        (self.folder / "chainwarden.toml").write_text(text, encoding="utf-8")

    def add(self, name: str, *words: object) -> None:
        """A service that is kept up; all but ``ingest`` score, one of them at a time."""
        service = Service(name, words, self.folder, free_ports(1)[0])
        self.services.append(service)
        if name != "ingest":
            self.scoring.append(service)

    def keep_up(self) -> None:
        """Start what does not run."""
        for service in self.services:
            service.keep_up()

    def head(self) -> float | None:
        """The newest block that was scored; None while nobody tells."""
        heads = [head for one in self.scoring if (head := one.head("detect")) is not None]
        return max(heads, default=None)

    def settled(self, head: int) -> bool:
        """Whether it has scored that block and told its receivers everything."""
        self.keep_up()
        return any(
            one.head("detect") == head and one.metric("chainwarden_outbox_pending") == 0
            for one in self.scoring
        )

    def stop(self) -> Any:
        """Ask all to end, who stands by first; what the one that scored says of its end."""
        leads = next(one for one in self.scoring if one.head("detect") is not None)
        for service in reversed(self.services):
            if service is not leads:
                service.stop()
        return leads.stop()


def soak(minutes: float, seed: int, folder: Path) -> int:
    """Run it; the exit code."""
    with ExitStack() as stack:
        chain = stack.enter_context(GrowingChain(seed, folder))
        liars = [stack.enter_context(Liar(chain.recording)) for _ in range(3)]
        (folder / "broker").mkdir()
        broker = start_node(folder / "broker")
        stack.callback(broker.stop)
        deployments = _deployments(stack, folder, chain, liars, broker)
        services = [service for one in deployments for service in one.services]
        faults = Faults(
            [
                *node_faults(liars),
                *process_faults(services),
                *(
                    fault
                    for one in deployments
                    for service in one.scoring
                    for fault in snapshot_faults(service, one.out / "snapshots")
                ),
                *receiver_faults([r for one in deployments for r in one.receivers]),
                *broker_faults(broker),
                *question_faults([service for one in deployments for service in one.scoring]),
            ],
            seed,
        )
        try:
            _rage(minutes * 60, seed, chain, liars, deployments, faults)
        finally:
            faults.calm()
        sys.stderr.write("soak: all is honest again, catching up\n")
        _show_head(chain, liars)
        for one in deployments:
            _catch_up(one, chain.number)
        sys.stderr.write("soak: two branches in turn, while memory is measured\n")
        _flip(minutes * 60 * _MEASURED_SHARE, chain, liars, deployments)
        chain.extend()
        _show_head(chain, liars)
        outcomes = [_settle(one, chain.number) for one in deployments]
    return _judge(folder, chain, deployments, outcomes, faults)


def _deployments(
    stack: ExitStack,
    folder: Path,
    chain: GrowingChain,
    liars: Sequence[Liar],
    broker: KafkaNode,
) -> list[Deployment]:
    made = []
    for name in ("run", "kafka"):
        receivers = [stack.enter_context(WebhookReceiver()) for _ in range(2)]
        deployment = Deployment(name, folder / name, receivers)
        deployment.configure(chain, liars, broker.bootstrap)
        made.append(deployment)
    made[0].add("run", "run")
    made[1].add("ingest", "ingest")
    made[1].add("detect-1", "detect", "--standby")
    made[1].add("detect-2", "detect", "--standby")
    for one in made:
        for service in one.services:
            stack.callback(service.end)
        one.keep_up()
    wait_for(
        "the start",
        lambda: all(one.head() is not None for one in made),
        seconds=START_SECONDS,
    )
    return made


def _rage(
    seconds: float,
    seed: int,
    chain: GrowingChain,
    liars: Sequence[Liar],
    deployments: Sequence[Deployment],
    faults: Faults,
) -> None:
    """Let the chain grow and everything break, for so long."""
    rng = random.Random(f"soak {seed}")
    began = before = time.monotonic()
    heads = {one.name: float(chain.number) for one in deployments}
    reported = 0
    while (now := time.monotonic()) - began < seconds:
        faults.step(now, now - before)
        before = now
        for one in deployments:
            one.keep_up()
            heads[one.name] = one.head() or heads[one.name]
        if chain.number - min(heads.values()) < _FARTHEST_BEHIND:
            if rng.random() < 0.02:
                depth = chain.fork(random_depth(rng))
                faults.injected[_kind_of_fork(depth)] += 1
            else:
                chain.extend()
        for liar in liars:
            liar.head = chain.shown
            liar.finalized = max(chain.first, chain.number - FINAL)
        if (minute := int(now - began) // 60) > reported:
            reported = minute
            sys.stderr.write(
                f"soak: {minute} min, block {chain.number}, {sum(faults.injected.values())} faults,"
                f" behind {', '.join(f'{n} {chain.number - h:.0f}' for n, h in heads.items())}\n"
            )
        time.sleep(max(0.0, _TICK - (time.monotonic() - now)))
    chain.extend()


def _flip(
    seconds: float, chain: GrowingChain, liars: Sequence[Liar], deployments: Sequence[Deployment]
) -> None:
    """Let the chain go to and fro between two branches: all is done, and no state grows by it.

    So what memory grows by is a leak, and no table that fills.
    """
    branch = chain.branch(_FLIPPED)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        chain.flip(branch)
        _show_head(chain, liars)
        for one in deployments:
            one.keep_up()
            for service in one.services:
                service.measure()
        time.sleep(_FLIP_SECONDS)


def _show_head(chain: GrowingChain, liars: Sequence[Liar]) -> None:
    for liar in liars:
        liar.head = chain.shown


def _kind_of_fork(depth: int) -> str:
    if depth <= 3:
        return "fork of 1 to 3 blocks"
    return _DEEP if depth <= UNDO_BLOCKS else "fork of more blocks"


def _catch_up(deployment: Deployment, head: int) -> None:
    wait_for(f"{deployment.name} to catch up", lambda: deployment.settled(head), _CATCH_UP_SECONDS)


def _settle(deployment: Deployment, head: int) -> Any:
    _catch_up(deployment, head)
    return deployment.stop()


def _judge(
    folder: Path,
    chain: GrowingChain,
    deployments: Sequence[Deployment],
    outcomes: Sequence[Any],
    faults: Faults,
) -> int:
    replayed = run_json(
        "replay", chain.blocks_file, "--out", folder / "replay",
        "--config", deployments[0].folder / "chainwarden.toml", cwd=folder,
    )  # fmt: skip
    verdicts = []
    for one, outcome in zip(deployments, outcomes, strict=True):
        verdict = Verdict(one.name)
        compare_states(verdict, outcome, replayed)
        records = compare_stores(verdict, one.out, folder / "replay")
        for receiver in one.receivers:
            compare_receiver(verdict, receiver, records)
        measured = {service.name: service.memory for service in one.services}
        (folder / f"{one.name}-memory.json").write_text(json.dumps(measured), encoding="utf-8")
        for service in one.services:
            if (slope := growth(service.memory)) is not None:
                verdict.slopes[service.name] = slope
                if slope > MOST_GROWTH:
                    verdict.problems.append(f"the memory of {service.name} grows")
        if faults.injected[_DEEP] >= 10 and verdict.deepest < 4:
            verdict.problems.append("no deep fork was followed: was any of them sound?")
        if verdict.lost or verdict.duplicated:
            verdict.problems.append(f"{verdict.lost} lost, {verdict.duplicated} duplicated")
        # A start while the broker is away ends with BusError's code, and is tried again.
        borne = (0, BusError.exit_code)
        if failed := [code for each in one.services for code in each.ended if code not in borne]:
            verdict.problems.append(f"ended by itself with {failed}")
        verdicts.append(verdict)
    show(faults.injected, verdicts)
    return int(any(verdict.problems for verdict in verdicts))


def main() -> int:
    """Parse the words, soak in a folder that is kept where something was wrong."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=None, help="default: by the clock")
    words = parser.parse_args()
    seed = int(time.time()) if words.seed is None else words.seed
    folder = Path(tempfile.mkdtemp(prefix="chainwarden-soak-"))
    sys.stderr.write(f"soak: seed {seed}, {words.minutes:g} min, in {folder}\n")
    code = 1
    try:
        code = soak(words.minutes, seed, folder)
    finally:
        if code == 0:
            shutil.rmtree(folder)
        else:
            sys.stderr.write(f"soak: not equal (seed {seed}); everything is kept in {folder}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
