"""Run the detection figures and print them: ``make bench-detection``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.detection import (
    contracts,
    evasion,
    hardness,
    poisoning,
    sensitivity,
    typologies,
    wallets,
)
from benchmarks.detection.section import Section
from chainwarden.errors import ChainwardenError
from chainwarden.terminal import print_error, print_json, print_line

Run = Callable[[bool], Section]

SECTIONS: dict[str, Run] = {
    "wallets": wallets.section,
    "typologies": typologies.section,
    "poisoning": poisoning.section,
    "contracts": contracts.section,
    "evasion": evasion.section,
    "sensitivity": sensitivity.section,
    "hardness": hardness.section,
}


def main() -> int:
    """The command; 0, or 2 for words it does not know."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"default all: {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    words = parser.parse_args()
    unknown = sorted(set(words.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if not words.json:
        print_line(
            f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
        )
    done = []
    for name in words.sections or SECTIONS:
        sys.stderr.write(f"{name} …\n")
        began = time.perf_counter()
        section = SECTIONS[name](words.quick)
        done.append(replace(section, seconds=time.perf_counter() - began))
        if not words.json:
            done[-1].show()
    if words.json:
        print_json({"sections": [section.to_dict() for section in done]})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ChainwardenError as error:
        print_error(error)
        sys.exit(error.exit_code)
