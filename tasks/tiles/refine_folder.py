"""A folder of opt_v1 tiles to a folder of opt_v2 tiles, from listing to summary, in one call."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.errors import StoreError
from tasks.contracts.tiles import TileRecord, TilesConfig
from tasks.tiles.code_version import code_version
from tasks.tiles.config import check_window, config_id
from tasks.tiles.devices import model_bytes, starting_device, worker_number
from tasks.tiles.infer import hopeless, infer_shard, not_run
from tasks.tiles.job import Job
from tasks.tiles.journal import Journal
from tasks.tiles.listing import Listing, list_inputs
from tasks.tiles.output_folder import OutputFolder, opened
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.plan import Plan, make_plan
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.run_watch import RunWatch, log_file
from tasks.tiles.settings import Loader, WorkerSettings
from tasks.tiles.summary import Outcome, Summary, last_line, summarise
from tasks.tiles.survey import survey
from tasks.tiles.torch_model import load_refiner
from tasks.tiles.which_model import WhichModel, which_model
from tasks.tiles.workers import Workers
from tasks.tiles.zipped import Compression

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderRun:
    """What is asked for; paths and device as the user gave them."""

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


def refine_folder(run: FolderRun, *, stopping: Callable[[], bool] = lambda: False) -> Summary:
    """Refine every tile that needs it and leave the books in order.

    Raises InputDirError, OutputDirError, OutputBusyError, CheckpointError and ConfigError before any tile was
    processed, StoreError where nothing more can be written; what was finished stays in every case.
    """
    start = time.monotonic()
    listing = list_inputs(run.input_dir, run.recursive)
    model = which_model(Path(run.checkpoint), run.checkpoint_sha256)
    output = Path(run.output_dir)
    check_window(run.config, model.patch)
    with opened(output, Path(run.input_dir)) as sink, log_file(Path(run.log_file or output / "inference.log")):
        headers, failed = survey(listing.tiles, model.num_frames)
        plan = make_plan(headers, model.patch, run.batch_size, run.shard_size)
        return _Run(run, model, plan, sink, start).through(listing, failed, stopping)


class _Run:
    """One pass over the shards of a plan."""

    def __init__(self, run: FolderRun, model: WhichModel, plan: Plan, sink: OutputFolder, start: float):
        self._run, self._plan, self._sink, self._start = run, plan, sink, start
        facts = RunFacts(
            input_dir=run.input_dir,
            checkpoint=run.checkpoint,
            device_requested=run.device,
            checkpoint_id=model.id,
            config_id=config_id(run.config),
            code_version=code_version(),
        )
        self._job = Job(facts, run.config, model.num_frames, run.compression, run.allow_empty)
        self._workers = Workers(_settings(run, model), lambda device: self._worker_number(device))
        self._shards: list[list[TileRecord]] = []
        self._outcome: Outcome | None = None
        self._message = ""

    def through(self, listing: Listing, failed: list[TileRecord], stopping: Callable[[], bool]) -> Summary:
        progress = ProgressLine(len(listing.tiles))
        watch = RunWatch(progress)
        journal = Journal(self._sink.path, self._run_config())
        for record in failed:
            self._sink.failed(record)
            watch.tile(record, 0.0, ())
        journal.add(failed, {})
        broken: Exception | None = None
        try:
            with self._workers:
                self._refine(journal, watch, stopping)
        except StoreError as error:
            self._outcome, self._message, broken = "broken", str(error), error
        finally:
            progress.close()
        records = [*failed, *self._all()]
        summary = summarise(
            records,
            outcome=self._outcome,
            seconds=time.monotonic() - self._start,
            workers=self._workers.size,
            buckets={f"{height}x{width}": count for (height, width), count in self._plan.buckets.items()},
            ignored=listing.ignored,
            orphan_sidecars=listing.orphan_sidecars,
            orphans=tuple(self._sink.orphans({found.id for found in listing.tiles})),
            message=self._message,
            **watch.ledger.facts(),
        )
        if broken is not None:
            with suppress(StoreError):  # the disk may be too full for the books too
                journal.close(records, watch.ledger.milliseconds, summary.model_dump(mode="json"))
            raise broken
        journal.close(records, watch.ledger.milliseconds, summary.model_dump(mode="json"))
        _say(summary)
        return summary

    def _refine(self, journal: Journal, watch: RunWatch, stopping: Callable[[], bool]) -> None:
        for shard in self._plan.shards:
            if stopping():
                self._outcome, self._message = "stopped", "stopped by a signal"
                return
            records = infer_shard(
                shard, self._job, self._sink, self._workers,
                skip_existing=self._run.skip_existing, stopping=stopping, watch=watch,
            )  # fmt: skip
            self._shards.append(records)
            journal.add(records, watch.ledger.milliseconds)
            if len(self._shards) == 2 and hopeless(self._shards):
                self._outcome, self._message = "model_fails", f"every tile fails: {records[0].message}"
                log.error("%s; stopping", self._message)
                return
        if any(record.status == "not_run" for shard in self._shards for record in shard):
            self._outcome, self._message = "stopped", "stopped by a signal"

    def _all(self) -> list[TileRecord]:
        """The records of all planned tiles; of a shard that broke off, what is on disk."""
        records = [record for shard in self._shards for record in shard]
        rest = self._plan.shards[len(self._shards) :]
        if self._outcome == "broken" and rest:
            found = {tile.id: self._sink.finished(tile, self._job).record for tile in rest[0].tiles}
            kept = [record.model_copy(update={"status": "done"}) for record in found.values() if record is not None]
            left = [record for record in not_run(rest[:1], "stopped") if found[record.id] is None]
            records, rest = records + kept + left, rest[1:]
        return records + not_run(rest, self._message or "stopped")

    def _worker_number(self, device: str) -> int:
        batches = sum(len(shard.batches) for shard in self._plan.shards)
        return worker_number(self._run.workers, device, model_bytes(Path(self._run.checkpoint)), batches)

    def _run_config(self) -> dict:
        run, facts = self._run, self._job.facts
        settings = {key: value for key, value in vars(run).items() if key not in ("config", "load")}
        return {**settings, "config": run.config.model_dump(mode="json"), **facts.model_dump(mode="json")}


def _settings(run: FolderRun, model: WhichModel) -> WorkerSettings:
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


def _say(summary: Summary) -> None:
    if summary.defaults_used:
        log.warning("%d tiles without month or biome: June and 0 (unknown) were used", summary.defaults_used)
    if summary.orphan_sidecars:
        log.warning(
            "%d sidecars without a tile: %s", len(summary.orphan_sidecars), ", ".join(summary.orphan_sidecars[:5])
        )
    log.info(last_line(summary))


def dry_run(run: FolderRun) -> dict:
    """What a run would do: counts, buckets, what it would skip and why not. The output folder is not touched."""
    listing = list_inputs(run.input_dir, run.recursive)
    model = which_model(Path(run.checkpoint), run.checkpoint_sha256)
    headers, failed = survey(listing.tiles, model.num_frames)
    plan = make_plan(headers, model.patch, run.batch_size, run.shard_size)
    state = _Run(run, model, plan, OutputFolder(Path(run.output_dir)), 0.0)
    findings = [state._sink.finished(tile, state._job) for tile in headers]
    return {
        "found": len(listing.tiles),
        "failed": len(failed),
        "resumed": sum(finding.record is not None for finding in findings),
        "reasons": dict(Counter(finding.reason for finding in findings if finding.record is None)),
        "buckets": {f"{height}x{width}": count for (height, width), count in plan.buckets.items()},
        "shards": len(plan.shards),
    }
