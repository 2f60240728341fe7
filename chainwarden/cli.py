"""The ``chainwarden`` command.

Every command imports what it needs when it runs, so that ``--help`` is instant. Exit codes: 0 all
is well, 1 a defect of chainwarden itself, 2 a wrong command line, 3 settings, 4 source or chain,
5 bus, 6 ledger or lake, 7 detector, 8 labels, 9 delivery, 10 a check of doctor failed,
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from chainwarden import __version__
from chainwarden.errors import ChainwardenError
from chainwarden.logs import log_to

app = typer.Typer(
    name="chainwarden",
    help="A streaming fraud detector for Ethereum and other EVM chains.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: chainwarden demo",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, logs on stderr.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file.", show_default="chainwarden.toml")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of ledger, lake and snapshots.")]
ChainName = Annotated[str | None, typer.Option("--chain", help="The chain's name.")]
Labels = Annotated[
    list[Path] | None, typer.Option("--labels", help="A label list to load; may be repeated.")
]
Rpc = Annotated[
    list[str] | None, typer.Option("--rpc", help="HTTP endpoint of a node; may be repeated.")
]

Standby = Annotated[
    bool,
    typer.Option(
        "--standby", help="Wait, warmed up, until no other process has the ledger; then take over."
    ),
]


def _severities(incomplete: str) -> list[str]:
    return _begun(incomplete, ("info", "low", "medium", "high", "critical"))


def _statuses(incomplete: str) -> list[str]:
    return _begun(incomplete, ("active", "retracted", "all"))


def _formats(incomplete: str) -> list[str]:
    return _begun(incomplete, ("html", "markdown", "csv"))


def _rules(incomplete: str) -> list[str]:
    from chainwarden.scorecard import RULES

    return _begun(incomplete, sorted(RULES))


def _begun(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _version(show: bool) -> None:
    if show:
        sys.stdout.write(f"chainwarden {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


@app.command(epilog="Example: chainwarden demo --blocks 300 --seed 7")
def demo(
    blocks: Annotated[int, typer.Option(min=20, help="Blocks to simulate.")] = 3_000,
    seed: Annotated[int, typer.Option(help="Seed of the simulated chain.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for everything the demo writes.")] = Path(
        "demo-out"
    ),
    json: Json = False,
) -> None:
    """Simulate a labelled chain, score it, and compare the alerts with the truth."""
    from chainwarden.commands.demo import demo as command

    command(blocks=blocks, seed=seed, out=out, json=json)


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
        "detect.labels": [str(p) for p in labels] if labels else None,
        "chain": chain,
        "store.out": str(out) if out else None,
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
        "chain": chain,
        "store.out": str(out) if out else None,
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
        "detect.labels": [str(p) for p in labels] if labels else None,
        "chain": chain,
        "store.out": str(out) if out else None,
        "server.port": port,
    }
    command(config=config, flags=flags, exit_when_idle=exit_when_idle, standby=standby, json=json)


@app.command(epilog="Example: chainwarden replay blocks.jsonl.gz --labels sanctions.json --json")
def replay(
    path: Annotated[Path, typer.Argument(help="JSONL(.gz) of RPC objects, Parquet, or a folder.")],
    batch_blocks: Annotated[
        int, typer.Option(min=1, help="Blocks scored at a time; the result does not depend on it.")
    ] = 8192,
    labels: Labels = None,
    chain: ChainName = None,
    out: Out = None,
    overwrite: Annotated[bool, typer.Option(help="Replace what --out holds.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Score historical blocks: same code, same results, no webhooks."""
    from chainwarden.commands.replay import replay as command

    flags = {
        "detect.labels": [str(p) for p in labels] if labels else None,
        "chain": chain,
    }
    command(
        path,
        config=config,
        flags=flags,
        out=out,
        overwrite=overwrite,
        batch_blocks=batch_blocks,
        json=json,
    )


