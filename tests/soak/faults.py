"""The faults of a soak: each begins at random, lasts for a while, and is taken back."""

from __future__ import annotations

import random
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.kafka_broker import KafkaNode
from tests.rigs.liar import Answer, Liar
from tests.rigs.lies import MODES, Lie
from tests.rigs.receiver import WebhookReceiver
from tests.soak.deployment import Service

UNPROVABLE: Final = "N15"
# What a receiver does while it is bad. Not "refuse": a message that is refused waits for days.
RECEIVER_MODES: Final = (
    "error", "busy", "gateway", "redirect", "lost", "drip", "silent", "endless", "bomb", "garbage",
)  # fmt: skip
_QUESTIONS: Final = (
    "status",
    "alerts?limit=200",
    "alerts?severity=high",
    "alerts?rule=%27%3B+DROP+TABLE+alerts--",
    "alerts?limit=-1",
    "wallets/0x" + "ab" * 20,
    "wallets/" + "9" * 5000,
    "labels",
)


@dataclass
class Fault:
    """Something bad: ``begin`` starts it, ``end`` takes it back.

    It begins on average once in ``every`` seconds while it is not under way, and lasts for up to
    ``longest`` seconds. ``begin`` may say that there was nothing to harm.
    """

    kind: str
    every: float
    longest: float
    begin: Callable[[random.Random], bool]
    end: Callable[[], None] = lambda: None
    until: float | None = field(default=None, init=False)


