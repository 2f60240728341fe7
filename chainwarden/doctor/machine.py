"""Python and the libraries."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Final

from chainwarden.doctor.check import Check, checked, failed, ok, skipped
from chainwarden.kafka_bus.topics import require_codecs

PYTHON: Final = (3, 11)
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)$")


def check_machine() -> list[Check]:
    """Python, the pinned libraries, and what makes the Kafka client fast."""
    return [
        check_python(tuple(sys.version_info[:2])),
        check_libraries(_requirements()),
        checked("codecs", check_codecs),
    ]


def check_python(version: tuple[int, ...]) -> Check:
    """Whether Python is new enough."""
    shown = f"{platform.python_implementation()} {platform.python_version()}"
    if version < PYTHON:
        return failed("python", shown, f"install Python {'.'.join(map(str, PYTHON))} or newer")
    return ok("python", shown)


def check_libraries(
    requirements: Sequence[str] | None, installed: Mapping[str, str] | None = None
) -> Check:
    """Whether each ``name==version`` is what is installed. ``installed`` None asks Python."""
    if requirements is None:
        return skipped("libraries", "chainwarden is not installed, so nothing says which it needs")
    pins = [match.groups() for text in requirements if (match := _PIN.fullmatch(text.strip()))]
    wrong = []
    for name, wanted in pins:
        found = _version(name) if installed is None else installed.get(name)
        if found != wanted:
            wrong.append(f"{name} is {found or 'missing'}, not {wanted}")
    if wrong:
        return failed(
            "libraries", "; ".join(wrong), "install chainwarden again (from a checkout: make setup)"
        )
    return ok("libraries", f"{len(pins)} as pinned")


def check_codecs() -> Check:
    """Whether kafka-python has what makes it fast; without, start-up refuses."""
    require_codecs()
    return ok("codecs", "crc32c, lz4 and zstandard are there")


def _requirements() -> list[str] | None:
    try:
        return metadata.requires("chainwarden") or []
    except metadata.PackageNotFoundError:
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
