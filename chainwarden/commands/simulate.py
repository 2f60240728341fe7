"""``chainwarden simulate``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from chainwarden.errors import SettingsError
from chainwarden.terminal import print_json, print_line, progress
from ingest.simulate import SimulationConfig, Written, write_chain
from ingest.simulate.playing import PLAYABLE, play


@dataclass(frozen=True, slots=True)
class Playing:
    """What is played on a development node, and on which. ``pace``: seconds between transactions.

    ``repeat``: one campaign after the other in the order of ``PLAYABLE``, from the given one on.

    >>> playing = Playing("http://127.0.0.1:8545", "phishing_wallet", 0.1, repeat=True)
    >>> [name for name, _ in zip(playing.campaigns(), range(3))]
    ['phishing_wallet', 'native_claim', 'ice_phishing']
    """

    url: str
    campaign: str
    pace: float
    repeat: bool = False

    def campaigns(self) -> Iterable[str]:
        """What is played, in order; without an end where it repeats."""
        if not self.repeat or self.campaign not in PLAYABLE:
            return [self.campaign]
        first = PLAYABLE.index(self.campaign)
        return cycle(PLAYABLE[first:] + PLAYABLE[:first])


def simulate(
    *,
    out: Path | None,
    playing: Playing | None,
    blocks: int,
    seed: int,
    json: bool,
) -> None:
    """Write a chain to ``out``, or play campaigns on a node, each with the next seed."""
    if playing is not None:
        for one, campaign in enumerate(playing.campaigns()):
            _play(playing, campaign, seed + one, json)
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
        blocks_file, labels_file = map(str, (written.blocks_file, written.labels_file))
        words = ("chainwarden", "replay", blocks_file, "--labels", labels_file)
        print_line(f"Next: {shlex.join(words)}")


def write(config: SimulationConfig, out: Path, quiet: bool) -> Written:
    """Write a simulated chain, with a progress bar."""
    with progress("simulate", config.blocks, quiet=quiet) as advance:
        return write_chain(config, out, lambda done, _total: advance(done))


def _play(playing: Playing, campaign: str, seed: int, json: bool) -> None:
    played = play(playing.url, campaign, seed, playing.pace)
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
