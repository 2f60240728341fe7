"""How a promotion gets into a running detector, and is noted where it did.

Between two blocks, as labels do: what was said since the last block takes force with the next, and
the ledger notes that block's number in the commit that has it. From that block on the promoted
model raises the alerts. A restart and a rebuild do the same at the same block (see
``recorded_labels``), so they raise the same alerts.
"""

from __future__ import annotations

import logging

from detect.detector import Detector
from store.ledger import InForce, Ledger

log = logging.getLogger(__name__)


class Promotions:
    """Makes champions of a detector, block by block, of whom the ledger's people say it.

    ``before`` each batch, ``taken`` for each commit.
    """

    def __init__(self, ledger: Ledger, detector: Detector) -> None:
        self._ledger = ledger
        self._detector = detector
        self._heard = -1
        self._last = 0  # the serial of the last promotion that took force
        self._notes: list[InForce] = []

    def before(self, number: int) -> None:
        """What was said by now takes force with the block of that number."""
        heard = self._ledger.label_news
        if heard == self._heard:
            return
        self._heard = heard
        waiting = [
            one
            for one in self._ledger.promotions()
            if one.number is None and one.serial > self._last
        ]
        for one in waiting:
            self._last = one.serial
            make_champion(self._detector, one.configuration, number)
        if waiting:
            self._notes.append(InForce(number, promotions=[one.serial for one in waiting]))

    def taken(self) -> tuple[InForce, ...]:
        """What took force since the last call, for the commit."""
        notes, self._notes = self._notes, []
        return tuple(notes)


def make_champion(detector: Detector, configuration: str, number: int) -> None:
    """From the block of that number on that configuration raises the alerts, if there is one.

    The settings may name others since; then they are the stronger, and that is said.
    """
    if detector.promote(configuration):
        log.info("risk model %s is the champion from block %d on", configuration, number)
        return
    log.warning(
        "risk model %s, promoted with block %d, is neither detect.champion nor detect.challenger: "
        "the champion of the settings stays",
        configuration,
        number,
    )
