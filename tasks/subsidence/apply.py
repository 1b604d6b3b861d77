"""A registered forecaster on another handoff: the same features, other places or years; scored as a transfer."""

import dataclasses
from typing import Any

import numpy as np

from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.calibrate import Factors, apply
from tasks.subsidence.forecast import Forecast, collect, csv_bytes, file_stem, table
from tasks.subsidence.handoff.strata import strata
from tasks.subsidence.handoff.truth import Truth
from tasks.subsidence.metrics import flat, score
from tasks.subsidence.scaling import decode, last_subsidence
from tasks.subsidence.semantics import Axes, Semantics

MARGIN = 0.05  # of the extent of the training places
METHOD = "registered model, not trained on this handoff"


def rebased(split: Split, own: Semantics, trained: Semantics) -> Split:
    """The split with coordinates in the normalization that the network was trained with.

    Only times are comparable between two places without a common georeference; places are then left as they are, in
    the unit square of their own city.
    """
    where = decode(split, own)
    coords = split.coords.astype(float).copy()
    coords[:, :, 0] = _stored(where.years, trained, "t")
    if own.epsg == trained.epsg and own.coord_min and trained.coord_min:
        coords[:, :, 1] = _stored(where.x_m, trained, "x")[:, None]
        coords[:, :, 2] = _stored(where.y_m, trained, "y")[:, None]
    return dataclasses.replace(split, coords=coords.astype(np.float32))


def _stored(values: np.ndarray, trained: Semantics, axis: str) -> np.ndarray:
    low, span = (getattr(axes or Axes(t=0.0, x=0.0, y=0.0), axis) for axes in (trained.coord_min, trained.coord_range))
    return (values - low) / span if trained.coords_normalized else values


def knows_the_place(split: Split, own: Semantics, trained: Semantics) -> bool:
    """Whether all rebased windows lie inside the area that the network was trained on."""
    if own.epsg != trained.epsg or own.coord_min is None or trained.coord_min is None:
        return False
    places = split.coords[:, :, 1:] if trained.coords_normalized else np.full((1, 1, 2), np.inf)
    return bool((places >= -MARGIN).all() and (places <= 1 + MARGIN).all())


def tables(
    split: Split, raw: Prediction, factors: Factors, sem: Semantics, *, model: str, truth: Truth | None
) -> tuple[dict[str, bytes], Forecast]:
    """CSV files of one split, plain and calibrated, and the forecast they hold."""
    calibrated = None if factors.subsidence is None else apply(raw, factors)
    forecast = collect(split, raw, calibrated, sem, truth=truth)
    kind = "future" if split.name == "future" else f"eval_{split.name}"
    stem = f"{file_stem(sem.city)}_{file_stem(model)}_transfer_H{sem.horizon}_{kind}"
    files = {f"{stem}.csv": csv_bytes(table(forecast, sem, model=model))}
    if calibrated is not None:
        files[f"{stem}_calibrated.csv"] = csv_bytes(table(forecast, sem, model=model, factors=factors.as_array()))
    return files, forecast


def scores(forecast: Forecast, sem: Semantics, alpha: float) -> dict[str, Any]:
    """Scores of the calibrated forecast where truth is known, flat; empty where nothing is known."""
    if forecast.truth_m is None:
        return {}
    found = score(
        forecast.best,
        forecast.truth_m,
        strata(forecast.split, sem),
        last=last_subsidence(forecast.split, sem),
        head=forecast.head_truth_m,
        alpha=alpha,
    )
    return flat(found, forecast.split.name)
