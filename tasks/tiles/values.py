"""From stored numbers to reflectance: units, nodata, the range that reflectance may have, and the fill of gaps."""

from typing import TYPE_CHECKING

import numpy as np

from tasks.contracts.tile_errors import ValueRangeError
from tasks.contracts.tiles import TilesConfig

if TYPE_CHECKING:
    from tasks.tiles.reader import Tile

PLAUSIBLE_LOW, PLAUSIBLE_HIGH = -0.5, 2.0
MAX_SHARE_OUTSIDE = 0.25
INTEGERS_ABOVE = 10.0
_FLOAT32_LIMIT = 3e38  # finite float64 values beyond float32 stay finite, so that they are refused and not masked
_EXACT_IN_FLOAT32 = (np.dtype(np.float16), np.dtype(np.float32))


def reflectance(raw: np.ndarray, nodata: float | None, scale: float | None, offset: float) -> np.ndarray:
    """(DN + offset) / scale as float32, in the shape of `raw`; NaN where not finite or `nodata` (in raw units).

    Whole float32 tiles are given back as they are, without a copy.
    """
    gaps = _gaps(raw, nodata)
    values = _scaled(raw, scale, offset)
    if gaps is None or not gaps.any():
        return values
    return np.where(gaps, np.float32(np.nan), values)


def unusable_nodata(dtype: np.dtype, nodata: float | None) -> bool:
    """Whether integers of this width can never be `nodata`, for example 65535 among int16."""
    if nodata is None or dtype.kind not in "iu":
        return False
    limits = np.iinfo(dtype)
    return not (float(nodata).is_integer() and limits.min <= nodata <= limits.max)


def in_range(values: np.ndarray, present: np.ndarray, config: TilesConfig, where: str) -> tuple[np.ndarray, float]:
    """Reflectance (T,4,H,W) clipped to 0..1, and the clipped share of the samples at `present` (T,H,W) pixels.

    Raises ValueRangeError where the policy forbids it. Samples at other pixels are clipped and do not count.
    """
    samples = values if present.all() else values[np.broadcast_to(present[:, None], values.shape)]
    low, high = float(samples.min()), float(samples.max())
    if low >= 0 and high <= 1:
        return (values if samples is values else np.clip(values, 0, 1)), 0.0
    share = np.count_nonzero((samples < 0) | (samples > 1)) / samples.size
    _check_policy(low, high, share, config, where)
    return np.clip(values, 0, 1), share


def filled(tile: "Tile") -> np.ndarray:
    """Values (T,4,H,W) float32 without gaps: each gap holds the median of its band and frame.

    A band that one of the earlier frames lacks altogether is filled with the median of the last frame.
    """
    gaps = np.isnan(tile.values)
    if not gaps.any():
        return tile.values
    whole = tile.values.copy()
    last = [_median(tile.values[-1, band], 0.0) for band in range(whole.shape[1])]
    for frame, band in np.ndindex(*whole.shape[:2]):
        plane = whole[frame, band]
        plane[gaps[frame, band]] = _median(tile.values[frame, band], last[band])
    return whole


def _gaps(raw: np.ndarray, nodata: float | None) -> np.ndarray | None:
    gaps = None if raw.dtype.kind in "iu" else ~np.isfinite(raw)
    if nodata is None or not np.isfinite(nodata):
        return gaps
    with np.errstate(over="ignore"):
        marked = raw == (nodata if gaps is None else raw.dtype.type(nodata))
    return marked if gaps is None else gaps | marked


def _scaled(raw: np.ndarray, scale: float | None, offset: float) -> np.ndarray:
    if scale is None:
        return raw.astype(np.float32, copy=False) if raw.dtype in _EXACT_IN_FLOAT32 else _narrowed(raw)
    return _narrowed((raw.astype(np.float64) + offset) / scale)


def _narrowed(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.clip(values, -_FLOAT32_LIMIT, _FLOAT32_LIMIT).astype(np.float32)


def _check_policy(low: float, high: float, share: float, config: TilesConfig, where: str) -> None:
    plausible = low >= PLAUSIBLE_LOW and high <= PLAUSIBLE_HIGH and share <= MAX_SHARE_OUTSIDE
    if config.range_policy == "clip" or (config.range_policy == "auto" and plausible):
        return
    plausibly = f"{PLAUSIBLE_LOW:g} to {PLAUSIBLE_HIGH:g}, at most {MAX_SHARE_OUTSIDE:.0%} outside 0 to 1"
    expected = "0 to 1" if config.range_policy == "strict" else plausibly
    found = f"{low:.6g} to {high:.6g}, {share:.1%} outside 0 to 1"
    raise ValueRangeError(
        "has values that are no reflectance",
        where=where,
        expected=expected,
        found=found,
        remedy=_cause(low, high, share),
    )


def _cause(low: float, high: float, share: float) -> str:
    if high > INTEGERS_ABOVE:
        return "It looks like integer reflectance, use --scale (10000 for Sentinel-2)."
    if low < PLAUSIBLE_LOW or share > MAX_SHARE_OUTSIDE:
        return "It looks like standardised values: save reflectance from the first stage."
    if high > PLAUSIBLE_HIGH:
        return "It looks like a defect or another scale; --range_policy clip clips it."
    return "Slightly out of range: --range_policy auto clips it."


def _median(plane: np.ndarray, otherwise: float) -> float:
    present = plane[np.isfinite(plane)]
    return float(np.median(present)) if present.size else otherwise
