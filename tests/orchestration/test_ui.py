"""What the dashboard shows: words and tables of a run, nothing outside one."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.context import FlowRunContext

from tasks.orchestration import ui
from tasks.orchestration.naming import label
from tasks.orchestration.run import StepRecord

STEP = StepRecord(
    step="train-subsidence",
    key="train-subsidence-1",
    status="ran",
    why="inputs changed",
    seconds=125.2,
    inputs=("a.npz 11111111", "b.npz 22222222", "a.npz 11111111", "c.npz 33333333", "d.npz 44444444"),
    outputs=("model.keras 55555555",),
    place="cpu-tf, cpu",
)


@flow(name="shows")
def shows():
    ui.show_markdown("summary-Ōsaka", "# Page", "Summary")
    ui.show_table("lineage-Ōsaka", ui.lineage_rows([STEP]), "Lineage")
    ui.show_link("report", "http://127.0.0.1/report.html", "Open the report")
    ui.show_image("map", b"png", "Forecast map")
    ui.log("complete")
    tell = ui.progress_teller(None)
    tell("train-subsidence", 0.5, "epoch 1/2")
    tell("train-subsidence", 1.0, "epoch 2/2")
    return FlowRunContext.get().flow_run.id


@pytest.fixture
def artifacts(prefect_server):
    """By key, all that one flow run has shown."""
    shown_by = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[shows()]))
    with get_client(sync_client=True) as client:
        return {found.key: found for found in client.read_artifacts(artifact_filter=shown_by)}


def test_each_kind_is_shown_under_a_readable_key(artifacts):
    assert {key: found.type for key, found in artifacts.items()} == {
        "summary-osaka": "markdown",
        "lineage-osaka": "table",
        "report": "markdown",
        "map": "image",
        "progress-train-subsidence": "progress",
    }
    assert artifacts["report"].data == "[Open the report](http://127.0.0.1/report.html)"
    assert artifacts["map"].data == "data:image/png;base64,cG5n"


def test_progress_says_what_was_done_last(artifacts):
    progress = artifacts["progress-train-subsidence"]
    assert (progress.data, progress.description) == (100.0, "epoch 2/2")


def test_nothing_is_shown_where_no_run_is_active():
    ui.show_markdown("key", "text", "description")
    ui.show_table("key", [], "description")
    ui.log("line")


def test_lineage_names_two_files_counts_the_rest_and_names_none_twice():
    (row,) = ui.lineage_rows([STEP])
    assert list(row)[:5] == ["step", "status", "time", "inputs", "outputs"]
    assert row["time"] == "2 min 5 s"
    assert row["inputs"] == "a.npz 11111111, b.npz 22222222 and 2 more"
    assert row["outputs"] == "model.keras 55555555"
    assert row["all inputs"] == "a.npz 11111111, b.npz 22222222, c.npz 33333333, d.npz 44444444"


def test_a_step_without_files_has_a_dash():
    (row,) = ui.lineage_rows([STEP.model_copy(update={"inputs": ()})])
    assert (row["inputs"], row["all inputs"]) == ("-", "-")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.004, "0.00 s"), (0.25, "0.25 s"), (12.34, "12.3 s"), (59.96, "1 min 0 s"), (3599.6, "1 h 0 min")],
)
def test_times_are_said_as_people_do(seconds, text):
    assert ui.duration(seconds) == text


def test_a_table_in_a_page_keeps_its_columns():
    rows = [{"method": "a|b", "MAE mm": "1.2"}, {"method": "two\nlines", "MAE mm": "-"}]
    assert ui.markdown_table(rows) == "| method | MAE mm |\n| --- | --- |\n| a\\|b | 1.2 |\n| two lines | - |"
    assert ui.markdown_table([]) == ""


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({}, "twin"),
        ({"twin": {"city": "delta"}}, "delta"),
        ({"city": "zhongshan", "stage1_manifest": "in/nansha/manifest.json"}, "zhongshan"),
        ({"stage1_manifest": "s3://bucket/nansha/manifest.json"}, "nansha"),
        ({"stage1_manifest": "manifest.json", "twin": {"city": "delta"}}, "delta"),
        ({"data_dir": "in/nansha/"}, "nansha"),
        ({"resume": "runs/nansha/GeoPriorSubsNet/train_20260101-000000_abcdef01"}, "nansha"),
        ({"resume": "train_20260101-000000_abcdef01"}, "train_20260101-000000_abcdef01"),
    ],
)
def test_a_run_is_called_after_what_it_is_about(request_, name):
    assert label(request_) == name
