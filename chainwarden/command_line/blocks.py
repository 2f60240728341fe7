"""Commands over blocks that are there already, or are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainwarden.command_line.application import app
from chainwarden.command_line.completion import formats
from chainwarden.command_line.options import ChainName, Config, Json, Labels, Out, Rpc, flags_of


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

    command(
        path,
        config=config,
        flags=flags_of(None, chain, labels),
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

    command(config=config, flags=flags_of(out, chain, labels), to=to, json=json)


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
        str, typer.Option("--format", help="html, markdown or csv.", autocompletion=formats)
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


@app.command(epilog="Example: chainwarden bench half_space_trees --json")
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which; default: all.")] = None,
    json: Json = False,
) -> None:
    """Measure the performance figures, as ratios (from a checkout)."""
    from chainwarden.commands.bench import bench as command

    command(names or [], json=json)
