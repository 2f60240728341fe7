"""``chainwarden doctor``: what is well is said to be, and what is broken is found and named."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from chainwarden.doctor import Check, examine
from chainwarden.doctor.access import (
    check_permissions,
    check_server,
    check_settings_file,
    check_tokens,
)
from chainwarden.doctor.folder import check_snapshot, check_space, check_writable
from chainwarden.doctor.machine import check_libraries, check_python
from chainwarden.doctor.nodes import check_chain, check_clock, check_nodes
from chainwarden.doctor.outside import check_kafka, check_labels, check_receivers
from chainwarden.errors import SettingsError
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import ETHEREUM, Chain, Cursor
from chainwarden.server import Role
from chainwarden.server.tokens import TokenFile
from chainwarden.settings import Secret, Settings, load_settings
from store.lake import Lake
from store.ledger import Commit, Ledger
from store.snapshots import SnapshotStore
from tests.anvil import Anvil
from tests.command import run, running, wait_for
from tests.conftest import ROOT
from tests.rigs.liar import Liar, Oops, Recording
from tests.rigs.receiver import SECRET
from tests.store.made import alert, blocks, position

KEY = "s3cr3t-key-in-the-url"


def settings(**flags: object) -> Settings:
    """Settings with these keys, dots written as ``__``."""
    return load_settings(None, {}, {key.replace("__", "."): v for key, v in flags.items()})


def named(found: list[Check], name: str) -> Check:
    """The one finding whose name ends so."""
    (one,) = [check for check in found if check.name.endswith(name)]
    return one


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a ledger, a lake of two files and two snapshots."""
    folder = tmp_path / "out"
    lake = Lake(folder / "lake", ETHEREUM)
    files = [*lake.write(blocks(1, 3)), *lake.write(blocks(4, 3))]
    cursor = Cursor(position(6), {}, 6, 12, 24)
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        ledger.commit(Commit(cursor, [alert(3)], files_added=files))
    snapshots = SnapshotStore(folder / "snapshots", folder / "snapshot.key")
    snapshots.save(b"first" * 100, cursor)
    snapshots.save(b"second" * 100, cursor)
    return folder


def examined(out: Path, **flags: object) -> dict[str, Check]:
    """Every finding about a folder, by name."""
    return {check.name: check for check in examine(lambda: settings(store__out=str(out), **flags))}


# --- machine and settings ----------------------------------------------------------------------


def test_libraries_are_compared_with_their_pins() -> None:
    """Another version and a missing library are named; extras and other requirements are not."""
    pins = ["numpy==2.4.6", "kafka-python[crc32c,lz4]==3.0.12", "x>=1", "y==1; extra == 'z'"]
    right = {"numpy": "2.4.6", "kafka-python": "3.0.12"}
    assert check_libraries(pins, right) == Check("libraries", "ok", "2 as pinned")
    wrong = check_libraries(pins, {"numpy": "2.4.5"})
    assert wrong.status == "failed"
    assert wrong.found == "numpy is 2.4.5, not 2.4.6; kafka-python is missing, not 3.0.12"
    assert wrong.hint
    assert check_libraries(None).status == "skipped"


def test_an_old_python_is_refused() -> None:
    """3.10 fails, 3.11 and later are well."""
    assert check_python((3, 10)).status == "failed"
    assert check_python((3, 11)).status == check_python((4, 0)).status == "ok"


