"""``chainwarden doctor``: whether a deployment would work, and what to do where not."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chainwarden.doctor import Check, examine
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line

EXIT_CODE: Final = 10


def doctor(*, config: Path | None, flags: Mapping[str, object], json: bool) -> None:
    """A line for each check as it is made, or one JSON list. Exits with 10 if one failed."""
    # What is logged would be said twice: it comes back as a finding.
    logging.disable(logging.CRITICAL)
    found: list[Check] = []
    for check in examine(lambda: load_settings(config, os.environ, flags), config):
        found.append(check)
        if not json:
            print_line(line(check))
    if json:
        print_json([check.to_dict() for check in found])
    else:
        counts = {
            status: sum(c.status == status for c in found) for status in ("failed", "warning")
        }
        print_line(f"{len(found)} checks: {counts['failed']} failed, {counts['warning']} warnings")
    if any(check.status == "failed" for check in found):
        sys.exit(EXIT_CODE)


def line(check: Check) -> str:
    """The finding on one line.

    >>> line(Check("disk", "failed", "0.1 GB are free", "free some space"))
    'failed   disk: 0.1 GB are free (free some space)'
    """
    hint = f" ({check.hint})" if check.hint else ""
    return f"{check.status:<8} {check.name}: {check.found}{hint}"
