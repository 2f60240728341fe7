"""``chainwarden fetch``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from chainwarden.deployment import open_source_node
from chainwarden.errors import BadBlock, SettingsError
from chainwarden.settings import load_settings
from chainwarden.terminal import print_error, print_json, print_line, progress
from ingest.raw import RawBlock
from ingest.record import BlockRecorder
from ingest.verify import Verifier


def fetch(
    name: Path,
    first: int,
    last: int,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Write the blocks ``first`` to ``last`` of a node, each verified, to files."""
    if first < 0 or last < first:
        raise SettingsError(f"there are no blocks from {first} to {last}", hint="--from A --to B")
    settings = load_settings(config, os.environ, flags)
    verifier = Verifier()
    rejected = 0

    def verified(raw: RawBlock) -> RawBlock:
        verifier.verify(raw)
        return raw

    with (
        open_source_node(settings) as source,
        BlockRecorder(name) as recorder,
        progress("fetch", last - first + 1, quiet=json) as advance,
    ):
        for raw in source.fetch_range(first, last + 1, verified):
            if isinstance(raw, BadBlock):
                rejected += 1
                print_error(raw)
                continue
            recorder.write(raw)
            advance(recorder.blocks)
    result = {
        "blocks": recorder.blocks,
        "transactions": recorder.transactions,
        "rejected_blocks": rejected,
        "blocks_file": str(recorder.blocks_file),
        "receipts_file": str(recorder.receipts_file),
    }
    if json:
        print_json(result)
    else:
        print_line(f"{recorder.blocks:,} blocks in {recorder.blocks_file}")
        print_line(f"Next: chainwarden replay {shlex.quote(str(recorder.blocks_file))}")
