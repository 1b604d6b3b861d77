"""The inner side of the pools executor: what `run-step` does in a container."""

import signal
from typing import Any

from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run

from tasks.contracts.errors import ConfigError, InterruptedStepError
from tasks.orchestration import answers
from tasks.orchestration.catalogue import find_step
from tasks.orchestration.code_digest import code_digest
from tasks.orchestration.dispatch import run_here
from tasks.orchestration.orphans import ended_with_its_flow
from tasks.orchestration.pools import StepRequest
from tasks.orchestration.run import Run
from tasks.orchestration.runtimes import runtime_digest
from tasks.orchestration.settings import read_settings
from tasks.orchestration.ui import progress_teller


def answer(request: StepRequest) -> dict[str, Any]:
    """Run the step and leave its output, or its error, where the flow looks for it."""
    run = Run(read_settings().model_copy(update={"executor": "inprocess"}), str(flow_run.id))
    run.tell = progress_teller(run)
    try:
        with ended_with_its_flow(run.flow_run_id):
            output = _output(request, run)
    except InterruptedStepError as error:
        answers.leave_error(run.store, run.flow_run_id, error)
        # Prefect knows why it asked: to cancel, to reschedule, or not at all. It sets the state that belongs to it.
        raise TerminationSignal(signal.SIGTERM) from error
    except Exception as error:
        answers.leave_error(run.store, run.flow_run_id, error)
        raise
    answers.leave_output(run.store, run.flow_run_id, output)
    return output


def _output(request: StepRequest, run: Run) -> dict[str, Any]:
    step = find_step(request.step)
    _refuse("code", request.code, code_digest(step.function), step.name)
    _refuse("packages", request.runtime, runtime_digest(step.function, step.pool, request.accelerator), step.name)
    output = run_here(step, request.inputs, request.key, request.accelerator, run)
    answers.leave_output(run.store, request.key, output)
    return output


def _refuse(what: str, expected: str, found: str, name: str) -> None:
    if expected != found:
        raise ConfigError(
            f"image has other {what} than the flow",
            where=f"step {name}",
            expected=f"digest {expected[:12]}",
            found=found[:12],
            remedy="Build the images and make the deployments again (`make images`, `stagegate deploy`).",
        )
