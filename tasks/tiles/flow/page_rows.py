"""Rows of the tables in the report on a run over tiles; every cell is text."""

import calendar
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.tiles.evaluate import DIFFERENCE
from tasks.tiles.flow.numbers import NONE, duration, rate, share, shown
from tasks.tiles.flow.page_words import LABELS
from tasks.tiles.flow.types import TilesAudit
from tasks.tiles.quality_verdict import TARGETS
from tasks.tiles.request import RefineRequest
from tasks.tiles.summary import Summary
from tasks.tiles.tile_quality import AGAINST_REFERENCE, PRESERVATION

Row = dict[str, Any]
METHODS = {"refined": "this model", "identity": "opt_v1 unchanged", "unsharp": "unsharp filter"}
CHANGES = ("change_rms", "mean_ndvi_change", "minimum", "maximum")
HIGHER_IS_BETTER = ("psnr_db", "ssim")
ORDER = {"fail": 0, "warn": 1, "skipped": 2, "pass": 3}
SHOWN_REFS, SHOWN_STEPS, SHOWN_EVENTS = 6, 100, 20
LAST_STEPS = 20  # those after the shards


def preservation_rows(quality: Mapping[str, Any]) -> list[Row]:
    """Per figure: the model, then what needs no model."""
    rows = []
    for name in PRESERVATION:
        candidates = {"refined": quality["summary"][name]}
        candidates |= {method: figures[name] for method, figures in quality["baselines"].items()}
        rows += [{"figure": LABELS[name], "target": target_text(name), **_spread(name, method, figures)}
                 for method, figures in candidates.items()]  # fmt: skip
    return rows


def change_rows(quality: Mapping[str, Any]) -> list[Row]:
    """What the model did to the values, of which no target speaks."""
    return [{"figure": LABELS[name], **_spread(name, "refined", quality["summary"][name])} for name in CHANGES]


def reference_rows(quality: Mapping[str, Any]) -> list[Row]:
    """Per figure: model, input and filter against the reference, and whether the model is closer than the input."""
    against = quality["against_reference"]
    return [_against(name, against) for name in AGAINST_REFERENCE] if against else []


def group_rows(groups: Mapping[str, Mapping[str, Any]], names: Mapping[int, str]) -> list[Row]:
    """One row per month or biome, by number."""
    return [_group(names.get(int(key), key), groups[key]) for key in sorted(groups, key=int)]


def month_names() -> dict[int, str]:
    """1 -> January."""
    return {number: calendar.month_name[number] for number in range(1, 13)}


def biome_names() -> dict[int, str]:
    """0 -> 0 (unknown); the other codes name themselves."""
    return {0: "0 (unknown)"}


def audit_rows(audit: TilesAudit) -> list[Row]:
    """What did not pass stands first."""
    checks = sorted(audit.checks, key=lambda check: ORDER[check.status])
    return [check.model_dump() for check in checks]


def audit_counts(audit: TilesAudit) -> str:
    """`4 pass, 2 warn`."""
    count = Counter(check.status for check in audit.checks)
    return ", ".join(f"{count[status]} {status}" for status in ORDER if count[status]) or "no checks"


def lineage_rows(steps: Sequence[Any]) -> list[Row]:
    """One row per step; of more than a page can hold, the first and the last."""
    if len(steps) > SHOWN_STEPS + LAST_STEPS:
        steps = [*steps[:SHOWN_STEPS], *steps[-LAST_STEPS:]]
    return [
        {
            "step": step.step,
            "status": step.status,
            "time": duration(step.seconds),
            "why": step.why,
            "place": step.place,
            "inputs": _refs(step.inputs),
            "outputs": _refs(step.outputs),
        }
        for step in steps
    ]


