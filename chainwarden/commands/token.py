"""``chainwarden token``: who may ask the API of a folder, and as what."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chainwarden.errors import SettingsError
from chainwarden.report.words import moment
from chainwarden.server.keys import last_uses
from chainwarden.server.roles import Role
from chainwarden.server.tokens import FILE, Token, TokenFile
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table

_ACTS: Final = ("create", "list", "revoke")


def token(
    act: str,
    name: str | None,
    role: str | None,
    days: int | None,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Create a token and print it once; list all of them; or end one."""
    settings = load_settings(config, os.environ, flags)
    file = TokenFile(Path(settings.store.out) / FILE)
    if act not in _ACTS:
        raise SettingsError(f"no such act: {act[:64]!r}", hint=", ".join(_ACTS))
    if act != "create" and (role, days) != (None, None):
        raise SettingsError(f"token {act} takes neither --role nor --days")
    if act == "list":
        if name is not None:
            raise SettingsError("token list takes no name")
        _list(file, json)
    elif name is None:
        raise SettingsError(f"token {act} wants a name", hint=f"chainwarden token {act} NAME")
    elif act == "create":
        if role is None:
            known = ", ".join(one.text for one in Role)
            raise SettingsError("a token wants a role", hint=f"--role: {known}")
        _create(file, name, Role.named(role), days, json)
    else:
        _revoke(file, name, json)


def _create(file: TokenFile, name: str, role: Role, days: int | None, json: bool) -> None:
    shown = file.create(name, role, days)
    if json:
        made = next(one for one in file.all() if one.name == name and one.usable(time.time()))
        print_json({**_told(made, None), "token": shown})
        return
    sys.stderr.write(f"chainwarden: {name}, {role.text}; this is shown once and kept nowhere\n")
    print_line(shown)


def _list(file: TokenFile, json: bool) -> None:
    uses = last_uses(file.path)
    told = [_told(one, uses.get(one.digest)) for one in file.all()]
    if json:
        print_json({"tokens": told})
        return
    print_table(
        f"{len(told)} tokens of {file.path}",
        ("name", "role", "state", "created (UTC)", "expires (UTC)", "last used (UTC)"),
        [
            (
                one["name"],
                one["role"],
                one["state"],
                *(_when(one[key]) for key in ("created", "expires", "last_used")),
            )
            for one in told
        ],
    )


def _revoke(file: TokenFile, name: str, json: bool) -> None:
    if not file.revoke(name):
        raise SettingsError(f"no token {name[:64]!r} holds", hint="chainwarden token list")
    if json:
        print_json({"name": name, "state": "revoked"})
        return
    print_line(f"{name} is revoked")


def _told(one: Token, last_used: int | None) -> dict[str, object]:
    """The documented JSON form: all but the digest."""
    now = time.time()
    state = "revoked" if one.revoked is not None else "expired" if one.expired(now) else "usable"
    return {
        "name": one.name,
        "role": one.role,
        "state": state,
        "created": one.created,
        "expires": one.expires,
        "revoked": one.revoked,
        "last_used": last_used,
    }


def _when(seconds: object) -> str:
    return "–" if seconds is None else moment(int(str(seconds)))
