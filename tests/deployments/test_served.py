"""Deployments on a real server with a process pool: made twice, run, cached, refused."""

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterId
from prefect.deployments import run_deployment

from tasks.contracts.errors import ConfigError
from tasks.orchestration import places
from tasks.orchestration.pools import place_in_pool
from tasks.orchestration.runtimes import this_runtime
from tasks.orchestration.serving.deployments import deploy_all
from tasks.orchestration.serving.table import rows
from tests.deployments.conftest import AUTH, environment
from tests.subsidence.small_twin import small_twin_request

pytestmark = pytest.mark.xdist_group("engines")  # one server with workers at a time
SMALL = small_twin_request().model_dump(mode="json")
STEPS = ("simulate", "load manifest", "audit", "resolve config", "finalize scaling")


@pytest.fixture(scope="module")
def audited(served):
    """The audit of the small twin, all steps through the pool: (flow run, run folder)."""
    return audit(served)


def audit(served, **request):
    before = set(served.results.rglob("report.html"))
    run = run_deployment(
        "audit-subsidence/default", parameters={"request": {"twin": SMALL, **request}}, timeout=540, poll_interval=1
    )
    new = set(served.results.rglob("report.html")) - before
    return run, new.pop().parent if new else None


def task_states(run) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return {task.name.removesuffix(" twin"): task.state.name for task in tasks}


def lineage(run) -> list[dict]:
    """The lineage table in the dashboard."""
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    (table,) = [one.data for one in artifacts if (one.key or "").startswith("lineage-")]
    return json.loads(table)


def dispatched_steps() -> list[UUID]:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["run-step"])))
    return [run.id for run in runs]


def cli(served, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        env=environment(served) | {"COLUMNS": "400"},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )


def test_an_audit_runs_with_one_place_for_flows_and_one_for_steps(served, audited):
    run, folder = audited
    assert run.state.name == "Completed", run.state.message
    states = task_states(run)
    assert {name: states[name] for name in STEPS} == dict.fromkeys(STEPS, "Completed")
    assert len(dispatched_steps()) == len(STEPS)
    assert folder.is_relative_to(served.results / "runs" / "twin")
    assert [row["place"] for row in lineage(run)] == ["local, cpu"] * len(STEPS)


def test_the_second_audit_is_cached_and_dispatches_nothing(served, audited):
    before = dispatched_steps()
    run, folder = audit(served)
    assert run.state.name == "Completed"
    assert {name: task_states(run)[name] for name in STEPS} == dict.fromkeys(STEPS, "Cached")
    assert dispatched_steps() == before
    assert folder != audited[1]


def test_a_path_outside_is_refused_before_any_step(served, audited):
    before = dispatched_steps()
    run, folder = audit(served, out="/elsewhere")
    assert (run.state.name, folder) == ("Failed", None)
    assert "ConfigError: out lies outside the folder of results" in run.state.message
    assert dispatched_steps() == before


def test_deploying_again_changes_nothing(served):
    def seen():
        with get_client(sync_client=True) as client:
            deployments = [client.read_deployment_by_name(row.full_name) for row in rows("process")]
            queues = sorted((queue.name, queue.concurrency_limit) for queue in client.read_work_queues())
        facts = [(d.id, d.entrypoint, d.work_queue_name, d.job_variables, len(d.schedules)) for d in deployments]
        return facts, queues

    before = seen()
    assert deploy_all(served) == tuple(row.full_name for row in rows("process"))
    assert seen() == before


def test_an_unknown_timezone_is_refused(served):
    with pytest.raises(
        ConfigError, match="timezone is unknown: expected a name such as Europe/Berlin, found Mars/Base"
    ):
        deploy_all(served, timezone="Mars/Base")


def test_no_deployment_and_no_pool_holds_the_password(served):
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool("local")
        deployments = [client.read_deployment_by_name(row.full_name) for row in rows("process")]
    assert AUTH not in pool.model_dump_json()
    assert not [one.name for one in deployments if AUTH in one.model_dump_json()]


@pytest.mark.skipif(places.DEVICE.exists(), reason="this machine has a GPU")
def test_required_is_refused_at_once_and_preferred_falls_back(served):
    with pytest.raises(ConfigError, match=r"no GPU worker is online: .* found run-step/local \(cpu, "):
        place_in_pool("cuda-tf", "required")
    place = place_in_pool("cuda-tf", "preferred")
    assert (str(place), place.runtime) == ("local, cpu", this_runtime())


@pytest.mark.skipif(places.DEVICE.exists(), reason="this machine has a GPU")
def test_a_forecast_that_needs_a_gpu_fails_before_any_step(served, audited):
    before = dispatched_steps()
    run = run_deployment(
        "forecast-subsidence/default",
        parameters={"request": {"twin": SMALL, "accelerator": "required"}},
        timeout=300,
        poll_interval=1,
    )
    assert "no GPU worker is online" in run.state.message
    assert dispatched_steps() == before


def test_a_request_from_the_shell_is_checked_against_the_form(served):
    asked = ("deployment", "run", "forecast-subsidence/default", "--start-in", "1000 hours", "-p")
    good = cli(served, *asked, 'request={"city": "zhongshan"}')
    assert good.returncode == 0, good.stdout + good.stderr
    for request, message in (
        ({"city": "zhongshan", "colour": "red"}, "'colour' was unexpected"),
        ({"model": "Nope"}, "'Nope' is not one of"),
        ({"twin": {"grid": 4}}, "4 is less than the minimum of 8"),
        ({"accelerator": "fast"}, "'fast' is not one of"),
    ):
        bad = cli(served, *asked, f"request={json.dumps(request)}")
        assert bad.returncode == 1
        assert message in bad.stdout + bad.stderr
