"""Commands of analysts: alerts, wallets, labels, models."""

from __future__ import annotations

from typing import Annotated

import typer

from chainwarden.command_line.application import app
from chainwarden.command_line.completion import rules, severities, statuses
from chainwarden.command_line.options import ChainName, Config, Json, Out, flags_of


@app.command(epilog="Example: chainwarden alerts --severity high --rule ice_phishing --json")
def alerts(
    out: Out = None,
    severity: Annotated[
        str | None, typer.Option(help="At least this severe.", autocompletion=severities)
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Only of this rule.", autocompletion=rules)
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this wallet.")] = None,
    label: Annotated[str | None, typer.Option(help="Only about wallets so labelled.")] = None,
    since: Annotated[str | None, typer.Option(help="From this block time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this block time.")] = None,
    status: Annotated[
        str, typer.Option(help="active, retracted or all.", autocompletion=statuses)
    ] = "active",
    acknowledged: Annotated[
        str | None,
        typer.Option(help="yes: only those somebody has in hand; no: those nobody has."),
    ] = None,
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
            severity,
            rule,
            subject,
            label,
            since,
            until,
            "all" if retracted else status,
            acknowledged,
            limit,
        ),
        following=follow,
        config=config,
        flags=flags_of(out, chain),
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
        flags=flags_of(out, chain),
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
        flags=flags_of(out, chain),
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
        flags=flags_of(out, chain),
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
        flags=flags_of(out, chain),
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
        flags=flags_of(out, chain),
        json=json,
    )
