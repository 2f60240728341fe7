"""Where the base fee is going, and how likely a disruption is: forecasts that state their worth.

The next block's base fee is no forecast (see ``fee_market``). Five to fifty minutes ahead little
is known: every forecast carries its skill against persistence, the mean squared error saved over
saying that nothing changes, measured on what was said before the outcome was known. Where there is
no skill, persistence is what is shown.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from chainwarden.schema import Chain
from detect.compiled import Array
from detect.journal import Journaled
from detect.kernels import outlook
from detect.kernels.outlook import HORIZONS, LONGEST, MODEL_SIZE, STEP
from detect.known.slots import SLOT_CLOCKS
from detect.rules.arrow_arrays import address_words, nulls
from detect.rules.block_log import HEADER, BlockLog, Versions
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

# Outcomes overlap: forecasts five blocks apart, about 250 blocks each, are worth one in fifty.
OVERLAP: Final = LONGEST // STEP
Z90: Final = 1.645


@dataclass(frozen=True, slots=True)
class DisruptionConfig:
    """``clocks``: chain id -> (genesis time, seconds a slot, first slot that counts)."""

    clocks: dict[int, tuple[int, int, int]] = field(default_factory=lambda: dict(SLOT_CLOCKS))


class Disruption(Journaled):
    """Forecasts the base fee and the chance of a disruption. Its findings are none: a forecast is a
    figure, and no one is accused by it.

    A disruption is a base fee that doubles, or an outage of five missed slots of 64, within 250
    blocks. Its chance is calibrated: it is the share of forecasts like it that came true, in a bin
    of eight, and so is its interval, which is wide because few came. Finality is no input: it is in
    no block, and a replay must come to the same model. Without base fees there is no forecast;
    without a slot clock missed slots are unknown, and said to be once.

    References
    ----------
    Crammer and others, 2006. Online passive-aggressive algorithms. JMLR 7.
    Brier, 1950. Verification of forecasts expressed in terms of probability.
    """

    id = "disruption"
    version = 1

    def __init__(
        self, chain: Chain, cache: ColumnCache, config: DisruptionConfig | None = None
    ) -> None:
        kind = [
            *HEADER,
            ("builder", np.uint64),
            ("missed", np.uint64),
            ("cells", np.float64, outlook.COLUMNS),
        ]
        self._blocks = BlockLog(kind, LONGEST + 1)
        self._model = Versions(bytes(8 * MODEL_SIZE), bytes)
        super().__init__({"blocks": self._blocks, "model": self._model})
        self._cache = cache
        self._clock = (config or DisruptionConfig()).clocks.get(chain.id)
        if self._clock is None:
            log.info("%s: no slot clock for %s, missed slots are not seen", self.id, chain.name)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """No findings; the forecasts are in ``gauges``."""
        columns = self._cache.of(scored)
        blocks = columns.batch.blocks
        if blocks["base_fee_per_gas"].null_count == len(blocks):
            return ()
        headers = columns.headers
        known = np.flatnonzero((headers["base_fee"] > 0) & (headers["gas_limit"] > 0))
        rows, start = self._blocks.follow(headers[known])
        if start == len(rows):
            return ()
        new = rows[start:]
        words = address_words(blocks["miner"])[known]
        new["builder"] = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
        new["builder"][nulls(blocks["miner"])[known]] = 0
        new["cells"][:, outlook.LOG_FEE] = np.log(new["base_fee"])
        self._look_ahead(rows, start)
        self._blocks.append(new)
        return ()

    def gauges(self) -> dict[str, float]:
        """Fees in wei by blocks ahead, the skill of each, and the chance with its 90 % interval.

        As of the last forecast, which is at most five blocks old. A skill is there once a
        forecast's time has come, and 0 or less says that persistence is shown.
        """
        rows = self._blocks.rows
        made = np.flatnonzero(rows["cells"][:, outlook.MADE] > 0)
        if not len(made):
            return {}
        cells, model = rows["cells"][made[-1]], np.frombuffer(self._model.newest)
        out = {}
        for place, blocks in enumerate(HORIZONS):
            skill = _saved(model[outlook.ERRORS + place], model[outlook.CHANGES + place])
            change = cells[outlook.AHEAD + place] if skill > 0 else 0.0
            out[f"fee_forecast/{blocks}"] = math.exp(cells[outlook.LOG_FEE] + change)
            if not math.isnan(skill):
                out[f"fee_skill/{blocks}"] = skill
        chance, low, high = _interval(model, float(cells[outlook.RAW]))
        out |= {"disruption/estimate": chance, "disruption/low": low, "disruption/high": high}
        skill = _saved(model[outlook.BRIER], model[outlook.CLIMATE])
        return out if math.isnan(skill) else {**out, "disruption_skill": skill}

    def _look_ahead(self, rows: Array, start: int) -> None:
        missed = np.zeros(len(rows), np.int64)
        if self._clock is not None:
            genesis, seconds, first = self._clock
            slots = (rows["time"] - genesis) // seconds
            missed[1:] = np.where(slots[:-1] >= first, np.clip(np.diff(slots) - 1, 0, 64), 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            used = np.clip(rows["gas_used"] / rows["gas_limit"], 0.0, 1.0)
        steps = np.flatnonzero(rows["number"][start:] % STEP == 0)
        model = np.frombuffer(self._model.newest).copy()
        models = np.zeros((len(steps), MODEL_SIZE))
        cells = np.ascontiguousarray(rows["cells"])
        bits = np.ascontiguousarray(rows["missed"])
        outlook.look_ahead(
            start,
            np.ascontiguousarray(rows["number"]),
            np.ascontiguousarray(rows["time"]),
            rows["run"].astype(np.int64),
            missed,
            np.ascontiguousarray(rows["builder"]),
            used,
            cells,
            bits,
            model,
            models,
        )
        rows["cells"][start:], rows["missed"][start:] = cells[start:], bits[start:]
        for place, after in zip(steps.tolist(), models, strict=True):
            self._model.replace(int(rows["serial"][start + place]), after.tobytes())


def _saved(errors: float, reference: float) -> float:
    # The share of the reference's squared error that was saved; NaN before there is any.
    return 1.0 - float(errors) / float(reference) if reference > 0 else math.nan


def _interval(model: Array, raw: float) -> tuple[float, float, float]:
    # The calibrated chance and Wilson's interval of it, from as many outcomes as were independent.
    chance = float(outlook.calibrated(model, raw))
    seen = float(model[outlook.SEEN + outlook.bin_of(raw)]) + outlook.PRIOR_SEEN
    count = seen / OVERLAP
    middle = (chance + Z90**2 / (2 * count)) / (1 + Z90**2 / count)
    spread = math.sqrt(chance * (1 - chance) / count + Z90**2 / (4 * count**2))
    half = Z90 * spread / (1 + Z90**2 / count)
    return chance, max(0.0, middle - half), min(1.0, middle + half)
