"""``chainwarden doctor``: who may ask, and read what is private."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainwarden.doctor import Check, examine
from chainwarden.doctor.access import (
    check_permissions,
    check_server,
    check_settings_file,
    check_tokens,
)
from chainwarden.errors import SettingsError
from chainwarden.server import Role
from chainwarden.server.tokens import TokenFile
from chainwarden.settings import Secret
from tests.doctor.findings import settings


def test_an_open_server_without_a_token_fails(tmp_path: Path) -> None:
    """Loopback is well; beyond it only a token is, of the settings or a usable one of the file."""
    out = str(tmp_path)
    assert check_server(settings(store__out=out)).status == "ok"
    beyond = settings(store__out=out, server__host="0.0.0.0")
    assert check_server(beyond).status == "failed"
    token = Secret("t" * 16)
    with_token = settings(store__out=out, server__host="0.0.0.0", server__token=token)
    assert check_server(with_token).status == "ok"
    with pytest.raises(SettingsError, match="16 characters"):
        settings(server__token=Secret("t" * 15))
    tokens = TokenFile(tmp_path / "tokens.json")
    tokens.create("ana", Role.VIEWER, 1)
    assert check_server(beyond).status == "ok"
    tokens.revoke("ana")
    assert check_server(beyond).status == "failed"


def test_tokens_are_counted_and_those_that_end_are_named(tmp_path: Path) -> None:
    """None is no fault; one that expires within two weeks is named; a damaged file fails."""
    tokens = TokenFile(tmp_path / "tokens.json")
    assert check_tokens(tmp_path).status == "skipped"
    tokens.create("ana", Role.ANALYST, 90)
    tokens.create("bob", Role.VIEWER, None)
    assert check_tokens(tmp_path) == Check("tokens", "ok", "1 analyst, 1 viewer")
    tokens.create("eve", Role.VIEWER, 13)
    soon = check_tokens(tmp_path)
    assert (soon.status, soon.found.endswith("expire: eve")) == ("warning", True)
    for name in ("ana", "bob", "eve"):
        tokens.revoke(name)
    assert check_tokens(tmp_path).status == "warning"
    tokens.path.write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError):
        check_tokens(tmp_path)
    assert {c.name: c.status for c in examine(lambda: settings(store__out=str(tmp_path)))}[
        "tokens"
    ] == "failed"


def test_what_is_private_must_be(out: Path, tmp_path: Path) -> None:
    """A key, the tokens, the folder and a settings file that others may read or write are named,
    with the command that ends it."""
    assert check_permissions(tmp_path / "missing").status == "skipped"
    assert check_permissions(out).status == "ok"
    TokenFile(out / "tokens.json").create("ana", Role.VIEWER, None)
    for name in ("snapshot.key", "tokens.json"):
        (out / name).chmod(0o640)
        found = check_permissions(out)
        assert (found.status, found.hint) == ("failed", f"chmod 600 {out / name}")
        (out / name).chmod(0o600)
    assert check_permissions(out).status == "ok"
    out.chmod(0o777)
    assert check_permissions(out).hint == f"chmod o-w {out}"
    file = tmp_path / "chainwarden.toml"
    without, secret = settings(), settings(server__token=Secret("t" * 16))
    assert check_settings_file(secret, file).status == "skipped"
    file.write_text("", encoding="utf-8")
    file.chmod(0o644)
    assert check_settings_file(without, file).status == "ok"
    assert check_settings_file(secret, file).status == "warning"
    file.chmod(0o640)
    assert check_settings_file(secret, file).status == "ok"
