"""Tokens at rest, how often callers may ask, and ``chainwarden token``."""

from __future__ import annotations

import json
import math
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.commands.token import token
from chainwarden.errors import RequestRefused, SettingsError
from chainwarden.server.keys import Keys, last_uses
from chainwarden.server.rates import MAX_CALLERS, Rates, neighbourhood
from chainwarden.server.roles import Caller, Role
from chainwarden.server.tokens import DAY, MAX_TOKENS, TokenFile
from chainwarden.settings import Secret
from tests.command import run
from tests.environment import environment

NONE = Secret("")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the tokens will be."""
    return tmp_path / "out" / "tokens.json"


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now


# --- at rest -----------------------------------------------------------------------------------


def test_only_digests_are_kept_and_only_for_the_owner(path: Path) -> None:
    """256 random bits are shown once; neither they nor a plain hash is in a file, which is 600."""
    file = TokenFile(path)
    shown = [file.create(f"t{n}", Role.VIEWER, 1) for n in range(20)]
    assert len(set(shown)) == 20
    assert all(len(one.removeprefix("cw_")) == 43 for one in shown)
    for kept in path.parent.iterdir():
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600, kept
        content = kept.read_text(encoding="utf-8")
        assert not any(one in content or one[3:] in content for one in shown)
    other = TokenFile(path.with_name("other.json"))
    assert file.find(shown[0]) is not None
    assert other.find(shown[0]) is None


def test_a_token_holds_until_it_ends(path: Path) -> None:
    """To the second; for good where no end was said; never after it was revoked."""
    clock = Clock()
    file = TokenFile(path, clock)
    short, long = file.create("short", Role.VIEWER, 2), file.create("long", Role.ADMIN, None)
    keys = Keys(NONE, TokenFile(path, clock), clock)
    clock.now += 2 * DAY - 1
    assert keys.caller(f"Bearer {short}") == Caller("short", Role.VIEWER)
    clock.now += 1
    with pytest.raises(RequestRefused, match="expired") as caught:
        keys.caller(f"Bearer {short}")
    assert caught.value.status == 401
    clock.now += 100_000 * DAY
    assert keys.caller(f"Bearer {long}") == Caller("long", Role.ADMIN)
    assert file.revoke("long")
    assert not file.revoke("long")
    assert not file.revoke("nobody")
    with pytest.raises(RequestRefused, match="wrong"):
        keys.caller(f"Bearer {long}")


def test_a_name_is_one_tokens_until_it_ended(path: Path) -> None:
    """Two usable tokens never share one; after revocation or expiry it is free again."""
    clock = Clock()
    file = TokenFile(path, clock)
    first = file.create("ana", Role.ADMIN, 1)
    with pytest.raises(SettingsError, match="there is a token ana"):
        file.create("ana", Role.VIEWER, 1)
    file.revoke("ana")
    second = file.create("ana", Role.VIEWER, 1)
    clock.now += DAY
    third = file.create("ana", Role.VIEWER, 1)
    assert [file.find(one) is not None for one in (first, second, third)] == [False, False, True]
    for name in ("", " ", "a b", "-a", "a" * 65, "a\n", "<b>", "é"):
        with pytest.raises(SettingsError, match="no name"):
            file.create(name, Role.VIEWER, 1)
    for days in (0, -1, 3651):
        with pytest.raises(SettingsError, match="days"):
            file.create("bob", Role.VIEWER, days)


def test_the_number_of_tokens_is_bounded(path: Path) -> None:
    """Those that ended make room; usable ones are never thrown out."""
    clock = Clock()
    file = TokenFile(path, clock)
    file.create("ends", Role.VIEWER, 1)
    for n in range(MAX_TOKENS - 1):
        file.create(f"t{n}", Role.VIEWER, 2)
    with pytest.raises(SettingsError, match="256 tokens"):
        file.create("more", Role.VIEWER, 1)
    clock.now += DAY
    file.create("more", Role.VIEWER, 1)
    assert {token.name for token in file.all()} == {"more"} | {f"t{n}" for n in range(255)}


def test_processes_do_not_undo_one_another(path: Path) -> None:
    """Four processes that make five tokens each at once leave twenty."""
    script = (
        "import sys; from pathlib import Path\n"
        "from chainwarden.server.roles import Role\n"
        "from chainwarden.server.tokens import TokenFile\n"
        "for n in range(5): TokenFile(Path(sys.argv[1])).create(sys.argv[2] + str(n), Role(1), 1)\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(path), f"p{n}-"], env=environment())
        for n in range(4)
    ]
    assert [process.wait(timeout=60) for process in started] == [0] * 4
    assert len(TokenFile(path).all()) == 20


@settings(max_examples=300, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["version", "salt", "tokens", "x"]), inner)
            ),
            max_leaves=8,
        ).map(lambda tree: json.dumps(tree).encode()),
        st.just(b"[" * 100_000),
    )
)
def test_no_content_of_the_file_is_more_than_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Whatever is in it, it is refused in words that name the file; nothing else is raised."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"fuzzed\.json is no file of tokens"):
        TokenFile(path).all()


def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    """They could make themselves a token; that others may read it is the doctor's to say."""
    file = TokenFile(path)
    file.create("ana", Role.VIEWER, 1)
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(SettingsError, match="written by others"):
            TokenFile(path).all()
    path.chmod(0o644)
    assert len(TokenFile(path).all()) == 1


