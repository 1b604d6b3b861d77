"""What a score measures, by the way the windows were divided: filling in between neighbours is no forecast."""

from collections.abc import Mapping
from typing import Any

MEANINGS = {
    "random": (
        "spatial interpolation",
        "Test places lie among training places and share their years: the scores measure filling in between "
        "neighbours, not forecasting a later year.",
    ),
    "spatial_block": (
        "spatial transfer",
        "Test blocks lie apart from training places but share their years: the scores measure transfer to other "
        "places, not forecasting a later year.",
    ),
    "temporal": ("forecast", "Test years follow the training years: the scores measure forecasting."),
}
UNKNOWN = ("unknown", "The handoff does not say how its windows were divided: read the scores as interpolation.")
SPATIAL_FILL = "Neighbours' increments of the target years were used: these scores are spatial filling, not forecasts."
LATER_BY_UNKNOWN = (
    "unknown",
    "Test windows are said to end later than training windows, but the handoff does not record by how many years: the "
    "scores may share years with training.",
)
NOT_LATER = (
    "The hold-out is called temporal, but its windows end no later than those of training: the scores measure filling "
    "in between neighbours, not forecasting a later year."
)
SAME_YEARS_TOLD = (
    "The choice of the model and the interval factors use observations of the test years at validation places."
)


def protocol(
    strategy: str | None,
    *,
    split: str,
    neighbour_context: int = 0,
    horizon: int | None = None,
    window_end_years: Mapping[str, Any] | None = None,
    temporal_shift: int | None = None,
) -> dict[str, Any]:
    """The `protocol` block of the metrics: strategy of the hold-out, what its scores measure, in one sentence.

    horizon (years), window_end_years (split -> last target year) and temporal_shift (years by which the evaluated
    windows end after those of train) say how much of a temporal hold-out lies in years that training has seen.
    """
    measures, sentence = MEANINGS.get(strategy or "", UNKNOWN)
    if strategy == "temporal":
        ends = window_end_years if isinstance(window_end_years, Mapping) else {}
        measures, sentence = _temporal(split, horizon, ends, temporal_shift)
    if neighbour_context:
        measures, sentence = "spatial_fill", SPATIAL_FILL
    return {
        "holdout_strategy": strategy or "unknown",
        "evaluated_split": split,
        "measures": measures,
        "sentence": sentence,
        "neighbour_context": neighbour_context,
        "year_map": True,
    }


def _temporal(split: str, horizon: int | None, ends: Mapping[str, Any], recorded: Any) -> tuple[str, str]:
    """Meaning of a temporal hold-out: a forecast only where no evaluated year is a target year of training."""
    end, train, val = (_year(ends.get(name)) for name in (split, "train", "val"))
    shift = end - train if end is not None and train is not None else _year(recorded)
    if shift is None or horizon is None:
        measures, sentence = LATER_BY_UNKNOWN
    elif shift <= 0:
        measures, sentence = MEANINGS["random"][0], NOT_LATER
    elif shift >= horizon:
        measures, sentence = MEANINGS["temporal"]
    else:
        shared, measures = horizon - shift, "partly forecast"
        sentence = (
            f"Only the last {horizon - shared} of {horizon} {split} years follow the training years, {shared} are "
            "shared with them: the scores measure forecasting in part, transfer to other places for the rest."
        )
    told = end is None or val is None or horizon is None or val > end - horizon
    return measures, f"{sentence} {SAME_YEARS_TOLD}" if told else sentence


def _year(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
