"""The uncached beginning of `refine-tiles`: paths become references, folder and books are opened."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.errors import ConfigError, InterruptedStepError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.orchestration.run import Run, current_run
from tasks.store.rooted import data_below, result_below
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
from tasks.tiles.journal import Journal
from tasks.tiles.listing import InputFile, Listing, list_inputs, one_scene
from tasks.tiles.output_folder import opened
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.references import strength_of
from tasks.tiles.request import RefineRequest
from tasks.tiles.run_watch import RunWatch, log_file
from tasks.tiles.summary import Outcome, summarise


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
    run.accelerator = "none" if request.device == "cpu" else "required" if request.require_device else "preferred"
    request = _placed(request, run)
    settings = load_config(request.config, request.config is not None, _options(request))
    run.warnings += settings.warnings
    listing = _listing(request)
    checkpoint = ingest_checkpoint(Path(request.checkpoint), request.checkpoint_sha256, run.store)
    references, strength = _references(request, run)
    inputs, scenes = _inputs(listing.tiles, run), tuple(_stored(listing.scenes, run))
    given = Given(request, settings, listing, checkpoint, inputs, scenes, references, strength, None)
    if run.dry:
        yield given
        return
    output = Path(request.output_dir)
    with opened(output, Path(input_folder(request))) as folder, log_file(_log_path(request, output)):
        progress = ProgressLine(len(listing.tiles) + len(listing.scenes), _Log())
        journal = Journal(folder.path, request.model_dump(mode="json"))
        with delivering(folder, journal, RunWatch(progress)) as given.delivery:
            try:
                yield given
            except InterruptedStepError:
                close_books(given, "stopped", "stopped by a signal")
                raise


class _Log:
    """Not a terminal: the line of a run goes to its log; people see the step's progress."""

    def isatty(self) -> bool:
        return False


def close_books(given: Given, outcome: Outcome | None = None, message: str = ""):
    delivery, every = given.delivery, (*given.listing.tiles, *given.listing.scenes)
    records = [delivery.records.get(found.id) or _not_run(found, message) for found in every]
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
        orphans=tuple(delivery.folder.orphans({found.id for found in every})),
        message=message,
        **ledger.facts(),
    )
    delivery.journal.close(records, ledger.milliseconds, summary.model_dump(mode="json"))
    return summary


def _not_run(found: InputFile, message: str) -> TileRecord:
    from tasks.tiles.survey import NO_BYTES

    return TileRecord(id=found.id, status="not_run", input_sha256=NO_BYTES, reason=message or "stopped")


def _inputs(files: tuple[InputFile, ...], run: Run) -> ArtifactRef:
    """All tiles in the store, and the list of them."""
    return put(INPUTS, _stored(files, run), "tiles.json", run.store)


def _stored(files: tuple[InputFile, ...], run: Run) -> list[TileInput]:
    refs = iter(run.store.put_files(path for found in files for path in (found.path, found.sidecar) if path))
    return [TileInput(id=found.id, file=next(refs), sidecar=next(refs) if found.sidecar else None) for found in files]


def _references(request: RefineRequest, run: Run) -> tuple[ArtifactRef | None, str]:
    if request.reference_dir is None:
        return None, "heuristic"
    folder = Path(request.reference_dir)
    listing = list_inputs(folder, request.recursive)
    return _inputs(listing.tiles, run), strength_of(folder)[0]


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
