"""Every board as the JSON that Grafana is provisioned with."""

from __future__ import annotations

import json
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.boards.alert import alert
from dashboards.boards.chain_health import chain_health
from dashboards.boards.fraud import fraud
from dashboards.boards.model_quality import model_quality
from dashboards.boards.operations import operations
from dashboards.boards.wallet import wallet

BOARDS: Final = (operations, fraud, wallet, alert, model_quality, chain_health)


def written() -> dict[str, str]:
    """The text of each file, by its name; the same on every machine."""
    found = {}
    for make in BOARDS:
        made = make().build()
        for number, panel in enumerate(made.panels or [], start=1):
            panel.id_val = number
        text = json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        found[f"{make.__name__}.json"] = text + "\n"
    return found
