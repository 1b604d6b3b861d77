"""The pools executor: a step's body runs as a `run-step` flow run in the container of a work pool."""

import logging
import signal
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.states import Cancelling, State
from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError, ContainerLostError, InterruptedStepError, PoolError
from tasks.orchestration import answers
from tasks.orchestration.patience import away, patiently
from tasks.orchestration.places import Place
from tasks.orchestration.run import Run
from tasks.orchestration.runtimes import Runtime
from tasks.orchestration.signals import polite

if TYPE_CHECKING:
    from tasks.orchestration.step import Step

log = logging.getLogger(__name__)

FLOW = "run-step"
RUNTIME_VARIABLE = "STAGEGATE_RUNTIME"  # in a deployment's environment: what its image has installed
ACCELERATOR_VARIABLE = "STAGEGATE_ACCELERATOR"  # and the kind of device its containers get
LOCAL = "local"
POLL_S = 0.5
SAY_EVERY_S = 30.0
STOP_WITHIN_S = 90.0


class StepRequest(Frozen):
    """One step for a container: name, plain inputs, the key that the flow computed, the device it may use."""

    step: str = Field(title="Step", description="Name of the step; started by flows, not by hand.")
    inputs: dict[str, Any] = Field(
        title="Inputs", description="The step's arguments as plain JSON, bytes as references."
    )
    key: str = Field(title="Cache key", description="Under which progress is saved and telemetry is kept.")
    accelerator: Literal["cpu", "cuda"] = Field(title="Accelerator", description="The device that the step may use.")
    # The flow's own digests, so that an image of another revision is refused by name.
    code: str = Field(title="Code", description="Digest of the code that the flow expects in the container.")
    runtime: str = Field(title="Packages", description="Digest of the versions that the flow expects there.")


class _Deployed(Frozen):
    """What the flow needs to know of one `run-step` deployment."""

    name: str
    pool: str
    runtime: Runtime
    accelerator: str
    workers: int  # online


def place_in_pool(pool: str, wanted: str) -> Place:
    """The deployment that takes steps of a pool. Raises PoolError or ConfigError where none can."""
    seen = {name: patiently(partial(_deployed, name)) for name in _names(pool)}
    deployed = {name: found for name, found in seen.items() if found is not None}
    if not deployed:
        raise PoolError(
            "no deployment takes this step",
            where=f"pool {pool}",
            expected=" or ".join(f"{FLOW}/{name}" for name in _names(pool)),
            found="none of them on the Prefect server",
            remedy="Run `stagegate serve`, or use STAGEGATE_EXECUTOR=inprocess.",
        )
    if pool.startswith("cuda") and wanted != "none":
        for found in deployed.values():
            if found.accelerator == "cuda" and found.workers:
                return Place(found.name, "cuda", found.runtime)
        if wanted == "required":
            _refuse_without_gpu(pool, deployed)
        log.warning("no GPU worker is online in pool %s: the step runs on the CPU", pool)
    fitting = [found for name, found in deployed.items() if not name.startswith("cuda")]
    on_cpu = next((found for found in fitting if found.workers), fitting[0] if fitting else None)
    if on_cpu is None:
        raise PoolError(
            "no deployment takes this step on a CPU",
            where=f"pool {pool}",
            expected=" or ".join(f"{FLOW}/{name}" for name in _names(pool)[1:]),
            found=_seen(deployed),
            remedy="Build its image (`make images`) and run `stagegate deploy`.",
        )
    return Place(on_cpu.name, "cpu", on_cpu.runtime)


def run_in_pool(
    step: "Step", place: Place, inputs: dict[str, Any], document: dict[str, Any], key: str, run: Run
) -> dict[str, Any]:
    """Run the step in its place and return its output as plain JSON.

    Raises what the step raised there; ContainerLostError, which is worth another container, where it left no answer.
    """
    request = StepRequest(
        step=step.name,
        inputs=inputs,
        key=key,
        accelerator=place.accelerator,
        code=document["code"],
        runtime=document["runtime"],
    )
    left = answers.peek(run.store, key)  # by a container whose flow was lost before it could record this
    if left is not None:
        return left
    task_run = TaskRunContext.get().task_run
    with polite(run.stop):
        child = patiently(
            lambda: run_deployment(
                f"{FLOW}/{place.name}",
                parameters={"request": request.model_dump(mode="json")},
                flow_run_name=f"{step.title} {run.label()}".strip(),
                timeout=0,
                # The run count: a retry is a new container; a call that is made again finds the one it has made.
                idempotency_key=f"{task_run.id}-{task_run.run_count}",
            )
        )
        state = _wait(child.id, step, place, run)
    try:
        output = answers.take(run.store, str(child.id))
    except InterruptedStepError:  # progress is saved; the state says why it was stopped
        output = None
    if output is not None:
        return output
    if run.stop.is_set():
        raise _stopped(step, place)
    raise _cancelled(step, place) if state is not None and state.is_cancelled() else _lost(step, place, state)


