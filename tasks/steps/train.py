"""Train a network."""

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import Precision
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, Blueprint, Scaled, Settings, SplitRefs, Trained
from tasks.tiles.flow.training import StartingPoint, TrainedTiles, TrainingSet
from tasks.tiles.train_job import TrainJob


@step(title="train", pool="cuda-tf", retries=1, unkeyed=COSMETIC)
def train_subsidence(
    parts: SplitRefs,
    scaled: Scaled,
    blueprint: Blueprint,
    settings: Settings,
    init: ArtifactRef | None,
    here: Workspace,
) -> Trained:
    """Train on the train split; half of the validation places choose the checkpoint."""
    from tasks.subsidence import loading
    from tasks.subsidence.calibrate import split_validation
    from tasks.subsidence.network.saved_model import saved_model_tar
    from tasks.subsidence.settings import device
    from tasks.subsidence.train import train

    cfg = loading.config(settings)
    here.telemetry["device"] = device.configure(cfg, here)
    semantics = loading.semantics(scaled, here)
    val = loading.split(parts, "val", semantics, here)
    result = train(
        loading.split(parts, "train", semantics, here),
        val,
        split_validation(val)[0],
        loading.init_manifest(blueprint, here),
        cfg,
        here,
        init_from=None if init is None else here.store.fetch(init, here.scratch),
    )
    put = here.store.put_bytes
    best, saved_model = put(result.best_weights, name="best.weights.h5"), None
    if cfg["USE_TF_SAVEDMODEL"]:
        network = loading.network(blueprint, best, here)
        saved_model = put(saved_model_tar(network, val, result.val_prediction, here.scratch), name="saved_model.tar")
    return Trained(
        best_weights=best,
        final_weights=put(result.final_weights, name="final.weights.h5"),
        best_archive=put(result.best_archive, name="best.keras"),
        final_archive=put(result.final_archive, name="final.keras"),
        log=put(result.log, name="train_log.csv"),
        summary=here.store.put_json(result.summary, name="training.json"),
        val_prediction=loading.put_prediction(result.val_prediction, "val_prediction.npz", here),
        saved_model=saved_model,
    )


@step(title="train", pool="cuda-torch", retries=1, unkeyed=("device",))
def train_tiles(
    data: TrainingSet, start: StartingPoint, job: TrainJob, precision: Precision, device: str, here: Workspace
) -> TrainedTiles:
    """Train a refiner; the best epoch is chosen against doing nothing, on scenes that it has not seen."""
    from tasks.tiles.flow import training

    return training.train_tiles(data, start, job, precision, device, here)
