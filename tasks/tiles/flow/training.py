"""Training on pairs in the store: from references in to a checkpoint out."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, TypeAdapter

from tasks.contracts.base import Frozen
from tasks.contracts.refs import ArtifactRef, Digest
from tasks.contracts.tiles import Precision, TileInput
from tasks.store.workspace import Workspace
from tasks.tiles.checkpoint_files import CONFIG_NAME, WEIGHTS_NAME
from tasks.tiles.flow.checkpoints import checkpoint_here, named
from tasks.tiles.flow.shards import LocalBytes, get
from tasks.tiles.flow.types import CheckpointFile
from tasks.tiles.references import OracleStrength
from tasks.tiles.train_job import TrainJob

if TYPE_CHECKING:
    from tasks.tiles.model import Refiner
    from tasks.tiles.pair_files import PairFiles


class PairInput(Frozen):
    """A tile and its target; without one the tile is clean and degraded for a synthetic pair."""

    tile: TileInput
    target: ArtifactRef | None = None


PAIRS = TypeAdapter(tuple[PairInput, ...])


class TrainingSet(Frozen):
    """What a training reads."""

    pairs: ArtifactRef = Field(description="JSON list of PairInput, in byte order of the ids.")
    synthetic: bool
    oracle_strength: OracleStrength


class StartingPoint(Frozen):
    """The model before its training."""

    variant: str
    backbone: CheckpointFile | None = None


class TrainedTiles(Frozen):
    """A trained model; `better` says whether it beat the identity on the validation scenes."""

    checkpoint: CheckpointFile
    id: Digest
    better: bool
    warnings: tuple[str, ...]
    log: ArtifactRef = Field(description="JSON list of one row per epoch.")
    metrics: dict[str, float | None]
    device: str
    text: str = Field(description="Scores beside the baselines, for people.")


def train_tiles(
    data: TrainingSet, start: StartingPoint, job: TrainJob, precision: Precision, device: str, here: Workspace
) -> TrainedTiles:
    """Train, from saved progress where there is any. Precision and device are as the user said them."""
    from tasks.tiles.checkpoint import save_checkpoint
    from tasks.tiles.precision import global_settings
    from tasks.tiles.train import train
    from tasks.tiles.train_start import training_precision

    device = device if here.accelerator == "cuda" else "cpu"
    job = job.model_copy(update={"device": device, "precision": training_precision(precision, device)})
    model, origin = _starting_model(start, job, here)
    model = model.to(device)
    pairs = _pairs(data, model.config.num_frames, job, here)
    with global_settings(device, threads=None):
        trained = train(
            job, pairs, model, here.progress, tell=here.tell, should_stop=here.stopping, telemetry=here.telemetry
        )
    folder = here.scratch / "trained"
    identity = save_checkpoint(folder, trained.model, {"training": trained.document, "origin": origin})
    return TrainedTiles(
        checkpoint=CheckpointFile(
            weights=here.store.put_file(folder / WEIGHTS_NAME), config=here.store.put_file(folder / CONFIG_NAME)
        ),
        id=identity,
        better=trained.verdict.better,
        warnings=trained.verdict.warnings,
        log=here.store.put_json(trained.rows, name="training_log.json"),
        metrics=dict(_flat(trained.verdict)),
        device=device,
        text=trained.verdict.text,
    )


def _starting_model(start: StartingPoint, job: TrainJob, here: Workspace) -> "tuple[Refiner, dict[str, Any]]":
    from tasks.tiles.train_start import starting_model

    how = {"seed": job.seed, "unfreeze_blocks": job.unfreeze_blocks}
    if start.backbone is None:
        return starting_model(start.variant, None, **how)
    path = checkpoint_here(start.backbone, here.scratch / "backbone", here.store)
    with named(start.backbone, path):
        return starting_model(start.variant, path, **how)


def _pairs(data: TrainingSet, num_frames: int, job: TrainJob, here: Workspace):
    from tasks.tiles.pairs import open_pairs

    files = list(_files(get(PAIRS, data.pairs, here.store), LocalBytes(here.store, here.scratch)))
    return open_pairs(
        files,
        job.tiles,
        synthetic=data.synthetic,
        oracle_strength=data.oracle_strength,
        seed=job.seed,
        num_frames=num_frames,
    )


def _files(pairs: tuple[PairInput, ...], path: LocalBytes) -> "Iterator[PairFiles]":
    from tasks.tiles.pair_files import PairFiles

    for pair in pairs:
        sidecar = None if pair.tile.sidecar is None else Path(path(pair.tile.sidecar))
        target = None if pair.target is None else Path(path(pair.target))
        yield PairFiles(pair.tile.id, Path(path(pair.tile.file)), sidecar, target)


def _flat(verdict) -> Iterator[tuple[str, float | None]]:
    """Validation scores, baselines under `baselines.<name>.`; keys as everywhere in this workload."""
    names = {"psnr": "psnr_db"}
    for name, value in verdict.model.items():
        yield f"val.{names.get(name, name)}", value
    for baseline in ("identity", "unsharp"):
        for name, value in getattr(verdict, baseline).items():
            yield f"baselines.{baseline}.val.{names.get(name, name)}", value
