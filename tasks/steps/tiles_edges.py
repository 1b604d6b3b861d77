"""The two uncached ends of `refine-tiles`: paths become references, references become the output folder."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.errors import ConfigError, InterruptedStepError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.report import FlowReport
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.orchestration.fan_out import each
from tasks.orchestration.run import Pending, Run, current_run
from tasks.steps.infer import infer_tiles
from tasks.steps.tiles_shown import show_audit, show_run
from tasks.store.rooted import data_below, result_below
from tasks.store.telemetry import load_telemetry
from tasks.tiles.config import Resolved, load_config
from tasks.tiles.flow.checkpoints import ingest_checkpoint
from tasks.tiles.flow.delivery import Delivery, delivering
from tasks.tiles.flow.judged import RECORDS
from tasks.tiles.flow.shards import BATCHES, INPUTS, ROWS, BatchRow, LocalBytes, divided, engine_shard, get, put
from tasks.tiles.flow.types import (
    CheckpointFile,
    Collected,
    Judged,
    Listed,
    Manner,
    ModelRefs,
    Published,
    TilesAudit,
    Writing,
    run_facts,
)
from tasks.tiles.infer import hopeless
from tasks.tiles.job import Effort, Job
from tasks.tiles.journal import OWN, Journal
from tasks.tiles.listing import InputFile, Listing, list_inputs
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.output_folder import OutputFolder, opened
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.references import strength_of
from tasks.tiles.request import RefineRequest
from tasks.tiles.run_watch import RunWatch, log_file
from tasks.tiles.summary import Outcome, last_line, summarise

SHARD_HERE, SHARD_IN_POOLS = 512, 4096
REPORT_FILE = "report.html"


@dataclass
class Given:
    """A request with everything that it names in the store."""

    request: RefineRequest
    settings: Resolved
    listing: Listing
    checkpoint: CheckpointFile
    inputs: ArtifactRef
    references: ArtifactRef | None
    strength: str
    delivery: Delivery | None  # None in a dry run
    began: float = field(default_factory=time.monotonic)

    @property
    def writing(self) -> Writing:
        """What decides the bytes of outputs beside their values."""
        return Writing(compression=self.request.compression, allow_empty=self.request.allow_empty)

    @property
    def manner(self) -> Manner:
        """What decides nothing but speed."""
        asked = self.request
        return Manner(
            batch_size=self.settings.batch_size,
            device=asked.device,
            require_device=asked.require_device,
            no_amp=asked.no_amp,
            workers=self.settings.workers,
            input_dir=asked.input_dir or "",
            checkpoint=asked.checkpoint,
        )


@contextmanager
def taken(request: RefineRequest) -> Iterator[Given]:
    """The request with its inputs in the store and its output folder locked.

    Whatever ends the block, the books in the folder are closed. Raises ConfigError and its kind before any tile is read.
    """
    run = current_run()
    run.accelerator = "none" if request.device == "cpu" else "required" if request.require_device else "preferred"
    request = _placed(request, run)
    settings = load_config(request.config, request.config is not None, _options(request))
    run.warnings += settings.warnings
    listing = list_inputs(request.input_dir, request.recursive)
    checkpoint = ingest_checkpoint(Path(request.checkpoint), request.checkpoint_sha256, run.store)
    references, strength = _references(request, run)
    given = Given(request, settings, listing, checkpoint, _inputs(listing.tiles, run), references, strength, None)
    if run.dry:
        yield given
        return
    output = Path(request.output_dir)
    with opened(output, Path(request.input_dir)) as folder, log_file(_log_path(request, output)):
        progress = ProgressLine(len(listing.tiles), _Log())
        journal = Journal(folder.path, request.model_dump(mode="json"))
        with delivering(folder, journal, RunWatch(progress)) as given.delivery:
            try:
                yield given
            except InterruptedStepError:
                _close_books(given, "stopped", "stopped by a signal")
                raise


class _Log:
    """Not a terminal: the line of a run goes to its log; people see the step's progress."""

    def isatty(self) -> bool:
        return False


def refined(given: Given, model: ModelRefs, listed: Listed, audit: TilesAudit) -> Collected | Pending:
    """Every tile through `infer_tiles`, shard by shard, each put into the output folder as soon as it is there."""
    run = current_run()
    if isinstance(listed, Pending) or isinstance(model, Pending):
        return Pending("infer-tiles")
    show_audit(audit, run.label())
    rows = get(ROWS, listed.headers, run.store)
    parts = list(divided(rows, model.patch, given.settings.batch_size, _shard_size(given, run)))
    if run.dry:
        for part in parts:
            infer_tiles(
                put(BATCHES, part, "shard.json", run.store), model, given.settings.tiles, given.writing, given.manner
            )
        return Pending("infer-tiles")
    delivery = given.delivery
    for record in listed.failed:
        delivery.folder.failed(record)
        delivery.watch.tile(record, 0.0, ())
    delivery.records |= {record.id: record for record in listed.failed}
    delivery.journal.add(listed.failed, {})
    each(_shard_call(given, model, run), parts)
    return _collected(given, run)


