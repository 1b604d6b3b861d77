"""Small image filters on arrays (..., H, W), as scipy.ndimage gives them with its border mode `reflect`."""

import numpy as np

SYMMETRIC = "symmetric"  # numpy's name for it: d c b a | a b c d | d c b a
ROWS, COLUMNS = -2, -1


def gaussian_kernel(sigma_px: float, radius_px: int) -> np.ndarray:
    """(2 * radius + 1) weights that add up to one."""
    x = np.arange(-radius_px, radius_px + 1)
    weights = np.exp(-0.5 * (x / sigma_px) ** 2)
    return weights / weights.sum()


def gaussian_blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Image of the same shape and kind, blurred; the kernel ends at four sigma."""
    radius = int(4 * sigma_px + 0.5)
    kernel = gaussian_kernel(sigma_px, radius).astype(image.dtype)
    padding = [(0, 0)] * (image.ndim - 2) + [(radius, radius)] * 2
    return separable(np.pad(image, padding, mode=SYMMETRIC), kernel)


def masked_blur(image: np.ndarray, valid: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur of (..., H, W) from its valid pixels (H, W) alone; invalid pixels stay NaN."""
    if valid.all():
        return gaussian_blur(image, sigma_px)
    weight = gaussian_blur(valid.astype(image.dtype), sigma_px)
    total = gaussian_blur(np.where(valid, image, 0).astype(image.dtype), sigma_px)
    return np.where(valid, total / np.where(valid, weight, 1), np.nan).astype(image.dtype)


def separable(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The kernel along rows and columns, only where it fits: (..., H - k + 1, W - k + 1)."""
    return _along(_along(image, kernel, ROWS), kernel, COLUMNS)


def sobel_magnitude(band: np.ndarray) -> np.ndarray:
    """(H, W) gradient magnitude with weights 1-2-1, unscaled."""
    padded = np.pad(band, 1, mode=SYMMETRIC)
    down, right = padded[2:] - padded[:-2], padded[:, 2:] - padded[:, :-2]
    gy = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    gx = right[:-2] + 2 * right[1:-1] + right[2:]
    return np.sqrt(gx**2 + gy**2)


def surrounded(valid: np.ndarray) -> np.ndarray:
    """(H, W) whether all of the 3x3 neighbours that exist are valid."""
    padded = np.pad(valid, 1, mode=SYMMETRIC)
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def furthest_px(points: np.ndarray, marks: np.ndarray) -> float:
    """The largest Euclidean distance from a point (H, W) to its nearest mark (H, W); both must have some.

    Exact, by columns first and rows after (Felzenszwalb and Huttenlocher 2012); the search ends at the answer.
    """
    column = _distance_in_column(marks) ** 2
    nearest = column.copy()
    for step in range(1, marks.shape[1]):
        if step**2 >= nearest[points].max():
            break
        np.minimum(nearest[:, step:], column[:, :-step] + step**2, out=nearest[:, step:])
        np.minimum(nearest[:, :-step], column[:, step:] + step**2, out=nearest[:, :-step])
    return float(np.sqrt(nearest[points].max()))


def _distance_in_column(marks: np.ndarray) -> np.ndarray:
    height, width = marks.shape
    beyond = 2 * (height + width)
    rows = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(marks, rows, -beyond), axis=0)
    below = np.minimum.accumulate(np.where(marks, rows, beyond)[::-1], axis=0)[::-1]
    return np.minimum(rows - above, below - rows)


def _along(image: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    size = image.shape[axis] - len(kernel) + 1
    moved = np.moveaxis(image, axis, 0)
    total = kernel[0] * moved[:size]
    for offset, weight in enumerate(kernel[1:], 1):
        total += weight * moved[offset : offset + size]
    return np.moveaxis(total, 0, axis)
