"""Sentences of the report: what may be trusted and what may not, each with the number it rests on."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tasks.subsidence.evaluate import TAU_RANK, TAU_RATIO
from tasks.subsidence.products.diagnostics import MAX_SHARE_NEAR_BOUND
from tasks.subsidence.products.report_rows import RECOVERED, gain, number, share

COVERAGE_RANGE = (0.75, 0.85)
LARGE_RESIDUAL_SHARE = 0.5
BETTER = "Complete and better than every forecast baseline on held-out places"
CHOSEN = "Validation places chose the model and the interval factors"
NOT_INDEPENDENT = f"{CHOSEN}: neither the error nor the coverage on them is independent."
FUTURE_FACTORS = "Intervals of future years are calibrated on training years only: they may be too narrow."


class Headline(NamedTuple):
    """Tone (good, caution, bad), one sentence, and the numbers of the first screen."""

    tone: str
    sentence: str
    figures: list[tuple[str, str]]


class Reservations(NamedTuple):
    """What to trust and what not, as sentences."""

    trust: list[str]
    doubt: list[str]


def headline(manifest: Mapping[str, Any], metrics: Mapping[str, Any], oracle: Mapping[str, Any] | None) -> Headline:
    """The verdict of the run in one sentence."""
    skill = metrics["skill"]
    figures = _figures(metrics)
    if not manifest["complete"]:
        names = ", ".join(row["name"] for row in manifest["missing"])
        return Headline("bad", f"Incomplete: {names} could not be written. Do not use this run.", figures)
    if not skill["beats_best_forecast_baseline"]:
        best = _label(metrics, skill["best_forecast_baseline"])
        return Headline("caution", f"Complete, but {best} is better on the same rows. Prefer it.", figures)
    if _on_validation(metrics):
        return Headline("caution", f"Complete, but without a test split. {NOT_INDEPENDENT}", figures)
    later = metrics["temporal_holdout"]
    if later["available"] and later["skill"]["beats_best_forecast_baseline"] is False:
        best = _label(metrics, later["skill"]["best_forecast_baseline"])
        return Headline("caution", f"{BETTER}, but {best} is better in the years after training.", figures)
    covered = _best(metrics["scores"])["overall"].get("coverage80")
    if covered is not None and not _inside(covered):
        return Headline("caution", f"{BETTER}, but its 80 % intervals hold {share(covered)}.", figures)
    if oracle is not None and any(row["met"] is False for row in oracle.get("expectations", [])):
        missed = sum(row["met"] is False for row in oracle["expectations"])
        total = len(oracle["expectations"])
        return Headline("caution", f"{BETTER}; {missed} of {total} expectations on known ground missed.", figures)
    if not skill["beats_best_any"]:
        best = _label(metrics, skill["best_any"])
        return Headline("caution", f"{BETTER}, but {best} fills in better.", figures)
    return Headline("good", "Complete, and better than every baseline on held-out places.", figures)


def reservations(
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Any],
    calibration: Mapping[str, Any],
    oracle: Mapping[str, Any] | None,
) -> Reservations:
    """Statements in the order in which a careful reader would ask for them."""
    trust: list[str] = []
    rules = metrics["protocol"]
    told = rules["measures"] != "forecast" or rules["holdout_strategy"] == "temporal"
    doubt: list[str] = [rules["sentence"]] if told else []
    doubt += [NOT_INDEPENDENT] if _on_validation(metrics) else []
    parts = (
        _median(metrics),
        _later(metrics),
        _intervals(metrics, calibration),
        _future_intervals(manifest, metrics, calibration),
        _ground(metrics, oracle),
    )
    for said in parts:
        trust += said.trust
        doubt += said.doubt
    if manifest["georeference"] == "none":
        doubt.append("Coordinates are relative: the handoff does not say where its origin lies.")
    return Reservations(trust, doubt)


def _median(metrics: Mapping[str, Any]) -> Reservations:
    skill, overall = metrics["skill"], _best(metrics["scores"])["overall"]
    name, split = skill["best_forecast_baseline"], metrics["protocol"]["evaluated_split"]
    if name is None:
        return Reservations([], ["No baseline could be scored on the same rows."])
    row, label = skill["against"][name], _label(metrics, name)
    error = f"mean absolute error {number(overall['mae_mm'])} mm on the {split} split"
    if skill["beats_best_forecast_baseline"]:
        line = f"The median forecast: {error}, {_ahead(skill, row, label)}."
        return Reservations([], [line]) if _on_validation(metrics) else Reservations([line], [])
    measure = "CRPS" if skill["measure"].startswith("crps") else "mean absolute error"
    lost = f"{label} has {measure} {number(row['reference'])} mm, the model {number(skill['model'])} mm"
    return Reservations([], [f"The median forecast: {error}, but {lost}."])


def _ahead(skill: Mapping[str, Any], row: Mapping[str, Any], label: str) -> str:
    """How far the model is ahead of the best forecast baseline: by mean absolute error, else by what it won with."""
    by_error = row.get("skill_mae")
    if by_error is not None and by_error > 0:
        return f"{100 * by_error:.0f} % better than {label}, the best forecast baseline"
    if not skill["measure"].startswith("crps") or row["skill"] is None:
        return f"better than {label}, the best forecast baseline"
    closer = "" if by_error is None else f", though the median of {label} is as close or closer"
    return f"CRPS {100 * row['skill']:.0f} % better than {label}, the best forecast baseline{closer}"


def _later(metrics: Mapping[str, Any]) -> Reservations:
    later = metrics["temporal_holdout"]
    if not later["available"]:
        return Reservations([], [f"Skill in later years is untested: {later['reason']}."])
    overall, skill = _best(later["scores"])["overall"], later["skill"]
    years = ", ".join(str(year) for year in later["years"])
    said = f"Years after training ({years}): mean absolute error {number(overall['mae_mm'])} mm"
    if skill["beats_best_forecast_baseline"]:
        ahead = {name: row["skill_mae"] for name, row in skill["against"].items() if row["is_forecast"]}
        closer = [_label(metrics, name) for name, gain in sorted(ahead.items()) if gain is not None and gain < 0]
        if closer:
            return Reservations(
                [f"{said}; best by CRPS, though the median of {', '.join(closer)} is closer there."], []
            )
        return Reservations([f"{said}, better than every forecast baseline there."], [])
    best = skill["best_forecast_baseline"]
    if best is None:
        return Reservations([], [f"{said}; no baseline was scored there."])
    return Reservations([], [f"{said}; {_label(metrics, best)} is better there."])


def _intervals(metrics: Mapping[str, Any], calibration: Mapping[str, Any]) -> Reservations:
    scores = metrics["scores"]
    if scores["calibrated"] is None:
        return Reservations([], [f"Intervals are not calibrated: {calibration.get('reason') or 'point forecasts'}."])
    overall = scores["calibrated"]["overall"]
    covered, width = overall.get("coverage80"), number(overall.get("width80_mm"))
    said = f"80 % intervals hold {share(covered)} of the observations and are {width} mm wide on average"
    trust, doubt = ([f"{said}."], []) if _inside(covered) else ([], [f"{said}; they are not what they are called."])
    if _on_validation(metrics):
        trust, doubt = [], [f"{said} on the places that gave their factors."]
    warning = (calibration.get("coverage_band") or {}).get("warning")
    if calibration.get("shared_with_selection"):
        doubt.append("The rows that calibrate the intervals also chose the model, so coverage may be optimistic.")
    later = metrics["temporal_holdout"]
    if later["available"]:
        found = _best(later["scores"])["overall"].get("coverage80")
        if found is not None and not _inside(found):
            doubt.append(f"In the years after training the 80 % intervals hold {share(found)} of the observations.")
    return Reservations(trust, doubt + ([warning] if warning else []))


def _future_intervals(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], calibration: Mapping[str, Any]
) -> Reservations:
    """Whether the intervals beyond training have factors of their own."""
    own = calibration.get("future_factors") or (calibration.get("calibration_rows") or {}).get("future_factors")
    concerned = metrics["scores"]["calibrated"] is not None and manifest.get("future") == "written"
    return Reservations([], [FUTURE_FACTORS] if concerned and not own else [])


def _ground(metrics: Mapping[str, Any], oracle: Mapping[str, Any] | None) -> Reservations:
    """What the learned parameters are worth."""
    physics = metrics["physics_diagnostics"]
    if "inactive" in physics:
        return Reservations([], ["This model has no physics: it says nothing about the ground."])
    doubt = [f"Physics residuals: {physics['evidence_reason']}."] if physics["evidence"] == "none" else []
    share_of_data = physics.get("median_residual_share")
    said_already = physics["evidence"] == "none" and "data-driven" in physics["evidence_reason"]
    if share_of_data is not None and share_of_data > LARGE_RESIDUAL_SHARE and not said_already:
        doubt.append(f"{share(share_of_data)} of the forecast settlement (median) is data-driven, not physics.")
    doubt += _at_bounds(physics)
    if oracle is None or oracle["evidence"] == "observation_only":
        doubt.append("Parameter maps (K, Ss, τ) are not validated: the ground of this city is not known.")
        return Reservations([], doubt)
    recovery = oracle.get("recovery", {})
    doubt += _worse_than_constant(recovery)
    tau = recovery.get("tau")
    if tau is None:
        return Reservations([], doubt)
    constant = number(tau["constant_mid_bound_rmse_log10"])
    said = (
        f"The map of relaxation times on this twin city: log10 τ within {number(tau['rmse_log10'])} "
        f"(a constant at mid bound: {constant}), rank correlation {number(tau['spearman'])}."
    )
    good = (tau["ratio_to_constant"] or 1.0) <= TAU_RATIO and (tau["spearman"] or 0.0) >= TAU_RANK
    return Reservations([said], doubt) if good else Reservations([], [*doubt, said])


def _at_bounds(physics: Mapping[str, Any]) -> list[str]:
    near = physics.get("share_near_bound") or {}
    return [
        f"{RECOVERED.get(name, name)} lies near a bound of its range in {share(value)} of the windows: "
        "there the bound speaks, not the data."
        for name, value in near.items()
        if value >= MAX_SHARE_NEAR_BOUND
    ]


def _worse_than_constant(recovery: Mapping[str, Any]) -> list[str]:
    """Recovered fields of a twin city that a constant would hit better; tau has a line of its own."""
    return [
        f"The map of {RECOVERED.get(name, name)} on this twin city is worse than a constant: log10 error "
        f"{number(row['rmse_log10'])}, a constant at mid bound {number(row['constant_mid_bound_rmse_log10'])}."
        for name, row in recovery.items()
        if name != "tau" and row["rmse_log10"] > row["constant_mid_bound_rmse_log10"]
    ]


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    overall, skill = _best(metrics["scores"])["overall"], metrics["skill"]
    figures = [("Mean absolute error", f"{number(overall['mae_mm'])} mm")]
    name = skill["best_forecast_baseline"]
    if name is not None and skill["against"][name]["skill"] is not None:
        measure = "CRPS skill" if skill["measure"].startswith("crps") else "MAE skill"
        figures.append((f"{measure} against best baseline", gain(skill["against"][name]["skill"])))
    later = metrics["temporal_holdout"]
    if later["available"]:
        figures.append(("MAE after training", f"{number(_best(later['scores'])['overall']['mae_mm'])} mm"))
    if overall.get("coverage80") is not None:
        figures.append(("80 % interval holds", share(overall["coverage80"])))
        figures.append(("Interval width", f"{number(overall['width80_mm'])} mm"))
    return figures


def _on_validation(metrics: Mapping[str, Any]) -> bool:
    """No test split was handed over, so that the scores are of the rows that chose the model."""
    return metrics["protocol"]["evaluated_split"] == "val"


def _best(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    return scores["calibrated"] or scores["uncalibrated"]


def _label(metrics: Mapping[str, Any], name: str | None) -> str:
    return "no baseline" if name is None else metrics["baselines"][name]["label"]


def _inside(covered: float | None) -> bool:
    return covered is not None and COVERAGE_RANGE[0] <= covered <= COVERAGE_RANGE[1]
