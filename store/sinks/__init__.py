"""One encoder per chat service: a notice in, the JSON that the service's API takes out.

Each escapes what its service would read as markup, keeps within the service's limits, and has a
plain form for when the other was refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from store.sinks.discord import discord
from store.sinks.encode import Encode
from store.sinks.pagerduty import pagerduty
from store.sinks.slack import slack
from store.sinks.teams import teams

ENCODERS: Final[Mapping[str, Encode]] = {"slack": slack, "discord": discord, "teams": teams}

__all__ = ["ENCODERS", "Encode", "discord", "pagerduty", "slack", "teams"]
