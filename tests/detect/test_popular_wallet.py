"""A wallet with a million counterparties: one row like any other's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.traffic import Transfers, batch_of
from chainwarden.deployment import make_detector
from chainwarden.schema import ETHEREUM, Severity
from chainwarden.settings import DetectSettings, Settings
from detect.compiled import Array
from detect.labels import LabelBook, builtin_labels
from tests.detect.build import wallet

PARTNERS = 1_000_000
PER_BLOCK, BLOCKS_PER_BATCH = 1_000, 50
WALLETS = 60_000
POPULAR = np.frombuffer(wallet(1), np.uint8)


def transfers(first: int, count: int, pays: bool) -> Transfers:
    """Ether between the popular wallet and so many that nobody saw before."""
    others = np.random.default_rng(first).integers(0, 256, (count, 20), np.uint8)
    popular = np.broadcast_to(POPULAR, (count, 20))
    sender, receiver = (popular, others) if pays else (others, popular)
    value = np.random.default_rng(first + 1).integers(1, 2**40, count).astype(np.uint64)
    words = np.zeros((count, 4), np.uint64)
    words[:, 3] = value * np.uint64(10**6)
    number: Array = 1 + (first + np.arange(count)) // PER_BLOCK
    nothing = np.zeros((count, 20), np.uint8)
    return Transfers(number, sender, receiver, nothing, sender, words, words[:, 3].astype(float))


@pytest.mark.parametrize("pays", [False, True])
def test_a_million_counterparties_are_one_row(pays: bool) -> None:
    """It is never evicted, its events are all counted, tables stay within their bounds, and hardly
    an alert comes of it."""
    settings = Settings(detect=DetectSettings(wallets=WALLETS))
    found = make_detector(settings, ETHEREUM, LabelBook(builtin_labels())).detector
    alerts = 0
    step = PER_BLOCK * BLOCKS_PER_BATCH
    for first in range(0, PARTNERS, step):
        detections = found.process(batch_of(transfers(first, step, pays), first))
        alerts += sum(alert.severity >= Severity.HIGH for alert in detections.alerts)
    stats = found.stats()
    assert stats["wallets"] <= WALLETS
    assert stats["wallets_evicted"] >= PARTNERS - WALLETS
    assert alerts <= 3
    name = "sender_events" if pays else "receiver_events"
    events = detections.features[name].to_numpy()
    assert events[-1] == events.max() > 0.9
