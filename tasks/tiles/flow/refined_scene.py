"""One scene through the model: from references in to references out, in this process or in a container."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path

from tasks.contracts.errors import BlobMissingError, InterruptedStepError
from tasks.contracts.tile_errors import TileEmptyError, TileError, TileReadError
from tasks.contracts.tiles import OomEvent, TileInput, TileMeta, TilesConfig
from tasks.store.workspace import Workspace
from tasks.tiles.batches import Failed, Loaded, Refined, Refinery, warm_up
from tasks.tiles.flow.checkpoints import checkpoint_here
from tasks.tiles.flow.delivery import current
from tasks.tiles.flow.linked import link
from tasks.tiles.flow.listed import failed_record
from tasks.tiles.flow.refined import worker_settings
from tasks.tiles.flow.types import Manner, ModelRefs, RefinedScene, SceneForm, run_facts
from tasks.tiles.listing import InputFile
from tasks.tiles.loading import no_memory
from tasks.tiles.memory import MemoryPolicy
from tasks.tiles.messages import MemoryShort
from tasks.tiles.metadata import model_inputs, read_sidecar
from tasks.tiles.naming import check_length, naming
from tasks.tiles.plan import PlannedBatch
from tasks.tiles.scene import SceneOptions
from tasks.tiles.scene_input import SceneDigests, TakenScene
from tasks.tiles.scene_model import SceneModel
from tasks.tiles.scene_output import MEDIA_TYPE, SceneRun, write_scene
from tasks.tiles.settings import WorkerSettings

log = logging.getLogger(__name__)


class StoredScene(TakenScene):
    """A scene whose bytes the store has checked; nobody changes them there."""

    def confirm(self) -> None:
        """Nothing to look at again."""


def refine_scene(
    scene: TileInput, model: ModelRefs, config: TilesConfig, form: SceneForm, manner: Manner, here: Workspace
) -> RefinedScene:
    """The scene's record; its COG goes into the store. Raises InterruptedStepError where a signal came first."""
    start = time.perf_counter()
    options = SceneOptions(model.patch, form.bands, form.dtype, manner.batch_size)
    run = SceneRun(here.scratch / "out", config, options, run_facts(model, config, manner))
    events, told = _Events(here), _told(scene.id, here)
    with ExitStack() as stack:
        path = checkpoint_here(model.file, here.scratch / "model", here.store)
        refinery = LazyRefinery(worker_settings(path, model, config, manner, here), stack, events)
        try:
            with naming(scene.id):
                check_length(scene.id)
                taken = _taken(scene, here)
                record, section = write_scene(taken, run, partial(_model, refinery, run, scene.id), tell=told)
        except TileError as error:
            _check_store(scene, here)
            return _failed(scene, error, form)
        except MemoryError:
            return _failed(scene, no_memory(f"{scene.id}{Path(scene.file.name).suffix}"), form)
    suffix = Path(scene.file.name).suffix
    here.store.put_file(run.folder / f"{scene.id}{suffix}", name=record.output.name, media_type=MEDIA_TYPE)
    here.telemetry["milliseconds"] = {scene.id: round(1000 * (time.perf_counter() - start), 3)}
    return RefinedScene(record=record, sidecar=here.store.put_json(section, name="scene.json"))


class LazyRefinery:
    """A refinery that loads its model for the first window: a scene that cannot be read needs none."""

    def __init__(self, settings: WorkerSettings, stack: ExitStack, events: "_Events"):
        self._settings, self._stack, self._events = settings, stack, events

    def refine(self, batch: PlannedBatch, tiles: list[Loaded]) -> list[Refined | Failed]:
        """As a Refinery does."""
        return self._loaded.refine(batch, tiles)

    @cached_property
    def _loaded(self) -> Refinery:
        settings = self._settings
        model, notes = settings.load(settings, 0, self._stack)
        for note in notes:
            log.info(note)
        warm_up(model, settings.patch, settings.num_frames)
        policy = MemoryPolicy(settings.batch_size, model.device, self._events.add)
        return Refinery(model, policy, settings.config, settings.patch)


class _Events:
    """Memory that ran out: to the books of the run where they are in this process, and to the telemetry."""

    def __init__(self, here: Workspace):
        self._seen = here.telemetry.setdefault("events", [])

    def add(self, event: OomEvent) -> None:
        self._seen.append(str(event))
        if (delivery := current()) is not None:
            delivery.event(MemoryShort(event))


def _taken(scene: TileInput, here: Workspace) -> StoredScene:
    path = here.scratch / "in" / f"{scene.id}{Path(scene.file.name).suffix}"
    link(scene.file, path, here.store)
    sidecar = None if scene.sidecar is None else here.store.get_bytes(scene.sidecar)
    digests = SceneDigests((), scene.file.digest, None if scene.sidecar is None else scene.sidecar.digest)
    return StoredScene(InputFile(scene.id, path, None), digests, read_sidecar(sidecar, scene.id))


def _model(refinery: LazyRefinery, run: SceneRun, scene_id: str, meta: TileMeta) -> SceneModel:
    return SceneModel(refinery, model_inputs(meta, run.config.missing_metadata), scene_id, run.options.patch)


def _told(scene_id: str, here: Workspace) -> Callable[[float], None]:
    def tell(share: float) -> None:
        here.tell(share, f"{scene_id}: {share:.0%} of the rows")
        if share < 1 and here.stopping():
            remedy = "Run the same command again: finished scenes are kept."
            raise InterruptedStepError("refinement was stopped by a signal", where=scene_id, remedy=remedy)

    return tell


def _failed(scene: TileInput, error: TileError, form: SceneForm) -> RefinedScene:
    record = failed_record(scene, error)
    if form.allow_empty and isinstance(error, TileEmptyError):
        record = record.model_copy(update={"status": "empty"})
    passing = record.phase in ("model", "write") or type(error) is TileReadError  # of GDAL, for whatever reason
    return RefinedScene(record=record, passing=record.status == "failed" and passing)


def _check_store(scene: TileInput, here: Workspace) -> None:
    """Raise BlobMissingError where what was read is not the scene."""
    if not here.store.holds(scene.file):
        where, remedy = f"{scene.id}{Path(scene.file.name).suffix}", "Run again; it is put into the store anew."
        raise BlobMissingError("is not in the store, or was damaged", where=where, remedy=remedy)