def test_bad_settings_are_one_finding_and_the_rest_says_why_not(tmp_path: Path) -> None:
    """The nearest key is named, checks that need settings are skipped, the exit code is 10."""
    (tmp_path / "chainwarden.toml").write_text("[server]\nprot = 1\n", encoding="utf-8")
    done = run("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 10
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["settings"]["status"] == "failed"
    assert "prot" in found["settings"]["found"]
    assert found["settings"]["hint"] == "did you mean port?"
    assert found["python"]["status"] == "ok"
    skipped = [one for one in found.values() if one["status"] == "skipped"]
    assert {"ledger", "nodes", "kafka"} <= {one["name"] for one in skipped}
    assert all(one["found"] == "the settings do not load" for one in skipped)


# --- the folder --------------------------------------------------------------------------------


def test_a_sound_folder_is_well(out: Path) -> None:
    """Folder, ledger, lake and newest snapshot are found as they were written."""
    found = examined(out)
    assert {n: found[n].status for n in ("folder", "ledger", "lake", "snapshot")} == {
        "folder": "ok", "ledger": "ok", "lake": "ok", "snapshot": "ok",
    }  # fmt: skip
    assert "1 alerts" in found["ledger"].found
    assert found["lake"].found.startswith("10 files, 54 rows")
    assert "600 bytes" in found["snapshot"].found


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    """A folder that is not there yet is well, stays away, and what would be in it is skipped."""
    missing = tmp_path / "a" / "b"
    found = examined(missing)
    assert found["folder"] == Check("folder", "ok", f"{missing} can be made")
    assert {found[name].status for name in ("ledger", "lake", "snapshot")} == {"skipped"}
    assert list(tmp_path.iterdir()) == []


def test_damage_is_named(out: Path) -> None:
    """A truncated file, a missing one and a changed snapshot each fail, and say which it is."""
    files = sorted((out / "lake").rglob("*.parquet"))
    with files[0].open("r+b") as file:
        file.truncate(files[0].stat().st_size - 1)
    files[-1].unlink()
    newest = sorted((out / "snapshots").glob("*.bin"))[-1]
    data = bytearray(newest.read_bytes())
    data[-40] ^= 1
    newest.write_bytes(data)
    found = examined(out)
    assert found["lake"].status == found["snapshot"].status == "failed"
    assert files[0].name in found["lake"].found
    assert f"{files[-1].name}: missing" in found["lake"].found
    assert newest.name in found["snapshot"].found
    assert found["ledger"].status == "ok"
    (out / "snapshot.key").unlink()
    assert "snapshot.key" in check_snapshot(out).found
    assert not (out / "snapshot.key").exists()
    shutil.rmtree(out / "lake")
    assert examined(out)["lake"].status == "failed"


def test_a_damaged_ledger_fails(out: Path) -> None:
    """A file that is no database is a finding, not a traceback; its lake cannot be checked."""
    (out / "ledger.duckdb").write_bytes(b"not a database" * 1000)
    found = examined(out)
    assert found["ledger"].status == "failed"
    assert found["ledger"].hint
    assert found["lake"].status == "skipped"


def test_a_ledger_that_is_open_elsewhere_says_by_whom(out: Path, tmp_path: Path) -> None:
    """A process without an API is a warning with its pid; one that serves is asked for its head."""
    with Ledger.open(out / "ledger.duckdb", ETHEREUM):
        done = run("doctor", "--out", out, "--json", cwd=tmp_path)
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["ledger"]["status"] == "warning"
    assert f"pid {os.getpid()}" in found["ledger"]["found"]
    assert found["lake"]["status"] == "skipped"
    with running(("serve", "--out", out, "--port", 0), tmp_path) as process:
        deadline = time.monotonic() + 60
        while not (out / "server.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        beside = examined(out)["ledger"]
    assert beside.status == "ok"
    assert f"pid {process.pid}" in beside.found
    assert beside.found.endswith("head 6")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that everybody may enter and only its owner write to.

    Not below pytest's own, which any pytest that starts closes to everybody else.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path, closed: Path) -> None:
    """Somebody without the permission is told; so is root, of a path below a file."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    below = check_writable(tmp_path / "file" / "out")
    assert (below.status, below.hint) == ("failed", "set store.out to a folder")
    # Root may write anywhere: a process of somebody else's looks.
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from chainwarden.doctor.folder import check_writable\n"
        "if os.geteuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "else:\n"
        "    os.chmod(sys.argv[1], 0o555)\n"
        "for path in sys.argv[1:]:\n"
        "    found = check_writable(Path(path))\n"
        "    print(found.status, found.found, sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(closed), str(closed / "new" / "deep")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert [status for status, _ in lines] == ["failed", "failed"]
    assert all("Permission denied" in found for _, found in lines)
    assert list(closed.iterdir()) == []


def test_little_space_warns_and_none_fails(tmp_path: Path) -> None:
    """Under 10 GB is a warning, under 1 GB a failure."""
    states = [check_space(tmp_path, free).status for free in (10**9 - 1, 10**9, 10**10)]
    assert states == ["failed", "warning", "ok"]


# --- nodes -------------------------------------------------------------------------------------


@pytest.mark.anvil
def test_an_honest_node_is_well(anvil: Anvil) -> None:
    """A real node: its newest block, with a payment in it, verifies, and it knows what is final."""
    anvil.pay()
    anvil.mine(2)
    anvil.pay()
    anvil.mine()
    found = check_nodes(settings(source__rpc=[anvil.url]))
    assert [check.status for check in found] == ["ok"] * 5, found
    assert "chain 31337" in found[0].found
    assert "every root of its 1 transactions agrees" in named(found, "head").found
    late = check_nodes(settings(source__rpc=[anvil.url]), clock=lambda: time.time() + 3600)
    assert named(late, "clock").status == "warning"
    early = check_nodes(settings(source__rpc=[anvil.url]), clock=lambda: time.time() - 3600)
    assert named(early, "clock").status == "failed"


@pytest.fixture
def recording() -> Recording:
    """Three sealed blocks."""
    recording = Recording()
    recording.grow(3)
    return recording


@pytest.fixture
def liar(recording: Recording) -> Iterator[Liar]:
    """A node over them, honest unless told otherwise."""
    with Liar(recording) as liar:
        liar.finalized = recording.numbers[0]
        yield liar


def at_head(liar: Liar) -> float:
    """A clock that stands at the newest block."""
    head = liar.recording.by_hash[liar.recording.by_number[liar.head]]
    return float(int(head["timestamp"], 16) + 5)


def test_the_recorded_node_is_well_as_long_as_it_is_honest(liar: Liar) -> None:
    """The control for every lie below: without one, all is well."""
    found = check_nodes(settings(source__rpc=[liar.url]), lambda: at_head(liar))
    assert [check.status for check in found] == ["ok"] * 5, found


def changed(method: str, change: Any) -> Any:
    """A tamper of one method's result."""
    return lambda asked, _params, result: change(result) if asked == method else result


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("eth_getBlockReceipts", lambda receipts: receipts[:-1]),
        ("eth_getBlockReceipts", lambda receipts: [{**r, "status": "0x0"} for r in receipts]),
        ("eth_getBlockReceipts", lambda _: None),
        ("eth_getBlockByHash", lambda block: {**block, "gasUsed": "0x1"}),
        ("eth_getBlockByHash", lambda block: {**block, "transactions": block["transactions"][:1]}),
    ],
)
def test_a_node_that_lies_is_found_out(liar: Liar, method: str, change: Any) -> None:
    """Receipts left out or changed, a changed header, a missing transaction: the head fails."""
    liar.tamper = changed(method, change)
    found = check_nodes(settings(source__rpc=[liar.url]), lambda: at_head(liar))
    assert named(found, "head").status == "failed"
    assert named(found, "head").hint
    assert named(found, "clock").status == "skipped"


