"""``chainwarden replay``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from chainwarden.replay import ReplayResult, prepare_folder
from chainwarden.replay import replay as run_replay
from chainwarden.settings import configured_chain, load_settings
from chainwarden.terminal import print_error, print_json, print_line, print_table, progress
from ingest.files import count_blocks


def replay(
    path: Path,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    out: Path | None,
    overwrite: bool,
    batch_blocks: int,
    json: bool,
) -> None:
    """Replay, show the outcome, end with the source's own failure if it had one."""
    settings = load_settings(config, os.environ, flags)
    folder = out or Path(settings.store.out) / "replays" / path.name.split(".")[0]
    # The default folder is the replay's own: a second replay of the same file takes its place.
    prepare_folder(folder, configured_chain(settings), overwrite or out is None)

    total = None if json else count_blocks(path, configured_chain(settings))
    with progress("replay", total, quiet=json) as advance:
        result = run_replay(
            path,
            folder,
            settings,
            batch_blocks=batch_blocks,
            on_rejected=print_error,
            advance=advance,
        )
    if json:
        print_json(result.to_dict())
    else:
        show(result)
    if result.failure is not None:
        raise result.failure


def show(result: ReplayResult) -> None:
    """The outcome for a person."""
    rows = [(name.replace("_", " "), value) for name, value in result.to_dict().items()]
    print_table("Replay", ("", ""), rows)
    print_line(f"Next: chainwarden alerts --out {shlex.quote(str(result.out))}")
