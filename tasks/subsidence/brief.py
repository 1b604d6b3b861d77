"""The report of a run that trains nothing, as one HTML file: an audit, or a registered model on another handoff."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.subsidence.products.report_rows import audit_rows
from tasks.subsidence.report import FileRow, LineageRow, compact, page
from tasks.subsidence.scoring.score_table import score_rows

EVERY_CHECK = "Every check, failures and warnings first"
_ORDER = {"fail": 0, "warn": 1, "skipped": 2, "pass": 3}
_SENTENCES = {
    "pass": ("good", "The handoff is accepted."),
    "pass_with_warnings": ("caution", "The handoff is accepted with warnings."),
    "fail": ("bad", "The handoff is refused."),
}


@dataclass(frozen=True)
class Brief:
    """What one such run found."""

    kicker: str  # what kind of run it was
    audit: Mapping[str, Any]  # handshake audit
    notes: Sequence[str] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # flat
    files: Sequence[FileRow] = ()
    lineage: Sequence[LineageRow] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def render_brief(brief: Brief) -> str:
    """The whole page as UTF-8 text; every value is escaped."""
    verdict = brief.audit["verdict"]
    tone, sentence = _SENTENCES[verdict]
    return page(
        "brief.html.j2",
        {
            "kicker": brief.kicker,
            "city": brief.audit["manifest"]["city"],
            "tone": tone,
            "sentence": sentence,
            "facts": {"Stage-1 manifest": brief.audit["manifest"]["sha256"][:8], **brief.facts},
            "scores": score_rows(brief.metrics),
            "audit": _all_checks(brief.audit),
            "verdict": verdict,
            "notes": list(brief.notes),
            "files": sorted(brief.files),
            "lineage": compact(brief.lineage),
        },
    )


def _all_checks(audit: Mapping[str, Any]) -> dict[str, Any]:
    rows = sorted(audit["checks"], key=lambda row: (_ORDER[row["status"]], row["id"]))
    shown = [{**row, "message": row["message"].removeprefix(row["id"]).strip()} for row in rows]
    return audit_rows(audit) | {"rows": shown, "caption": EVERY_CHECK}
