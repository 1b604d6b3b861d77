"""The uncached beginning of `refine-tiles`: paths become references, folder and books are opened."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from prefect.exceptions import TerminationSignal

from tasks.contracts.errors import ConfigError, InterruptedStepError, MissingInputError, StoreError, UnsafePathError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import TileReadError
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.orchestration.run import Run, current_run
from tasks.orchestration.run_folder import RunFolder
from tasks.orchestration.signals import polite
from tasks.store.rooted import allowed, data_below, result_below
from tasks.tiles.checkpoint_files import checkpoint_files, read_identity
from tasks.tiles.config import Resolved, load_config
from tasks.tiles.flow.checkpoints import ingest_checkpoint
from tasks.tiles.flow.delivery import Delivery, delivering
from tasks.tiles.flow.shards import INPUTS, put
from tasks.tiles.flow.types import (
    CheckpointFile,
    Manner,
    SceneForm,
    Writing,
)
from tasks.tiles.listing import InputFile, Listing, list_inputs, one_scene
from tasks.tiles.output_folder import opened
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.references import strength_of
from tasks.tiles.request import RefineRequest
from tasks.tiles.run_watch import RunWatch, log_file
from tasks.tiles.scene_reader import check_installed
from tasks.tiles.summary import Outcome, Summary, summarise
from tasks.tiles.survey import NO_BYTES

WRITERS = 8


@dataclass
class Given:
    """A request with everything that it names in the store."""

    request: RefineRequest
    settings: Resolved
    listing: Listing
    checkpoint: CheckpointFile
    inputs: ArtifactRef
    scenes: tuple[TileInput, ...]
    references: ArtifactRef | None
    strength: str
    delivery: Delivery | None  # None in a dry run
    lost: tuple[TileRecord, ...] = ()  # files that were listed and could not be read
    buckets: dict[str, int] = field(default_factory=dict)  # tiles per padded size
    began: float = field(default_factory=time.monotonic)

    @property
    def writing(self) -> Writing:
        """What decides the bytes of outputs beside their values."""
        return Writing(compression=self.request.compression, allow_empty=self.request.allow_empty)

    @property
    def form(self) -> SceneForm:
        """How scenes are read and written."""
        asked = self.request
        return SceneForm(bands=asked.bands, dtype=asked.scene_dtype, allow_empty=asked.allow_empty)

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
            input_dir=input_folder(asked),
            checkpoint=asked.checkpoint,
        )


@contextmanager
def taken(request: RefineRequest) -> Iterator[Given]:
    """The request with its inputs in the store and its output folder locked.

    Whatever ends the block, the books in the folder are closed. Raises ConfigError and its kind before a tile is read.
    """
    run = current_run()
    with _polite(run):
        yield from _taken(request, run)


def _taken(request: RefineRequest, run: Run) -> Iterator[Given]:
    run.accelerator = "none" if request.device == "cpu" else "required" if request.require_device else "preferred"
    request = _placed(request, run)
    settings = load_config(request.config, request.config is not None, _options(request))
    run.warnings += settings.warnings
    listing = _listing(request)
    if listing.scenes and run.settings.executor != "pools":
        check_installed()
    checkpoint = _checkpoint(request, run)
    references, strength = _references(request, run)
    tiles, lost = _stored(listing.tiles, run)
    scenes, lost_scenes = _stored(listing.scenes, run)
    inputs = put(INPUTS, tiles, "tiles.json", run.store)
    given = Given(request, settings, listing, checkpoint, inputs, tuple(scenes), references, strength, None)
    given.lost = (*lost, *lost_scenes)
    if run.dry:
        yield given
        return
    output = Path(request.output_dir)
    with opened(output, Path(input_folder(request))) as folder, log_file(_log_path(request, output)):
        progress = ProgressLine(len(listing.tiles) + len(listing.scenes), _Log())
        run.folder = RunFolder(folder.path)
        with delivering(folder, RunWatch(progress)) as given.delivery:
            try:
                yield given
            except (InterruptedStepError, KeyboardInterrupt, TerminationSignal):
                close_books(given, "stopped", "stopped by a signal")
                raise
            except Exception as error:
                with suppress(StoreError):  # the disk may be too full for the books too
                    close_books(given, "broken", f"{type(error).__name__}: {error}")
                raise


def _polite(run: Run) -> AbstractContextManager[None]:
    """Between steps too a signal means: finish the tile, close the books. Deployed flows are told by Prefect."""
    return nullcontext() if run.settings.executor == "pools" else polite(run.stop)


class _Log:
    """Not a terminal: the line of a run goes to its log; people see the step's progress."""

    def isatty(self) -> bool:
        return False


