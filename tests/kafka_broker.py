"""A real Apache Kafka broker for tests: one KRaft node on loopback, ended by its own pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
START_SECONDS = 60


class BrokerMissing(Exception):
    """Why there can be no broker here."""


@dataclass
class KafkaNode:
    """One broker process on loopback. Its data and its port outlive the process."""

    bootstrap: str
    process: subprocess.Popen[bytes]
    folder: Path
    words: tuple[str, ...]

    def stop(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.wait(timeout=30)

    def start(self) -> None:
        """Start again after ``stop``, and wait until it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(self.words, stdout=log, stderr=log)
        self.wait_until_it_answers()

    def freeze(self) -> None:
        """Let it do nothing from now on: connections stay open, and nobody is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def wait_until_it_answers(self) -> None:
        """Raise RuntimeError unless it listens in time."""
        host, _, port = self.bootstrap.partition(":")
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        self.stop()
        log = (self.folder / "broker.log").read_text()
        raise RuntimeError(f"the broker did not start: {log[-2000:]}")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def class_path() -> str:
    """The broker's class path; fetches the jars when they are not there yet."""
    java = shutil.which("java")
    if java is None:
        raise BrokerMissing("java is not installed")
    script = str(HERE / "fetch_kafka.sh")
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokerMissing(done.stderr.strip().splitlines()[0])
    folder = subprocess.run(
        ["sh", script, "--folder"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return f"{folder}/jars/*"


def start_node(folder: Path) -> KafkaNode:
    """Format storage in ``folder``, start a node there and wait until it answers."""
    jars = class_path()
    port, controller = free_ports(2)
    properties = folder / "server.properties"
    properties.write_text(
        "\n".join(
            [
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{controller}",
                f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
                "controller.listener.names=CONTROLLER",
                f"log.dirs={folder / 'data'}",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=1",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "transaction.state.log.num.partitions=1",
                "share.coordinator.state.topic.replication.factor=1",
                "share.coordinator.state.topic.min.isr=1",
                # A dead producer's transaction is found within a second, not within ten.
                "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
                "group.initial.rebalance.delay.ms=0",
                "auto.create.topics.enable=false",
                "log.cleaner.enable=false",
                "num.network.threads=1",
                "num.io.threads=2",
            ]
        )
        + "\n"
    )
    java = ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-cp", jars]
    cluster = urlsafe_b64encode(bytes(15) + b"\x01").decode().rstrip("=")
    storage = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    words = (*java, "kafka.Kafka", str(properties))
    with (folder / "broker.log").open("wb") as log:
        subprocess.run([*java, *storage], stdout=log, stderr=log, check=True)
        process = subprocess.Popen(words, stdout=log, stderr=log)
    node = KafkaNode(f"127.0.0.1:{port}", process, folder, words)
    node.wait_until_it_answers()
    return node


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a real broker: CHAINWARDEN_TEST_KAFKA's, or one started for this run."""
    given = os.environ.get("CHAINWARDEN_TEST_KAFKA")
    if given:
        yield given
        return
    try:
        node = start_node(tmp_path_factory.mktemp("kafka"))
    except BrokerMissing as why:
        pytest.skip(f"no Kafka broker: {why}")
    try:
        yield node.bootstrap
    finally:
        node.stop()
