"""A person in a real browser: logs in, fills in the form, starts a run, looks at all that it leaves.

One run of the whole flow on a real `stagegate serve`; a picture of every page stays in `.pytest_cache/d/dashboard`.
"""

import time

import pytest

from flows.forecast_subsidence import forecast_subsidence
from tests.flows.runs import TINY
from tests.subsidence.small_twin import small_twin_request

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1200)]

CITY = "delta"
STEPS = (
    "simulate", "load manifest", "audit", "resolve config", "finalize scaling", "build", "train", "calibrate", "infer",
    "baselines", "export", "oracle", "register",
)  # fmt: skip
ARTIFACTS = {
    f"summary-{CITY}": "markdown",
    f"report-{CITY}": "markdown",
    f"audit-{CITY}": "table",
    f"lineage-{CITY}": "table",
    f"scores-{CITY}-test": "table",
    f"scores-{CITY}-future": "table",
    f"subsidence-view-future-{CITY}": "image",
    f"reliability-{CITY}": "image",
    f"training-history-plot-{CITY}": "image",
}
RUN_WITHIN_S = 1000


def deployment(dashboard, name):
    return dashboard.ask("GET", f"/deployments/name/{name}")["id"]


def runs_of(dashboard, name):
    asked = {"deployments": {"id": {"any_": [deployment(dashboard, name)]}}, "limit": 20}
    return [run for run in dashboard.ask("POST", "/flow_runs/filter", **asked) if not run["auto_scheduled"]]


def open_form(dashboard):
    page = dashboard.open(f"/deployments/deployment/{deployment(dashboard, 'forecast-subsidence/default')}/run")
    page.get_by_label("Grid").wait_for()
    return page


def fill(page):
    """A twin city so small, and a network, that a run is mostly the start of its steps."""
    small = small_twin_request()
    named = {"Grid": small.grid, "Points": small.points, "Cell size [m]": small.spacing_m}
    for label, value in named.items():
        page.get_by_label(label).fill(f"{value:g}")
    page.locator("textarea").filter(has_text="twin").fill(CITY)
    for setting in TINY:
        page.get_by_role("button", name="Add item").click()
        page.locator("textarea:text-is('')").fill(setting)


def open_artifact(dashboard, run, key, kind):
    page = dashboard.open(f"/artifacts/artifact/{run['artifacts'][key]['id']}")
    page.get_by_text(kind, exact=True).wait_for()
    return page


@pytest.fixture(scope="module")
def run(dashboard):
    """The run that was started by hand in the form, completed: its record, with its artifacts by key."""
    page = open_form(dashboard)
    fill(page)
    dashboard.keep("form-filled")
    before = {run["id"] for run in runs_of(dashboard, "forecast-subsidence/default")}
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("scheduled to start now").wait_for()
    dashboard.keep("run-started")
    (started,) = [run for run in runs_of(dashboard, "forecast-subsidence/default") if run["id"] not in before]
    end = time.monotonic() + RUN_WITHIN_S
    while (state := dashboard.ask("GET", f"/flow_runs/{started['id']}"))["state_type"] not in ("COMPLETED", "FAILED"):
        assert time.monotonic() < end and state["state_type"] not in ("CRASHED", "CANCELLED"), state["state"]
        time.sleep(2)
    asked = {"flow_runs": {"id": {"any_": [started["id"]]}}, "limit": 50}
    artifacts = {found["key"]: found for found in dashboard.ask("POST", "/artifacts/filter", **asked)}
    return state | {"artifacts": artifacts}


def test_strangers_see_the_login_and_nothing_else(new_tab):
    stranger = new_tab()
    stranger.open("/deployments")
    stranger.page.get_by_role("button", name="Login").wait_for()
    stranger.keep("login")
    assert "forecast-subsidence" not in stranger.page.inner_text("body")
    ask = "async path => (await fetch(path)).status"
    assert {stranger.page.evaluate(ask, f"/api/{path}") for path in ("admin/settings", "work_pools/local")} == {401}


def test_a_wrong_password_does_not_open_it(new_tab):
    stranger = new_tab()
    stranger.log_in("stagegate:wrong")
    stranger.page.get_by_text("Invalid credentials").wait_for()
    stranger.keep("login-refused")
    assert "/login" in stranger.page.url


def test_deployments_and_the_schedule_of_the_night_are_listed(dashboard):
    page = dashboard.open("/deployments")
    page.get_by_text("At 02:00 AM").wait_for()
    dashboard.keep("deployments")
    text = page.inner_text("main")
    assert all(name in text for name in ("forecast-subsidence", "audit-subsidence", "apply-forecaster", "run-step"))
    page = dashboard.open(f"/deployments/deployment/{deployment(dashboard, 'nightly-retrain/nightly')}")
    page.get_by_text("At 02:00 AM").wait_for()
    dashboard.keep("nightly")


def test_each_field_of_the_form_has_a_title_and_a_description(dashboard):
    page = open_form(dashboard)
    dashboard.keep("form")
    text = " ".join(page.inner_text("main").split())
    models = forecast_subsidence.parameters.definitions
    fields = [field for name in ("SubsidenceRequest", "TwinRequest") for field in models[name]["properties"].values()]
    assert len(fields) > 25
    missing = [field for field in fields if f"{field['title']} (Optional) {field['description']}" not in text]
    assert missing == []


