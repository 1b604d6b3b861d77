"""The uncached end of `refine-tiles`: books, pictures and report in the output folder, and what the dashboard shows."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

from tasks.contracts.report import ExportedFile, FlowReport
from tasks.orchestration.run import Pending, Run, current_run
from tasks.steps.tiles_given import Given, close_books
from tasks.steps.tiles_shown import show_run
from tasks.store.failures import typed
from tasks.tiles.flow.types import (
    Judged,
    ModelRefs,
    Published,
    TilesAudit,
)
from tasks.tiles.journal import ERRORS, MANIFEST, OWN, SUMMARY
from tasks.tiles.summary import Summary, last_line

log = logging.getLogger("tasks.tiles")

REPORT_FILE = "report.html"
BOOKS = (SUMMARY, MANIFEST, ERRORS)
SHOWN = 5


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
    for warning in report.warnings:
        log.warning(warning)
    log.info(last_line(summary))
    show_run(run, summary, judged, audit, report, delivery.folder.path / REPORT_FILE, pictures)
    return report


def _report(run: Run, given: Given, judged: Judged, summary: Summary, metrics: dict[str, float | None]) -> FlowReport:
    failed = {
        record.id: f"{record.error}: {record.message}"
        for record in given.delivery.records.values()
        if record.status == "failed"
    }
    status = "complete" if summary.exit_code == 0 else "incomplete"
    if judged.verdict == "no_refinement":
        status = "no_refinement"
    return FlowReport(
        status=status,
        flow_run_id=run.flow_run_id,
        run_folder=str(given.delivery.folder.path),
        metrics=metrics,
        artifacts={name: _exported(path) for name, path in _artifacts(given.delivery.folder.path).items()},
        cache=run.cache_counts(),
        warnings=(*run.warnings, *_said(summary, given)),
        missing=dict(list(failed.items())[:50]),
    )


def _said(summary: Summary, given: Given) -> Iterator[str]:
    if summary.defaults_used:
        yield f"{summary.defaults_used} tiles without month or biome: June and 0 (unknown) are in their sidecars"
    if summary.orphan_sidecars:
        yield f"sidecars without a tile: {_few(summary.orphan_sidecars)}"
    if summary.ignored:
        yield f"ignored, though the names look like tiles: {_few(summary.ignored)}"
    if given.request.device != "cpu" and set(summary.device) == {"cpu"}:
        yield f"no usable device {given.request.device}: the tiles were refined on the CPU"


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _artifacts(folder: Path) -> dict[str, Path]:
    """What a run leaves beside the tiles, by its name."""
    names = (*BOOKS, "quality.json", "tileset.json", "handshake_audit.json")
    return {REPORT_FILE: folder / REPORT_FILE} | {name: folder / OWN / name for name in names}


def _exported(path: Path) -> ExportedFile:
    with path.open("rb") as file:
        return ExportedFile(path=str(path), sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _put(path: Path, data: bytes) -> None:
    with typed("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
