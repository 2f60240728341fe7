"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def flags_of(
    out: Path | None, chain: str | None, labels: list[Path] | None = None
) -> dict[str, object]:
    """What is said of folder, chain and lists, by the keys of the settings; None: nothing."""
    return {
        "store.out": str(out) if out else None,
        "chain": chain,
        "detect.labels": [str(path) for path in labels] if labels else None,
    }
