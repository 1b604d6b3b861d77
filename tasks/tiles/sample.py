"""A made-up set of tiles to try everything on: opt_v1 tiles with sidecars, their clean references, a small checkpoint.

<folder>/<id>.npz, <id>.json      the degraded tiles (`opt_v1`)
<folder>/reference/<id>.npz       the clean ones (`target`), with oracle.json: how they were degraded
<folder>/checkpoint/              a `nano` model
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasks.contracts.errors import ConfigError
from tasks.store.jsons import canonical_json
from tasks.store.npz_writer import write_npz
from tasks.tiles.degrade import STANDARD, degrade
from tasks.tiles.landscape import Landscape, landscape
from tasks.tiles.references import ORACLE_FILE, ORACLE_FORMAT

PER_SCENE = 4  # tiles of two by two that are neighbours
NODATA = -9999.0
FEWEST_PX = 2


@dataclass(frozen=True)
class SampleTile:
    """One tile of the generator."""

    id: str
    opt_v1: np.ndarray  # (4, H, W) float32, degraded, with nodata
    clean: np.ndarray  # (4, H, W) float32, NaN where there is nothing
    sidecar: dict


class Sample(NamedTuple):
    """Where a made-up set lies."""

    tiles: Path
    reference: Path
    checkpoint: Path | None


def make_sample(
    folder: Path,
    count: int = 64,
    sizes: Sequence[int] = (120,),
    seed: int = 42,
    nodata: bool = False,
    cloud: bool = False,
    head_scale: float = 0.0,
    checkpoint: bool = True,
) -> Sample:
    """Write `count` tiles, their references and a `nano` checkpoint whose head is zero or random.

    Tile `i` has the size `sizes[i % len(sizes)]`, px. Equal arguments give equal bytes.
    """
    reference = folder / "reference"
    reference.mkdir(parents=True, exist_ok=True)
    for tile in sample_tiles(count, sizes, seed, nodata=nodata, cloud=cloud):
        (folder / f"{tile.id}.npz").write_bytes(write_npz({"opt_v1": tile.opt_v1}))
        (folder / f"{tile.id}.json").write_bytes(canonical_json(tile.sidecar))
        (reference / f"{tile.id}.npz").write_bytes(write_npz({"target": tile.clean}))
    (reference / ORACLE_FILE).write_bytes(canonical_json(_oracle(seed)))
    return Sample(folder, reference, _nano(folder / "checkpoint", seed, head_scale) if checkpoint else None)


def sample_tiles(
    count: int, sizes: Sequence[int], seed: int, *, nodata: bool = False, cloud: bool = False
) -> Iterator[SampleTile]:
    """The tiles one after the other. Four neighbours share a scene, and with it month, biome and place."""
    if count < 1 or not sizes or min(sizes) < FEWEST_PX:
        found = f"{count} tiles of {', '.join(map(str, sizes)) or 'no size'} px"
        raise ConfigError("no tile can be made", expected=f"a count and sizes of at least {FEWEST_PX} px", found=found)
    side = max(sizes)
    for index in range(count):
        if index % PER_SCENE == 0:
            scene = landscape(seed, index // PER_SCENE, 2 * side, 2 * side, cloud=cloud)
        down, right = divmod(index % PER_SCENE, 2)
        size = sizes[index % len(sizes)]
        corner = (slice(None), slice(side * down, side * down + size), slice(side * right, side * right + size))
        yield _tile(scene, index, scene.values[corner], seed, with_nodata=nodata and index % 2 == 0)


def _tile(scene: Landscape, index: int, clean: np.ndarray, seed: int, *, with_nodata: bool) -> SampleTile:
    rng = np.random.default_rng([seed, index, 1])
    degraded, sidecar = degrade(clean, rng), _sidecar(scene, index, seed)
    if with_nodata:
        missing = _missing(clean.shape, rng)
        clean = np.where(missing.any(axis=0), np.float32(np.nan), clean)
        marked = index % PER_SCENE == 2
        degraded = np.where(missing, np.float32(NODATA if marked else np.nan), degraded)
        sidecar |= {"nodata": NODATA} if marked else {}
    return SampleTile(f"tile_{index:05d}", degraded, clean, sidecar)


def _missing(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(4, H, W): a corner that the swath does not cover, and single samples of one band."""
    _, height, width = shape
    y, x = np.indices((height, width))
    swath = y / height + x / width < rng.uniform(0.2, 0.5)
    return swath | (rng.random(shape) < 0.0005)


def _sidecar(scene: Landscape, index: int, seed: int) -> dict:
    row, column = divmod(index % PER_SCENE, 2)
    return {
        "month": scene.month,
        "biome_code": scene.biome_code,
        "date": f"2021-{scene.month:02d}-15",
        "lat": scene.lat,
        "lon": scene.lon,
        "scene": scene.id,
        "row": row,
        "column": column,
        "source": "stagegate tiles make-sample",
        "random_state": seed,
    }


def _oracle(seed: int) -> dict:
    return {
        "format": ORACLE_FORMAT,
        "oracle_strength": "physics_derived",
        "reference": "the generator's clean tiles, before a known degradation",
        "degradation": STANDARD.model_dump(),
        "random_state": seed,
    }


def _nano(folder: Path, seed: int, head_scale: float) -> Path:
    from tasks.tiles.checkpoint import fresh, save_checkpoint  # the only part that needs torch

    save_checkpoint(folder, fresh("nano", seed=seed, head_scale=head_scale), {})
    return folder
