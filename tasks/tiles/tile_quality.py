"""The figures of one refined tile: what was preserved, what changed, how far it is from a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.tiles import metrics
from tasks.tiles.references import unsharp

PRESERVATION: dict[str, metrics.Metric] = {
    "ndvi_rmse": metrics.ndvi_rmse,
    "edge_correlation": metrics.edge_correlation,
}
AGAINST_REFERENCE: dict[str, metrics.Metric] = {
    "psnr_db": metrics.psnr,
    "ssim": metrics.ssim,
    "ndvi_rmse": metrics.ndvi_rmse,
    "evi_rmse": metrics.evi_rmse,
    "spectral_angle_deg": metrics.spectral_angle_deg,
    "edge_shift_px": metrics.edge_shift_px,
}
MOST_SEAM_RATIO = 1.5
Figures = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A tile before and after refinement, with what it is judged by."""

    id: str
    v1: np.ndarray  # (4, H, W) float32 as the model got it, before filling: NaN where invalid
    v2: np.ndarray  # (4, H, W) float32 as it was written
    month: int
    biome_code: int
    defaults_used: tuple[str, ...] = ()
    reference: np.ndarray | None = None  # (4, H, W) float32, NaN where invalid
    borders: tuple[Sequence[int], Sequence[int]] = ((), ())  # first rows and columns of windows, px


@dataclass(frozen=True)
class NotCompared:
    """A tile that cannot be evaluated, and why."""

    id: str
    reason: str


def tile_quality(pair: Pair) -> Figures:
    """Everything about one tile that `quality.json` says."""
    valid = np.isfinite(pair.v1).all(axis=0)
    counted = valid & np.isfinite(pair.v2).all(axis=0)
    figures = _described(pair, valid) | _compared(pair.v1, pair.v2, counted) | {"plausible": _plausible(pair, valid)}
    sharpened = unsharp(pair.v1)
    baselines = {"identity": pair.v1, "unsharp": sharpened}
    figures["baselines"] = {name: _figures(PRESERVATION, pair.v1, tile, counted) for name, tile in baselines.items()}
    if pair.reference is not None:
        figures["against_reference"] = _against(pair.reference, {"refined": pair.v2} | baselines, counted)
    return figures


def _described(pair: Pair, valid: np.ndarray) -> Figures:
    return {
        "id": pair.id,
        "month": pair.month,
        "biome_code": pair.biome_code,
        "defaults_used": list(pair.defaults_used),
        "height": valid.shape[0],
        "width": valid.shape[1],
        "valid_fraction": float(valid.mean()),
    }


def _compared(v1: np.ndarray, v2: np.ndarray, counted: np.ndarray) -> Figures:
    values = v2[:, counted]
    same = metrics.share_identical(v1, v2, counted)
    return {
        **_figures(PRESERVATION, v1, v2, counted),
        "change_rms": metrics.change_rms(v1, v2, counted),
        "mean_ndvi_change": metrics.mean_ndvi_change(v1, v2, counted),
        "share_bit_identical": same,
        "bit_identical": same == 1.0,
        "minimum": float(values.min()) if values.size else None,
        "maximum": float(values.max()) if values.size else None,
    }


def _plausible(pair: Pair, valid: np.ndarray) -> dict[str, bool | None]:
    """Which checks hold; None where there is nothing to check."""
    written = np.isfinite(pair.v2)
    values, index = pair.v2[written], metrics.ndvi(pair.v2)[written.all(axis=0)]
    seam = _seam_ratio(pair)
    return {
        "range": bool(((values >= 0) & (values <= 1)).all()),
        "ndvi": bool((np.abs(index) <= 1).all()),
        "validity_mask": bool((written == valid).all()),
        "seam": None if seam is None else seam <= MOST_SEAM_RATIO,
    }


def _seam_ratio(pair: Pair) -> float | None:
    change = pair.v2 - pair.v1
    rows, columns = pair.borders
    across = metrics.seam_ratio(change, columns), metrics.seam_ratio(change.transpose(0, 2, 1), rows)
    return max((ratio for ratio in across if ratio is not None), default=None)


def _against(reference: np.ndarray, candidates: dict[str, np.ndarray], counted: np.ndarray) -> dict[str, Figures]:
    mask = counted & np.isfinite(reference).all(axis=0)
    figures = {name: _figures(AGAINST_REFERENCE, reference, tile, mask) for name, tile in candidates.items()}
    refined, identity = figures["refined"], figures["identity"]
    return figures | {"refined_minus_identity": {key: _minus(refined[key], identity[key]) for key in refined}}


def _figures(wanted: dict[str, metrics.Metric], first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> Figures:
    return {name: metric(first, second, mask) for name, metric in wanted.items()}


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
