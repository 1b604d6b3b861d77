"""Containers, workers and the server killed in the middle of a step: flows complete, nothing is lost or half-made."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tasks.orchestration.serving.server import answers
from tests.engines.pool_runs import (
    Asked,
    containers_of,
    kill_container,
    kill_part,
    wait_for,
    wait_for_another,
)
from tests.engines.whole_store import assert_whole

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1500)]

WORKER, SERVER = ("worker", "cpu"), ("server", "start")
NOTICED_WITHIN = timedelta(seconds=90)
REPORTED_WITHIN = timedelta(seconds=20)  # by the worker, which waits for the container; a second on an idle machine
STEPS = {"simulate", "load manifest", "audit", "resolve config", "finalize scaling"}
HERE = uuid4().hex[:6]  # no run of another session is met in a store that is used again


@dataclass
class Killed:
    """A flow, its run of a step that was under way, and when what ran one of them was killed."""

    flow: Asked
    step: UUID
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))


def audit(client, city):
    """Ask for an audit of a small city whose simulation takes seconds."""
    twin = {"city": f"{city}-{HERE}", "points": 120, "steps_per_year": 120}
    return Asked.for_(client, "audit-subsidence/default", {"twin": twin})


@pytest.fixture(scope="module")
def client(docker_platform):
    """Of the platform whose parts are killed."""
    with docker_platform.client() as client:
        yield client


@pytest.fixture(scope="module")
def silenced(client, docker_platform):
    """Worker and container of a step killed together; other tests run while the server waits for a word of it."""
    flow = audit(client, "silenced")
    step = flow.wait_for_attempt("simulate")
    flow.wait_for_beat(step)
    pid = kill_part(docker_platform, *WORKER)
    kill_container(step)
    killed = Killed(flow, step)
    wait_for_another(docker_platform, pid, *WORKER)
    return killed


@pytest.fixture(scope="module")
def step_killed(client, silenced):
    """The container of a step killed."""
    flow = audit(client, "container")
    step = flow.wait_for_attempt("simulate")
    kill_container(step)
    return Killed(flow, step)


@pytest.fixture(scope="module")
def flow_killed(client, step_killed):
    """The container of a flow killed in its second step."""
    flow = audit(client, "flow")
    step = flow.wait_for_attempt("load manifest")
    kill_container(flow.id)
    return Killed(flow, step)


@pytest.fixture(scope="module")
def battered(client, docker_platform):
    """A flow, its first two steps, and the worker that was killed in the first; in the second it was the server.

    No other flow is under way: a run that a worker has taken and not started would be lost with it for ten minutes.
    """
    flow = audit(client, "battered")
    simulating = flow.wait_for_attempt("simulate")
    worker = kill_part(docker_platform, *WORKER)
    assert containers_of(simulating)
    wait_for_another(docker_platform, worker, *WORKER)
    auditing = flow.wait_for_attempt("audit")
    server = kill_part(docker_platform, *SERVER)
    wait_for_another(docker_platform, server, *SERVER)
    wait_for(lambda: answers(docker_platform.api_url, ":".join(docker_platform.auth)), 120, "the server is back")
    return flow, simulating, auditing


@pytest.fixture
def store(docker_platform):
    """The store is whole after each test."""
    root = Path(docker_platform.status["layout"]["store"])
    yield root
    assert_whole(root)


def assert_done(flow):
    state = flow.wait_until_done()
    assert state.is_completed(), state
    states = flow.states_of_steps()
    assert {name.rpartition(" ")[0] for name in states} == STEPS
    assert set(states.values()) <= {"Completed", "Cached"}


def assert_lost_and_made_again(killed):
    lost, second = killed.flow.attempts("simulate")
    assert (lost.id, lost.state.name, second.state.name) == (killed.step, "Crashed", "Completed")
    assert second.created - killed.moment < NOTICED_WITHIN
    return lost.state.message


def test_a_killed_flow_goes_on_where_it_was_when_it_is_asked_for_again(client, store, flow_killed):
    flow = flow_killed.flow
    assert flow.wait_until_done().name == "Crashed"
    assert flow.told(flow.id, "Crashed") - flow_killed.moment < REPORTED_WITHIN
    again = audit(client, "flow")
    assert_done(again)
    assert again.states_of_steps()[f"simulate flow-{HERE}"] == "Cached"
    assert again.attempts("simulate") == []


def test_a_killed_container_is_reported_and_another_one_completes_the_step(store, flow_killed, step_killed):
    assert_done(step_killed.flow)
    assert "status code 137" in assert_lost_and_made_again(step_killed)
    assert step_killed.flow.told(step_killed.step, "Crashed") - step_killed.moment < REPORTED_WITHIN


def test_a_step_that_nobody_reports_is_found_by_its_silence(store, flow_killed, silenced):
    assert_done(silenced.flow)
    assert "has not told for 75 s" in assert_lost_and_made_again(silenced)


def test_a_step_goes_on_without_its_worker(store, battered):
    flow, simulating, _ = battered
    assert_done(flow)
    assert [run.id for run in flow.attempts("simulate")] == [simulating]


def test_a_step_goes_on_without_the_server(store, battered):
    flow, _, auditing = battered
    assert_done(flow)
    assert [run.id for run in flow.attempts("audit")] == [auditing]
