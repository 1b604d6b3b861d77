"""Tables of the report: the cells as text, and which of them is the best of its column."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SCORES = (
    ("mae_mm", "MAE mm", "low"),
    ("rmse_mm", "RMSE mm", "low"),
    ("r2", "R²", "high"),
    ("crps_mm", "CRPS mm", "low"),
    ("coverage80", "coverage", "none"),
    ("width80_mm", "width mm", "none"),
)
COUNTED = ("pass", "warn", "fail", "skipped")
RECOVERED = {
    "tau": "τ", "K": "K", "Ss": "Ss", "Ka": "Ka", "Sa": "Sa", "clay_diffusivity": "K/Ss",
    "aquifer_diffusivity": "Ka/Sa",
}  # fmt: skip
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Cell(NamedTuple):
    """Text of a cell, and whether it is the best of its column."""

    text: str
    best: bool = False


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, with exponents only where people would use them."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPT)}".replace("-", "−")
    text = f"{value:#.{digits}g}"
    return (f"{value:.0f}" if "e" in text else text.rstrip(".")).replace("-", "−")


def share(value: float | None) -> str:
    """0.8043 -> 80.4 %."""
    return "–" if value is None else f"{100 * value:.1f} %"


def skill_table(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One table per split that was scored: the model before and after calibration, then every baseline."""
    split = metrics["protocol"]["evaluated_split"]
    tables = [_skill(metrics, split, metrics["scores"], metrics["skill"])]
    later = metrics["temporal_holdout"]
    if later["available"]:
        tables.append(_skill(metrics, "future", later["scores"], later["skill"]) | {"years": later["years"]})
    return tables


def _skill(
    metrics: Mapping[str, Any], split: str, scores: Mapping[str, Any], skill: Mapping[str, Any]
) -> dict[str, Any]:
    best = scores["calibrated"] or scores["uncalibrated"]
    rows = [_method(metrics["model"], best["overall"], "model", None)]
    for name, row in metrics["baselines"].items():
        found = row["scores"].get(split)
        if found is None and row["available"]:
            continue
        kind = "forecast" if row["is_forecast"] else "interpolation"
        overall = found["overall"] if found else None
        against = skill["against"].get(name, {}).get("skill")
        rows.append(_method(row["label"], overall, kind, against, row["reason"]))
    rows[1:] = sorted(rows[1:], key=_by_error)
    _mark_best(rows)
    return {"split": split, "rows": rows, "titles": [title for _, title, _ in SCORES], "n": best["rows"]}


def _method(
    label: str, overall: Mapping[str, Any] | None, kind: str, against: float | None, reason: str | None = None
) -> dict[str, Any]:
    values = [None if overall is None else overall.get(name) for name, _, _ in SCORES]
    names = [name for name, _, _ in SCORES]
    cells = [Cell(share(v) if n.startswith("coverage") else number(v)) for n, v in zip(names, values, strict=True)]
    return {"label": label, "kind": kind, "values": values, "cells": cells, "skill": gain(against), "reason": reason}


def gain(skill: float | None) -> str:
    """0.49 -> +49 %."""
    return "–" if skill is None else f"{100 * skill:+.0f} %".replace("-", "−")


def _by_error(row: Mapping[str, Any]) -> float:
    return float("inf") if row["values"][0] is None else row["values"][0]


def _mark_best(rows: list[dict[str, Any]]) -> None:
    for column, (_, _, better) in enumerate(SCORES):
        known = [row["values"][column] for row in rows if row["values"][column] is not None]
        if better == "none" or not known:
            continue
        best = min(known) if better == "low" else max(known)
        for row in rows:
            if row["values"][column] == best:
                row["cells"][column] = Cell(row["cells"][column].text, True)


def calibration_rows(stats: Mapping[str, Any]) -> list[dict[str, str]]:
    """Factor, coverage and width per step before and after calibration; the last row is over all steps."""
    before, after = stats.get("eval_before") or {}, stats.get("eval_after") or {}
    steps = [(f"year {step}", step) for step in sorted(before.get("per_horizon", {}), key=int)]
    rows = []
    for label, step in [*steps, ("all", None)]:
        old = before if step is None else before["per_horizon"][step]
        new = after if step is None else after.get("per_horizon", {}).get(step, {})
        rows.append(
            {
                "step": label,
                "factor": number(stats.get("factors", {}).get(step)) if step else "",
                "coverage_before": share(old.get("coverage")),
                "coverage_after": share(new.get("coverage")),
                "width_before": number(old.get("sharpness")),
                "width_after": number(new.get("sharpness")),
            }
        )
    return rows if before else []


def audit_rows(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of the handshake audit, and every check that did not simply pass, failures first."""
    order = {"fail": 0, "warn": 1, "skipped": 2}
    checks = [row for row in audit.get("checks", []) if row["status"] in order]
    rows = sorted(checks, key=lambda row: (order[row["status"]], row["id"]))
    shown = [{**row, "message": row["message"].removeprefix(row["id"]).strip()} for row in rows]
    counts = {name: audit["counts"][name] for name in COUNTED if name in audit.get("counts", {})}
    return {"counts": counts, "rows": shown, "total": len(audit.get("checks", []))}


def physics_rows(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """Residuals, non-dimensional and in units that can be imagined."""
    found = metrics["physics_diagnostics"]
    if "inactive" in found:
        return []
    rows = [
        ("Closure prior", "RMS of ln τ − ln τ(closure)", found["epsilon_prior"], None, ""),
        ("Consolidation", "RMS of R_cons", found["epsilon_cons"], found["epsilon_cons_raw_mm_per_year"], "mm/yr"),
        ("Groundwater flow", "RMS of R_gw", found["epsilon_gw"], found["epsilon_gw_raw_per_year"], "1/yr"),
    ]
    known = [row for row in rows if row[2] is not None]
    return [
        {"name": name, "what": what, "value": number(value), "raw": "" if raw is None else f"{number(raw)} {unit}"}
        for name, what, value, raw, unit in known
    ]


def recovery_rows(oracle: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Recovered fields of a twin city beside the constant at mid bound."""
    found = (oracle or {}).get("recovery") or {}
    return [
        {
            "name": label,
            "unit": row["unit"].replace("m2", "m²"),
            "rmse": number(row["rmse_log10"]),
            "bias": number(row["median_bias_log10"]),
            "rank": number(row["spearman"]),
            "constant": number(row["constant_mid_bound_rmse_log10"]),
            "best_constant": number(row["best_constant_rmse_log10"]),
        }
        for label, row in ((label, found[name]) for name, label in RECOVERED.items() if name in found)
    ]


def expectation_rows(oracle: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """What a physical model should reach on a twin city, and whether it did."""
    words = {True: "met", False: "missed", None: "not measured"}
    return [
        {
            "name": row["name"],
            "expected": row["expected"],
            "found": row["found"] if isinstance(row["found"], str) else _found(row["found"]),
            "met": words[row["met"]],
        }
        for row in (oracle or {}).get("expectations", [])
    ]


def _found(value: float | list[str] | None) -> str:
    return ", ".join(value) if isinstance(value, list) else number(value)
