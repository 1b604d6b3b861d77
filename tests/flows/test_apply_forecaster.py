"""A registered forecaster on another handoff: its run folder explains itself."""

from pathlib import Path

from flows.apply_forecaster import apply_forecaster
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.settings import PlatformSettings
from tasks.registry.entries import all_entries
from tasks.subsidence.request import SubsidenceRequest
from tests.flows.runs import TINY
from tests.subsidence.small_twin import small_twin_request


def test_a_transfer_leaves_a_report_with_its_scores_and_its_reservation(twin_run, twin_root):
    (entry,) = all_entries(twin_run[0].store)
    run = Run(PlatformSettings(store=str(twin_root / "store")), "")
    request = SubsidenceRequest(
        init_from=entry.artifact_hash(), twin=small_twin_request(), set=TINY, out=str(twin_root / "transfers")
    )
    with prepared(run):
        report = apply_forecaster(request)
    assert report.status == "complete"
    page = Path(report.artifacts["report.html"].path).read_text()
    assert "Forecast of a registered model" in page
    assert "this model" in page and "last value" in page
    assert "intervals are calibrated there, not here" in page
    assert report.warnings[-1].endswith("intervals are calibrated there, not here")
    assert str(twin_root) not in page