@app.command(
    epilog="Example: chainwarden evaluate stream.parquet --labels labels.csv"
    " --window 2018-04-01:2018-08-01 --json"
)
def evaluate(
    stream: Annotated[
        Path, typer.Argument(help="JSONL(.gz) of RPC objects, Parquet, or a folder.")
    ],
    labels: Annotated[Path, typer.Option(help="Which wallets are phishing: address,label,…")],
    window: Annotated[
        str, typer.Option(help="Judge wallets first seen in START:END (dates or unix seconds).")
    ],
    label_delay_days: Annotated[
        int,
        typer.Option(min=0, max=3650, help="Days after a wallet's event until its label is known."),
    ] = 30,
    batch_blocks: Annotated[
        int, typer.Option(min=1, help="Blocks scored at a time; the result does not depend on it.")
    ] = 8192,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with plots to this file.")
    ] = None,
    chain: ChainName = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Measure detection: score a stream online, labels come late, judge its new wallets."""
    from chainwarden.commands.evaluate import evaluate as command

    command(
        stream,
        config=config,
        flags={"chain": chain},
        labels=labels,
        window=window,
        label_delay_days=label_delay_days,
        batch_blocks=batch_blocks,
        html=html,
        json=json,
    )


@app.command(
    epilog="Example: chainwarden simulate --anvil http://127.0.0.1:8545 --campaign native_claim"
)
def simulate(
    out: Annotated[Path | None, typer.Option(help="Folder for blocks, receipts, truth.")] = None,
    anvil: Annotated[str | None, typer.Option(help="Play on this dev node instead.")] = None,
    campaign: Annotated[str, typer.Option(help="What to play on the dev node.")] = "native_claim",
    blocks: Annotated[int, typer.Option(min=1, help="Blocks to write.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The same seed, the same chain.")] = 1,
    pace: Annotated[float, typer.Option(help="Seconds between transactions when playing.")] = 0.1,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Play one attack after the other until it is stopped.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a labelled chain with every attack in it, or play one attack on a dev node."""
    from chainwarden.commands.simulate import Playing
    from chainwarden.commands.simulate import simulate as command

    playing = None if anvil is None else Playing(anvil, campaign, pace, repeat)
    command(out=out, playing=playing, blocks=blocks, seed=seed, json=json)


