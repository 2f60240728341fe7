"""Commands that follow a chain, or serve what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainwarden.command_line.application import app
from chainwarden.command_line.options import (
    ChainName,
    Config,
    Json,
    Labels,
    Out,
    Rpc,
    Standby,
    flags_of,
)


@app.command(
    epilog="Example: chainwarden run --rpc http://127.0.0.1:8545 --webhook https://alerts.example.org/"
)
def run(
    rpc: Rpc = None,
    websocket: Annotated[str | None, typer.Option(help="WebSocket endpoint, a doorbell.")] = None,
    webhook: Annotated[str | None, typer.Option(help="Receiver of signed webhooks.")] = None,
    start: Annotated[int | None, typer.Option(help="First block of a first run.")] = None,
    standby: Standby = False,
    labels: Labels = None,
    chain: ChainName = None,
    out: Out = None,
    port: Annotated[int | None, typer.Option(help="Port of /metrics; 0 picks one.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Follow a node and raise alerts: ingest, detect and deliver in one process."""
    from chainwarden.commands.run import run as command

    flags = {
        "source.rpc": rpc or None,
        "source.websocket": websocket,
        "source.start": start,
        **flags_of(out, chain, labels),
        "server.port": port,
    }
    command(config=config, flags=flags, webhook=webhook, standby=standby, json=json)


@app.command(epilog="Example: chainwarden ingest blocks.jsonl.gz --bootstrap 127.0.0.1:9092")
def ingest(
    file: Annotated[Path | None, typer.Argument(help="Blocks to publish; default: a node.")] = None,
    rpc: Rpc = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka's host:port.")] = None,
    start: Annotated[int | None, typer.Option(help="First block of a first run.")] = None,
    chain: ChainName = None,
    out: Out = None,
    port: Annotated[int | None, typer.Option(help="Port of /metrics; 0 picks one.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Publish verified, decoded blocks of a node or a file to Kafka."""
    from chainwarden.commands.ingest import ingest as command

    flags = {
        "source.rpc": rpc or None,
        "source.start": start,
        "bus.kind": "kafka",
        "bus.bootstrap_servers": bootstrap,
        **flags_of(out, chain),
        "server.port": port,
    }
    command(config=config, flags=flags, file=file, json=json)


@app.command(epilog="Example: chainwarden detect --bootstrap 127.0.0.1:9092 --exit-when-idle 5")
def detect(
    bootstrap: Annotated[str | None, typer.Option(help="Kafka's host:port.")] = None,
    exit_when_idle: Annotated[
        float | None, typer.Option(help="End after that many seconds without a block.")
    ] = None,
    rpc: Annotated[
        list[str] | None,
        typer.Option("--rpc", help="A node to fetch blocks from that the bus lost."),
    ] = None,
    standby: Standby = False,
    labels: Labels = None,
    chain: ChainName = None,
    out: Out = None,
    port: Annotated[int | None, typer.Option(help="Port of /metrics; 0 picks one.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Score the blocks on Kafka; alerts go to the ledger, the lake and the webhooks."""
    from chainwarden.commands.detect import detect as command

    flags = {
        "source.rpc": rpc or None,
        "bus.kind": "kafka",
        "bus.bootstrap_servers": bootstrap,
        **flags_of(out, chain, labels),
        "server.port": port,
    }
    command(config=config, flags=flags, exit_when_idle=exit_when_idle, standby=standby, json=json)


@app.command(epilog="Example: chainwarden serve --out chainwarden-out --port 9464")
def serve(
    out: Out = None,
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 picks one.")] = None,
    chain: ChainName = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Answer questions about a ledger over HTTP, until a signal comes."""
    from chainwarden.commands.serve import serve as command

    flags = {
        "server.host": host,
        "server.port": port,
        **flags_of(out, chain),
    }
    command(config=config, flags=flags, json=json)


@app.command(epilog="Example: chainwarden doctor --rpc http://127.0.0.1:8545 --json")
def doctor(
    rpc: Rpc = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka's host:port.")] = None,
    labels: Labels = None,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Check a deployment by its settings: machine, folder, nodes, Kafka, receivers, labels."""
    from chainwarden.commands.doctor import doctor as command

    flags = {
        "source.rpc": rpc or None,
        "bus.kind": "kafka" if bootstrap else None,
        "bus.bootstrap_servers": bootstrap,
        **flags_of(out, chain, labels),
    }
    command(config=config, flags=flags, json=json)
