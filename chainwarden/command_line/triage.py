"""Commands of analysts on duty: take alerts in hand, hear no more of some."""

from __future__ import annotations

from typing import Annotated

import typer

from chainwarden.command_line.application import app
from chainwarden.command_line.completion import rules
from chainwarden.command_line.options import ChainName, Config, Json, Out, flags_of


@app.command(epilog="Example: chainwarden acknowledge 5f0c --note 'asked the exchange'")
def acknowledge(
    alert_id: Annotated[
        str, typer.Argument(help="The alert's id; its first digits do, at least four.")
    ],
    withdraw: Annotated[bool, typer.Option(help="Nobody has it in hand any more.")] = False,
    author: Annotated[str, typer.Option(help="Who has it in hand.", envvar="USER")] = "",
    note: Annotated[str, typer.Option(help="What is being done.")] = "",
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Say that you have an alert in hand, so that nobody else begins with it."""
    from chainwarden.commands.triage import acknowledge as command
    from store.triage_answers import AcknowledgeWord

    command(
        AcknowledgeWord(alert_id, author, note),
        withdraw=withdraw,
        config=config,
        flags=flags_of(out, chain),
        json=json,
    )


@app.command(epilog="Example: chainwarden suppress --rule dusting --subject 0x…dead --hours 8")
def suppress(
    rule: Annotated[str, typer.Option(help="Alerts of this rule.", autocompletion=rules)] = "",
    subject: Annotated[str, typer.Option(help="Alerts about this wallet.")] = "",
    hours: Annotated[float, typer.Option(min=0.01, max=8784, help="For how long.")] = 24.0,
    author: Annotated[str, typer.Option(help="Who says so.", envvar="USER")] = "",
    note: Annotated[str, typer.Option(help="Why.")] = "",
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Have receivers told nothing of some alerts for a while; they are raised and kept."""
    from chainwarden.commands.triage import suppress as command
    from chainwarden.commands.triage import word_of

    command(
        word_of(rule, subject, hours, author, note),
        config=config,
        flags=flags_of(out, chain),
        json=json,
    )


@app.command(epilog="Example: chainwarden suppressions end 3")
def suppressions(
    act: Annotated[str, typer.Argument(help="list, or end: receivers are told again.")] = "list",
    serial: Annotated[
        int | None, typer.Argument(metavar="ID", help="Which is to end.", show_default=False)
    ] = None,
    ever: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    author: Annotated[str, typer.Option(help="Who ends it.", envvar="USER")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    chain: ChainName = None,
    out: Out = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the alerts of which nobody is told, or have people told of them again."""
    from chainwarden.commands.triage import suppressions as command

    command(
        act,
        serial,
        author=author,
        ever=ever,
        limit=limit,
        config=config,
        flags=flags_of(out, chain),
        json=json,
    )
