"""The uncached end of `refine-tiles`: books, pictures and report in the output folder, and what the dashboard shows."""

from pathlib import Path

from tasks.contracts.report import FlowReport
from tasks.orchestration.run import Pending, Run, current_run
from tasks.steps.tiles_given import Given, close_books
from tasks.steps.tiles_shown import show_run
from tasks.tiles.flow.types import (
    Judged,
    ModelRefs,
    Published,
    TilesAudit,
)
from tasks.tiles.journal import OWN
from tasks.tiles.summary import last_line

REPORT_FILE = "report.html"


def publish(
    given: Given, model: ModelRefs, audit: TilesAudit, judged: Judged, published: Published
) -> FlowReport | Pending:
    """The books, the pictures and the report in the output folder, and what the dashboard shows."""
    run = current_run()
    if run.dry:
        return Pending("publish")
    from tasks.tiles.flow.page import report_page

    delivery = given.delivery
    summary = close_books(given)
    own = delivery.folder.path / OWN
    files = {
        "quality.json": run.store.get_bytes(judged.quality),
        "tileset.json": run.store.get_bytes(published.tileset),
    }
    files["handshake_audit.json"] = run.store.get_bytes(audit.report)
    files |= {f"quicklook/{name}": run.store.get_bytes(ref) for name, ref in judged.quicklooks.items()}
    for name, data in files.items():
        _put(own / name, data)
    metrics = judged.metrics | {"tiles_per_s": summary.tiles_per_s or None}
    pictures = {name: run.store.get_bytes(ref) for name, ref in judged.quicklooks.items()}
    page = report_page(
        given.request, summary, run.store.get_json(judged.quality), audit, pictures, run.steps, run.warnings
    )
    _put(delivery.folder.path / REPORT_FILE, page.encode())
    report = _report(run, given, judged, summary, metrics)
    show_run(run, summary, judged, audit, report, delivery.folder.path / REPORT_FILE, pictures)
    return report


def _report(run: Run, given: Given, judged: Judged, summary, metrics: dict[str, float | None]) -> FlowReport:
    failed = {
        record.id: f"{record.error}: {record.message}" for record in given.delivery.records.values() if record.error
    }
    status = "complete" if summary.exit_code == 0 else "incomplete"
    if judged.verdict == "no_refinement":
        status = "no_refinement"
    return FlowReport(
        status=status,
        flow_run_id=run.flow_run_id,
        run_folder=str(given.delivery.folder.path),
        metrics=metrics,
        artifacts={},
        cache=run.cache_counts(),
        warnings=(*run.warnings, *_said(summary), last_line(summary)),
        missing=dict(list(failed.items())[:50]),
    )


def _said(summary) -> tuple[str, ...]:
    said = []
    if summary.defaults_used:
        said.append(f"{summary.defaults_used} tiles without month or biome: June and 0 (unknown) are in their sidecars")
    if summary.orphan_sidecars:
        said.append(f"{len(summary.orphan_sidecars)} sidecars without a tile: {', '.join(summary.orphan_sidecars[:5])}")
    return tuple(said)


def _put(path: Path, data: bytes) -> None:
    from tasks.store.failures import typed

    with typed("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
