"""One shard through the engine: from references in to references out, in this process or in a container."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from tasks.contracts.errors import InterruptedStepError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TileRecord, TilesConfig
from tasks.store.workspace import Workspace
from tasks.tiles.devices import model_bytes, worker_number
from tasks.tiles.flow.checkpoints import checkpoint_here
from tasks.tiles.flow.delivery import Delivery, current
from tasks.tiles.flow.shards import BATCHES, LocalBytes, engine_shard, fetch_all, get
from tasks.tiles.flow.sinks import StoreSink
from tasks.tiles.flow.types import Manner, ModelRefs, RefinedShard, Writing, run_facts
from tasks.tiles.infer import infer_shard
from tasks.tiles.job import Finding, Job
from tasks.tiles.messages import MemoryShort, WorkerLost
from tasks.tiles.plan import Shard
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.run_watch import RunWatch
from tasks.tiles.settings import WorkerSettings
from tasks.tiles.torch_model import load_refiner
from tasks.tiles.workers import Workers

log = logging.getLogger(__name__)
SAVE_EVERY_S = 20.0
FINISHED = "finished.json"  # in the saved progress


def refine_shard(
    shard: ArtifactRef, model: ModelRefs, config: TilesConfig, writing: Writing, manner: Manner, here: Workspace
) -> RefinedShard:
    """A record for every tile of the shard, in its order. Raises InterruptedStepError where a signal came first."""
    delivery, path = current(), LocalBytes(here.store, here.scratch)
    batches = get(BATCHES, shard, here.store)
    if here.store.local_path(shard) is None:
        fetch_all(batches, path)
    planned = engine_shard(batches, path)
    asked = (writing.compression, writing.allow_empty)
    job = Job(run_facts(model, config, manner), config, model.num_frames, *asked, stored=True)
    known = delivery.known if delivery else _saved(here)
    sink = StoreSink(str(here.store.root), delivery.folder if delivery else None, known)
    watch = _Watch(planned, known, delivery, here)
    if delivery is None:
        with _workers(planned, model, config, manner, here, here.scratch / "model") as workers:
            records = infer_shard(planned, job, sink, workers, stopping=here.stopping, watch=watch)
    else:
        workers = delivery.workers(lambda: _workers(planned, model, config, manner, here, delivery.own / "model"))
        records = infer_shard(planned, job, sink, workers, stopping=here.stopping, watch=watch)
    watch.save()
    here.telemetry["milliseconds"] = {name: round(value, 3) for name, value in watch.milliseconds.items()}
    here.telemetry["events"] = [str(event) for event in watch.events]
    if any(record.status == "not_run" for record in records):
        remedy = "Run the same command again: what was finished is kept."
        raise InterruptedStepError("refinement was stopped by a signal", where=f"shard {shard.short}", remedy=remedy)
    return RefinedShard(
        records=tuple(_kept(record, delivery, here) for record in records),
        passing=any(record.status == "failed" and record.phase in ("model", "write") for record in records),
    )


class _Watch:
    """Tells how far the shard is, keeps the books of the run, and saves what a container has finished."""

    def __init__(self, shard: Shard, known: dict[str, Finding], delivery: Delivery | None, here: Workspace):
        self.milliseconds: dict[str, float] = {}
        self.events: list[MemoryShort | WorkerLost] = []
        self._done: dict[str, TileRecord] = {}
        self._line = ProgressLine(len(shard.tiles), _Silent())
        self._next: RunWatch | Delivery = delivery or RunWatch(self._line)
        self._count = len(shard.tiles)
        self._over = 0
        self._delivery, self._here, self._saved_at = delivery, here, time.monotonic()

    def tile(self, record: TileRecord, processing_time_ms: float, warnings: tuple[str, ...]) -> None:
        self.milliseconds[record.id] = processing_time_ms
        self._next.tile(record, processing_time_ms, warnings)
        if self._delivery is not None:
            self._line.count(record.status)
        self._over += 1
        if record.output is not None:
            self._done[record.id] = record
        self._here.tell(self._over / self._count, self._line.text)
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self.save()

    def event(self, news: MemoryShort | WorkerLost) -> None:
        self.events.append(news)
        self._next.event(news)

    def save(self) -> None:
        """In a container: another one goes on from here."""
        self._saved_at = time.monotonic()
        if self._delivery is None and self._done:
            records = [record.model_dump(mode="json") for record in self._done.values()]
            self._here.progress.save({FINISHED: json.dumps(records).encode()})


class _Silent:
    """A stream that nobody reads: what is told here goes to the step's own progress."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass


def _saved(here: Workspace) -> dict[str, Finding]:
    """What an earlier container finished, as far as its bytes are there."""
    files = here.progress.load() or {}
    records = [TileRecord.model_validate_json(json.dumps(each)) for each in json.loads(files.get(FINISHED, b"[]"))]
    return {
        record.id: Finding(record.model_copy(update={"status": "resumed"}))
        for record in records
        if record.output is not None and here.store.holds(record.output)
    }


def _kept(record: TileRecord, delivery: Delivery | None, here: Workspace) -> TileRecord:
    """The record without what depends on this run; a tile that was found finished in the folder joins the store."""
    found = record.status == "resumed"
    if found and delivery is not None and record.output is not None and not here.store.holds(record.output):
        here.store.put_file(delivery.folder.path / f"{record.id}.npz", name=record.output.name)
    return record.model_copy(update={"status": "done" if found else record.status, "reason": ""})


def _workers(
    shard: Shard, model: ModelRefs, config: TilesConfig, manner: Manner, here: Workspace, folder: Path
) -> Workers:
    path = checkpoint_here(model.file, folder, here.store)
    settings = worker_settings(path, model, config, manner, here)
    return Workers(settings, _count(manner.workers, path, len(shard.batches)))


def worker_settings(
    path: Path, model: ModelRefs, config: TilesConfig, manner: Manner, here: Workspace
) -> WorkerSettings:
    """How the model at a path is loaded, on a device that this step may use."""
    device = manner.device if here.accelerator == "cuda" and manner.device != "cpu" else "cpu"
    if device != manner.device:
        log.warning("no usable device %s; continuing on the CPU", manner.device)
    return WorkerSettings(
        checkpoint=str(path),
        patch=model.patch,
        load=load_refiner,
        config=config,
        num_frames=model.num_frames,
        batch_size=manner.batch_size,
        device=device,
        require_device=manner.require_device,
        precision=config.precision,
        no_amp=manner.no_amp,
    )


def _count(asked: int | None, path: Path, batches: int) -> Callable[[str], int]:
    return lambda device: worker_number(asked, device, model_bytes(path), batches)
