"""Who may read what is private, and who may ask the API."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.doctor.check import Check, checked, failed, ok, skipped, warning
from chainwarden.server.keys import Keys
from chainwarden.server.tokens import DAY, FILE, TokenFile
from chainwarden.settings import Secret, Settings

PRIVATE: Final = ("snapshot.key", "hash.key", "audit.key", FILE)
"""Files of the results' folder that nobody but their owner may read."""
_SOON_DAYS: Final = 14


def check_access(settings: Settings, config: Path | None) -> list[Check]:
    """Permissions of the folder and of private files, the tokens, and where the API listens."""
    out = Path(settings.store.out)
    return [
        checked("permissions", partial(check_permissions, out)),
        checked("settings file", partial(check_settings_file, settings, config)),
        checked("tokens", partial(check_tokens, out)),
        checked("server", partial(check_server, settings)),
    ]


def check_permissions(out: Path) -> Check:
    """Whether anybody else may write the folder, or read its private files."""
    if not out.is_dir():
        return skipped("permissions", f"{out} is not there yet")
    mode = out.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return failed("permissions", f"everybody may write {out}", f"chmod o-w {out}")
    there = [out / name for name in PRIVATE if (out / name).exists()]
    open_ = [path for path in there if path.stat().st_mode & 0o077]
    if open_:
        names = " ".join(map(str, open_))
        return failed("permissions", f"others may read {names}", f"chmod 600 {names}")
    strange = [path for path in (out, *there) if path.stat().st_uid != os.geteuid()]
    if strange:
        names = " ".join(map(str, strange))
        hint = "run chainwarden as their owner, or chown them"
        return warning("permissions", f"somebody else owns {names}", hint)
    return ok("permissions", f"{out} and {len(there)} private files are their owner's")


def check_settings_file(settings: Settings, config: Path | None) -> Check:
    """Whether a file that may hold secrets is readable by everybody."""
    path = config or Path("chainwarden.toml")
    if not path.is_file():
        return skipped("settings file", f"there is no {path}")
    if path.stat().st_mode & 0o004 and _secret_in(settings):
        hint = f"chmod 600 {path}, or give secrets as variables of the environment"
        return warning("settings file", f"everybody may read {path}, and there are secrets", hint)
    return ok("settings file", f"{path} is as private as what is in it")


def check_tokens(out: Path) -> Check:
    """How many tokens there are, and which end soon."""
    tokens, now = TokenFile(out / FILE).all(), time.time()
    usable = [token for token in tokens if token.usable(now)]
    if not tokens:
        return skipped("tokens", "none was made: chainwarden token create makes one")
    if not usable:
        hint = "chainwarden token create makes one"
        return warning("tokens", f"none of {len(tokens)} tokens can be used any more", hint)
    roles = Counter(token.role for token in usable)
    found = ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))
    soon = [t.name for t in usable if t.expires is not None and t.expires - now < _SOON_DAYS * DAY]
    if soon:
        hint = "make new ones, hand them over, revoke these"
        names = ", ".join(soon)
        return warning("tokens", f"{found}; within {_SOON_DAYS} days expire: {names}", hint)
    return ok("tokens", found)


def check_server(settings: Settings) -> Check:
    """Whether the API would be open only to whom it should."""
    host = settings.server.host
    address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
    keys = Keys(settings.server.token, TokenFile(Path(settings.store.out) / FILE))
    asked = "need a token" if keys.wanted else "need none"
    if ipaddress.ip_address(address).is_loopback:
        return ok("server", f"{host} is this machine only; its users {asked}")
    if not keys.usable():
        hint = "chainwarden token create, or set server.token (openssl rand -hex 32)"
        return failed("server", f"others reach {host}, and there is no token", hint)
    return ok("server", f"others reach {host}, and {asked}; TLS is a proxy's to add")


def _secret_in(value: object) -> bool:
    if isinstance(value, Secret):
        return bool(value)
    if isinstance(value, msgspec.Struct):
        return any(_secret_in(getattr(value, name)) for name in value.__struct_fields__)
    return isinstance(value, list) and any(map(_secret_in, value))