def _shard_call(given: Given, model: ModelRefs, run: Run) -> Callable[[tuple[BatchRow, ...]], None]:
    delivery, config = given.delivery, given.settings.tiles
    job = Job(
        run_facts(model, config, given.manner),
        config,
        model.num_frames,
        given.writing.compression,
        given.writing.allow_empty,
    )
    over: list[list[TileRecord]] = []

    def call(part: tuple[BatchRow, ...]) -> None:
        if hopeless(over):
            return
        path = LocalBytes(run.store, delivery.own)
        tiles = engine_shard(part, lambda ref: "").tiles
        if given.request.skip_existing:
            delivery.known |= {tile.id: delivery.folder.finished(tile, job) for tile in tiles}
        found = {tile.id: delivery.known[tile.id].record for tile in tiles if tile.id in delivery.known}
        if all(found.get(tile.id) for tile in tiles):
            records = [_stored(found[tile.id], delivery.folder, run) for tile in tiles]
            for record in records:
                delivery.watch.tile(record, 0.0, ())
        else:
            shard = put(BATCHES, part, "shard.json", run.store)
            result = infer_tiles(shard, model, config, given.writing, given.manner)
            records = _delivered(result.records, part, job, delivery, run, run.key_of(result), path)
        over.append(records)
        delivery.records |= {record.id: record for record in records}
        delivery.journal.add(records, delivery.watch.ledger.milliseconds)

    return call


def _stored(record: TileRecord, folder: OutputFolder, run: Run) -> TileRecord:
    """A tile that was finished before, with its bytes in the store."""
    if record.output is not None and not run.store.holds(record.output):
        run.store.put_file(folder.path / f"{record.id}.npz", name=record.output.name)
    return record


def _delivered(
    records: tuple[TileRecord, ...],
    part: tuple[BatchRow, ...],
    job: Job,
    delivery: Delivery,
    run: Run,
    key: str,
    path: LocalBytes,
) -> list[TileRecord]:
    """Put into the folder what is not there yet: of a cached shard, or of one that ran in a container."""
    inputs = {row.input.id: row.input for batch in part for row in batch.tiles}
    times = load_telemetry(run.store, key).get("milliseconds", {})
    done = []
    for record in records:
        known = delivery.known.get(record.id)
        if known is not None and known.record is not None:
            done.append(known.record)
            continue
        record = record.model_copy(update={"reason": known.reason if known else "not skipped"})
        if record.id not in delivery.committed:
            _commit(record, inputs[record.id], job, delivery, run, times.get(record.id, 0.0))
        done.append(record)
    delivery.folder.settle()
    return done


def _commit(record: TileRecord, given: TileInput, job: Job, delivery: Delivery, run: Run, milliseconds: float) -> None:
    if record.output is None:
        delivery.folder.failed(record)
    else:
        meta = read_sidecar(None if given.sidecar is None else run.store.get_bytes(given.sidecar), given.id)
        npz = run.store.get_bytes(record.output)
        delivery.folder.commit(record, npz, meta, job, Effort(milliseconds, 0))
    delivery.tile(record, milliseconds, ())


def _collected(given: Given, run: Run) -> Collected:
    records = [
        _plain(given.delivery.records[each.id]) for each in given.listing.tiles if each.id in given.delivery.records
    ]
    return Collected(
        records=put(RECORDS, records, "records.json", run.store), inputs=given.inputs, references=given.references
    )


def _plain(record: TileRecord) -> TileRecord:
    """Without what differs between a run and its repetition."""
    status = "done" if record.status == "resumed" else record.status
    return record.model_copy(update={"status": status, "reason": ""})


def publish(
    given: Given, model: ModelRefs, audit: TilesAudit, judged: Judged, published: Published
) -> FlowReport | Pending:
    """The books, the pictures and the report in the output folder, and what the dashboard shows."""
    run = current_run()
    if run.dry:
        return Pending("publish")
    from tasks.tiles.flow.page import report_page

    delivery = given.delivery
    summary = _close_books(given)
    own = delivery.folder.path / OWN
    files = {
        "quality.json": run.store.get_bytes(judged.quality),
        "tileset.json": run.store.get_bytes(published.tileset),
    }
    files["handshake_audit.json"] = run.store.get_bytes(audit.report)
    files |= {f"quicklook/{name}": run.store.get_bytes(ref) for name, ref in judged.quicklooks.items()}
    for name, data in files.items():
        _put(own / name, data)
    metrics = judged.metrics | {"tiles_per_s": summary.tiles_per_s or None}
    pictures = {name: run.store.get_bytes(ref) for name, ref in judged.quicklooks.items()}
    page = report_page(
        given.request, summary, run.store.get_json(judged.quality), audit, pictures, run.steps, run.warnings
    )
    _put(delivery.folder.path / REPORT_FILE, page.encode())
    report = _report(run, given, judged, summary, metrics)
    show_run(run, summary, judged, audit, report, delivery.folder.path / REPORT_FILE, pictures)
    return report


