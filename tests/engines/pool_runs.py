"""Flow runs of a served platform, seen from outside: their steps, their containers, and what can be killed."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort

from tasks.orchestration.serving.children import descendants
from tasks.orchestration.serving.containers import LABEL
from tasks.orchestration.serving.engine import engine
from tasks.orchestration.serving.left_behind import HEARTBEAT
from tests.engines.served import Serve

LOOK_EVERY_S = 0.2
STAND_IN = "prefect.deployments."  # the tasks by which Prefect draws runs of deployments below a flow
STARTED_WITHIN_S = 300  # several flows share two processors
DONE_WITHIN_S = 600


def wait_for(what: Callable[[], Any], seconds: float, why: str) -> Any:
    """What a look finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {why}"
        time.sleep(LOOK_EVERY_S)
    return found


def child_pid(serve: Serve, *words: str) -> int | None:
    """The part of a serve that has these words on its command line."""
    for pid, _ in descendants(serve.process.pid, deep=False):
        with suppress(OSError):
            if set(words) <= set(Path(f"/proc/{pid}/cmdline").read_text().split("\0")):
                return pid
    return None


def kill_part(serve: Serve, *words: str) -> int:
    """`kill -9` of a part of a serve; the process that it was."""
    pid = child_pid(serve, *words)
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_for_another(serve: Serve, killed: int, *words: str) -> None:
    """Until serve has started a part again."""
    wait_for(lambda: child_pid(serve, *words) not in (None, killed), 60, f"another {' '.join(words)}")


def containers_of(run: UUID) -> list:
    """Those of one flow run that run now."""
    return engine().containers.list(filters={"label": f"{LABEL}={run}"})


def kill_container(run: UUID) -> None:
    """`kill -9` of all processes of a flow run's container."""
    (container,) = containers_of(run)
    container.kill("SIGKILL")


@dataclass
class Asked:
    """One flow run that was asked for."""

    client: SyncPrefectClient
    id: UUID

    @classmethod
    def for_(cls, client: SyncPrefectClient, deployment: str, request: dict[str, Any]) -> "Asked":
        """As `prefect deployment run DEPLOYMENT -p request=...` does."""
        found = client.read_deployment_by_name(deployment)
        return cls(client, client.create_flow_run_from_deployment(found.id, parameters={"request": request}).id)

    def state(self) -> State:
        """As it is now."""
        return self.client.read_flow_run(self.id).state

    def attempts(self, step: str) -> list[FlowRun]:
        """Runs of a step that this flow has started, the oldest first."""
        below = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [self.id]}})
        runs = self.client.read_flow_runs(flow_run_filter=below, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
        return [run for run in runs if run.name.startswith(f"{step} ")]

    def states_of_steps(self) -> dict[str, str]:
        """Name of each step's task to the name of its state."""
        mine = FlowRunFilter.model_validate({"id": {"any_": [self.id]}})
        tasks = self.client.read_task_runs(flow_run_filter=mine, task_run_filter=TaskRunFilter(), limit=200)
        return {task.name: task.state_name for task in tasks if not task.task_key.startswith(STAND_IN)}

    def wait_for_attempt(self, step: str, within_s: float = STARTED_WITHIN_S) -> UUID:
        """The newest run of a step, once it is in its container."""

        def under_way() -> UUID | None:
            assert not self.state().is_final(), self.state()
            runs = self.attempts(step)
            return runs[-1].id if runs and runs[-1].state.is_running() and containers_of(runs[-1].id) else None

        return wait_for(under_way, within_s, f"{step} in a container")

    def wait_until_done(self) -> State:
        """Its last state."""
        return wait_for(lambda: state if (state := self.state()).is_final() else None, DONE_WITHIN_S, "the flow's end")

    def wait_for_beat(self, run: UUID) -> None:
        """Until a run has told that it lives."""
        wanted = {"event": {"name": [HEARTBEAT]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}
        ask = {"filter": wanted, "limit": 1}
        wait_for(
            lambda: self.client.request("POST", "/events/filter", json=ask).json()["events"], 60, "the first heartbeat"
        )

    def told(self, run: UUID, name: str) -> datetime:
        """When a run came into the last state of a name."""
        states = self.client.read_flow_run_states(run)
        return max(state.timestamp for state in states if state.name == name)
