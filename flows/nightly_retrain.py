"""Train the candidates of the night."""

from prefect import flow

from flows.forecast_subsidence import forecast_subsidence
from tasks.orchestration.retrain import RetrainReport, RetrainRequest, attempt, conclude

FLOWS = {flow.name: flow for flow in (forecast_subsidence,)}


@flow(name="nightly-retrain")
def nightly_retrain(request: RetrainRequest = RetrainRequest()) -> RetrainReport:  # noqa: B008 - frozen
    """Run each item's flow, then say what came of all of them; fails at the end where an item failed.

    Args:
        request: Which candidates to train.
    """
    return conclude([attempt(item, FLOWS[item.flow]) for item in request.plan])
