"""A real Apache Kafka broker for tests: one KRaft node on loopback, ended by its own pid."""

from __future__ import annotations

import os
import shutil
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
    """One broker process on loopback."""

    bootstrap: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the process and wait for it. Data is thrown away, so it is not asked politely."""
        self.process.kill()
        self.process.wait(timeout=30)


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
    log = (folder / "broker.log").open("wb")
    with log:
        subprocess.run([*java, *storage], stdout=log, stderr=log, check=True)
        process = subprocess.Popen([*java, "kafka.Kafka", str(properties)], stdout=log, stderr=log)
    node = KafkaNode(f"127.0.0.1:{port}", process)
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return node
    node.stop()
    raise RuntimeError(f"the broker did not start: {(folder / 'broker.log').read_text()[-2000:]}")


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
