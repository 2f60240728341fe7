"""Settings of a deployment that is examined, and its findings."""

from __future__ import annotations

from chainwarden.doctor import Check
from chainwarden.settings import Settings, load_settings

KEY = "s3cr3t-key-in-the-url"


def settings(**flags: object) -> Settings:
    """Settings with these keys, dots written as ``__``."""
    return load_settings(None, {}, {key.replace("__", "."): v for key, v in flags.items()})


def named(found: list[Check], name: str) -> Check:
    """The one finding whose name ends so."""
    (one,) = [check for check in found if check.name.endswith(name)]
    return one
