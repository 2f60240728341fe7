"""``chainwarden simulate``."""

from __future__ import annotations

from pathlib import Path

from chainwarden.errors import SettingsError
from chainwarden.terminal import print_json, print_line, progress
from ingest.simulate import SimulationConfig, Written, write_chain
from ingest.simulate.playing import play


def simulate(
    *,
    out: Path | None,
    anvil: str | None,
    campaign: str,
    blocks: int,
    seed: int,
    pace: float,
    json: bool,
) -> None:
    """Write a chain to ``out``, or play a campaign on the node at ``anvil``."""
    if anvil is not None:
        _play(anvil, campaign, seed, pace, json)
        return
    if out is None:
        raise SettingsError("nowhere to write", hint="give --out FOLDER, or --anvil URL to play")
    written = write(SimulationConfig(seed=seed, blocks=blocks), out, quiet=json)
    if json:
        print_json(
            {
                "blocks": written.blocks,
                "orphaned": written.orphaned,
                "transactions": written.transactions,
                "logs": written.logs,
                "campaigns": written.campaigns,
                "blocks_file": str(written.blocks_file),
                "labels_file": str(written.labels_file),
                "truth_file": str(written.truth_file),
            }
        )
    else:
        print_line(
            f"{written.blocks:,} blocks, {written.transactions:,} transactions and "
            f"{written.campaigns} attacks are in {written.folder}"
        )
        print_line(f"Next: chainwarden replay {written.blocks_file} --labels {written.labels_file}")


def write(config: SimulationConfig, out: Path, quiet: bool) -> Written:
    """Write a simulated chain, with a progress bar."""
    with progress("simulate", config.blocks, quiet=quiet) as advance:
        return write_chain(config, out, lambda done, _total: advance(done))


def _play(url: str, campaign: str, seed: int, pace: float, json: bool) -> None:
    played = play(url, campaign, seed, pace)
    if json:
        print_json(
            {
                "campaign": played.campaign,
                "addresses": played.addresses,
                "transactions": played.transactions,
                "benign": played.benign,
                "first_block": played.first_block,
                "last_block": played.last_block,
            }
        )
        return
    print_line(
        f"played {campaign} in blocks {played.first_block} to {played.last_block}: "
        f"{len(played.transactions)} transactions, and {len(played.benign)} innocent ones"
    )
    for role, addresses in played.addresses.items():
        print_line(f"  {role}: {', '.join(addresses)}")
