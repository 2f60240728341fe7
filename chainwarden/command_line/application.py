"""The application that the commands register with."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from chainwarden import __version__

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
