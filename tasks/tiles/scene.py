"""A whole scene refined window by window, from GeoTIFF to COG, in memory that does not grow with its height."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.contracts.errors import StagegateError
from tasks.contracts.tile_errors import TileModelError, TileOutOfMemoryError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.bands import Units
from tasks.tiles.cog import Layout, cog_writer
from tasks.tiles.scene_reader import Scene, open_scene
from tasks.tiles.scene_survey import Survey, check_survey, survey
from tasks.tiles.seams import SeamMeter
from tasks.tiles.window_grid import window_grid
from tasks.tiles.windows import Predict, Rows, refined_rows

_SURVEY_ROWS = 256
REFLECTANCE = Units(1.0, 0.0, "reflectance")


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are read, refined and written, beside what `TilesConfig` says."""

    patch: int
    bands: tuple[int, ...] | None = None
    dtype: Literal["input", "float32"] = "input"  # of the output; float32 holds reflectance
    batch_size: int = 4


@dataclass(frozen=True)
class SceneFacts:
    """What was done to a scene; the sidecar shows it."""

    height: int
    width: int
    bands: tuple[int, ...]
    units: Units
    nodata: float | None
    dtype: str
    crs: str | None
    survey: Survey
    windows: int
    windows_skipped: int
    moved_off_nodata: int  # samples that would have become the nodata value
    seam_ratio: float | None  # see SeamMeter
    warnings: tuple[str, ...] = ()


@dataclass
class _Model:
    """The model, counted, with its failures in the words of this project."""

    predict: Predict
    name: str
    windows: int = field(default=0)

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        try:
            refined = self.predict(values, valid)
        except StagegateError:
            raise
        except MemoryError as error:
            raise TileOutOfMemoryError("needs more memory than there is", where=self.name) from error
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise TileModelError("could not be refined", where=self.name, found=found) from error
        self.windows += len(values)
        return refined


def refine_scene(
    source: Path,
    target: Path,
    predict: Predict,
    config: TilesConfig,
    options: SceneOptions,
    *,
    scratch: Path,
    nodata: float | None = None,
    tell: Callable[[float], None] = lambda share: None,
    confirm: Callable[[], None] = lambda: None,
) -> SceneFacts:
    """Write the refined scene to `target`, which appears only when every window succeeded.

    `nodata` is that of the sidecar, `scratch` a folder on the file system of `target`, `tell` hears the share done,
    `confirm` may refuse by raising when all is computed. Raises TileError for a scene that cannot be read or refined,
    StoreError where the output cannot be written.
    """
    reading = {"bands": options.bands, "scale": config.scale, "offset": config.offset, "nodata": nodata}
    with open_scene(source, **reading) as scene:
        counted = survey(_all_rows(scene))
        check_survey(counted, config.range_policy, source.name)
        layout = _layout(scene, options.dtype)
        size = {"window": config.window, "overlap": config.overlap, "patch": options.patch}
        grid = window_grid(scene.height, scene.width, **size)
        model = _Model(predict, source.name)
        units = scene.units if options.dtype == "input" else REFLECTANCE
        seams, moved = SeamMeter(grid.columns), 0
        with cog_writer(target, layout, scratch) as writer:
            for rows in refined_rows(_clipped(scene), grid, model, options.batch_size):
                numbers, collisions = encoded(rows, units, np.dtype(layout.dtype), layout.nodata)
                writer.write(numbers)
                moved += collisions
                seams.add(rows.change, rows.valid)
                tell((rows.first + rows.valid.shape[0]) / scene.height)
            confirm()
        windows = (grid.count, model.windows)
        return _facts(scene, layout, counted, windows, moved, seams.ratio, _warnings(scene, counted, config))


def encoded(rows: Rows, units: Units, dtype: np.dtype, nodata: float | None) -> tuple[np.ndarray, int]:
    """(4, n, W) numbers with nodata where a pixel is invalid, and how many valid samples had to leave that value.

    A valid sample that would become the nodata value takes the next number towards the middle of the range.
    """
    numbers = units.numbers(np.where(rows.valid, rows.values, 0), dtype)
    collisions = 0
    if nodata is not None and np.isfinite(nodata):
        hit = (numbers == nodata) & rows.valid
        collisions = int(hit.sum())
        numbers[hit] = _neighbour(dtype, nodata)
    numbers[:, ~rows.valid] = np.nan if nodata is None and dtype.kind == "f" else nodata or 0
    return numbers, collisions


def _neighbour(dtype: np.dtype, nodata: float) -> float | int:
    upward = nodata < (np.iinfo(dtype).max // 2 if dtype.kind in "ui" else 0.5)
    if dtype.kind in "ui":
        return int(nodata) + (1 if upward else -1)
    return np.nextafter(dtype.type(nodata), dtype.type(np.inf if upward else -np.inf))


def _all_rows(scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, scene.height, _SURVEY_ROWS):
        yield scene.read(first, min(_SURVEY_ROWS, scene.height - first))


def _clipped(scene: Scene) -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    def read(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        values, valid = scene.read(first, count)
        return np.clip(values, 0, 1, out=values), valid

    return read


def _layout(scene: Scene, dtype: str) -> Layout:
    source = scene.dataset
    out = scene.dtype if dtype == "input" else np.dtype(np.float32)
    first = scene.bands[0] - 1
    tags = (source.scales[first], source.offsets[first]) if dtype == "input" else (1.0, 0.0)
    nodata = _output_nodata(scene, out)
    return Layout(scene.height, scene.width, out.name, nodata, source.crs, source.transform, *tags)


def _output_nodata(scene: Scene, dtype: np.dtype) -> float | None:
    """That of the source, else of its sidecar; 0 for integers whose invalid pixels only a mask band knows."""
    stated = next((value for value in scene.nodata if value is not None), None)
    if stated is not None and (dtype.kind == "f" or _fits(stated, dtype)):
        return stated
    return 0.0 if scene.masked and dtype.kind != "f" else None


def _fits(value: float, dtype: np.dtype) -> bool:
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


def _warnings(scene: Scene, counted: Survey, config: TilesConfig) -> tuple[str, ...]:
    lines = [] if scene.dataset.crs else ["has no coordinate reference system"]
    if config.range_policy == "clip" and counted.clipped_samples:
        lines.append(f"{counted.clipped_fraction:.2%} of the values were clipped to 0..1 as --range_policy clip asks")
    return tuple(lines)


def _facts(
    scene: Scene,
    layout: Layout,
    counted: Survey,
    windows: tuple[int, int],
    moved: int,
    seam_ratio: float | None,
    warnings: tuple[str, ...],
) -> SceneFacts:
    crs = scene.dataset.crs
    return SceneFacts(
        height=scene.height,
        width=scene.width,
        bands=scene.bands,
        units=scene.units,
        nodata=layout.nodata,
        dtype=layout.dtype,
        crs=crs.to_string() if crs else None,
        survey=counted,
        windows=windows[0],
        windows_skipped=windows[0] - windows[1],
        moved_off_nodata=moved,
        seam_ratio=seam_ratio,
        warnings=warnings,
    )