def test_when_a_token_was_used_last_is_kept(path: Path) -> None:
    """At once the first time, then once a minute and at the end; a new token has no past."""
    clock = Clock()
    shown = TokenFile(path, clock).create("ana", Role.VIEWER, None)
    keys = Keys(NONE, TokenFile(path, clock), clock)

    def used() -> list[int]:
        return list(last_uses(path).values())

    for wait, expected in ((0, 0), (59, 0), (1, 60), (5, 60)):
        clock.now += wait
        keys.caller(f"Bearer {shown}")
        assert used() == [1_000_000 + expected]
    keys.close()
    assert used() == [1_000_065]
    file = TokenFile(path, clock)
    file.revoke("ana")
    digest = next(iter(last_uses(path)))
    file.create("ana", Role.VIEWER, None)
    assert digest not in {token.digest for token in file.all()}
    path.with_name("tokens.used.json").write_text("[", encoding="utf-8")
    assert last_uses(path) == {}


# --- how often ---------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    per_minute=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 30), min_size=1, max_size=120),
)
def test_a_bucket_never_gives_more_than_it_has(per_minute: int, pauses: list[float]) -> None:
    """Over any span: at most its size and what came in meanwhile; and what it says to wait is
    enough, and a second less is not."""
    clock = Clock(0.0)
    rates = Rates(per_minute, clock)
    allowed: list[float] = []
    for pause in pauses:
        clock.now += pause
        seconds = rates.wait("a")
        if seconds == 0:
            allowed.append(clock.now)
            continue
        before = clock.now
        clock.now = before + seconds
        assert rates.wait("a") == 0
        allowed.append(clock.now)
    for first, start in enumerate(allowed):
        for last in range(first, len(allowed)):
            most = per_minute + (allowed[last] - start) * per_minute / 60.0
            assert last - first + 1 <= math.floor(most + 1e-6)


def test_callers_are_counted_apart_and_not_without_end() -> None:
    """One's flood costs another nothing; the table holds 4,096; a /64 is one caller."""
    rates = Rates(2, Clock())
    assert [rates.wait("a") for _ in range(3)] == [0, 0, 30]
    assert rates.wait("b") == 0
    for n in range(2 * MAX_CALLERS):
        rates.wait(str(n))
    assert len(rates) == MAX_CALLERS
    assert neighbourhood("2001:db8:1:2::1") == neighbourhood("2001:db8:1:2:ffff::")
    assert neighbourhood("2001:db8:1:2::1") != neighbourhood("2001:db8:1:3::1")
    assert neighbourhood("fe80::1%eth0") == neighbourhood("fe80::2%eth1")
    assert neighbourhood("?" * 1000) == "?" * 64


# --- the command ---------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_alone(tmp_path: Path) -> None:
    """On stdout, for a script to take; what a person should know is on stderr."""
    words = ("token", "create", "ana", "--role", "analyst", "--days", 9, "--out", "out")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (shown,) = done.stdout.splitlines()
    assert shown not in done.stderr
    found = TokenFile(tmp_path / "out" / "tokens.json").find(shown)
    assert found is not None
    lasts = (found.expires or 0) - found.created
    assert (found.name, found.role, lasts) == ("ana", "analyst", 9 * DAY)


def said(act: str, name: str | None, out: Path, role: str | None = None, json: bool = True) -> None:
    """What the command does with these words."""
    token(act, name, role, None, config=None, flags={"store.out": str(out)}, json=json)


def test_the_list_says_everything_but_the_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, role, state and times, as JSON and as a table, before and after it is revoked."""
    said("create", "bob", tmp_path, "viewer")
    shown = json.loads(capsys.readouterr().out)["token"]
    for act, state in ((None, "usable"), ("revoke", "revoked")):
        if act:
            said(act, "bob", tmp_path)
            assert json.loads(capsys.readouterr().out) == {"name": "bob", "state": "revoked"}
        said("list", None, tmp_path)
        listed = capsys.readouterr().out
        (one,) = json.loads(listed)["tokens"]
        assert (one["name"], one["role"], one["state"]) == ("bob", "viewer", state)
        said("list", None, tmp_path, json=False)
        table = capsys.readouterr().out
        assert state in table
        assert shown not in listed + table


@pytest.mark.parametrize(
    ("act", "name", "role", "says"),
    [
        ("revoke", "ana", None, "no token 'ana' holds"),
        ("revoke", None, None, "token revoke NAME"),
        ("revoke", "ana", "admin", "neither --role nor --days"),
        ("create", "bob", None, "--role: viewer, analyst, admin"),
        ("create", "bob", "owner", "no such role"),
        ("creat", "bob", None, "create, list, revoke"),
        ("list", "bob", None, "takes no name"),
    ],
)
def test_what_is_wrong_with_the_words_is_said(
    tmp_path: Path, act: str, name: str | None, role: str | None, says: str
) -> None:
    """And nothing is made."""
    with pytest.raises(SettingsError) as caught:
        said(act, name, tmp_path, role)
    assert says in str(caught.value)
    assert not (tmp_path / "tokens.json").exists()