@app.command(epilog="Example: chainwarden fetch --rpc http://127.0.0.1:8545 --from 1 --to 99 week")
def fetch(
    name: Annotated[Path, typer.Argument(help="Writes NAME.blocks.jsonl.gz and its receipts.")],
    first: Annotated[int, typer.Option("--from", help="First block.")],
    last: Annotated[int, typer.Option("--to", help="Last block, included.")],
    rpc: Rpc = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Download blocks and receipts of a node into files that replay reads."""
    from chainwarden.commands.fetch import fetch as command

    command(name, first, last, config=config, flags={"source.rpc": rpc or None}, json=json)


@app.command(epilog="Example: chainwarden alerts --severity high --rule ice_phishing --json")
def alerts(
    out: Out = None,
    severity: Annotated[
        str | None, typer.Option(help="At least this severe.", autocompletion=_severities)
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Only of this rule.", autocompletion=_rules)
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this wallet.")] = None,
    label: Annotated[str | None, typer.Option(help="Only about wallets so labelled.")] = None,
    since: Annotated[str | None, typer.Option(help="From this block time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this block time.")] = None,
    status: Annotated[
        str, typer.Option(help="active, retracted or all.", autocompletion=_statuses)
    ] = "active",
    retracted: Annotated[
        bool, typer.Option("--retracted", help="Also those taken back: --status all.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Then go on with what comes, until Ctrl-C.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    chain: ChainName = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the alerts of a ledger, newest first, or follow them as they come."""
    from chainwarden.commands.alerts import AlertWords
    from chainwarden.commands.alerts import alerts as command

    command(
        AlertWords(
            severity, rule, subject, label, since, until, "all" if retracted else status, limit
        ),
        following=follow,
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(epilog="Example: chainwarden explain 5f0c --out demo-out/results")
def explain(
    alert_id: Annotated[
        str, typer.Argument(help="The alert's id; its first digits do, at least four.")
    ],
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show on one screen what is needed to decide whether an alert is right."""
    from chainwarden.commands.explain import explain as command

    command(
        alert_id,
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(epilog="Example: chainwarden wallet 0x28C6c06298d514Db089934071355E5743bf21d60")
def wallet(
    address: Annotated[str, typer.Argument(help="The wallet.")],
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="At most so many alerts, newest first.")
    ] = 20,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show what is known of a wallet: scores, labels, alerts, money in and out, counterparties."""
    from chainwarden.commands.wallet import wallet as command

    command(
        address,
        limit=limit,
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(
    epilog="Example: chainwarden report demo-out/results --truth demo-out/chain/truth.json"
)
def report(
    results: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of a replay or of a stopped run.")
    ],
    truth: Annotated[Path | None, typer.Option(help="What really happened, as simulated.")] = None,
    against: Annotated[Path | None, typer.Option(help="Another replay to compare with.")] = None,
    cases: Annotated[int, typer.Option(min=0, help="How many of the worst cases to show.")] = 10,
    form: Annotated[
        str, typer.Option("--format", help="html, markdown or csv.", autocompletion=_formats)
    ] = "html",
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="OUT/report.html")
    ] = None,
    chain: ChainName = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Write a self-contained report: alerts, accuracy, top cases, where the money went."""
    from chainwarden.commands.report import report as command

    command(
        results,
        config=config,
        flags={"chain": chain},
        truth=truth,
        against=against,
        cases=cases,
        form=form,
        output=output,
        json=json,
    )


@app.command(epilog="Example: chainwarden label 0x…dead phishing --note 'victim report 12'")
def label(
    address: Annotated[str, typer.Argument(help="The wallet.")],
    word: Annotated[
        str, typer.Argument(help="The label: phishing, exchange, benign, false_positive …")
    ],
    withdraw: Annotated[bool, typer.Option(help="Take the label back.")] = False,
    from_alert: Annotated[str, typer.Option(help="The alert this follows from.")] = "",
    author: Annotated[str, typer.Option(help="Who says so.", envvar="USER")] = "",
    note: Annotated[str, typer.Option(help="Why.")] = "",
    valid_from: Annotated[
        str | None, typer.Option(help="From when; default: the alert's block, else the newest.")
    ] = None,
    valid_to: Annotated[str | None, typer.Option(help="Until when; default: for good.")] = None,
    every_chain: Annotated[
        bool, typer.Option("--every-chain", help="About every chain, not only the ledger's.")
    ] = False,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Say what a wallet is, or take that back; it takes force with the next block."""
    from chainwarden.commands.label import label as command
    from chainwarden.commands.label import word_of

    said = word_of(
        address,
        word,
        author=author,
        note=note,
        from_alert=from_alert,
        valid_from=valid_from,
        valid_to=valid_to,
        every_chain=every_chain,
    )
    command(
        said,
        withdraw=withdraw,
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(epilog="Example: chainwarden labels --out chainwarden-out")
def labels(
    address: Annotated[str | None, typer.Argument(help="Only about this wallet.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest.")] = 50,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show who labelled what and when, and which label lists were in force."""
    from chainwarden.commands.label import labels as command

    command(
        address,
        limit=limit,
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(epilog="Example: chainwarden models promote --note 'better since May'")
def models(
    act: Annotated[
        str, typer.Argument(help="show, or promote: the challenger becomes the champion.")
    ] = "show",
    author: Annotated[str, typer.Option(help="Who promotes.", envvar="USER")] = "",
    note: Annotated[str, typer.Option(help="Why.")] = "",
    configuration: Annotated[
        str, typer.Option(help="Which challenger, or how its digest begins; default: any.")
    ] = "",
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Compare the risk model with its challenger, or promote that from the next block on."""
    from chainwarden.commands.models import models as command
    from chainwarden.commands.models import said_of

    command(
        said_of(act, author, note, configuration),
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(epilog="Example: chainwarden deliveries replay --receiver ops")
def deliveries(
    act: Annotated[str, typer.Argument(help="list, replay or enable.")] = "list",
    target: Annotated[
        str, typer.Argument(help="replay: a letter's id. enable: a receiver's name.")
    ] = "",
    receiver: Annotated[str, typer.Option(help="Only of this receiver.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Replay every dead letter.")] = False,
    state: Annotated[str, typer.Option(help="List only pending, or dead.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, oldest.")] = 50,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List what receivers are owed, send it again, or enable a receiver that was disabled."""
    from chainwarden.commands.deliveries import Act
    from chainwarden.commands.deliveries import deliveries as command

    command(
        Act(act, target, receiver, everything, state, limit),
        config=config,
        flags={"store.out": str(out) if out else None, "chain": chain},
        json=json,
    )


@app.command(epilog="Example: chainwarden webhook test https://alerts.example.org/hook --strict")
def webhook(
    act: Annotated[str, typer.Argument(help="test, verify, sample, schema or secret.")],
    target: Annotated[
        str,
        typer.Argument(help="test: a URL, or a receiver's name. verify: a file; default: stdin."),
    ] = "",
    kind: Annotated[
        str, typer.Option("--type", help="Of the sample: raised, retracted, moved or digest.")
    ] = "raised",
    strict: Annotated[
        bool, typer.Option("--strict", help="Test: also send a repeat, a forged and a stale one.")
    ] = False,
    signed: Annotated[
        bool, typer.Option("--signed", help="Sample: with its headers, as verify reads it.")
    ] = False,
    headers: Annotated[
        Path | None, typer.Option(help="Verify: headers in a file of their own.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Verify: when it came (a date or unix seconds).")
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Try a receiver, verify what it got, or print a sample and the schema of what it gets."""
    from chainwarden.commands.webhook import Act
    from chainwarden.commands.webhook import webhook as command

    command(Act(act, target, kind, strict, signed, headers, at), config=config, json=json)


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
        "store.out": str(out) if out else None,
        "server.host": host,
        "server.port": port,
        "chain": chain,
    }
    command(config=config, flags=flags, json=json)


@app.command(epilog="Example: chainwarden token create ana --role analyst --days 90")
def token(
    act: Annotated[str, typer.Argument(help="create, list or revoke.")],
    name: Annotated[str | None, typer.Argument(help="The token's name: whose it is.")] = None,
    role: Annotated[str | None, typer.Option(help="viewer, analyst or admin.")] = None,
    days: Annotated[
        int | None, typer.Option(help="How long it holds.", show_default="until it is revoked")
    ] = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make, list and revoke the tokens of the API; a running process knows at once."""
    from chainwarden.commands.token import token as command

    command(
        act,
        name,
        role,
        days,
        config=config,
        flags={"store.out": str(out) if out else None},
        json=json,
    )


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
        "detect.labels": [str(p) for p in labels] if labels else None,
        "chain": chain,
        "store.out": str(out) if out else None,
    }
    command(config=config, flags=flags, json=json)


@app.command(epilog="Example: chainwarden rebuild --out chainwarden-out --to rebuilt")
def rebuild(
    to: Annotated[Path, typer.Option(help="Folder for the rebuilt ledger and lake.")],
    out: Out = None,
    labels: Labels = None,
    chain: ChainName = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a ledger anew from the blocks in a lake: the same alerts, bit for bit."""
    from chainwarden.commands.rebuild import rebuild as command

    flags = {
        "store.out": str(out) if out else None,
        "detect.labels": [str(p) for p in labels] if labels else None,
        "chain": chain,
    }
    command(config=config, flags=flags, to=to, json=json)


@app.command(epilog="Example: chainwarden bench half_space_trees --json")
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which; default: all.")] = None,
    json: Json = False,
) -> None:
    """Measure the performance figures, as ratios (from a checkout)."""
    from chainwarden.commands.bench import bench as command

    command(names or [], json=json)


def main() -> None:
    """The entry point: errors become one line and an exit code."""
    log_to()
    try:
        app()
    except ChainwardenError as error:
        from chainwarden.terminal import print_error

        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
