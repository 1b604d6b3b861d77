"""One step in a container of a work pool."""

from prefect import flow

from tasks.orchestration.container import answer
from tasks.orchestration.pools import StepRequest


@flow(name="run-step", persist_result=False, retries=0)
def run_step(request: StepRequest) -> dict:
    """Look the step up by name, check that code and packages are the flow's, run it, leave its answer in the store.

    Args:
        request: The step, as the flow that waits for it has asked.
    """
    return answer(request)
