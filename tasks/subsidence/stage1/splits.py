"""Which points train, which validate and which test; always whole points, never rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.contracts.errors import HandshakeError

Holdout = Literal["random", "spatial_block", "temporal"]
MINIMUM = {"train": 8, "val": 4}


@dataclass(frozen=True)
class Holdouts:
    """Point indices per split, ascending, and the last target year of its windows."""

    points: dict[str, np.ndarray]
    window_end: dict[str, int]
    blocks: int | None = None


def split_points(
    x_m: np.ndarray,
    y_m: np.ndarray,
    *,
    strategy: Holdout,
    seed: int,
    val_frac: float,
    test_frac: float,
    block_m: float,
    end_year: int,
    shift: int,
) -> Holdouts:
    """Divide points (G,) among train, val and test.

    `random` draws points; `spatial_block` draws squares of block_m, so that no val or test point has its neighbours in
    train unless it lies at the rim of a block; `temporal` draws points as `random` does and lets the windows of train
    end `shift` years before those of val and test, so that scores are of other points and of later years.
    Raises HandshakeError when a split would be too small to calibrate or to fit scalers.
    """
    rng = np.random.default_rng(seed)
    unit, blocks = np.arange(len(x_m)), None
    if strategy == "spatial_block":
        cells = np.stack([np.floor(axis / block_m) for axis in (x_m, y_m)], axis=1)
        unit = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
        blocks = int(unit.max()) + 1
    points = _draw(unit, rng, val_frac, test_frac)
    _check(points, len(x_m))
    late = {"train": end_year - shift, "val": end_year, "test": end_year}
    return Holdouts(
        points=points, window_end=late if strategy == "temporal" else dict.fromkeys(late, end_year), blocks=blocks
    )


def temporal_shift(asked: int | None, *, horizon: int, spare_years: int) -> int:
    """Years by which train windows end earlier: as asked, else all that the panel can spare, at most the horizon."""
    shift = min(horizon, spare_years) if asked is None else asked
    if not 1 <= shift <= spare_years:
        raise HandshakeError(
            "temporal hold-out needs train windows that end earlier",
            where="panel CSV",
            expected=f"{max(shift, 1)} more years before the first window",
            found=f"{max(spare_years, 0)}",
            remedy="Deliver earlier years, or take another hold-out, or fewer time steps.",
        )
    return shift


def _draw(unit: np.ndarray, rng: np.random.Generator, val_frac: float, test_frac: float) -> dict[str, np.ndarray]:
    """Fill test and then val with shuffled units (points or blocks) as near to their shares of points as they come."""
    order = rng.permutation(int(unit.max()) + 1)
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    filled = np.concatenate([[0], np.cumsum(np.bincount(rank[unit], minlength=len(order)))])
    test_units = int(np.argmin(np.abs(filled - round(test_frac * len(unit)))))
    val_units = int(np.argmin(np.abs(filled - filled[test_units] - round(val_frac * len(unit)))))
    kind = np.digitize(rank[unit], [test_units, val_units])
    return {name: np.flatnonzero(kind == k) for k, name in ((2, "train"), (1, "val"), (0, "test"))}


def _check(points: dict[str, np.ndarray], total: int) -> None:
    merged = np.concatenate(list(points.values()))
    assert len(merged) == total and len(np.unique(merged)) == total, "a point is in two splits, or in none"
    for name, least in MINIMUM.items():
        if len(points[name]) < least:
            raise HandshakeError(
                f"split '{name}' is too small",
                where="panel CSV",
                expected=f"at least {least} points",
                found=f"{len(points[name])} of {total}",
                remedy="Deliver more complete points, or change the fractions or --block-m.",
            )
