"""From pairs of tiles to a model that refines them."""

from prefect import flow

from tasks.contracts.report import FlowReport
from tasks.orchestration.naming import flow_run_name
from tasks.steps.tiles_training_edges import kept, paired
from tasks.steps.train import train_tiles as train
from tasks.tiles.request import TrainTilesRequest


@flow(name="train-tiles", flow_run_name=flow_run_name)
def train_tiles(request: TrainTilesRequest) -> FlowReport:
    """Train on pairs split by scene, keep the best epoch, say whether it beats doing nothing.

    Args:
        request: Which pairs, which model, for how long.
    """
    with paired(request) as given:
        trained = train(given.data, given.start, given.job, given.request.precision, given.request.device)
        return kept(given, trained)
