"""What the rows work on: options, a folder, made-up tiles, a random checkpoint, the engine without Prefect."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.contracts.tiles import TileRecord, TilesConfig
from tasks.tiles.devices import model_bytes, worker_number
from tasks.tiles.folder_run import FolderRun, job_of, worker_settings
from tasks.tiles.infer import Unwatched, Watch, infer_shard
from tasks.tiles.listing import list_inputs
from tasks.tiles.output_folder import opened
from tasks.tiles.plan import make_plan
from tasks.tiles.sample import make_sample
from tasks.tiles.survey import survey
from tasks.tiles.which_model import which_model
from tasks.tiles.workers import Workers

SEED = 42
HEAD_SCALE = 0.5
DISTINCT = 64  # tiles that are drawn; more are links to them under other names


@dataclass(frozen=True)
class Ground:
    """Options of the command line, and a folder that is removed at the end."""

    folder: Path
    variant: str
    rounds: int
    tiles: int | None
    quick: bool

    def count(self, usual: int, quick: int) -> int:
        """Tiles of a row."""
        return self.tiles or (quick if self.quick else usual)

    @cached_property
    def checkpoint(self) -> Path:
        """A random model of the variant."""
        return self.random_model(self.variant)

    def random_model(self, variant: str) -> Path:
        """A checkpoint with random weights, made once."""
        from tasks.tiles.checkpoint import fresh, save_checkpoint

        folder = self.folder / f"checkpoint-{variant}"
        if not folder.exists():
            save_checkpoint(folder, fresh(variant, seed=SEED, head_scale=HEAD_SCALE), {})
        return folder

    def inputs(self, count: int, side: int = 120) -> Path:
        """A folder with `count` tiles of one size."""
        drawn, folder = self.folder / f"drawn-{side}", self.folder / f"in-{side}-{count}"
        wanted = min(count, DISTINCT)
        if not (drawn / f"tile_{wanted - 1:05d}.npz").exists():
            make_sample(drawn, wanted, (side,), checkpoint=False)
        if not folder.exists():
            folder.mkdir()
            for number in range(count):
                for ending in ("npz", "json"):
                    os.link(drawn / f"tile_{number % wanted:05d}.{ending}", folder / f"tile_{number:05d}.{ending}")
        return folder

    def output(self) -> Path:
        """A new folder for results."""
        number = len(list(self.folder.glob("out-*")))
        folder = self.folder / f"out-{number}"
        folder.mkdir()
        return folder

    def run(self, inputs: Path, output: Path, **changes) -> FolderRun:
        """A run over the inputs with the variant's checkpoint."""
        asked = {"checkpoint": str(self.checkpoint), "config": TilesConfig(), **changes}
        return FolderRun(input_dir=str(inputs), output_dir=str(output), **asked)


class Engine:
    """The workers of a run, kept for several passes, so that a pass costs no start."""

    def __init__(self, run: FolderRun):
        self._run, self._model = run, which_model(Path(run.checkpoint))
        size, batches = model_bytes(Path(run.checkpoint)), 1 << 30
        count = lambda device: worker_number(run.workers, device, size, batches)  # noqa: E731
        self.settings = worker_settings(run, self._model)
        self.workers = Workers(self.settings, count)

    def __enter__(self) -> "Engine":
        self.workers.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.close()

    def refine(self, output: Path, watch: Watch = Unwatched()) -> list[TileRecord]:  # noqa: B008
        """Every tile of the run into a folder: listing, digests, plan, resume check, model, writing, sync."""
        run = self._run
        headers, failed = survey(list_inputs(run.input_dir).tiles, self._model.num_frames)
        plan = make_plan(headers, self._model.patch, run.batch_size, run.shard_size)
        job, records = job_of(run, self._model), list(failed)
        with opened(output, Path(run.input_dir)) as sink:
            for shard in plan.shards:
                records += infer_shard(shard, job, sink, self.workers, watch=watch)
        if not all(record.status in ("done", "resumed") for record in records):
            raise SystemExit(f"the benchmark's own tiles fail: {records[0].message}")
        return records
