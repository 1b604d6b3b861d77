"""A step whose flow has ended asks to be cancelled; one whose flow lives, or that has none, is left alone."""

import time
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.states import Completed, Running

from flows.run_step import run_step
from tasks.orchestration.orphans import ended_with_its_flow

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow(name="waits")
def waits():
    """Stands for a flow that waits for a step."""


@task
def stand_in():
    """The task in the flow's run that stands for the step's run."""


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def step_of(client):
    """A step's run that goes on, started by a flow in this state, or by hand."""

    def make(state):
        if state is None:
            return client.create_flow_run(run_step, state=Running()).id
        parent = client.create_flow_run(waits, state=Running())
        waiting = client.create_task_run(stand_in, flow_run_id=parent.id, dynamic_key=str(uuid4()), state=Running())
        client.set_flow_run_state(parent.id, state, force=True)
        return client.create_flow_run(run_step, parent_task_run_id=waiting.id, state=Running()).id

    return make


def state_of(client, run):
    return client.read_flow_run(run).state.name


def test_a_step_ends_with_its_flow(client, step_of):
    run = step_of(Completed())
    end = time.monotonic() + 60
    with ended_with_its_flow(str(run), look_every_s=0.1):
        while state_of(client, run) == "Running" and time.monotonic() < end:
            time.sleep(0.1)
    assert state_of(client, run) == "Cancelling"


@pytest.mark.parametrize("state", [Running(), None])
def test_a_step_that_is_waited_for_or_was_started_by_hand_goes_on(client, step_of, state):
    run = step_of(state)
    with ended_with_its_flow(str(run), look_every_s=0.1):
        time.sleep(3)
    assert state_of(client, run) == "Running"
