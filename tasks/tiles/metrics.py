"""How two tiles compare: arrays (4, H, W) of reflectance in band order B02, B03, B04, B08, in numpy alone.

`valid` (H, W) says which pixels count; without it those that are finite in all bands of both. A figure that is not
defined for a pair (no pixel left, no variance, no difference) is None, never NaN and never a perfect score.
"""

from collections.abc import Callable

import numpy as np

from tasks.contracts.tiles import BANDS
from tasks.tiles.filters import furthest_px, gaussian_kernel, separable, sobel_magnitude, surrounded

BLUE, GREEN, RED, NIR = (BANDS.index(name) for name in ("B02", "B03", "B04", "B08"))
ROUNDING = 16 * float(np.finfo(np.float32).eps)  # of a gradient of reflectance stored as float32
EDGE_THRESHOLD = 0.1  # of the unscaled Sobel magnitude of reflectance
SSIM_SIGMA_PX, SSIM_RADIUS_PX = 1.5, 5
SSIM_K1, SSIM_K2 = 0.01, 0.03
EVI_LEAST_DENOMINATOR = 0.1

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float | None]


def valid_in_both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W) whether a pixel is finite in every band of both."""
    return np.isfinite(first).all(axis=0) & np.isfinite(second).all(axis=0)


def ndvi(tile: np.ndarray) -> np.ndarray:
    """(NIR - Red) / (NIR + Red + 1e-8), (H, W)."""
    red, nir = tile[RED].astype(float), tile[NIR].astype(float)
    return (nir - red) / (nir + red + 1e-8)


def ndvi_rmse(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Root mean square difference of NDVI."""
    return _rms((ndvi(second) - ndvi(first))[_mask(first, second, valid)])


def mean_ndvi_change(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Mean of NDVI of the second less that of the first."""
    change = (ndvi(second) - ndvi(first))[_mask(first, second, valid)]
    return float(change.mean()) if change.size else None


def change_rms(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Root mean square difference over all bands, reflectance."""
    mask = _mask(first, second, valid)
    return _rms(second[:, mask].astype(float) - first[:, mask])


def share_identical(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Share of the samples that are equal to the last bit."""
    mask = _mask(first, second, valid)
    return float((first[:, mask] == second[:, mask]).mean()) if mask.any() else None


def edge_correlation(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Pearson correlation of the Sobel magnitudes of B08; pixels with an invalid neighbour are left out.

    None where one of them varies by no more than float32 rounds.
    """
    (edges, others), inner = _edges(first, second, valid)
    if not inner.any():
        return None
    a, b = edges[inner] - edges[inner].mean(), others[inner] - others[inner].mean()
    if min(np.ptp(a), np.ptp(b)) <= ROUNDING:
        return None
    return float(np.clip(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)), -1, 1))


def edge_shift_px(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """The furthest that an edge pixel of one lies from the nearest edge pixel of the other (Hausdorff), B08.

    The diagonal of the tile where only one of them has edges at all; None where neither has.
    """
    (edges, others), inner = _edges(first, second, valid)
    a, b = (edges > EDGE_THRESHOLD) & inner, (others > EDGE_THRESHOLD) & inner
    if not a.any() and not b.any():
        return None
    if not (a.any() and b.any()):
        return float(np.hypot(*inner.shape))
    return max(furthest_px(a, b), furthest_px(b, a))


def psnr(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Peak signal-to-noise ratio over all bands for a data range of 1, dB; None where nothing differs."""
    error = change_rms(first, second, valid)
    return float(-20 * np.log10(error)) if error else None


def ssim(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Structural similarity (Wang et al. 2004), Gaussian windows of 11x11 px and sigma 1.5, mean over the bands.

    Only windows that lie within the tile and hold no invalid pixel count.
    """
    mask = _mask(first, second, valid)
    if min(mask.shape) < 2 * SSIM_RADIUS_PX + 1:
        return None
    kernel = gaussian_kernel(SSIM_SIGMA_PX, SSIM_RADIUS_PX)
    complete = separable((~mask).astype(float), kernel) == 0
    if not complete.any():
        return None
    bands = zip(_filled(first, mask), _filled(second, mask), strict=True)
    return float(np.mean([_similarity(a, b, kernel)[complete].mean() for a, b in bands]))


def evi_rmse(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Root mean square difference of EVI; pixels with a denominator below 0.1 in either are left out."""
    (above, below), (above2, below2) = _evi_parts(first), _evi_parts(second)
    mask = _mask(first, second, valid)
    with np.errstate(invalid="ignore"):
        mask = mask & (below >= EVI_LEAST_DENOMINATOR) & (below2 >= EVI_LEAST_DENOMINATOR)
    return _rms(above2[mask] / below2[mask] - above[mask] / below[mask])


def spectral_angle_deg(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Mean angle between the spectra, degrees; pixels that are black in either have none and are left out."""
    mask = _mask(first, second, valid)
    a, b = first[:, mask].astype(float), second[:, mask].astype(float)
    length, length2 = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    lit = (length > 0) & (length2 > 0)
    if not lit.any():
        return None
    u, v = a[:, lit] / length[lit], b[:, lit] / length2[lit]
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=0), np.linalg.norm(u + v, axis=0))
    return float(np.degrees(angle.mean()))


def seam_ratio(change: np.ndarray, columns: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """Mean absolute step of the change (4, H, W) across the borders before `columns`, over that elsewhere.

    For borders between rows pass the transposed change. None without a border, or where nothing changes elsewhere.
    """
    mask = np.isfinite(change).all(axis=0) if valid is None else valid
    step = np.abs(np.diff(change.astype(float), axis=2))
    both = mask[:, 1:] & mask[:, :-1]
    at_border = np.zeros(step.shape[2], bool)
    at_border[[c - 1 for c in columns if 0 < c < change.shape[2]]] = True
    across, elsewhere = step[:, both & at_border], step[:, both & ~at_border]
    if not across.size or not elsewhere.size or not elsewhere.mean():
        return None
    return float(across.mean() / elsewhere.mean())


def _similarity(a: np.ndarray, b: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    mean_a, mean_b, aa, bb, ab = separable(np.stack([a, b, a * a, b * b, a * b]), kernel)
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    variance, covariance = (aa - mean_a**2) + (bb - mean_b**2), ab - mean_a * mean_b
    return (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variance + c2))


def _evi_parts(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blue, red, nir = (tile[band].astype(float) for band in (BLUE, RED, NIR))
    return 2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1


def _edges(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None):
    mask = _mask(first, second, valid)
    bands = _filled(first[NIR], mask), _filled(second[NIR], mask)
    return tuple(sobel_magnitude(band) for band in bands), surrounded(mask)


def _mask(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    return valid_in_both(first, second) if valid is None else valid


def _filled(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, values, 0).astype(float)


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if values.size else None
