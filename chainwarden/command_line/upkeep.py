"""Commands of who keeps a deployment: receivers, tokens, the audit chain, backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainwarden.command_line.application import app
from chainwarden.command_line.options import ChainName, Config, Json, Out, flags_of


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
        flags=flags_of(out, chain),
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


@app.command(epilog="Example: chainwarden audit verify --seal 2026-11-01.seal.json")
def audit(
    act: Annotated[str, typer.Argument(help="seal, or verify.")],
    seals: Annotated[
        list[Path] | None, typer.Option("--seal", help="Verify: a seal; may be repeated.")
    ] = None,
    signer: Annotated[
        str,
        typer.Option(help="Verify: whose address must have signed.", show_default="audit.key's"),
    ] = "",
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Sign where the audit chain ends, to keep it elsewhere; or verify that nothing was changed."""
    from chainwarden.commands.audit import Act
    from chainwarden.commands.audit import audit as command

    command(Act(act, seals or (), signer), config=config, flags=flags_of(out, chain), json=json)


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
        flags=flags_of(out, None),
        json=json,
    )


@app.command(epilog="Example: chainwarden backup before-upgrade")
def backup(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default="the moment")] = "",
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Then delete all but so many, the newest, of those called by the moment.",
            show_default="all stay",
        ),
    ] = None,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Copy ledger, lake, snapshots and keys to the folder's backups/NAME, while it works or not."""
    from chainwarden.commands.backup import backup as command

    command(name, keep, config=config, flags=flags_of(out, chain), json=json)
