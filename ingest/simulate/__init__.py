"""A seeded, labelled chain with every attack in it, written to files or played on a dev node."""

from ingest.simulate.campaigns import ALL as CAMPAIGNS
from ingest.simulate.playing import PLAYABLE, Played, play
from ingest.simulate.simulation import Simulation, SimulationConfig
from ingest.simulate.truth import Campaign, Truth
from ingest.simulate.write import Written, write_chain

__all__ = [
    "CAMPAIGNS",
    "PLAYABLE",
    "Campaign",
    "Played",
    "Simulation",
    "SimulationConfig",
    "Truth",
    "Written",
    "play",
    "write_chain",
]
