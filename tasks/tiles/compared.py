"""Pairs to evaluate, from the bytes of input, sidecar, output and reference; and those of a finished folder."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.contracts.tile_errors import InputDirError, TileError, TileShapeError
from tasks.contracts.tiles import STAGE, TileMeta, TilesConfig
from tasks.store.jsons import read_json
from tasks.store.npz import read_headers, read_npz
from tasks.tiles.headers import KEY, reading
from tasks.tiles.metadata import published, read_sidecar
from tasks.tiles.reader import read_tile
from tasks.tiles.references import Oracle, OracleStrength, oracle_of, read_reference, strength_of
from tasks.tiles.tile_quality import NotCompared, Pair
from tasks.tiles.window_grid import Axis
from tasks.tiles.windows import LARGEST_TILE_SIDE

PRIVATE = ".stagegate"


def pair_of(
    tile_id: str,
    tile: bytes | Path,
    sidecar: bytes | None,
    output: bytes | Path,
    config: TilesConfig,
    reference: bytes | Path | None = None,
) -> Pair:
    """A tile as the model got it, beside what was written for it. Raises TileError."""
    meta = read_sidecar(sidecar, tile_id)
    month, biome = published(meta)
    v1, v2 = _last_frame(tile, tile_id, meta, config), _output(output, tile_id)
    target = None if reference is None else read_reference(reference, tile_id)
    for name, values in (("output", v2), ("reference", target)):
        if values is not None and values.shape != v1.shape:
            raise TileShapeError(f"{name} of {tile_id} has another shape", expected=v1.shape, found=values.shape)
    return Pair(tile_id, v1, v2, month, biome, meta.defaults_used, target, _borders(v1.shape, config))


def finished_ids(output_dir: Path) -> list[str]:
    """Ids of the tiles that a folder of refined tiles holds with their sidecar, in order."""
    sidecars = (
        path for path in sorted(output_dir.rglob("*.json")) if PRIVATE not in path.relative_to(output_dir).parts
    )
    ids = [path.relative_to(output_dir).as_posix().removesuffix(".json") for path in sidecars if _is_refined(path)]
    return [tile_id for tile_id in ids if (output_dir / f"{tile_id}.npz").is_file()]


def folder_pairs(
    ids: Sequence[str], input_dir: Path, output_dir: Path, config: TilesConfig, reference_dir: Path | None = None
) -> Iterator[Pair | NotCompared]:
    """The pairs of a finished folder, one after the other; `reference_dir` need not hold every tile."""
    for tile_id in ids:
        try:
            yield folder_pair(tile_id, input_dir, output_dir, config, reference_dir)
        except (TileError, OSError) as error:
            yield NotCompared(tile_id, str(error))


def folder_pair(
    tile_id: str, input_dir: Path, output_dir: Path, config: TilesConfig, reference_dir: Path | None = None
) -> Pair:
    """One pair of a finished folder. Raises TileError."""
    sidecar = input_dir / f"{tile_id}.json"
    reference = None if reference_dir is None else reference_dir / f"{tile_id}.npz"
    return pair_of(
        tile_id,
        input_dir / f"{tile_id}.npz",
        sidecar.read_bytes() if sidecar.is_file() else None,
        output_dir / f"{tile_id}.npz",
        config,
        reference if reference is not None and reference.is_file() else None,
    )


def folder_oracle(ids: Sequence[str], input_dir: Path, reference_dir: Path | None = None) -> Oracle:
    """What these tiles are judged against: the folder of references, or else their own input."""
    folder = reference_dir or input_dir
    if not folder.is_dir():
        raise InputDirError("is no folder", where=str(folder), remedy="Check --reference_dir and --input_dir.")
    strength: OracleStrength = "heuristic"
    said = ""
    if reference_dir is not None:
        strength, said = strength_of(reference_dir)
    files = {tile_id: folder / f"{tile_id}.npz" for tile_id in ids}
    return oracle_of(strength, {tile_id: _sha256(path) for tile_id, path in files.items() if path.is_file()}, said)


def _last_frame(tile: bytes | Path, tile_id: str, meta: TileMeta, config: TilesConfig) -> np.ndarray:
    with reading(f"{tile_id}.npz"):
        header = read_headers(tile, name=f"{tile_id}.npz").get(KEY)
    frames = header.shape[0] if header is not None and len(header.shape) == 4 else 1
    return read_tile(tile, tile_id, meta, config, frames).values[-1]


def _output(source: bytes | Path, tile_id: str) -> np.ndarray:
    where = f"output of {tile_id}"
    with reading(where):
        arrays = read_npz(source, name=where)
    if set(arrays) != {"opt_v2"}:
        raise TileShapeError("is no refined tile", where=where, expected="opt_v2 alone", found=", ".join(arrays))
    return arrays["opt_v2"]


def _borders(shape: tuple[int, ...], config: TilesConfig) -> tuple[Sequence[int], Sequence[int]]:
    """First and last lines of the windows that a large tile was refined in."""
    if max(shape[1:]) <= LARGEST_TILE_SIDE:
        return (), ()
    axes = [Axis(length, config.window, config.overlap) for length in shape[1:]]
    rows, columns = (tuple(sorted({*axis.starts, *(start + axis.size for start in axis.starts)})) for axis in axes)
    return rows, columns


def _is_refined(path: Path) -> bool:
    try:
        document = read_json(path.read_bytes(), name=path.name)
    except (HandshakeError, OSError):
        return False
    return isinstance(document, dict) and document.get("stage") == STAGE


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
