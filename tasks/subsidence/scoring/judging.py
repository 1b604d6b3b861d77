"""Forecasts joined with truth, and scored beside the baselines, for the export and for the oracle."""

import json
from dataclasses import dataclass
from typing import Any

from tasks.contracts.refs import ArtifactRef
from tasks.store.workspace import Workspace
from tasks.subsidence import loading
from tasks.subsidence.calibrate import Factors, apply
from tasks.subsidence.config import Config
from tasks.subsidence.forecast import Forecast, collect
from tasks.subsidence.handoff.strata import strata
from tasks.subsidence.metrics import score
from tasks.subsidence.products.export_inputs import Judged
from tasks.subsidence.scoring.skill import references, skill
from tasks.subsidence.semantics import Semantics
from tasks.subsidence.types import Calibrated, Inferred, SplitRefs


@dataclass(frozen=True)
class Forecasts:
    """The evaluated windows, and the future ones where the handoff has them."""

    evaluation: Forecast
    future: Forecast | None
    factors: Factors
    future_factors: Factors


def forecasts(
    parts: SplitRefs,
    sem: Semantics,
    inferred: Inferred,
    calibrated: Calibrated,
    panel: ArtifactRef | None,
    here: Workspace,
) -> Forecasts:
    """Raw and calibrated quantiles joined with place, year and what is known of the truth."""
    factors, future_factors = (
        Factors.model_validate_json(json.dumps(here.store.get_json(ref)))
        for ref in (calibrated.factors, calibrated.future_factors)
    )
    evaluated = loading.split(parts, inferred.evaluated_split, sem, here)
    evaluation = _joined(evaluated, inferred.evaluation, factors, sem, None, here)
    if inferred.future is None:
        return Forecasts(evaluation, None, factors, future_factors)
    windows = loading.split(parts, "future", sem, here)
    truth = loading.future_truth(panel, windows, sem, here)
    future = _joined(windows, inferred.future, future_factors, sem, truth, here)
    return Forecasts(evaluation, future, factors, future_factors)


def _joined(split, ref, factors, sem, truth, here) -> Forecast:
    raw = loading.get_prediction(ref, here)
    calibrated = None if factors.subsidence is None else apply(raw, factors)
    return collect(split, raw, calibrated, sem, truth=truth)


def judge(forecast: Forecast | None, sem: Semantics, baselines: dict[str, Any], cfg: Config) -> Judged | None:
    """Scores before and after calibration, and skill; None where nothing is known of the truth."""
    if forecast is None or forecast.truth_m is None:
        return None
    before = _scores(forecast, forecast.raw, sem, cfg)
    after = None if forecast.calibrated is None else _scores(forecast, forecast.calibrated, sem, cfg)
    best = before if after is None else after
    return Judged(before, after, skill(best["overall"], references(baselines, forecast.split.name)))


def _scores(forecast: Forecast, prediction, sem: Semantics, cfg: Config) -> dict[str, Any]:
    return score(
        prediction,
        forecast.truth_m,
        strata(forecast.split, sem),
        last=forecast.last_m,
        head=forecast.head_truth_m,
        alpha=cfg["CALIBRATION_ALPHA"],
        draws=cfg["BOOTSTRAP_SAMPLES"],
        seed=cfg["SEED"],
    )
