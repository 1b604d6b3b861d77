"""Checks of the groundwater columns: head is head, depth is depth, and both are the same water table."""

import math
from collections.abc import Iterator

import numpy as np

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.registry import Finding, Outcome, Skip, check
from tasks.subsidence.checks.views import View

TRUE_SPLITS = "train val test oos_time"
ABOVE_GROUND_M = 0.05
SHARE = 0.99
MEDIAN_RATIO = (1 / 3, 3.0)
DEPTH_P99_M, SHALLOW_M = (1.0, 300.0), 1.5
HEAD_REMEDY = "Targets must hold hydraulic head (up positive) = z_surf - depth. Re-export them."


def implied_depth(e: Evidence, view: View) -> np.ndarray | None:
    """(N, H) m: surface elevation minus target head; minus head where there is no elevation and the proxy is on."""
    if view.head is None:
        return None
    if view.z_surf is not None:
        return view.z_surf[:, None] - view.head
    return -view.head if e.manifest.config.conventions.use_head_proxy else None


def _share(values: np.ndarray) -> float:
    return float((values >= -ABOVE_GROUND_M).mean())


def truths(e: Evidence) -> Iterator[View]:
    yield from (view for view in e.each(*TRUE_SPLITS.split()) if view.no_targets is None)


@check("U-01", "fail", pub="-", reads=TRUE_SPLITS, targets=True)
def head_below_ground(e: Evidence) -> Iterator[Outcome]:
    """Target heads lie below the ground: z_surf - gwl_pred is a depth."""
    for view in truths(e):
        depth = implied_depth(e, view)
        if depth is None:
            yield Skip(f"{view.name}: no surface elevation column")
        elif _share(depth) < SHARE:
            yield Finding(
                f"{view.targets_file} 'gwl_pred'",
                f"implies depths z_surf - head that are >= -0.05 m in only "
                f"{_share(depth):.1%} of cells (median {np.median(depth):.3g} m)",
                f">= {SHARE:.0%}",
                f"{_share(depth):.1%}",
                HEAD_REMEDY,
            )


@check("U-02", "fail", pub="-", reads=TRUE_SPLITS, targets=True)
def depth_channel_fits_head(e: Evidence) -> Iterator[Outcome]:
    """The depth channel and the depth implied by the target head are the same quantity."""
    for view in truths(e):
        implied = implied_depth(e, view)
        if implied is None or view.depth is None:
            yield Skip(f"{view.name}: no {'depth' if view.depth is None else 'surface elevation'} column")
            continue
        yield from _same_quantity(view, view.depth, implied)


def _same_quantity(view: View, depth: np.ndarray, implied: np.ndarray) -> Iterator[Outcome]:
    where = f"{view.file} depth channel"
    if min(_share(depth), _share(implied)) < SHARE:
        yield Finding(
            where,
            f"is >= -0.05 m in {_share(depth):.1%} of cells, z_surf - head in {_share(implied):.1%}",
            f">= {SHARE:.0%} both",
            f"{_share(depth):.1%}, {_share(implied):.1%}",
            HEAD_REMEDY,
        )
    ratio = _ratio(depth, implied)
    if not MEDIAN_RATIO[0] <= ratio <= MEDIAN_RATIO[1]:
        yield Finding(
            where,
            f"has median {np.median(depth):.4g} m, z_surf - head {np.median(implied):.4g} m (ratio {ratio:.3g})",
            "ratio 1/3..3",
            f"{ratio:.3g}",
            "Check the unit of both columns and the order of the dynamic features.",
        )
    together = _correlation(depth[:, -1], implied[:, 0])
    if together is not None and together <= 0:
        yield Finding(
            where,
            f"of the last history step correlates {together:.2f} with the first implied target depth",
            "> 0",
            f"{together:.2f}",
            HEAD_REMEDY,
        )


def _ratio(a: np.ndarray, b: np.ndarray) -> float:
    below = float(np.median(b))
    return float(np.median(a)) / below if below else math.inf


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson correlation, None where one side does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 else None


@check("U-03", "fail", pub="-", reads=TRUE_SPLITS, targets=True)
def target_is_no_depth(e: Evidence) -> Iterator[Outcome]:
    """The target does not look like a depth."""
    for view in truths(e):
        implied = implied_depth(e, view)
        if implied is None or view.depth is None:
            continue
        fits = _share(implied) >= SHARE and not list(_same_quantity(view, view.depth, implied))
        if not fits and not list(_same_quantity(view, view.depth, view.head)):
            yield Finding(
                f"{view.targets_file} 'gwl_pred'",
                "target looks like depth, not head: as it stands it fits the "
                f"depth channel (medians {np.median(view.head):.3g} and {np.median(view.depth):.3g} m)",
                "head, up positive",
                "depth, down positive",
                HEAD_REMEDY,
            )


@check("U-06", "warn", pub="-", reads="train val test future oos_time")
def depth_plausible(e: Evidence) -> Iterator[Outcome]:
    """Depths have the size of metres."""
    depths = [view.depth.ravel() for view in e.each() if view.depth is not None]
    if not depths:
        yield Skip("no depth column can be read")
        return
    depth = np.concatenate(depths)
    p99, largest = float(np.percentile(depth, 99)), float(depth.max())
    if not DEPTH_P99_M[0] <= p99 <= DEPTH_P99_M[1] or largest < SHALLOW_M:
        yield Finding(
            "depth channel",
            f"has a 99th percentile of {p99:.4g} m and a maximum of {largest:.4g} m",
            "p99 in 1..300 m, not all below 1.5 m",
            f"p99 {p99:.4g} m, max {largest:.4g} m",
            "One public table stores depth divided by 100: check the factor in the source table.",
            "fail" if e.live.get("STRICT_UNITS") is True else "warn",
        )
