"""The command line by groups of commands, in the order in which the help shows them."""

from chainwarden.command_line import blocks, live, review, triage, upkeep
from chainwarden.command_line.application import app

__all__ = ["app", "blocks", "live", "review", "triage", "upkeep"]