class Faults:
    """All faults at once, each on its own dice. ``injected`` counts those that began."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self.injected: Counter[str] = Counter({fault.kind: 0 for fault in faults})
        self._faults = tuple(faults)
        self._random = random.Random(f"faults {seed}")

    def step(self, now: float, elapsed: float) -> None:
        """Begin and end what is due, ``elapsed`` seconds after the step before."""
        for fault in self._faults:
            if fault.until is not None:
                if now >= fault.until:
                    fault.end()
                    fault.until = None
            elif self._random.random() < elapsed / fault.every and fault.begin(self._random):
                self.injected[fault.kind] += 1
                fault.until = now + self._random.uniform(0.0, fault.longest)

    def calm(self) -> None:
        """End whatever is under way."""
        for fault in self._faults:
            if fault.until is not None:
                fault.end()
                fault.until = None


# --- nodes ---------------------------------------------------------------------------------------


def node_faults(liars: Sequence[Liar]) -> list[Fault]:
    """Every way to lie, and nodes that do not answer, one after another or several at once.

    What no root can show (fields that nobody knows) only the first one makes up: while the others,
    who could tell, do not answer, several that say the same untruth about it would be believed.
    """
    faults = []
    for liar in liars:
        for name, mode in MODES.items():
            if mode.fault == UNPROVABLE and liar is not liars[0]:
                continue
            kind = f"node {mode.fault}: {name.replace('_', ' ')}"
            faults.append(Fault(kind, 150.0, 8.0, _lie(liar, mode.lie), _honest(liar)))
        for name, intercept in OUTAGES.items():
            faults.append(
                Fault(f"node: {name}", 150.0, 6.0, _answer(liar, intercept), _honest(liar))
            )
    return faults


def _lie(liar: Liar, lie: Lie) -> Callable[[random.Random], bool]:
    def begin(rng: random.Random) -> bool:
        lie(rng, liar)
        return True

    return begin


def _answer(
    liar: Liar, intercept: Callable[[Any], Answer | None]
) -> Callable[[random.Random], bool]:
    def begin(_: random.Random) -> bool:
        liar.intercept = intercept
        return True

    return begin


def _honest(liar: Liar) -> Callable[[], None]:
    def end() -> None:
        liar.tamper = lambda _method, _params, result: result
        liar.intercept = lambda _requests: None
        liar.shuffle = False

    return end


OUTAGES: Final[dict[str, Callable[[Any], Answer | None]]] = {
    "down": lambda _: Answer(b"bad gateway", 502),
    "no JSON": lambda _: Answer(b'{"jsonrpc": "2.0", "id": '),
    "a depth bomb": lambda _: Answer(b"[" * 100_000),
}


# --- processes -----------------------------------------------------------------------------------


def process_faults(services: Sequence[Service]) -> list[Fault]:
    """Killed, frozen, stopped."""
    faults = []
    for service in services:
        faults += [
            Fault("killed with SIGKILL", 90.0, 0.1, _signal(service, signal.SIGKILL)),
            Fault("stopped with SIGTERM", 240.0, 0.1, _signal(service, signal.SIGTERM)),
            Fault(
                "frozen with SIGSTOP", 120.0, 8.0, _signal(service, signal.SIGSTOP), _thaw(service)
            ),
        ]
    return faults


def _signal(service: Service, number: signal.Signals) -> Callable[[random.Random], bool]:
    return lambda _: not service.frozen and service.send(number)


def _thaw(service: Service) -> Callable[[], None]:
    def end() -> None:
        service.send(signal.SIGCONT)

    return end


def snapshot_faults(service: Service, snapshots: Path) -> list[Fault]:
    """The process is killed, and a byte of its newest snapshot changed while it is down."""

    def tamper(rng: random.Random) -> bool:
        if service.frozen or not service.send(signal.SIGKILL):
            return False
        files = sorted(snapshots.glob("*"), key=lambda path: path.stat().st_mtime)
        if not files:
            return False
        at = rng.randrange(files[-1].stat().st_size)
        with files[-1].open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
        return True

    return [Fault("newest snapshot tampered with", 300.0, 0.1, tamper)]


# --- what is behind -------------------------------------------------------------------------------


def receiver_faults(receivers: Sequence[WebhookReceiver]) -> list[Fault]:
    """Each mode of each receiver, and each of them away."""
    faults = []
    for receiver in receivers:
        receiver.retry_after = "3"
        faults += [
            Fault(f"receiver: {mode}", 240.0, 6.0, _mode(receiver, mode), _well(receiver))
            for mode in RECEIVER_MODES
        ]
        faults.append(Fault("receiver: away", 180.0, 10.0, _away(receiver), receiver.start))
    return faults


def _mode(receiver: WebhookReceiver, mode: str) -> Callable[[random.Random], bool]:
    def begin(_: random.Random) -> bool:
        receiver.mode = mode
        return True

    return begin


def _well(receiver: WebhookReceiver) -> Callable[[], None]:
    def end() -> None:
        receiver.mode = "ok"
        receiver.released.set()
        receiver.released.clear()

    return end


def _away(receiver: WebhookReceiver) -> Callable[[random.Random], bool]:
    def begin(_: random.Random) -> bool:
        receiver.stop()
        return True

    return begin


def broker_faults(broker: KafkaNode) -> list[Fault]:
    """The broker is frozen for a while, or killed and started again."""

    def freeze(_: random.Random) -> bool:
        broker.freeze()
        return True

    def kill(_: random.Random) -> bool:
        broker.thaw()
        broker.stop()
        broker.start()
        return True

    return [
        Fault("broker frozen", 120.0, 12.0, freeze, broker.thaw),
        Fault("broker killed and started", 200.0, 0.1, kill),
    ]


def question_faults(services: Sequence[Service]) -> list[Fault]:
    """Somebody asks the API, also what it must refuse."""

    def ask(rng: random.Random) -> bool:
        service, question = rng.choice(list(services)), rng.choice(_QUESTIONS)
        if service.frozen:
            return False
        url = f"http://127.0.0.1:{service.port}/api/v1/{question}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code >= 500 and error.code != 503:
                raise AssertionError(f"{question}: {error.code}") from error
        except OSError:
            return False
        return True

    return [Fault("API asked", 2.0, 0.1, ask)]
