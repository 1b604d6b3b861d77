"""One scene from its file to a finished output: COG first, then the JSON that marks it as done."""

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import OomEvent, TileMeta, TileRecord, TilesConfig
from tasks.store.failures import typed
from tasks.tiles.naming import naming
from tasks.tiles.output_sidecar import RunFacts, sidecar_bytes, sidecar_document
from tasks.tiles.scene import SceneFacts, SceneOptions, refine_scene
from tasks.tiles.scene_input import TakenScene
from tasks.tiles.writer import TEMP_FOLDER

MEDIA_TYPE = "image/tiff"
log = logging.getLogger(__name__)


def requested(options: SceneOptions) -> dict[str, Any]:
    """The settings of a scene that change its output and are not part of `config_id`."""
    return {"bands": None if options.bands is None else list(options.bands), "dtype": options.dtype}


class Model(Protocol):
    """What refines the windows of this scene, and what of it really ran (see SceneModel)."""

    precisions: set[str]
    devices: set[str]
    events: list[OomEvent]
    largest_batch: int

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class SceneRun:
    """What all scenes of a run share."""

    folder: Path
    config: TilesConfig
    options: SceneOptions
    facts: RunFacts


def refine_scene_file(
    taken: TakenScene,
    run: SceneRun,
    model_for: Callable[[TileMeta], Model],
    *,
    worker: int = 0,
    tell: Callable[[float], None] = lambda share: None,
) -> TileRecord:
    """Write `<id>.tif` (or .tiff) and `<id>.json` below the run's folder; `tell` hears the share done.

    Raises TileError or StoreError; the output is not replaced then.
    """
    start = time.perf_counter()
    record, section = write_scene(taken, run, model_for, tell=tell)
    for warning in record.warnings:
        log.warning("scene %s: %s", record.id, warning)
    elapsed_ms = (time.perf_counter() - start) * 1e3
    document = scene_document(taken.meta, record, run.facts, section, processing_time_ms=elapsed_ms, worker=worker)
    _place_json(run.folder, record.id, sidecar_bytes(document))
    return record


def write_scene(
    taken: TakenScene,
    run: SceneRun,
    model_for: Callable[[TileMeta], Model],
    *,
    tell: Callable[[float], None] = lambda share: None,
) -> tuple[TileRecord, dict[str, Any]]:
    """Write the COG alone; its record, and what its sidecar says under `processing.scene`. Raises as above."""
    found = taken.found
    with naming(found.id):
        model = model_for(taken.meta)
        target = run.folder / f"{found.id}{found.path.suffix}"
        facts = refine_scene(
            found.path,
            target,
            model,
            run.config,
            run.options,
            scratch=_scratch(run.folder, target),
            nodata=taken.meta.nodata,
            tell=tell,
            confirm=taken.confirm,
        )
        return _record(taken, run, facts, model, _output(target, found.id)), _section(run, facts)


def scene_document(
    meta: TileMeta,
    record: TileRecord,
    facts: RunFacts,
    section: dict[str, Any],
    *,
    processing_time_ms: float = 0.0,
    worker: int = 0,
) -> dict[str, Any]:
    """The sidecar of a refined scene: as that of a tile, with `processing.scene`."""
    document = sidecar_document(meta, record, facts, processing_time_ms=processing_time_ms, worker=worker)
    document["processing"]["input_file"] = os.path.join(facts.input_dir, record.output.name)
    document["processing"]["scene"] = section
    return document


def _section(run: SceneRun, facts: SceneFacts) -> dict[str, Any]:
    return {
        "requested": requested(run.options),
        "height": facts.height,
        "width": facts.width,
        "bands": list(facts.bands),
        "scale": facts.units.scale,
        "offset": facts.units.offset,
        "units": facts.units.source,
        "dtype": facts.dtype,
        "nodata": facts.nodata if facts.nodata is None or math.isfinite(facts.nodata) else str(facts.nodata),
        "crs": facts.crs,
        "window": run.config.window,
        "overlap": run.config.overlap,
        "windows": facts.windows,
        "windows_skipped": facts.windows_skipped,
        "clipped_pixels": facts.survey.clipped_pixels,
        "moved_off_nodata": facts.moved_off_nodata,
        "seam_ratio": facts.seam_ratio,
        "warnings": list(facts.warnings),
    }


def _record(taken: TakenScene, run: SceneRun, facts: SceneFacts, model: Model, output: ArtifactRef) -> TileRecord:
    seen = (min(run.config.window, side) for side in (facts.height, facts.width))
    height, width = (-(-side // run.options.patch) * run.options.patch for side in seen)
    return TileRecord(
        id=taken.found.id,
        status="done",
        input_sha256=taken.digests.scene,
        sidecar_sha256=taken.digests.sidecar,
        output=output,
        height=facts.height,
        width=facts.width,
        padded_to=(height, width),
        clipped_fraction=facts.survey.clipped_fraction,
        valid_fraction=facts.survey.valid_fraction,
        defaults_used=taken.meta.defaults_used,
        warnings=facts.warnings,
        precision=min(model.precisions),  # bf16 and fp16 sort before fp32, which repeats single windows
        device=max(model.devices),  # a fallback to the CPU is among the events
        batch_size=model.largest_batch,
        oom_events=tuple(model.events),
    )


def _output(target: Path, scene_id: str) -> ArtifactRef:
    with typed("read", str(target)), target.open("rb") as file:
        digest, size = hashlib.file_digest(file, "sha256").hexdigest(), target.stat().st_size
    return ArtifactRef(digest=digest, size=size, media_type=MEDIA_TYPE, name=f"{scene_id}{target.suffix}")


def _scratch(folder: Path, target: Path) -> Path:
    scratch = folder / TEMP_FOLDER
    with typed("write", str(target)):
        scratch.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
    return scratch


def _place_json(folder: Path, scene_id: str, document: bytes) -> None:
    target = folder / f"{scene_id}.json"
    temp = folder / TEMP_FOLDER / f"scene.{os.getpid()}.json.tmp"
    with typed("write", str(target)):
        try:
            temp.write_bytes(document)
            os.replace(temp, target)
        finally:
            temp.unlink(missing_ok=True)
