"""``chainwarden doctor``: receivers, label lists and the broker."""

from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from chainwarden.doctor import Check
from chainwarden.doctor.outside import check_kafka, check_labels, check_receivers
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import Chain
from chainwarden.settings import Secret
from tests.command import run, wait_for
from tests.doctor.findings import KEY, settings
from tests.rigs.receiver import SECRET


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
