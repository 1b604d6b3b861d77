"""Training in a container: it does not notice that the server is away, and another container goes on where it was."""

import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.filters import LogFilter
from prefect.states import Cancelling

from tests.engines.pool_runs import (
    DONE_WITHIN_S,
    STARTED_WITHIN_S,
    Asked,
    containers_of,
    kill_container,
    kill_part,
    wait_for,
    wait_for_another,
)
from tests.engines.whole_store import assert_whole
from tests.flows.runs import TINY

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1500)]

SERVER = ("server", "start")
ENDS_WITHIN_S = 30 + 60  # it looks every 30 s
LONG = tuple(text for text in TINY if not text.startswith("EPOCHS")) + ("EPOCHS=20000", "PATIENCE=20000")
REQUEST = {"twin": {"city": f"training-{uuid4().hex[:6]}", "points": 120}, "set": LONG, "accelerator": "none"}


@pytest.fixture(scope="module")
def flow(docker_platform):
    """A forecast that would train for hours, once its training is under way; cancelled at the end."""
    with docker_platform.client() as client:
        asked = Asked.for_(client, "forecast-subsidence/default", REQUEST)
        first = asked.wait_for_attempt("train", DONE_WITHIN_S)
        wait_for(lambda: epochs(client, first), STARTED_WITHIN_S, "the first epochs")
        yield asked
        if not asked.state().is_final():
            client.set_flow_run_state(asked.id, Cancelling())


def epochs(client, run):
    """Epochs that a run has told of, as far as the server knows; none while it is away."""
    ours = LogFilter.model_validate({"flow_run_id": {"any_": [run]}})
    with suppress(httpx.TransportError):
        return [int(told[1]) for log in client.read_logs(ours) if (told := re.search(r"epoch (\d+)/", log.message))]
    return []


def test_training_goes_on_while_the_server_is_away(flow, docker_platform):
    (run,) = (attempt.id for attempt in flow.attempts("train"))
    before = max(epochs(flow.client, run))
    killed = kill_part(docker_platform, *SERVER)
    wait_for_another(docker_platform, killed, *SERVER)
    wait_for(lambda: max(epochs(flow.client, run), default=0) > before + 1, STARTED_WITHIN_S, "later epochs are told")
    assert [attempt.id for attempt in flow.attempts("train")] == [run]


def test_another_container_goes_on_from_the_progress_of_a_killed_one(flow, docker_platform):
    killed = flow.attempts("train")[-1].id
    before = max(epochs(flow.client, killed))
    kill_container(killed)
    wait_for(lambda: flow.attempts("train")[-1].id != killed, STARTED_WITHIN_S, "another run of the step")
    another = flow.attempts("train")[-1].id
    told = wait_for(lambda: epochs(flow.client, another), STARTED_WITHIN_S, "the epochs of the other container")
    assert min(told) >= before - 1


def test_training_ends_when_its_flow_is_gone_and_leaves_its_progress(flow, docker_platform):
    store = Path(docker_platform.status["layout"]["store"])
    run = flow.attempts("train")[-1].id
    kill_container(flow.id)
    assert flow.wait_until_done().name == "Crashed"
    wait_for(lambda: not containers_of(run), ENDS_WITHIN_S, "the container of the training is gone")
    wait_for(lambda: flow.client.read_flow_run(run).state.name == "Cancelled", 30, "its run is cancelled")
    assert list(store.glob("progress/train-*/*/complete.json"))
    assert_whole(store)
