"""Is a set of quantile forecasts honest? Reliability, PIT and isotonic map: diagnostics, never a refit."""

import numpy as np

PIT_BINS = 10


def reliability_table(values: np.ndarray, truth: np.ndarray, levels: tuple[float, ...]) -> list[dict]:
    """Nominal level beside the share of truths at or below it, over all cells and per horizon step.

    values (N, H, Q), truth (N, H) with NaN where unknown.
    """
    known = np.isfinite(truth)
    below = (truth[..., None] <= values) & known[..., None]
    counts = known.sum(axis=0)
    return [
        {
            "level": level,
            "empirical": _ratio(below[..., i].sum(), counts.sum()),
            "per_horizon": {str(h + 1): _ratio(below[:, h, i].sum(), counts[h]) for h in range(counts.size)},
        }
        for i, level in enumerate(levels)
    ]


def pit_values(
    values: np.ndarray, truth: np.ndarray, levels: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """Probability integral transform of the known cells, drawn uniformly inside the cell between two levels.

    Randomised as in Czado, Gneiting and Held (2009): uniform on [0, 1] exactly when every level is honest.
    """
    known = np.isfinite(truth)
    cell = (truth[known][:, None] > values[known]).sum(axis=1)
    edges = np.concatenate([[0.0], levels, [1.0]])
    return edges[cell] + rng.random(cell.size) * (edges[cell + 1] - edges[cell])


def pit_histogram(values: np.ndarray, truth: np.ndarray, levels: tuple[float, ...], *, seed: int = 0) -> dict:
    """Ten-bin PIT histogram with its chi-square statistic against a flat one (9 degrees of freedom).

    The p-value takes cells as independent; steps of one window are not, so it is too small rather than too large.
    """
    from scipy.stats import chi2

    pit = pit_values(values, truth, levels, np.random.default_rng(seed))
    counts, edges = np.histogram(pit, bins=PIT_BINS, range=(0.0, 1.0))
    if not pit.size:
        return {"edges": edges.tolist(), "counts": counts.tolist(), "n": 0, "chi_square": None, "p_value": None}
    expected = pit.size / PIT_BINS
    statistic = float(((counts - expected) ** 2).sum() / expected)
    tail = float(chi2(PIT_BINS - 1).sf(statistic))
    return {
        "edges": [round(edge, 10) for edge in edges.tolist()],
        "counts": counts.tolist(),
        "n": int(pit.size),
        "chi_square": statistic,
        "p_value": tail,
    }


def isotonic_map(table: list[dict]) -> list[dict]:
    """Monotone map from nominal to empirical level through (0, 0) and (1, 1); shown to people, applied to nothing."""
    from sklearn.isotonic import IsotonicRegression

    nominal = [row["level"] for row in table]
    empirical = [row["empirical"] for row in table]
    if any(value is None for value in empirical):
        return []
    curve = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(nominal, empirical)
    points = zip([0.0, *nominal, 1.0], [0.0, *curve.tolist(), 1.0], strict=True)
    return [{"nominal": x, "calibrated": y} for x, y in points]


def _ratio(part: int, whole: int) -> float | None:
    return float(part) / float(whole) if whole else None
