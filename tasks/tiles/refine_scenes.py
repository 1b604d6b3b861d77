"""The scenes of a run, one after the other, with the same resume and failure rules as tiles."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

from tasks.contracts.errors import InterruptedStepError
from tasks.contracts.tile_errors import TileEmptyError, TileError
from tasks.contracts.tiles import TileMeta, TileRecord
from tasks.store.failures import typed
from tasks.tiles.batches import Refinery
from tasks.tiles.job import Finding
from tasks.tiles.listing import InputFile
from tasks.tiles.metadata import model_inputs
from tasks.tiles.naming import check_length, fitting
from tasks.tiles.scene_input import SceneDigests, scene_digests, take_scene
from tasks.tiles.scene_model import SceneModel
from tasks.tiles.scene_output import SceneRun, refine_scene_file
from tasks.tiles.scene_resume import find_scene
from tasks.tiles.survey import NO_BYTES

STALE = ".stagegate/stale"


class SceneWorker:
    """Refines scenes with a model that is loaded for the first scene which needs it, and never where none does."""

    def __init__(
        self,
        run: SceneRun,
        load: Callable[[], Refinery],
        *,
        skip_existing: bool = True,
        allow_empty: bool = False,
        stopping: Callable[[], bool] = lambda: False,
        tell: Callable[[str, float], None] = lambda scene_id, share: None,
    ):
        self._run, self._load, self._stopping, self._tell = run, load, stopping, tell
        self._skip_existing, self._allow_empty = skip_existing, allow_empty

    def refine(self, scenes: Sequence[InputFile]) -> list[TileRecord]:
        """A record for each scene; a failed one has no output, its older one is set aside. Raises StoreError."""
        return [self._one(found) for found in scenes]

    @cached_property
    def _refinery(self) -> Refinery:
        return self._load()

    def _one(self, found: InputFile) -> TileRecord:
        digests = None
        try:
            digests = scene_digests(found)
            check_length(found.id)
            finding = find_scene(found, digests, self._run) if self._skip_existing else Finding(None, "not skipped")
            if finding.record is not None:
                return finding.record
            if self._stopping():
                return _unfinished(found, digests, "not_run", reason="stopped")
            taken = take_scene(found, digests)
            tell = partial(self._progress, found.id)
            record = refine_scene_file(taken, self._run, partial(self._model, found.id), tell=tell)
            return record.model_copy(update={"reason": finding.reason})
        except InterruptedStepError:
            return _unfinished(found, digests, "not_run", reason="stopped")
        except TileError as error:
            set_aside(self._run.folder, f"{found.id}.json", f"{found.id}{found.path.suffix}")
            status = "empty" if self._allow_empty and isinstance(error, TileEmptyError) else "failed"
            told = {"error": type(error).__name__, "message": str(error), "phase": error.phase}
            return _unfinished(found, digests, status, **told)

    def _model(self, scene_id: str, meta: TileMeta) -> SceneModel:
        sees = model_inputs(meta, self._run.config.missing_metadata)
        return SceneModel(self._refinery, sees, scene_id, self._run.options.patch)

    def _progress(self, scene_id: str, share: float) -> None:
        self._tell(scene_id, share)
        if self._stopping() and share < 1:
            raise InterruptedStepError("was stopped by a signal", where=scene_id, remedy="Run again.")


def set_aside(folder: Path, *names: str) -> None:
    """Move outputs of an earlier run to the stale ones, in the order given: the marker comes first."""
    for name in names:
        source, target = folder / name, folder / STALE / fitting(f"{name}.stale")
        if os.path.lexists(source):
            with typed("move", str(source)):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)


def _unfinished(found: InputFile, digests: SceneDigests | None, status: str, **told: str) -> TileRecord:
    scene, sidecar = (digests.scene, digests.sidecar) if digests else (NO_BYTES, None)
    return TileRecord(id=found.id, status=status, input_sha256=scene, sidecar_sha256=sidecar, **told)
