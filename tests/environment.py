"""The environment that the suite's commands are started in."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tests.conftest import ROOT

HASH_KEY = "CHAINWARDEN_DETECT_HASH_KEY"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process' environment without any CHAINWARDEN_ variable but a hash key, plus ``extra``.

    Live and replayed states have one digest under one key only; this is the one of replays.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHAINWARDEN_")}
    return {**kept, "PYTHONPATH": str(ROOT), HASH_KEY: "00" * 16, **(extra or {})}