def test_a_number_out_of_range_is_refused_in_the_form(dashboard):
    page = open_form(dashboard)
    page.get_by_label("Grid").fill("4")
    before = len(runs_of(dashboard, "forecast-subsidence/default"))
    page.get_by_role("button", name="Submit").click()
    dashboard.keep("form-out-of-range")
    message = page.get_by_label("Grid").evaluate("field => field.validationMessage")
    assert "greater than or equal to 8" in message
    assert len(runs_of(dashboard, "forecast-subsidence/default")) == before


def test_a_value_of_another_form_is_refused_by_the_server(dashboard):
    page = open_form(dashboard)
    page.locator("textarea").filter(has_text="twin").fill("no such/name")
    before = len(runs_of(dashboard, "forecast-subsidence/default"))
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Validation failed for field 'request.twin.city'").wait_for()
    dashboard.keep("form-refused")
    assert page.get_by_text("'no such/name' does not match", exact=False).count() >= 1
    assert len(runs_of(dashboard, "forecast-subsidence/default")) == before


def test_the_run_is_shown_as_completed_under_its_city(dashboard, run):
    page = dashboard.open(f"/runs/flow-run/{run['id']}?tab=Logs")
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_text("Finished in state Completed()").last.wait_for()
    page.wait_for_timeout(4000)  # the graph is drawn
    dashboard.keep("run-logs")
    assert run["name"] == CITY
    assert "Traceback" not in page.inner_text("main")


def test_the_graph_names_each_step(dashboard, run):
    nodes = dict(dashboard.ask("GET", f"/flow_runs/{run['id']}/graph-v2")["nodes"]).values()
    labels = {node["label"] for node in nodes}
    assert {f"{step} {CITY}" for step in STEPS} <= labels
    assert not [label for label in labels if not label.endswith(f" {CITY}")]
    page = dashboard.open(f"/runs/flow-run/{run['id']}?tab=Task+Runs")
    page.get_by_role("tab", name="Task Runs").click()
    page.get_by_text(f"train {CITY}").first.wait_for()
    dashboard.keep("run-tasks")


def test_the_log_has_no_warning_and_ends_with_the_report(dashboard, run):
    asked = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200, "sort": "TIMESTAMP_ASC"}
    lines = dashboard.ask("POST", "/logs/filter", **asked)
    assert [line["message"] for line in lines if line["level"] > 20] == []
    (told,) = [line["message"] for line in lines if "report.html" in line["message"]]
    assert told.startswith("complete: 13 steps, ")


def test_every_artifact_is_on_the_tab_of_the_run(dashboard, run):
    page = dashboard.open(f"/runs/flow-run/{run['id']}")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(f"summary-{CITY}").first.wait_for()
    dashboard.keep("run-artifacts")
    assert ARTIFACTS.items() <= {key: found["type"] for key, found in run["artifacts"].items()}.items()
    text = page.inner_text("main")
    assert [key for key in ARTIFACTS if key not in text] == []


def test_the_summary_is_a_page_with_a_table(dashboard, run):
    page = open_artifact(dashboard, run, f"summary-{CITY}", "markdown")
    page.get_by_role("heading", name=f"{CITY}: complete").wait_for()
    dashboard.keep("summary")
    assert page.get_by_role("cell", name="this model").count() == 1
    assert not [mark for mark in ("**", "| ---", "](", "##") if mark in page.inner_text("main")]


@pytest.mark.parametrize(
    ("key", "cell"),
    [("scores-delta-test", "this model"), ("audit-delta", "warning"), ("lineage-delta", "train-subsidence")],
)
def test_tables_have_rows(dashboard, run, key, cell):
    page = open_artifact(dashboard, run, key, "table")
    page.get_by_role("cell", name=cell).first.wait_for()
    dashboard.keep(key)


@pytest.mark.parametrize("key", [key for key, kind in ARTIFACTS.items() if kind == "image"])
def test_pictures_are_shown(dashboard, run, key):
    page = open_artifact(dashboard, run, key, "image")
    picture = page.locator("main img").first
    picture.wait_for()
    dashboard.keep(key)
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300


def test_the_link_leads_to_the_report(dashboard, run):
    page = open_artifact(dashboard, run, f"report-{CITY}", "markdown")
    dashboard.keep("link")
    link = page.get_by_role("link", name="Open the report")
    address = link.get_attribute("href")
    page.goto(address)
    dashboard.keep("report")
    assert address.startswith(dashboard.served.status["layout"]["results_url"])
    assert page.locator("img").count() >= 8
    assert "What to trust" in page.inner_text("body")


def test_training_shows_its_progress(dashboard, run):
    asked = {"flow_runs": {"name": {"any_": [f"train {CITY}"]}}, "limit": 5}
    (child,) = dashboard.ask("POST", "/flow_runs/filter", **asked)
    page = dashboard.open(f"/runs/flow-run/{child['id']}")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("progress-train-subsidence").first.wait_for()
    dashboard.keep("train-artifacts")
    assert "epoch 2/2" in page.inner_text("main")
    (progress,) = dashboard.ask("POST", "/artifacts/filter", **asked)
    page = dashboard.open(f"/artifacts/artifact/{progress['id']}")
    page.get_by_text("Progress: 100%").wait_for()
    dashboard.keep("progress")
