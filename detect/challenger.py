"""Champion and challenger, as they are told to people: parameters, figures, who is better.

The champion's scores raise the alerts, and are what a wallet's neighbours are judged by. The
challenger learns and scores the same rows in shadow. Both are judged on the same rows, as they were
scored, once the labels came.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

from detect.prequential import SPAN_NAMES
from detect.risk import RiskModel
from detect.risk_config import SHARED, RiskConfig
from detect.risk_learner import RiskLearner


def models_told(model: RiskModel) -> dict[str, Any]:
    """``{champion, challenger, comparison}``: what JSON can hold, None where there is no second.

    A model has its ``configuration`` (a digest), ``parameters``, and by span its ``figures``; the
    comparison, by span, is of the champion against the challenger.
    """
    champion, challenger = model.champion, model.challenger
    told: dict[str, Any] = {
        "champion": _model(model, champion),
        "challenger": None,
        "comparison": None,
    }
    if challenger is not None:
        told["challenger"] = _model(model, challenger)
        told["comparison"] = {
            span: model.figures.comparison(champion.column, span).to_dict() for span in SPAN_NAMES
        }
    return told


def _model(model: RiskModel, learner: RiskLearner) -> dict[str, Any]:
    good, bad = (int(n) for n in learner.head.counts)
    configuration, parameters = _own(learner.config)
    return {
        "configuration": configuration,
        "parameters": parameters,
        "learnt": {"good": good, "bad": bad},
        "figures": {span: model.figures.of(learner.column, span).to_dict() for span in SPAN_NAMES},
    }


@cache
def _own(config: RiskConfig) -> tuple[str, dict[str, Any]]:
    """What a configuration is called, and all that two models may differ in: told at each block."""
    own = {name: value for name, value in asdict(config).items() if name not in SHARED}
    return config.digest, own
