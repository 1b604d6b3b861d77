"""What refined tiles are judged against, and how much such a judgement is worth."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.contracts.errors import ConfigError
from tasks.contracts.tile_errors import AmbiguousUnitsError, TileShapeError
from tasks.contracts.tiles import BANDS
from tasks.store.jsons import canonical_json, read_json
from tasks.store.npz import read_npz
from tasks.tiles.filters import masked_blur
from tasks.tiles.headers import BAND_KEYS, reading

OracleStrength = Literal["heuristic", "human_labels", "physics_derived", "classical_method"]
STRENGTHS: dict[str, str] = {
    "heuristic": "opt_v1 itself: shows what was preserved, not that anything became better",
    "human_labels": "optical images of the user: also holds the errors of their date, place and processing",
    "physics_derived": "clean tiles before a known degradation",
    "classical_method": "the output of a classical filter: shows agreement with it, not truth",
}
ORACLE_FILE = "oracle.json"
ORACLE_FORMAT = "stagegate-oracle-1"
TARGET_KEYS = ("target", "opt_ref")
UNSHARP_SIGMA_PX, UNSHARP_AMOUNT = 0.8, 0.5


@dataclass(frozen=True)
class Oracle:
    """What the figures refer to."""

    strength: OracleStrength
    reference: str
    sha256: str  # over the digests of all files that were compared with, by id


def oracle_of(strength: OracleStrength, digests: Mapping[str, str], reference: str = "") -> Oracle:
    """The oracle made of these files: id -> sha256 of the bytes."""
    identity = hashlib.sha256(canonical_json({"strength": strength, "files": dict(digests)}, indent=None)).hexdigest()
    return Oracle(strength, reference or STRENGTHS[strength], identity)


def strength_of(folder: Path) -> tuple[OracleStrength, str]:
    """Strength and description of a reference folder: as its `oracle.json` says, else a user's optical images."""
    path = folder / ORACLE_FILE
    if not path.is_file():
        return "human_labels", STRENGTHS["human_labels"]
    document = read_json(path.read_bytes(), name=str(path))
    strength = document.get("oracle_strength") if isinstance(document, dict) else None
    if strength not in STRENGTHS or document.get("format") != ORACLE_FORMAT:
        remedy = "Remove the file if these are optical images of your own."
        raise ConfigError("does not describe an oracle", where=str(path), expected=", ".join(STRENGTHS), remedy=remedy)
    return strength, str(document.get("reference") or STRENGTHS[strength])


def read_reference(source: bytes | Path, tile_id: str) -> np.ndarray:
    """(4, H, W) float32 reflectance, NaN where a pixel is invalid in any band.

    Keys: `target`, `opt_ref`, or all of `s2_b2`, `s2_b3`, `s2_b4`, `s2_b8`. Raises TileReadError, TileShapeError,
    AmbiguousUnitsError.
    """
    where = f"reference of {tile_id}"
    with reading(where):
        arrays = read_npz(source, name=where)
    values = _target(arrays, where)
    if values.dtype.kind != "f":
        remedy = "Write reflectance in 0..1 as floating point numbers."
        raise AmbiguousUnitsError("has no unit", where=where, expected="reflectance", found=values.dtype, remedy=remedy)
    values = values.astype(np.float32)
    return np.where(np.isfinite(values).all(axis=0), values, np.float32(np.nan))


def unsharp(tile: np.ndarray, sigma_px: float = UNSHARP_SIGMA_PX, amount: float = UNSHARP_AMOUNT) -> np.ndarray:
    """Gaussian unsharp filter of (4, H, W), clipped to 0..1; NaN stays and does not spread."""
    valid = np.isfinite(tile).all(axis=0)
    blurred = masked_blur(tile, valid, sigma_px)
    return np.clip(np.where(valid, tile + np.float32(amount) * (tile - blurred), np.nan), 0, 1).astype(np.float32)


def _target(arrays: dict[str, np.ndarray], where: str) -> np.ndarray:
    for key in TARGET_KEYS:
        if key in arrays:
            return _shaped(arrays[key], key, where)
    if all(key in arrays for key in BAND_KEYS):
        planes = [
            arrays[key][0] if arrays[key].ndim == 3 and len(arrays[key]) == 1 else arrays[key] for key in BAND_KEYS
        ]
        if len({plane.shape for plane in planes}) == 1:
            return _shaped(np.stack(planes), "s2_*", where)
    expected = f"{', '.join(TARGET_KEYS)}, or {', '.join(BAND_KEYS)} of one shape"
    found = ", ".join(f"{key} {array.shape}" for key, array in arrays.items()) or "no array"
    raise TileShapeError("holds no target", where=where, expected=expected, found=found)


def _plane(values: np.ndarray) -> np.ndarray:
    return values[0] if values.ndim == 3 and len(values) == 1 else values


def _shaped(values: np.ndarray, key: str, where: str) -> np.ndarray:
    if values.ndim != 3 or len(values) != len(BANDS):
        raise TileShapeError(f"'{key}' is no tile", where=where, expected=f"({len(BANDS)}, H, W)", found=values.shape)
    return values
