"""The figures of a refined scene, as those of a tile, from rows of input and output in memory that does not grow."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tasks.contracts.tile_errors import TileShapeError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.bands import Units
from tasks.tiles.metadata import published
from tasks.tiles.preserved import Preserved, Seen
from tasks.tiles.references import unsharp
from tasks.tiles.scene import REFLECTANCE, encoded
from tasks.tiles.scene_reader import Scene, open_scene
from tasks.tiles.seams import SeamMeter
from tasks.tiles.tile_quality import MOST_SEAM_RATIO, Figures
from tasks.tiles.window_grid import Axis
from tasks.tiles.windows import Rows

ROWS = 128
HALO = 4  # rows beside those that count: the unsharp filter reaches 3, the Sobel filter 1
PREVIEW_PX = 960


class Band(NamedTuple):
    """Rows of a scene before and after, with their neighbours; `inner` are those that count."""

    first: int  # of the inner rows
    v1: np.ndarray  # (4, n, W) float32 in 0..1, NaN where invalid
    v2: np.ndarray
    same: np.ndarray  # (4, n, W) whether the output holds what the untouched input would have become
    valid: np.ndarray  # (n, W) before
    written: np.ndarray  # (n, W) after
    inner: slice


def scene_quality(
    scene_id: str,
    source: Path,
    output: Path,
    meta: TileMeta,
    config: TilesConfig,
    *,
    bands: tuple[int, ...] | None = None,
    dtype: Literal["input", "float32"] = "input",
) -> tuple[Figures, dict[str, np.ndarray]]:
    """What `tile_quality` says of a tile, and every k-th pixel as v1 and v2 (4, h, w), at most 960 px a side.

    Raises TileError where one of the files cannot be read or they do not belong together.
    """
    with ExitStack() as stack:
        reading = {"scale": config.scale, "offset": config.offset, "nodata": meta.nodata}
        before = stack.enter_context(open_scene(source, bands=bands, **reading))
        units = before.units if dtype == "input" else REFLECTANCE
        after = stack.enter_context(open_scene(output, scale=units.scale, offset=units.offset))
        if (before.height, before.width) != (after.height, after.width):
            found = f"{after.height} x {after.width} px"
            raise TileShapeError("is no output of this scene", where=output.name, found=found)
        seen = _Counts(SeamMeter(Axis(before.width, config.window, config.overlap)))
        preview = _Preview(before.height, before.width)
        for band in _rows(before, after, units):
            seen.add(band)
            preview.add(band)
        return _figures(scene_id, before, meta, seen, _rounding(after, units)), preview.arrays()


@dataclass
class _Counts:
    """Sums over the rows so far."""

    seams: SeamMeter
    refined: Preserved = field(default_factory=Preserved)
    identity: Preserved = field(default_factory=Preserved)
    sharpened: Preserved = field(default_factory=Preserved)
    valid: int = 0
    samples: int = 0  # valid before and after
    same: int = 0
    change: float = 0.0  # sum of squares
    lowest: float = math.inf
    highest: float = -math.inf
    ndvi_in_range: bool = True
    mask_kept: bool = True

    def add(self, band: Band) -> None:
        counted = band.valid & band.written
        before, after = Seen.of(band.v1, counted), Seen.of(band.v2, counted)
        sharpened = Seen.of(unsharp(band.v1), counted)
        self.refined.add(before, after, counted, band.inner)
        self.identity.add(before, before, counted, band.inner)
        self.sharpened.add(before, sharpened, counted, band.inner)
        mask, rows = counted[band.inner], (slice(None), band.inner)
        change = band.v2[rows] - band.v1[rows]
        self.seams.add(change, mask)
        self.valid += int(band.valid[band.inner].sum())
        self.mask_kept &= bool((band.valid == band.written)[band.inner].all())
        self.ndvi_in_range &= bool((np.abs(after.ndvi[band.inner][mask]) <= 1).all())
        if mask.any():
            self.samples += 4 * int(mask.sum())
            self.same += int(band.same[rows][:, mask].sum())
            self.change += float(np.sum(change[:, mask].astype(float) ** 2))
            values = band.v2[rows][:, mask]
            self.lowest, self.highest = min(self.lowest, float(values.min())), max(self.highest, float(values.max()))


class _Preview:
    """Every k-th pixel of the scene."""

    def __init__(self, height: int, width: int):
        self._step = max(1, math.ceil(max(height, width) / PREVIEW_PX))
        self._rows: dict[str, list[np.ndarray]] = {"v1": [], "v2": []}

    def add(self, band: Band) -> None:
        for name, values in (("v1", band.v1), ("v2", band.v2)):
            rows = values[:, band.inner]
            self._rows[name].append(rows[:, -band.first % self._step :: self._step, :: self._step].copy())

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(rows, axis=1) for name, rows in self._rows.items()}


def _rows(before: Scene, after: Scene, units: Units) -> Iterator[Band]:
    for first in range(0, before.height, ROWS):
        top, last = max(0, first - HALO), min(before.height, first + ROWS)
        count = min(before.height, last + HALO) - top
        given, valid = before.read(top, count)
        made, written = after.read(top, count)
        v1 = np.clip(given[0], 0, 1)
        untouched, _ = encoded(Rows(top, v1, valid, v1), units, after.dtype, after.nodata[0])
        v1, v2 = (np.where(mask, values, np.float32(np.nan)) for mask, values in ((valid, v1), (written, made[0])))
        yield Band(first, v1, v2, units.reflectance(untouched) == v2, valid, written, slice(first - top, last - top))


def _figures(scene_id: str, scene: Scene, meta: TileMeta, seen: _Counts, rounding: float) -> Figures:
    month, biome = published(meta)
    share = seen.same / seen.samples if seen.samples else None
    seam = seen.seams.ratio
    in_range = not seen.samples or (seen.lowest >= -rounding and seen.highest <= 1 + rounding)
    return {
        "id": scene_id,
        "month": month,
        "biome_code": biome,
        "defaults_used": list(meta.defaults_used),
        "height": scene.height,
        "width": scene.width,
        "valid_fraction": seen.valid / (scene.height * scene.width),
        **seen.refined.figures(),
        "change_rms": math.sqrt(seen.change / seen.samples) if seen.samples else None,
        "mean_ndvi_change": seen.refined.mean_ndvi_change,
        "share_bit_identical": share,
        "bit_identical": share == 1.0,
        "minimum": seen.lowest if seen.samples else None,
        "maximum": seen.highest if seen.samples else None,
        "plausible": {
            "range": in_range,
            "ndvi": seen.ndvi_in_range,
            "validity_mask": seen.mask_kept,
            "seam": None if seam is None else seam <= MOST_SEAM_RATIO,
        },
        "baselines": {"identity": seen.identity.figures(), "unsharp": seen.sharpened.figures()},
    }


def _rounding(after: Scene, units: Units) -> float:
    """How far from 0..1 a whole number may bring reflectance: half a step, and one where nodata was in the way."""
    return 1.5 / units.scale if after.dtype.kind in "ui" else 0.0