def test_a_node_without_finality_is_a_warning(liar: Liar) -> None:
    """An unknown tag, and null, are both said to be no finality."""
    liar.finalized = None
    found = check_nodes(settings(source__rpc=[liar.url]), lambda: at_head(liar))
    assert named(found, "finality").status == "warning"
    assert named(found, "head").status == "ok"


def test_endpoints_of_different_chains_fail(liar: Liar, recording: Recording) -> None:
    """Each alone is well; together they are not; and neither is one that is not the settings'."""
    with Liar(recording, chain_id=5) as other:
        other.finalized = recording.numbers[0]
        both = check_nodes(settings(source__rpc=[liar.url, other.url]), lambda: at_head(liar))
        assert named(both, "chain").status == "failed"
        assert "on 1" in named(both, "chain").found
        assert "on 5" in named(both, "chain").found
        alone = check_nodes(settings(source__rpc=[liar.url], chain_id=5, chain="x"))
        assert "the settings say 5" in named(alone, "chain").found
    kafka = settings(source__rpc=[liar.url], bus__kind="kafka")
    assert check_chain(kafka, {"a": Chain("anvil", 31337)}).status == "failed"
    assert check_chain(kafka, {"a": ETHEREUM}).status == "ok"


def test_a_node_that_does_not_answer_fails_and_its_key_is_not_shown(liar: Liar) -> None:
    """Nobody there, an error, no JSON: each is a failure without a part of the URL's path."""

    def refuse(_method: str, _params: Any, _result: Any) -> Any:
        raise Oops(-32000, f"no such key: {KEY}")

    liar.tamper = refuse
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        urls = [f"http://127.0.0.1:{closed.getsockname()[1]}/{KEY}", f"{liar.url}/{KEY}"]
        found = check_nodes(settings(source__rpc=[*urls, f"http://x:y/{KEY}"]))
    assert [check.status for check in found if check.name.endswith(")")] == ["failed"] * 2
    assert named(found, "node 3").status == "failed"
    assert named(found, "chain").status == "skipped"
    assert KEY not in repr(found)


