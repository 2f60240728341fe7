"""The faults of a soak: each begins at random, lasts for a while, and is taken back."""

from __future__ import annotations

import json
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
from tests.rigs.liar import Answer, Liar, Oops
from tests.rigs.receiver import WebhookReceiver
from tests.soak.deployment import Service

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
    """Lies of each kind, and nodes that do not answer, one after another or several at once."""
    faults = []
    for liar in liars:
        for kind, tamper in LIES.items():
            faults.append(
                Fault(f"node: {kind}", 60.0, 8.0, _begin(liar, "tamper", tamper), _honest(liar))
            )
        for kind, intercept in OUTAGES.items():
            faults.append(
                Fault(
                    f"node: {kind}", 90.0, 6.0, _begin(liar, "intercept", intercept), _honest(liar)
                )
            )
    return faults


def _begin(liar: Liar, attribute: str, value: Any) -> Callable[[random.Random], bool]:
    def begin(_: random.Random) -> bool:
        setattr(liar, attribute, value)
        return True

    return begin


def _honest(liar: Liar) -> Callable[[], None]:
    def end() -> None:
        liar.tamper = lambda _method, _params, result: result
        liar.intercept = lambda _requests: None

    return end


def _copy(result: Any) -> Any:
    return json.loads(json.dumps(result))


def _null(_method: str, _params: list[Any], _result: Any) -> Any:
    return None


def _drop_log(method: str, _params: list[Any], result: Any) -> Any:
    if method != "eth_getBlockReceipts" or not result:
        return result
    result = _copy(result)
    for receipt in result:
        if receipt["logs"]:
            receipt["logs"].pop()
            break
    return result


def _drop_receipt(method: str, _params: list[Any], result: Any) -> Any:
    return result[:-1] if method == "eth_getBlockReceipts" and result else result


def _flip_status(method: str, _params: list[Any], result: Any) -> Any:
    if method != "eth_getBlockReceipts" or not result:
        return result
    result = _copy(result)
    result[0]["status"] = "0x0" if result[0].get("status") == "0x1" else "0x1"
    return result


def _forge_value(method: str, _params: list[Any], result: Any) -> Any:
    if not method.startswith("eth_getBlockBy") or not result or not result["transactions"]:
        return result
    result = _copy(result)
    result["transactions"][0]["value"] = "0xde0b6b3a7640000"
    return result


def _forge_sender(method: str, _params: list[Any], result: Any) -> Any:
    if not method.startswith("eth_getBlockBy") or not result or not result["transactions"]:
        return result
    result = _copy(result)
    result["transactions"][0]["from"] = "0x" + "ee" * 20
    return result


def _unknown(_method: str, _params: list[Any], _result: Any) -> Any:
    raise Oops(-32000, "header not found")


LIES: Final[dict[str, Callable[[str, list[Any], Any], Any]]] = {
    "null": _null,
    "a log is missing": _drop_log,
    "a receipt is missing": _drop_receipt,
    "a status is flipped": _flip_status,
    "a value is forged": _forge_value,
    "a sender is forged": _forge_sender,
    "header not found": _unknown,
}
OUTAGES: Final[dict[str, Callable[[Any], Answer | None]]] = {
    "down": lambda _: Answer(b"bad gateway", 502),
    "too many requests": lambda _: Answer(b"", 429, {"retry-after": "2"}),
    "no JSON": lambda _: Answer(b'{"jsonrpc": "2.0", "id": '),
    "a depth bomb": lambda _: Answer(b"[" * 100_000),
}


# --- processes -----------------------------------------------------------------------------------


def process_faults(services: Sequence[Service]) -> list[Fault]:
    """Killed, frozen, stopped."""
    faults = []
    for service in services:
        faults += [
            Fault("killed with SIGKILL", 45.0, 0.1, _signal(service, signal.SIGKILL)),
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

    return [Fault("newest snapshot tampered with", 150.0, 0.1, tamper)]


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
    """The broker is frozen for a while."""

    def freeze(_: random.Random) -> bool:
        broker.process.send_signal(signal.SIGSTOP)
        return True

    def thaw() -> None:
        broker.process.send_signal(signal.SIGCONT)

    return [Fault("broker frozen", 120.0, 12.0, freeze, thaw)]


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