def ran_rows(request: RefineRequest, summary: Summary) -> list[Row]:
    """What was asked for beside what happened."""
    nothing = "nothing was computed"
    fp32 = "fp32 (no mixed precision)" if request.no_amp else request.precision or "as configured"
    rows = [
        ("Device", request.device + (", required" if request.require_device else ""), ", ".join(summary.device)),
        ("Precision", fp32, ", ".join(summary.precision)),
        ("Worker processes", request.workers or "auto", str(summary.workers or "")),
        ("Batch size", request.batch_size or "as configured", _times(summary.batch_halvings, "halved")),
        ("Fallbacks to the CPU", "", summary.cpu_fallbacks or "none"),
        ("Out of memory", "", _times(len(summary.oom_events), "reacted to") if summary.oom_events else "never"),
        ("Workers that died", "", summary.worker_restarts or "none"),
        ("Time, plan to last write", "", duration(summary.seconds)),
        ("Throughput with reading and writing", "", rate(summary.tiles_per_s) if summary.done else ""),
        ("Tiles without month or biome", request.missing_metadata or "as configured", summary.defaults_used or "none"),
    ]
    return [{"what": what, "asked": str(asked), "ran": str(ran or nothing)} for what, asked, ran in rows]


def event_rows(summary: Summary) -> list[Row]:
    """Reactions to memory that ran out, the first of them."""
    return [
        {"action": e.action, "device": e.device, "batch": e.batch_size, "tiles": ", ".join(e.tiles[:SHOWN_REFS])}
        for e in summary.oom_events[:SHOWN_EVENTS]
    ]


def setting_rows(request: RefineRequest) -> list[Row]:
    """Every parameter by the title that the forms use; what was set differs from its default."""
    rows = []
    for name, field in type(request).model_fields.items():
        value = getattr(request, name)
        rows.append({"name": field.title, "value": _value(value), "set": name in request.model_fields_set})
    return rows


def target_text(name: str) -> str:
    """`< 0.05`; a dash where a figure has no target."""
    return str(TARGETS[name]).replace("<=", "≤") if name in TARGETS else NONE


def _spread(name: str, method: str, figures: Mapping[str, Any]) -> Row:
    return {
        "method": METHODS[method],
        "own": method == "refined",
        **{key: shown(name, figures[key]) for key in ("median", "p5", "p95")},
        "meeting": share(figures.get("share_meeting_target")),
        "undefined": figures["undefined"],
    }


def _against(name: str, against: Mapping[str, Any]) -> Row:
    difference = against[DIFFERENCE][name]["median"]
    cells = {method: _cell(name, against[method][name]) for method in METHODS}
    aimed = "share_meeting_target" in against["refined"][name] and name not in PRESERVATION  # those are of opt_v1
    return {
        "figure": LABELS[name],
        "direction": "higher is better" if name in HIGHER_IS_BETTER else "lower is better",
        "cells": cells,
        "difference": shown(name, difference, signed=True),
        "verdict": _closer(name, difference),
        "meeting": share(against["refined"][name]["share_meeting_target"]) if aimed else "",
        "target": target_text(name) if aimed else "",
        "undefined": against["refined"][name]["undefined"],
    }


def _closer(name: str, difference: float | None) -> str:
    if not difference:
        return "not defined" if difference is None else "same"
    return "better" if (difference > 0) == (name in HIGHER_IS_BETTER) else "worse"


def _cell(name: str, figures: Mapping[str, Any]) -> Row:
    low, high = shown(name, figures["p5"]), shown(name, figures["p95"])
    return {"median": shown(name, figures["median"]), "range": "" if low == NONE else f"{low} to {high}"}


def _group(name: str, group: Mapping[str, Any]) -> Row:
    figures = group["summary"]
    return {
        "name": name,
        "tiles": group["tiles"],
        "defaulted": group["defaulted"],
        "identical": share(group["share_bit_identical"]),
        "change": shown("change_rms", figures["change_rms"]["median"]),
        "figures": [
            {"meeting": share(figures[key]["share_meeting_target"]), **_cell(key, figures[key])} for key in PRESERVATION
        ],
    }


def _refs(names: Sequence[str]) -> list[str]:
    unique = list(dict.fromkeys(names))
    more = len(unique) - SHOWN_REFS
    return unique if more <= 0 else [*unique[:SHOWN_REFS], f"and {more} more"]


def _times(count: int, word: str) -> str:
    return f"{word} {count} times" if count > 1 else f"{word} once" if count else f"never {word}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return NONE if value is None else str(value)
