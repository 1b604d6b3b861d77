"""What the dashboard shows of a subsidence run: summary, scores, audit, lineage, pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.contracts.report import FlowReport
from tasks.orchestration import ui
from tasks.orchestration.run import Run
from tasks.subsidence.types import Audit, CheckResult, Products

PICTURES = {
    "subsidence_view_future": "Forecast map",
    "reliability": "Reliability of the intervals",
    "training_history_plot": "Training history",
}
WORDS = {"pass": "passed", "warn": "warning", "fail": "failed", "skipped": "not checked"}
ORDER = {"fail": 0, "warn": 1, "skipped": 2}
ANSWERS = {"yes": "yes", "no": "**no**"}  # a no is what a reader looks for
SHOWN_METHODS = 5
MODEL = "this model"


def show_audit(audit: Audit, city: str) -> None:
    """The table of all that the audit did not simply pass."""
    ui.show_table(f"audit-{city}", audit_rows(audit.checks), audit_line(audit.checks))


def show_run(run: Run, city: str, audit: Audit, report: FlowReport, products: Products, page: Path) -> None:
    """Everything at the end of a run that trained a model."""
    _show_words(run, city, city, audit, report, page, products.inspection)
    for key, title in PICTURES.items():
        if key in products.keys:
            ui.show_image(f"{key}-{city}", run.store.get_bytes(products.files[products.keys[key]]), title)


def show_brief(run: Run, kicker: str, audit: Audit, report: FlowReport, page: Path) -> None:
    """The same for a run that trained nothing."""
    _show_words(run, run.label(), f"{kicker}, {run.label()}", audit, report, page, ())


def _show_words(
    run: Run,
    name: str,
    title: str,
    audit: Audit,
    report: FlowReport,
    page: Path,
    inspection: Sequence[Mapping[str, str]],
) -> None:
    from tasks.subsidence.scoring.score_table import TITLES, score_rows

    link, scores = run.settings.link_to(page), score_rows(report.metrics)
    ui.show_markdown(f"summary-{name}", summary(title, report, inspection, audit.checks, scores, link), "Summary")
    for split, heading in TITLES.items():
        if heading in scores:
            ui.show_table(f"scores-{name}-{split}", scores[heading], _short(heading))
    ui.show_table(f"lineage-{name}", ui.lineage_rows(run.steps), "What each step read and made")
    ui.show_link(f"report-{name}", link, "Open the report")
    ui.log(f"{report.status}: {steps_line(report.cache)}; report {link}")


def summary(
    title: str,
    report: FlowReport,
    inspection: Sequence[Mapping[str, str]],
    checks: Sequence[CheckResult],
    scores: Mapping[str, Sequence[Mapping[str, str]]],
    link: str,
) -> str:
    """The first page that a person opens: what came out, whether to trust it, where the rest is."""
    said = {check.message for check in checks}
    parts = [
        f"# {title}: {report.status}",
        f"[Open the report]({link}) · {steps_line(report.cache)}",
        f"Run folder `{report.run_folder}`",
        *_scores(scores),
        _section("What to ask after a run", [_answer(row) for row in inspection]),
        _section("Not made", [f"**{name}**: {reason}" for name, reason in report.missing.items()]),
        _section("Warnings", [line for line in report.warnings if line not in said]),
        _section(audit_line(checks), [check.message for check in checks if check.status in ("warn", "fail")]),
    ]
    return "\n\n".join(part for part in parts if part)


def steps_line(cache: Mapping[str, int]) -> str:
    """How much of a run was work: `14 steps, 3 from the cache`."""
    return f"{cache['steps']} steps, {cache['hits'] or 'none'} from the cache"


def audit_line(checks: Sequence[CheckResult]) -> str:
    """The verdict, short enough for a card: `Audit: 4 warnings in 57 checks`."""
    count = Counter(check.status for check in checks)
    found = [f"{count['fail']} failed"] if count["fail"] else []
    found += [f"{count['warn']} warning{'s' if count['warn'] > 1 else ''}"] if count["warn"] else []
    return f"Audit: {', '.join(found) or 'all passed'} in {len(checks)} checks"


def audit_rows(checks: Sequence[CheckResult]) -> list[dict[str, str]]:
    """One row for each check that did not pass, failures first; one row in all where every check passed."""
    seen = sorted((check for check in checks if check.status != "pass"), key=lambda check: ORDER[check.status])
    rows = [
        {
            "check": check.id,
            "result": WORDS[check.status],
            "where": check.where or "-",
            "found": check.found or "-",
            "expected": check.expected or "-",
            "what to do": check.remedy or "-",
            "message": check.message,
        }
        for check in seen
    ]
    return rows or [{"check": "all", "result": "passed", "message": f"{len(checks)} checks, nothing found"}]


def _scores(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    """The first table: the best methods, and this model wherever it stands."""
    for title, rows in tables.items():
        kept = [row for place, row in enumerate(rows) if place < SHOWN_METHODS or row["method"] == MODEL]
        table = ui.markdown_table([row | {"method": f"**{MODEL}**"} if row["method"] == MODEL else row for row in kept])
        more = [f"{len(rows) - len(kept)} more in the tables of scores."] if len(kept) < len(rows) else []
        return [f"## {_short(title)}", title.partition("; ")[2].capitalize(), table, *more]
    return []


def _short(title: str) -> str:
    """The part of a title that fits on a card."""
    return title.partition(";")[0]


def _answer(row: Mapping[str, str]) -> str:
    return f"{row['question']} {ANSWERS.get(row['answer'], row['answer'])}: {row['evidence']}"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""
