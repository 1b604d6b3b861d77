"""The report of a run as one HTML file: everything a hydrogeologist needs to judge it, nothing loaded from elsewhere.

Made from the documents of the run folder and the bytes of its pictures, so that it can say nothing they do not say.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tasks.subsidence.products.report_rows import (
    audit_rows,
    calibration_rows,
    expectation_rows,
    physics_rows,
    recovery_rows,
    skill_table,
)
from tasks.subsidence.products.report_words import headline, reservations

CAPTIONS = {
    "training_history_plot": "Training history: loss, monitored score, errors of both targets and gates per epoch.",
    "physics_terms_plot": "Physics terms before weighting, and what multiplies them.",
    "epsilons_plot": "Physics residuals in training, non-dimensional and raw.",
    "reliability": "Share of observations below each quantile. On the diagonal a quantile means what it says.",
    "pit": "Probability integral transform. Flat is honest, a hump is too wide, a bowl is too narrow.",
    "subsidence_view_future": "Forecast beyond the training years.",
    "interval_width_future": "Width of the forecast interval: where the forecast is least certain.",
    "subsidence_view_eval": "Evaluated windows: observed, forecast, and the difference.",
    "interval_width_eval": "Interval width of the evaluated windows.",
    "phys_maps": "Learned parameter fields: what data, bounds and closure allow together.",
    "cons_res_hist": "Part of the settlement per step that the consolidation equation does not explain.",
}


SHOWN_REFS = 6  # of the inputs or outputs of one step


class FileRow(NamedTuple):
    """One file of the run folder."""

    name: str
    size: int
    digest: str


class LineageRow(NamedTuple):
    """One step of the run; inputs and outputs by name and short digest."""

    step: str
    status: str
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True)
class Report:
    """The documents of one run, as read from its JSON files, and its pictures as PNG bytes by product key."""

    manifest: Mapping[str, Any]  # run manifest
    metrics: Mapping[str, Any]  # interpretable metrics document
    summary: Mapping[str, Any]  # training summary
    audit: Mapping[str, Any]  # handshake audit
    calibration: Mapping[str, Any]  # calibration statistics of the evaluated split
    oracle: Mapping[str, Any] | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    files: Sequence[FileRow] = ()
    lineage: Sequence[LineageRow] = ()
    notes: Sequence[str] = ()  # what a person should know that is no finding of a step
    facts: Mapping[str, str] = field(default_factory=dict)  # run name, start, host: known to the run folder only


def render(report: Report) -> str:
    """The whole page as UTF-8 text; every value is escaped, every picture is inside."""
    return page("report.html.j2", _view(report))


def page(template: str, view: Mapping[str, Any]) -> str:
    """A template of this workload, filled; every value is escaped, an absent one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("tasks.subsidence", "templates")
    blanks = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **blanks)
    environment.filters["size"] = readable_size
    return environment.get_template(template).render(view)


def pictures_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Product key -> file name of the pictures that the report shows and that the run has."""
    named = manifest["artifacts"]
    return {key: named[key] for key in CAPTIONS if key in named}


def readable_size(count: int) -> str:
    """1536 -> 1.5 kB."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def shortened(names: Sequence[str]) -> list[str]:
    """Each name once, and no more of them than a table can hold."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - SHOWN_REFS
    return unique if more <= 0 else [*unique[:SHOWN_REFS], f"and {more} more"]


def compact(lineage: Sequence[LineageRow]) -> list[LineageRow]:
    """Rows that fit a page."""
    return [row._replace(inputs=shortened(row.inputs), outputs=shortened(row.outputs)) for row in lineage]


def _view(report: Report) -> dict[str, Any]:
    metrics = report.metrics
    return {
        "city": report.manifest["city"],
        "model": report.manifest["model"],
        "facts": _facts(report),
        "headline": headline(report.manifest, metrics, report.oracle),
        "reservations": reservations(report.manifest, metrics, report.calibration, report.oracle),
        "skill": skill_table(metrics),
        "protocol": metrics["protocol"],
        "holdout": metrics["temporal_holdout"],
        "calibration": calibration_rows(report.calibration),
        "calibration_warning": (report.calibration.get("coverage_band") or {}).get("warning"),
        "audit": audit_rows(report.audit) | {"caption": "Checks that did not simply pass"},
        "notes": list(report.notes),
        "verdict": report.audit.get("verdict", "not recorded"),
        "physics": physics_rows(metrics),
        "evidence": metrics["physics_diagnostics"]["evidence_reason"],
        "recovery": recovery_rows(report.oracle),
        "expectations": expectation_rows(report.oracle),
        "identifiability": report.summary.get("identifiability", {}),
        "inspection": report.summary.get("inspection", []),
        "missing": report.manifest["missing"],
        "not_applicable": report.manifest["not_applicable"],
        "figures": _figures(report.pictures),
        "files": sorted(report.files),
        "lineage": compact(report.lineage),
    }


def _facts(report: Report) -> dict[str, str]:
    manifest = report.manifest
    years = manifest["config"]["TIME_STEPS"], manifest["config"]["FORECAST_HORIZON_YEARS"]
    own = {
        "History and horizon": f"{years[0]} and {years[1]} years",
        "Evaluated on": f"{report.manifest['evaluated_split']} split",
        "Stage-1 manifest": manifest["stage1_manifest"]["sha256"][:8],
        "Georeference": manifest["georeference"],
        "Reload check": "passed" if report.metrics["reload_check"]["passed"] else "failed",
    }
    return {**own, **report.facts}


def _figures(pictures: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    return {
        key: {"caption": caption, "address": f"data:image/png;base64,{base64.b64encode(pictures[key]).decode()}"}
        for key, caption in CAPTIONS.items()
        if key in pictures
    }