def _close_books(given: Given, outcome: Outcome | None = None, message: str = ""):
    delivery = given.delivery
    records = [delivery.records.get(found.id) or _not_run(found, message) for found in given.listing.tiles]
    if outcome is None and any(record.status == "not_run" for record in records):
        outcome, message = "model_fails", "every tile of the first shards fails in the same way"
    ledger = delivery.watch.ledger
    summary = summarise(
        records,
        outcome=outcome,
        seconds=time.monotonic() - given.began,
        workers=delivery.pool_size,
        ignored=given.listing.ignored,
        orphan_sidecars=given.listing.orphan_sidecars,
        orphans=tuple(delivery.folder.orphans({found.id for found in given.listing.tiles})),
        message=message,
        **ledger.facts(),
    )
    delivery.journal.close(records, ledger.milliseconds, summary.model_dump(mode="json"))
    return summary


def _not_run(found: InputFile, message: str) -> TileRecord:
    from tasks.tiles.survey import NO_BYTES

    return TileRecord(id=found.id, status="not_run", input_sha256=NO_BYTES, reason=message or "stopped")


def _report(run: Run, given: Given, judged: Judged, summary, metrics: dict[str, float | None]) -> FlowReport:
    failed = {
        record.id: f"{record.error}: {record.message}" for record in given.delivery.records.values() if record.error
    }
    status = "complete" if summary.exit_code == 0 else "incomplete"
    if judged.verdict == "no_refinement":
        status = "no_refinement"
    return FlowReport(
        status=status,
        flow_run_id=run.flow_run_id,
        run_folder=str(given.delivery.folder.path),
        metrics=metrics,
        artifacts={},
        cache=run.cache_counts(),
        warnings=(*run.warnings, *_said(summary), last_line(summary)),
        missing=dict(list(failed.items())[:50]),
    )


def _said(summary) -> tuple[str, ...]:
    said = []
    if summary.defaults_used:
        said.append(f"{summary.defaults_used} tiles without month or biome: June and 0 (unknown) are in their sidecars")
    if summary.orphan_sidecars:
        said.append(f"{len(summary.orphan_sidecars)} sidecars without a tile: {', '.join(summary.orphan_sidecars[:5])}")
    return tuple(said)


def _put(path: Path, data: bytes) -> None:
    from tasks.store.failures import typed

    with typed("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)


def _inputs(files: tuple[InputFile, ...], run: Run) -> ArtifactRef:
    """All tiles in the store, and the list of them."""
    refs = iter(run.store.put_files(path for found in files for path in (found.path, found.sidecar) if path))
    inputs = [TileInput(id=found.id, file=next(refs), sidecar=next(refs) if found.sidecar else None) for found in files]
    return put(INPUTS, inputs, "tiles.json", run.store)


def _references(request: RefineRequest, run: Run) -> tuple[ArtifactRef | None, str]:
    if request.reference_dir is None:
        return None, "heuristic"
    folder = Path(request.reference_dir)
    listing = list_inputs(folder, request.recursive)
    return _inputs(listing.tiles, run), strength_of(folder)[0]


def _shard_size(given: Given, run: Run) -> int:
    return given.request.shard_size or (SHARD_IN_POOLS if run.settings.executor == "pools" else SHARD_HERE)


def _options(request: RefineRequest) -> dict:
    names = ("batch_size", "workers", "precision", "missing_metadata", "range_policy", "scale", "offset", "window")
    return {name: getattr(request, name) for name in (*names, "overlap")} | {"no_amp": request.no_amp or None}


def _log_path(request: RefineRequest, output: Path) -> Path:
    return Path(request.log_file) if request.log_file else output / "inference.log"


def _placed(request: RefineRequest, run: Run) -> RefineRequest:
    """The request with its paths where the settings allow them."""
    if request.input_dir is None:
        raise ConfigError("names no input", where="--input_dir", remedy="Pass --input_dir, or --scene.")
    changes: dict[str, str] = {}
    if run.settings.data_root is not None:
        for name in ("checkpoint", "input_dir", "config", "reference_dir"):
            if (text := getattr(request, name)) is not None:
                changes[name] = data_below(text, run.settings.data_root, remote=False)
    if run.settings.results is not None:
        for name in ("output_dir", "log_file"):
            if (text := getattr(request, name)) is not None:
                changes[name] = result_below(text, run.settings.results, name)
    return request.model_copy(update=changes)
