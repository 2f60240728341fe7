"""Rules that ask a node, in the pipeline as it is put together."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from chainwarden.deployment import HASH_KEY, compile_kernels
from chainwarden.detecting import detecting
from chainwarden.errors import SettingsError
from chainwarden.replay import every_alert
from chainwarden.schema import Alert, BlocksAdded, Chain
from chainwarden.settings import (
    DetectSettings,
    Secret,
    ServerSettings,
    Settings,
    SourceSettings,
    StoreSettings,
)
from ingest.decode import decode_blocks
from ingest.rpc import RpcSource
from tests.anvil import Anvil

CHAIN = Chain("anvil", 31337)
TARGET = b"\x77" * 20


def settings(url: str, out: Path, node_calls: bool) -> Settings:
    """Settings of a run on that node."""
    return Settings(
        source=SourceSettings(rpc=[Secret(url)]),
        detect=DetectSettings(node_calls=node_calls),
        store=StoreSettings(out=str(out)),
        server=ServerSettings(port=0),
    )


def claim(anvil: Anvil) -> None:
    """Somebody pays claim() of a contract that logs nothing."""
    anvil.call("anvil_setCode", "0x" + TARGET.hex(), "0x" + "5b" * 300 + "00")
    payer = anvil.call("eth_accounts")[0]
    sent = {"from": payer, "to": "0x" + TARGET.hex(), "value": hex(10**17), "data": "0x4e71d92d"}
    anvil.call("eth_sendTransaction", sent)
    anvil.mine()


def detected(anvil: Anvil, configured: Settings) -> tuple[list[Alert], float]:
    """The alerts about the node's blocks, and how many questions it answered."""
    with (
        detecting(configured, CHAIN, threading.Event()) as behind,
        RpcSource([anvil.url], CHAIN) as source,
    ):
        for raw in source.range(0, 2):
            assert not isinstance(raw, Exception)
            behind.pipeline.handle(BlocksAdded(decode_blocks(CHAIN, [raw], [True])), None)
        behind.pipeline.flush()
        behind.observe()
        answered = behind.metrics.registry.get_sample_value(
            "chainwarden_node_calls_total", {"chain": "anvil", "outcome": "answered"}
        )
        return every_alert(behind.stores.ledger), answered or 0.0


@pytest.mark.anvil
@pytest.mark.timeout(300)
def test_rules_ask_the_node_only_where_the_settings_say_so(
    anvil: Anvil, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On, answers are counted and tell what is not in view; off, what is missed is logged once."""
    compile_kernels(Settings())
    claim(anvil)
    with caplog.at_level(logging.INFO):
        _, answered = detected(anvil, settings(anvil.url, tmp_path / "on", True))
        assert answered >= 1
        assert "no node is asked" not in caplog.text
        _, answered = detected(anvil, settings(anvil.url, tmp_path / "off", False))
    assert answered == 0
    said = [r.message for r in caplog.records if "native_claim does without" in r.message]
    assert said == [
        "no node is asked: native_claim does without "
        "knowing whether a claim's target has code, unless its gas tells"
    ]


def test_there_must_be_a_node_to_ask(tmp_path: Path) -> None:
    """On without an endpoint is an error that says what to set; the start made the hash key."""
    configured = Settings(
        detect=DetectSettings(node_calls=True),
        store=StoreSettings(out=str(tmp_path / "out")),
        server=ServerSettings(port=0),
    )
    with (
        pytest.raises(SettingsError, match="no node to ask"),
        detecting(configured, CHAIN, threading.Event()),
    ):
        pass
    assert (tmp_path / "out" / HASH_KEY).stat().st_size == 16
