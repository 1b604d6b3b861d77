"""What a run over a folder is asked for, and what follows from it before a tile is read."""

from dataclasses import dataclass, field
from typing import Any

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.code_version import code_version
from tasks.tiles.config import config_id
from tasks.tiles.devices import starting_device
from tasks.tiles.job import Job
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.settings import Loader, WorkerSettings
from tasks.tiles.torch_model import load_refiner
from tasks.tiles.which_model import WhichModel
from tasks.tiles.zipped import Compression


@dataclass(frozen=True)
class FolderRun:
    """Paths and device as the user gave them."""

    checkpoint: str
    input_dir: str
    output_dir: str
    config: TilesConfig = field(default_factory=TilesConfig)
    batch_size: int = 4
    device: str = "cpu"
    require_device: bool = False
    no_amp: bool = False
    workers: int | None = None
    shard_size: int = 512
    skip_existing: bool = True
    compression: Compression = "none"
    recursive: bool = False
    allow_empty: bool = False
    checkpoint_sha256: str | None = None
    log_file: str | None = None
    load: Loader = load_refiner


def job_of(run: FolderRun, model: WhichModel) -> Job:
    """What decides about each tile of the run."""
    facts = RunFacts(
        input_dir=run.input_dir,
        checkpoint=run.checkpoint,
        device_requested=run.device,
        checkpoint_id=model.id,
        config_id=config_id(run.config),
        code_version=code_version(),
    )
    return Job(facts, run.config, model.num_frames, run.compression, run.allow_empty)


def worker_settings(run: FolderRun, model: WhichModel) -> WorkerSettings:
    """What each worker needs. Raises ConfigError where a required device is not there."""
    return WorkerSettings(
        checkpoint=run.checkpoint,
        patch=model.patch,
        load=run.load,
        config=run.config,
        checkpoint_sha256=run.checkpoint_sha256,
        num_frames=model.num_frames,
        batch_size=run.batch_size,
        device=starting_device(run.device, run.require_device),
        require_device=run.require_device,
        precision=run.config.precision,
        no_amp=run.no_amp,
    )


def run_config(run: FolderRun, job: Job) -> dict[str, Any]:
    """For `run_config.json`: everything that was asked for, and the identities."""
    asked = {key: value for key, value in vars(run).items() if key not in ("config", "load")}
    return {**asked, "config": run.config.model_dump(mode="json"), **job.facts.model_dump(mode="json")}
