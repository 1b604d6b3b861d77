"""Skill of a forecast against the baselines: 1 - score / score of the reference, and who is beaten."""

from collections.abc import Mapping
from typing import NamedTuple


class Reference(NamedTuple):
    """A baseline on the same rows: its overall scores, and whether it may be called a forecast."""

    overall: Mapping[str, float | None]
    is_forecast: bool


def skill(overall: Mapping[str, float | None], references: Mapping[str, Reference], *, unit: str = "mm") -> dict:
    """Skill against every reference on the same rows and levels, as plain JSON.

    The measure is CRPS, which for a model without intervals is its MAE; references are then held to their MAE too.
    `beats_*` is null when there is no reference of that kind.
    """
    measure = _measure(overall, unit)
    own = overall[measure]
    scored = {name: reference for name, reference in references.items() if reference.overall.get(measure) is not None}
    against = {name: _against(overall, reference, measure, unit) for name, reference in sorted(scored.items())}
    forecasts = {name: row["reference"] for name, row in against.items() if row["is_forecast"]}
    best_forecast, best_any = _best(forecasts), _best({name: row["reference"] for name, row in against.items()})
    return {
        "measure": measure,
        "model": own,
        "against": against,
        "best_forecast_baseline": best_forecast,
        "beats_best_forecast_baseline": _beats(own, against, best_forecast),
        "best_any": best_any,
        "beats_best_any": _beats(own, against, best_any),
    }


def references(report: Mapping, split: str) -> dict[str, Reference]:
    """The baselines of a baseline report that were scored on a split."""
    rows = {name: row for name, row in report["baselines"].items() if split in row["scores"]}
    return {name: Reference(row["scores"][split]["overall"], row["is_forecast"]) for name, row in rows.items()}


def _measure(overall: Mapping[str, float | None], unit: str) -> str:
    has_intervals = any(name.startswith("coverage") for name in overall)
    return f"crps_{unit}" if has_intervals else f"mae_{unit}"


def _against(overall: Mapping[str, float | None], reference: Reference, measure: str, unit: str) -> dict:
    mae = f"mae_{unit}"
    return {
        "is_forecast": reference.is_forecast,
        "reference": reference.overall[measure],
        "skill": _ratio_skill(overall[measure], reference.overall[measure]),
        "skill_mae": _ratio_skill(overall[mae], reference.overall.get(mae)),
    }


def _ratio_skill(own: float | None, reference: float | None) -> float | None:
    return None if own is None or not reference else 1.0 - own / reference


def _best(scores: Mapping[str, float]) -> str | None:
    return min(scores, key=lambda name: (scores[name], name), default=None)


def _beats(own: float | None, against: Mapping[str, dict], name: str | None) -> bool | None:
    return None if own is None or name is None else bool(own < against[name]["reference"])