def test_clocks() -> None:
    """15 s ahead may be; more may not. 120 s behind may be; more is a warning."""
    states = [check_clock("c", stamp, 1000.0).status for stamp in (1016, 1015, 880, 879)]
    assert states == ["failed", "ok", "ok", "warning"]


# --- what is outside ---------------------------------------------------------------------------


def hook(url: str, secret: str = SECRET, allow: tuple[str, ...] = ()) -> Check:
    """The finding about one receiver."""
    (found,) = check_receivers(
        settings(
            webhooks=[
                {
                    "name": "ops",
                    "url": Secret(url),
                    "secret": Secret(secret),
                    "allow_networks": list(allow),
                }
            ]
        )
    )
    return found


def test_receivers_are_checked_and_sent_nothing() -> None:
    """Private addresses are refused unless allowed, secrets must be keys, and nobody connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/{KEY}"
        assert hook(url, allow=("127.0.0.0/8",)).status == "ok"
        refused = hook(url)
        assert (refused.status, "loopback" in refused.found) == ("failed", True)
        assert hook(f"http://169.254.169.254/{KEY}").status == "failed"
        assert hook(f"http://0x7f000001/{KEY}").status == "failed"
        assert hook(f"http://name.invalid/{KEY}").status == "failed"
        bad = hook(url, secret="whsec_short", allow=("127.0.0.0/8",))
        assert bad.status == "failed"
        assert "whsec_" in bad.hint
        with pytest.raises(TimeoutError):
            listener.accept()
    assert KEY not in repr([refused, bad])
    assert check_receivers(settings())[0].status == "skipped"


def test_chats_and_mailboxes_are_checked_as_webhooks_are() -> None:
    """A URL that names no service, and an address that may not be dialled, are told by name."""

    def told(url: str, allow: tuple[str, ...] = ()) -> Check:
        entry = {"name": "desk", "url": Secret(url), "allow_networks": list(allow)}
        (found,) = check_receivers(settings(receivers=[entry]))
        return found

    mail = f"mailto://127.0.0.1:25/a@b.invalid?from={KEY}@d.invalid"
    assert told(mail, ("127.0.0.0/8",)).status == "ok"
    refused = told(mail)
    assert (refused.name, refused.status) == ("receiver desk", "failed")
    assert "loopback" in refused.found
    unknown = told(f"json://{KEY}.invalid")
    assert (unknown.status, "Slack" in unknown.hint) == ("failed", True)
    assert KEY not in repr([refused, unknown])


def test_label_lists_are_read(tmp_path: Path) -> None:
    """A good list is counted, refused entries are a warning, a file that is no list fails."""
    good, partly, none = (tmp_path / name for name in ("good.csv", "partly.csv", "none.csv"))
    header = "address,label\n"
    good.write_text(f"{header}0x{'ab' * 20},phishing\n", encoding="utf-8")
    partly.write_text(f"{header}0x{'ab' * 20},phishing\n0x12,exchange\n", encoding="utf-8")
    none.write_text("hello", encoding="utf-8")
    paths = [str(good), str(partly), str(none), str(tmp_path / "missing.csv")]
    found = check_labels(settings(detect__labels=paths))
    assert [check.status for check in found] == ["ok", "warning", "failed", "failed"]
    assert found[0].found == "1 labels; licence not said"
    assert "line 3" in found[1].hint
    assert check_labels(settings())[0].status == "skipped"


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


@pytest.mark.broker
def test_a_brokers_topics_are_compared(kafka_bootstrap: str) -> None:
    """None yet is a warning, made by the product they are well, changed they fail by name."""
    chain = Chain("doctored", 77)
    configured = settings(
        chain=chain.name, chain_id=chain.id, bus__kind="kafka",
        bus__bootstrap_servers=kafka_bootstrap,
    )  # fmt: skip
    missing = check_kafka(configured)
    assert missing.status == "warning"
    assert missing.found.count("chainwarden.doctored.") == 3
    BlockProducer(KafkaConfig(kafka_bootstrap, chain)).close()
    assert check_kafka(configured).status == "ok", check_kafka(configured)
    admin = KafkaAdminClient(bootstrap_servers=[kafka_bootstrap])
    try:
        admin.create_partitions({"chainwarden.doctored.blocks": 2})
        name = "chainwarden.doctored.dead_letters"
        shorter = ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "5"})
        admin.alter_configs([shorter])
    finally:
        admin.close()
    deadline = time.monotonic() + 10  # the broker takes a moment to say what it was told
    while (found := check_kafka(configured)).found.count(";") < 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found.status == "failed"
    assert "blocks has 2 partitions, not 1" in found.found
    assert "dead_letters: retention.ms is 5, not 604800000" in found.found
    assert "transactions" not in found.found


@pytest.mark.broker
def test_a_transaction_that_does_not_end_is_found(kafka_bootstrap: str) -> None:
    """Readers wait for it, and nothing says so: the doctor does, and is content when it ended."""
    chain = Chain("opened", 77)
    configured = settings(
        chain=chain.name, chain_id=chain.id, bus__kind="kafka",
        bus__bootstrap_servers=kafka_bootstrap,
    )  # fmt: skip
    config = KafkaConfig(kafka_bootstrap, chain)
    BlockProducer(config).close()
    client = KafkaProducer(bootstrap_servers=[kafka_bootstrap], transactional_id="somebody")
    with closing(client):
        client.init_transactions()
        client.begin_transaction()
        client.send(config.blocks_topic, b"{}", partition=0).get(timeout=10)
        found = check_kafka(configured)
        assert found.status == "failed"
        assert "nothing of chainwarden.opened.blocks/0 from offset 0" in found.found
        client.abort_transaction()
    wait_for("its end", lambda: check_kafka(configured).status == "ok", seconds=20)


def test_no_broker_is_a_failure(tmp_path: Path) -> None:
    """Where nobody listens the finding names the broker, and comes within the deadline."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{closed.getsockname()[1]}"
        done = run("doctor", "--bootstrap", place, "--json", cwd=tmp_path, timeout=40)
    assert done.returncode == 10, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["kafka"]["status"] == "failed"
    assert place in found["kafka"]["hint"]


def test_what_a_person_sees(out: Path, tmp_path: Path) -> None:
    """A line for each check and a last one that counts; 0 when nothing failed."""
    done = run("doctor", "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       lake: ") for line in lines)
    assert lines[-1].startswith(f"{len(lines) - 1} checks: 0 failed")
    assert not done.stderr
