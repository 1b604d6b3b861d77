"""What the dashboard shows of a run over tiles."""

import base64
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.context import FlowRunContext

from tasks.contracts.report import FlowReport
from tasks.orchestration.run import Run
from tasks.orchestration.settings import PlatformSettings
from tasks.steps.tiles_shown import (
    audit_line,
    audit_rows,
    count_rows,
    page_text,
    plain,
    score_rows,
    show_audit,
    show_run,
)
from tasks.tiles.flow.numbers import rate
from tasks.tiles.flow.types import TileCheck
from tests.tiles.flow.finished_run import HOSTILE

PASSED = TileCheck(id="H-01", status="pass", message="all 4 files are tiles")
SKIPPED = TileCheck(id="U-02", status="skipped", message="not checked")
WARNED = TileCheck(id="S-02", status="warn", message="2 tiles do not give month", where="a, b", found="2 without")
FAILED = TileCheck(id="S-09", status="fail", message="no")


def report_of(run, **changes) -> FlowReport:
    told = {"status": "incomplete", "flow_run_id": "", "run_folder": run.request.output_dir, "artifacts": {},
            "metrics": run.judged.metrics, "cache": {"hits": 1, "misses": 2, "steps": 3}}  # fmt: skip
    return FlowReport(**told | changes)


def words(run, **changes) -> str:
    report = report_of(run, **changes)
    return page_text("calm-fox", report, run.summary, run.quality, run.judged.metrics, run.audit, "file:///report.html")


@pytest.fixture(scope="module")
def artifacts(noisy, prefect_server):
    """By key, all that one flow run has shown, without the name of that run."""
    run = Run(PlatformSettings(store=str(Path(noisy.request.output_dir).parent / "store")), "", steps=noisy.steps)
    page = Path(noisy.request.output_dir) / "report.html"

    @flow(name="shows-tiles")
    def shows():
        show_audit(noisy.audit, run.label())
        show_run(run, noisy.summary, noisy.judged, noisy.audit, report_of(noisy), page, noisy.pictures)
        return FlowRunContext.get().flow_run.id, run.label()

    flow_run, name = shows()
    shown_by = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
    with get_client(sync_client=True) as client:
        return {each.key.replace(name, "<name>"): each for each in client.read_artifacts(artifact_filter=shown_by)}


def test_each_part_is_shown_under_a_readable_key(artifacts):
    assert {key: each.type for key, each in artifacts.items()} == {
        "summary-<name>": "markdown",
        "scores-<name>": "table",
        "counts-<name>": "table",
        "audit-<name>": "table",
        "lineage-<name>": "table",
        "report-<name>": "markdown",
        "quicklook-first-tile-00000-<name>": "image",
        "quicklook-last-tile-00003-<name>": "image",
        next(key for key in artifacts if "quicklook-worst" in key): "image",
    }


def test_pictures_and_link_can_be_opened(artifacts, noisy):
    png = noisy.pictures["first_tile_00000.png"]
    assert artifacts["quicklook-first-tile-00000-<name>"].data.endswith(base64.b64encode(png).decode())
    link = (Path(noisy.request.output_dir) / "report.html").resolve().as_uri()
    assert artifacts["report-<name>"].data == f"[Open the report]({link})"
    assert f"[Open the report]({link})" in artifacts["summary-<name>"].data


def test_scores_stand_beside_input_and_filter(noisy):
    rows = score_rows(noisy.judged.metrics)
    assert [row["method"] for row in rows] == ["this model", "opt_v1 unchanged", "unsharp filter", "target"]
    assert list(rows[1].values()) == ["opt_v1 unchanged", "0", "1", rows[1]["PSNR, dB"], "100 %"]
    assert list(rows[3].values()) == ["target", "< 0.05", "> 0.9", "–", "–"]
    assert rows[0]["Bit-identical tiles"] == "0 %"


def test_without_references_there_is_no_column_for_them(failed):
    rows = score_rows(failed.judged.metrics)
    assert list(rows[0]) == ["method", "NDVI RMSE", "Edge correlation", "Bit-identical tiles"]
    assert list(rows[0].values())[1:] == ["–", "–", "–"]


def test_counts_say_what_happened(noisy):
    rows = count_rows(noisy.summary, noisy.quality, "Incomplete", "link", Path("out/report.html"), noisy.pictures)
    table = {row["what"]: row["value"] for row in rows}
    assert [table[key] for key in ("found", "done", "resumed", "failed", "empty", "not run")] == list("640200")
    assert table["throughput with reading and writing"] == rate(noisy.summary.tiles_per_s)
    assert (table["device"], table["precision"]) == ("cpu", noisy.summary.precision[0])
    assert table["quality"] == "Incomplete (targets_missed)"
    assert table["quicklook 1"] == "out/.stagegate/quicklook/first_tile_00000.png"
    assert "quicklook 4" not in table


def test_the_summary_says_what_to_trust_and_what_failed(noisy):
    text = words(noisy, missing={HOSTILE: "TileEmptyError: has no valid pixel", "b": "x"}, warnings=("slow `disk`",))
    assert text.startswith("# Incomplete\n\nOf 6 tiles 2 failed (TileEmptyError).")
    assert "| **this model** | 0." in text
    assert "## What not to trust\n\n- NDVI RMSE between output and input" in text
    assert "- tile\\_&lt;b&gt;bold&amp;: TileEmptyError: has no valid pixel\n- b: x" in text
    assert HOSTILE not in text
    assert "## Warnings\n\n- slow \\`disk\\`" in text
    assert "## Audit: 3 warnings in 6 checks\n\n- 2 of 6 tiles do not give month" in text


def test_the_summary_of_copies_begins_with_it(copies):
    text = words(copies, status="no_refinement")
    assert text.startswith("# ⛔ No refinement\n\n4 of 4 tiles equal their input bit for bit")
    assert "## What to trust" not in text


def test_a_run_without_output_has_no_medians(failed):
    text = words(failed)
    assert text.startswith("# ⛔ No tile was refined\n\nAll 2 tiles failed (TileEmptyError).")
    assert "## Medians" not in text
    assert "0 done" in text


def test_more_failures_than_fit_are_counted(noisy):
    summary = noisy.summary.model_copy(update={"failed": 60, "found": 64})
    report = report_of(noisy, missing={f"t{number}": "x" for number in range(50)})
    text = page_text("fox", report, summary, noisy.quality, noisy.judged.metrics, noisy.audit, "")
    assert "- t9: x\n- 50 more in the report and in" in text
    assert "- t10: x" not in text


def test_the_audit_shows_what_did_not_pass_failures_first():
    assert [row["check"] for row in audit_rows([PASSED, SKIPPED, WARNED, FAILED])] == ["S-09", "S-02", "U-02"]
    assert audit_rows([PASSED]) == [{"check": "all", "result": "passed", "message": "1 checks, nothing found"}]
    lines = [audit_line(checks) for checks in ([PASSED], [PASSED, WARNED], [FAILED, WARNED, WARNED])]
    assert lines == [
        "Audit: all passed in 1 checks",
        "Audit: 1 warning in 2 checks",
        "Audit: 1 failed, 2 warnings in 3 checks",
    ]


def test_text_of_files_is_no_markup():
    assert plain("a|b *c* [d](e)\n# <img>") == "a\\|b \\*c\\* \\[d\\](e) \\# &lt;img&gt;"