def close_books(given: Given, outcome: Outcome | None = None, message: str = "") -> Summary:
    """Summary and manifest of all inputs, as far as they came; those of an earlier run stay if this one was refused."""
    delivery, every = given.delivery, (*given.listing.tiles, *given.listing.scenes)
    records = [delivery.records.get(found.id) or _not_run(found, message) for found in every]
    if outcome is None and any(record.status == "not_run" for record in records):
        outcome, message = "model_fails", "every tile of the first shards fails in the same way"
    ledger = delivery.watch.ledger
    summary = summarise(
        records,
        outcome=outcome,
        seconds=time.monotonic() - given.began,
        computed=delivery.computed,
        workers=delivery.pool_size,
        ignored=given.listing.ignored,
        orphan_sidecars=given.listing.orphan_sidecars,
        orphans=tuple(delivery.folder.orphans({found.id for found in every})),
        message=message,
        buckets=given.buckets,
        **ledger.facts(),
    )
    if delivery.journal is not None:
        delivery.journal.close(records, ledger.milliseconds, summary.model_dump(mode="json"))
    return summary


def _not_run(found: InputFile, message: str) -> TileRecord:
    return TileRecord(id=found.id, status="not_run", input_sha256=NO_BYTES, reason=message or "stopped")


def _checkpoint(request: RefineRequest, run: Run) -> CheckpointFile:
    """In the store, after all that can be found wrong without torch; nothing has been written to the output by then."""
    path = Path(request.checkpoint)
    files = checkpoint_files(path)
    for file in filter(None, (files.weights, files.config)):
        allowed(file, run.settings.data_root)
    if files.config is not None:
        read_identity(path, sha256=request.checkpoint_sha256)
    return ingest_checkpoint(path, request.checkpoint_sha256, run.store)


def _stored(files: tuple[InputFile, ...], run: Run) -> tuple[list[TileInput], list[TileRecord]]:
    """Inputs in the store, and the records of those that vanished or may not be read."""
    with ThreadPoolExecutor(WRITERS) as writers:
        each = list(writers.map(lambda found: _put_input(found, run), files))
    inputs = [one for one in each if isinstance(one, TileInput)]
    return inputs, [one for one in each if isinstance(one, TileRecord)]


def _put_input(found: InputFile, run: Run) -> TileInput | TileRecord:
    try:
        for path in filter(None, (found.path, found.sidecar)):
            allowed(path, run.settings.data_root)
        file = run.store.put_file(found.path)
        return TileInput(id=found.id, file=file, sidecar=run.store.put_file(found.sidecar) if found.sidecar else None)
    except (MissingInputError, StoreError):
        if os.access(found.path, os.R_OK) and (found.sidecar is None or os.access(found.sidecar, os.R_OK)):
            raise  # not the input's fault
        remedy = "It vanished, or this user may not read it."
        return _lost(found, TileReadError("cannot be read", where=found.path.name, remedy=remedy))
    except UnsafePathError as error:
        return _lost(found, TileReadError("leads out of the data root", where=found.path.name, remedy=error.remedy))


def _lost(found: InputFile, error: TileReadError) -> TileRecord:
    told = {"error": type(error).__name__, "message": str(error), "phase": error.phase}
    return TileRecord(id=found.id, status="failed", input_sha256=NO_BYTES, **told)


def _references(request: RefineRequest, run: Run) -> tuple[ArtifactRef | None, str]:
    if request.reference_dir is None:
        return None, "heuristic"
    folder = Path(request.reference_dir)
    listing = list_inputs(folder, request.recursive)
    references, lost = _stored(listing.tiles, run)
    if lost:
        run.warnings.append(f"{len(lost)} references cannot be read: {', '.join(one.id for one in lost[:5])}")
    if request.scene is not None or list_inputs(request.input_dir, request.recursive).scenes:
        run.warnings.append("references are for tiles: scenes are judged against their own input only")
    return put(INPUTS, references, "references.json", run.store), strength_of(folder)[0]


def input_folder(request: RefineRequest) -> str:
    """Where the inputs lie, in the words of the user."""
    return os.path.dirname(request.scene) if request.input_dir is None else request.input_dir


def _listing(request: RefineRequest) -> Listing:
    if request.input_dir is None:
        return one_scene(Path(request.scene))
    return list_inputs(request.input_dir, request.recursive)


def _options(request: RefineRequest) -> dict:
    names = ("batch_size", "workers", "precision", "missing_metadata", "range_policy", "scale", "offset", "window")
    return {name: getattr(request, name) for name in (*names, "overlap")} | {"no_amp": request.no_amp or None}


def _log_path(request: RefineRequest, output: Path) -> Path:
    return Path(request.log_file) if request.log_file else output / "inference.log"


def _placed(request: RefineRequest, run: Run) -> RefineRequest:
    """The request with its paths where the settings allow them."""
    if (request.input_dir is None) == (request.scene is None):
        found = "neither" if request.scene is None else "both"
        raise ConfigError("names no single input", where="request", expected="--input_dir or --scene", found=found)
    changes: dict[str, str] = {}
    if run.settings.data_root is not None:
        for name in ("checkpoint", "input_dir", "scene", "config", "reference_dir"):
            if (text := getattr(request, name)) is not None:
                changes[name] = data_below(text, run.settings.data_root, remote=False)
    if run.settings.results is not None:
        for name in ("output_dir", "log_file"):
            if (text := getattr(request, name)) is not None:
                changes[name] = result_below(text, run.settings.results, name)
    return request.model_copy(update=changes)
