"""``audit seal`` and ``audit verify``: on a free ledger, and on a running process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM, Label
from store.audit_seal import KEY_FILE, Seal, read_seal, seal
from store.ledger import Ledger
from tests.command import run, run_json
from tests.store.asking import OTHER, Client, fill, serving_everything
from tests.test_triage_commands import out

__all__ = ["out"]

AUDIT = "/api/v1/audit"


def sealed(out: Path, name: str = "one.json") -> Path:
    """A seal of now, in a file beside the folder's."""
    path = out / name
    done = run("audit", "seal", "--out", out, cwd=out)
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout, encoding="utf-8")
    return path


def verified(out: Path, *seals: Path, code: int = 0) -> Any:
    """What verify answers, with the exit code that it should have."""
    words = [word for path in seals for word in ("--seal", str(path))]
    done = run("audit", "verify", *words, "--out", out, "--json", cwd=out)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_seal_is_signed_as_wallets_sign_and_holds(out: Path) -> None:
    """Anybody can recover its signer; what is said later does not change what it covers."""
    path = sealed(out)
    told = json.loads(path.read_text(encoding="utf-8"))
    message = encode_defunct(text=msgspec.convert(told, Seal).message)
    assert Account.recover_message(message, signature=told["signature"]) == told["signer"]
    assert (out / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert told["entries"] == 13
    found = verified(out, path)
    assert (found["entries"], found["faults"]) == (13, [])
    run_json("label", "0x" + OTHER.hex(), "phishing", "--out", str(out), cwd=out)
    found = verified(out, path)
    assert (found["entries"], found["faults"]) == (15, [])
    assert found["seals"] == [{"file": str(path), "holds": True, "why": ""}]
    shown = run("audit", "verify", "--seal", path, "--out", out, cwd=out).stdout
    assert "15 entries follow from one another" in shown
    assert f"{path}: 13 entries, sealed" in shown
    assert shown.endswith("Every record is as it was written.\n")


def test_a_changed_alert_is_told(tmp_path: Path) -> None:
    """By kind and id, on the screen and as JSON; the command fails as for a damaged ledger."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
        one = ledger.alerts()[0].id
    with duckdb.connect(str(tmp_path / "ledger.duckdb")) as connection:
        connection.execute(
            "UPDATE alerts SET severity = 0 WHERE replace(id::VARCHAR, '-', '') = ?", [one]
        )
    assert verified(tmp_path, code=6)["faults"] == [
        {"kind": "alert", "key": one, "what": "is not as it was written"}
    ]
    shown = run("audit", "verify", "--out", tmp_path, cwd=tmp_path)
    assert shown.returncode == 6
    assert one in shown.stdout
    assert "not as it was written: 1 of the records" in shown.stderr


def test_a_chain_made_anew_is_not_what_was_sealed(tmp_path: Path) -> None:
    """Somebody withdraws a label behind the ledger's back and has the chain begin anew: the file
    holds, the seal does not; nor does one of a chain that was longer, or of another ledger."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        fill(ledger)
        ledger.add_label(Label(OTHER, "phishing", "analyst"))
    kept = sealed(tmp_path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE labels SET withdrawn = true; DELETE FROM audit")
        connection.execute("UPDATE totals SET audit = 0")
    found = verified(tmp_path, kept, code=6)
    assert found["faults"] == []
    (one,) = found["seals"]
    assert one["why"] == "the chain ended with 15 entries then, it has 14 now"
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.triage.acknowledge(ledger.alerts()[0].id)
    assert verified(tmp_path, kept, code=6)["seals"][0]["why"] == (
        "the entries up to there are not those"
    )
    path.unlink()
    (tmp_path / "ledger.duckdb.commits").unlink()
    with Ledger.open(path, ETHEREUM) as ledger:
        fill(ledger)
    assert "perhaps made anew" in verified(tmp_path, kept, code=6)["seals"][0]["why"]
    shown = run("audit", "verify", "--seal", kept, "--out", tmp_path, cwd=tmp_path)
    assert (shown.returncode, "NOT so: it is of ledger" in shown.stdout) == (6, True)


def test_who_must_have_signed(tmp_path: Path) -> None:
    """The installation's own key, or the address that is named; without either, anybody."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
    kept = sealed(tmp_path)
    signer = json.loads(kept.read_text(encoding="utf-8"))["signer"]
    (tmp_path / KEY_FILE).unlink()
    assert verified(tmp_path, kept)["seals"][0]["holds"]
    sealed(tmp_path, "other.json")
    assert f"{signer} signed it, not 0x" in verified(tmp_path, kept, code=6)["seals"][0]["why"]
    words = ("audit", "verify", "--seal", kept, "--signer", signer.lower(), "--out", tmp_path)
    assert run(*words, cwd=tmp_path).returncode == 0


def test_a_running_process_tells_how_its_chain_ends(tmp_path: Path) -> None:
    """To viewers; to have all verified is an admin's; what it never had is not found."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
        with serving_everything(ledger, tmp_path) as server:
            client = Client(server)
            end = client.get(AUDIT)
            assert end == client.get(f"{AUDIT}?entries=13")
            assert client.get(f"{AUDIT}?entries=0")["digest"] == "00" * 32
            assert client.ask(f"{AUDIT}?entries=14")[0] == 404
            assert client.ask(f"{AUDIT}?entries=-1")[0] == 422
            assert client.get(f"{AUDIT}/verification") == {**end, "faults": [], "more": False}


def test_what_is_no_seal_is_refused(tmp_path: Path) -> None:
    """Missing, malformed, of another form: one line that says so."""
    path = tmp_path / "seal.json"
    with pytest.raises(StoreError, match="is no seal"):
        read_seal(path)
    for content in (b"", b"{}", b"\xff", os.urandom(100), b'{"ledger": 5}'):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="is no seal"):
            read_seal(path)
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
    done = run("audit", "verify", "--seal", path, "--out", tmp_path, cwd=tmp_path)
    assert (done.returncode, f"{path} is no seal" in done.stderr) == (3, True)
    done = run("audit", "forge", "--out", tmp_path, cwd=tmp_path)
    assert (done.returncode, "seal, or verify" in done.stderr) == (3, True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a seal is, and the key that signed it."""
    return tmp_path_factory.mktemp("seals")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(Seal.__struct_fields__),
    st.one_of(st.integers(), st.text(max_size=20), st.binary(min_size=65, max_size=65)),
)
def test_a_seal_that_was_changed_is_refused(folder: Path, field: str, value: object) -> None:
    """Whatever stands in whatever field: it is no seal, or was not signed by its signer."""
    genuine = msgspec.to_builtins(seal(folder, "beefbeef", "ethereum", 7, "ab" * 32, 1.7e9))
    assert isinstance(genuine, dict)
    path = folder / "seal.json"
    if isinstance(value, bytes):
        value = "0x" + value.hex()
    path.write_text(json.dumps({**genuine, field: value}), encoding="utf-8")
    if value == genuine[field]:
        assert read_seal(path) == msgspec.convert(genuine, Seal)
        return
    with pytest.raises(StoreError, match=r"is no seal|was changed"):
        read_seal(path)