def _names(pool: str) -> tuple[str, ...]:
    """Deployments that can take a pool's steps, best first."""
    if pool.startswith("cuda-"):
        return (pool, pool.replace("cuda-", "cpu-"), LOCAL)
    return (pool, LOCAL)


def _deployed(name: str) -> _Deployed | None:
    with _client() as client:
        try:
            deployment = client.read_deployment_by_name(f"{FLOW}/{name}")
        except ObjectNotFound:
            return None
        pool = deployment.work_pool_name or ""
        workers = client.read_workers_for_work_pool(pool)
    environment = deployment.job_variables.get("env", {})
    if RUNTIME_VARIABLE not in environment:
        raise PoolError(
            "deployment does not say what its image has installed",
            where=f"{FLOW}/{name}",
            expected=f"{RUNTIME_VARIABLE} in its environment",
            remedy="Make the deployments with `stagegate deploy`.",
        )
    online = sum(worker.status is not None and worker.status.value == "ONLINE" for worker in workers)
    return _Deployed(
        name=name,
        pool=pool,
        runtime=Runtime.model_validate_json(environment[RUNTIME_VARIABLE]),
        accelerator=environment.get(ACCELERATOR_VARIABLE, "cpu"),
        workers=online,
    )


def _refuse_without_gpu(pool: str, deployed: dict[str, _Deployed]) -> None:
    raise ConfigError(
        "no GPU worker is online",
        where=f"pool {pool}",
        expected="a worker with a CUDA device in this pool",
        found=_seen(deployed),
        remedy=f"Start one on a GPU machine (`stagegate worker {pool}`), or ask for accelerator `preferred`.",
    )


def _seen(deployed: dict[str, _Deployed]) -> str:
    return ", ".join(
        f"{FLOW}/{one.name} ({one.accelerator}, {one.workers} workers online)" for one in deployed.values()
    )


def _wait(child: UUID, step: "Step", place: Place, run: Run) -> State:
    """Until the run has ended; a stop of this flow stops the container too."""
    said, cancelled_at = time.monotonic(), 0.0
    with _client() as client:
        while True:
            state = _state(client, child)
            if state is not None and state.is_final():
                return state
            now = time.monotonic()
            if run.stop.is_set() and not cancelled_at:
                with suppress(httpx.HTTPError):  # asked again
                    client.set_flow_run_state(child, Cancelling(message="The flow was stopped."))
                    cancelled_at = now
            if cancelled_at and now - cancelled_at > STOP_WITHIN_S:
                return state
            if now - said > SAY_EVERY_S and state is not None and not state.is_running():
                said = now
                thing = "its container" if state.is_pending() else "a worker"
                log.warning("%s waits for %s in %s (%s)", step.title, thing, place.name, state.name)
            time.sleep(POLL_S)


def _state(client: SyncPrefectClient, child: UUID) -> State | None:
    """None while the server does not answer: it may be restarting, and the container goes on meanwhile."""
    try:
        return client.read_flow_run(child).state
    except httpx.HTTPError as error:
        if not away(error):
            raise
        log.warning("Prefect server does not answer (%s); asking again", type(error).__name__)
        return None


def _stopped(step: "Step", place: Place) -> BaseException:
    """A deployed flow ends as Prefect asked (cancelled, or to be run again); one in a shell tells its user."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None:
        return TerminationSignal(signal.SIGTERM)
    return InterruptedStepError(
        "run was stopped by a signal",
        where=f"step {step.name} in {place.name}",
        remedy="Run the same command again; finished steps are cached.",
    )


def _cancelled(step: "Step", place: Place) -> InterruptedStepError:
    return InterruptedStepError(
        "was cancelled",
        where=f"step {step.name} in {place.name}",
        remedy="Run the same again; finished steps are cached, and this one goes on from its progress.",
    )


def _lost(step: "Step", place: Place, state: State | None) -> ContainerLostError:
    found = "no state" if state is None else f"{state.name}: {state.message or 'no message'}"
    return ContainerLostError(
        "container ended without an answer",
        where=f"step {step.name} in {place.name}",
        expected="an output or an error",
        found=found,
        remedy="Its log is in the dashboard; look there for a lack of memory or a missing image.",
    )


def _client() -> SyncPrefectClient:
    return get_client(sync_client=True)
