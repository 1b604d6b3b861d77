"""A folder of opt_v1 tiles to a folder of opt_v2 tiles, from listing to summary, in one call."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tasks.contracts.errors import StagegateError, StoreError
from tasks.contracts.tiles import TileRecord
from tasks.tiles.config import check_window
from tasks.tiles.devices import model_bytes, worker_number
from tasks.tiles.dry_run import dry_run
from tasks.tiles.folder_run import FolderRun, job_of, run_config, worker_settings
from tasks.tiles.infer import TELLING_SHARDS, hopeless, infer_shard, not_run
from tasks.tiles.journal import Journal
from tasks.tiles.listing import Listing, list_inputs
from tasks.tiles.output_folder import OutputFolder, opened
from tasks.tiles.plan import Plan, Shard, make_plan
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.run_watch import RunWatch, log_file
from tasks.tiles.summary import Outcome, Summary, last_line, summarise
from tasks.tiles.survey import survey
from tasks.tiles.which_model import WhichModel, which_model
from tasks.tiles.workers import Workers

__all__ = ["FolderRun", "dry_run", "refine_folder"]

log = logging.getLogger(__name__)


def refine_folder(run: FolderRun, *, stopping: Callable[[], bool] = lambda: False) -> Summary:
    """Refine every tile that needs it and leave the books in order.

    Raises InputDirError, OutputDirError, OutputBusyError, CheckpointError and ConfigError before any tile was
    processed; StoreError and PoolError where it cannot go on, with the books closed. What was finished stays.
    """
    start = time.monotonic()
    listing = list_inputs(run.input_dir, run.recursive)
    model = which_model(Path(run.checkpoint), run.checkpoint_sha256)
    check_window(run.config, model.patch)
    output = Path(run.output_dir)
    with opened(output, Path(run.input_dir)) as sink, log_file(Path(run.log_file or output / "inference.log")):
        headers, failed = survey(listing.tiles, model.num_frames)
        plan = make_plan(headers, model.patch, run.batch_size, run.shard_size)
        books = _Books(run, model, listing, plan, sink, start)
        books.enter(failed)
        return books.balanced(_through(run, model, plan, sink, books, stopping))


def _through(
    run: FolderRun,
    model: WhichModel,
    plan: Plan,
    sink: OutputFolder,
    books: "_Books",
    stopping: Callable[[], bool],
) -> Exception | None:
    """All shards through the workers; the error that ended it early, if one did."""
    size, batches = model_bytes(Path(run.checkpoint)), sum(len(shard.batches) for shard in plan.shards)
    workers = Workers(worker_settings(run, model), lambda device: worker_number(run.workers, device, size, batches))
    try:
        with workers:
            for shard in plan.shards:
                if stopping() or books.hopeless:
                    break
                books.workers = workers
                books.enter(
                    infer_shard(
                        shard, books.job, sink, workers,
                        skip_existing=run.skip_existing, stopping=stopping, watch=books.watch,
                    ),
                    shard,
                )  # fmt: skip
    except StagegateError as error:
        if error.exit_code != StoreError.exit_code:
            raise
        return error
    finally:
        books.progress.close()
    return None


class _Books:
    """What is known of every tile, on its way to manifest and summary."""

    def __init__(
        self, run: FolderRun, model: WhichModel, listing: Listing, plan: Plan, sink: OutputFolder, start: float
    ):
        self.job = job_of(run, model)
        self.progress = ProgressLine(len(listing.tiles))
        self.watch = RunWatch(self.progress)
        self.workers: Workers | None = None
        self._listing, self._plan, self._sink, self._start = listing, plan, sink, start
        self._journal = Journal(sink.path, run_config(run, self.job))
        self._failed: list[TileRecord] = []
        self._shards: list[list[TileRecord]] = []

    @property
    def hopeless(self) -> bool:
        """Whether the model fails on everything."""
        return len(self._shards) >= TELLING_SHARDS and hopeless(self._shards[:TELLING_SHARDS])

    def enter(self, records: list[TileRecord], shard: Shard | None = None) -> None:
        """A finished shard, or without one the tiles that failed before they could be planned."""
        if shard is not None:
            self._journal.add(records if self._shards else [*self._failed, *records], self.watch.ledger.milliseconds)
            self._shards.append(records)
        else:
            self._failed = records
            for record in records:
                self._sink.failed(record)
                self.watch.tile(record, 0.0, ())

    def balanced(self, broken: Exception | None) -> Summary:
        """Close the books. Raises `broken` afterwards."""
        outcome, message = self._early_end(broken)
        records = [*self._failed, *(record for shard in self._shards for record in shard)]
        records += self._unfinished(broken, message or "stopped")
        summary = summarise(
            records,
            outcome=outcome,
            message=message,
            seconds=time.monotonic() - self._start,
            workers=self.workers.size if self.workers else 0,
            buckets=self._plan.bucket_names,
            ignored=self._listing.ignored,
            orphan_sidecars=self._listing.orphan_sidecars,
            orphans=tuple(self._sink.orphans({found.id for found in (*self._listing.tiles, *self._listing.scenes)})),
            **self.watch.ledger.facts(),
        )
        with suppress(*(() if broken is None else (StoreError,))):  # a full disk may have no room for the books either
            self._journal.close(records, self.watch.ledger.milliseconds, summary.model_dump(mode="json"))
        _say(summary)
        if broken is not None:
            raise broken
        return summary

    def _early_end(self, broken: Exception | None) -> tuple[Outcome | None, str]:
        if broken is not None:
            return "broken", str(broken)
        if self.hopeless and len(self._shards) < len(self._plan.shards):
            return "model_fails", f"every tile fails: {self._shards[0][0].message}"
        unfinished = len(self._shards) < len(self._plan.shards)
        unfinished = unfinished or any(record.status == "not_run" for shard in self._shards for record in shard)
        return ("stopped", "stopped by a signal") if unfinished else (None, "")

    def _unfinished(self, broken: Exception | None, reason: str) -> list[TileRecord]:
        """Records of the shards that gave none; of one that broke off, what is on disk counts."""
        rest = not_run(self._plan.shards[len(self._shards) :], reason)
        if broken is None or len(self._shards) == len(self._plan.shards):
            return rest
        tiles = self._plan.shards[len(self._shards)].tiles
        kept = {tile.id: self._sink.finished(tile, self.job).record for tile in tiles}
        return [_done(kept.get(record.id)) or record for record in rest]


def _done(record: TileRecord | None) -> TileRecord | None:
    return record and record.model_copy(update={"status": "done"})


def _say(summary: Summary) -> None:
    if summary.message:
        log.error(summary.message)
    if summary.defaults_used:
        log.warning("%d tiles without month or biome: June and 0 (unknown) were used", summary.defaults_used)
    if summary.orphan_sidecars:
        first = ", ".join(summary.orphan_sidecars[:5])
        log.warning("%d sidecars without a tile: %s", len(summary.orphan_sidecars), first)
    log.info(last_line(summary))
