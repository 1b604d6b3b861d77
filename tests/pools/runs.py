"""A deployed forecast, asked for as a person does: the shell's command, what it printed, which containers it took."""

import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from tasks.orchestration.serving.containers import LABEL
from tasks.orchestration.serving.engine import engine
from tests.engines.served import Serve

PREFECT = Path(sys.executable).with_name("prefect")
WITHIN_S = 1200
UUID_LINE = re.compile(r"UUID: ([0-9a-f-]{36})")
GRACE_S = 60


class Asked:
    """One flow run from the shell, under way."""

    def __init__(self, serve: Serve, deployment: str, request: dict):
        self.serve, self.began = serve, time.time()
        words = ("deployment", "run", deployment, "-p", f"request={json.dumps(request)}", "--watch")
        self.process = subprocess.Popen(
            [PREFECT, "--no-prompt", *words],
            env=serve.environment() | {"COLUMNS": "400"},
            cwd=serve.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def under_way(self) -> bool:
        """Whether the command still watches."""
        return self.process.poll() is None

    def finish(self) -> "Finished":
        """Wait for the command."""
        printed, _ = self.process.communicate(timeout=WITHIN_S)
        seconds, flow_run = time.time() - self.began, UUID_LINE.search(printed)
        assert flow_run is not None, printed
        with self.serve.client() as client:
            flow = client.read_flow_run(UUID(flow_run[1]))
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow.id])))
        of_flow = {str(task.id) for task in tasks}
        below = [run for run in runs(self.serve) if (run.idempotency_key or "").rpartition("-")[0] in of_flow]
        started = _started(self.began, {str(run.id) for run in (flow, *below)})
        return Finished(self.process.returncode, printed, seconds, flow, {_step(run): run for run in below}, started)


@dataclass(frozen=True)
class Finished:
    """A flow run that has ended, and what it took."""

    exit_code: int
    printed: str
    seconds: float
    flow: FlowRun
    steps: dict[str, FlowRun]  # the runs in containers of their own, by step
    containers: dict[UUID, list[dict]]  # of each run: one entry for each start, with exit code and seconds

    def key_of(self, step: str) -> str:
        """The cache key that the step was run for."""
        return self.steps[step].parameters["request"]["key"]

    def containers_of(self, step: str) -> list[dict]:
        """Of one step, in order."""
        return self.containers[self.steps[step].id]

    def lineage(self, serve: Serve) -> dict[str, dict]:
        """The lineage table of the dashboard, by step."""
        with serve.client() as client:
            made = client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[self.flow.id])))
        (table,) = (each.data for each in made if (each.key or "").startswith("lineage-"))
        return {row["step"]: row for row in json.loads(table)}


def runs(serve: Serve) -> list[FlowRun]:
    """The newest flow runs that a server knows."""
    with serve.client() as client:
        return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC)


def run_folder(serve: Serve) -> Path:
    """The folder of the first forecast of the small city."""
    return min((serve.folder / "results" / "runs" / "minicity").rglob("report.html")).parent


def log_of(serve: Serve, run: FlowRun) -> list[str]:
    """What a run has logged, oldest first."""
    with serve.client() as client:
        lines = client.request(
            "POST",
            "/logs/filter",
            json={
                "logs": LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])).model_dump(mode="json"),
                "sort": "TIMESTAMP_ASC",
                "limit": 200,
            },
        ).json()
    return [line["message"] for line in lines]


def stop_once(asked: Asked, store: Path, step: str) -> int:
    """Ask the first container of a step to end, as `docker stop` does, once its progress was saved twice.

    Returns how many generations of progress were seen; 0 where the step had ended before.
    """
    pattern, seen = f"progress/{step}-*/*/complete.json", set()
    of_others = {path.parent.parent for path in store.glob(pattern)}
    while asked.under_way() and len(seen) < 2:
        seen |= {path.parent for path in store.glob(pattern) if path.parent.parent not in of_others}
        time.sleep(0.05)
    keys = {path.parent.name for path in seen}
    ours = {str(run.id) for run in runs(asked.serve) if run.parameters.get("request", {}).get("key") in keys}
    for container in engine().containers.list(filters={"label": LABEL}):
        if container.labels[LABEL] in ours:
            container.stop(timeout=GRACE_S)
            return len(seen)
    return 0


def _step(run: FlowRun) -> str:
    return run.parameters["request"]["step"]


def _started(since: float, flow_runs: set[str]) -> dict[UUID, list[dict]]:
    """Containers of some flow runs, as the engine remembers them."""
    starts: dict[UUID, list[dict]] = defaultdict(list)
    filters = {"type": "container", "event": ["start", "die"], "label": LABEL}
    for event in engine().events(since=int(since), until=int(time.time()) + 1, filters=filters, decode=True):
        facts = event["Actor"]["Attributes"]
        if facts.get(LABEL) not in flow_runs:
            continue
        own = starts[UUID(facts[LABEL])]
        at = event["timeNano"] / 1e9
        if event["Action"] == "start":
            own.append({"image": facts["image"], "id": event["Actor"]["ID"], "started": at})
        else:
            ended = next(each for each in own if each["id"] == event["Actor"]["ID"])
            ended |= {"exit_code": int(facts["exitCode"]), "seconds": at - ended["started"]}
    return dict(starts)
