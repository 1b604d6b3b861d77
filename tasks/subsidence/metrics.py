"""Scores of a forecast: overall, per step, year, lithology class and censoring, with bands from resampled places."""

import numpy as np

from tasks.subsidence.arrays import Prediction
from tasks.subsidence.handoff.strata import Strata
from tasks.subsidence.scoring.cell_sums import HEAD, SUBSIDENCE, Cells, contributions

ALPHA = 0.2
DRAWS = 500
DRAWS_AT_ONCE = 32  # bounds the memory of large cities


def score(
    pred: Prediction,
    subsidence: np.ndarray,
    strata: Strata,
    *,
    last: np.ndarray,
    head: np.ndarray | None = None,
    alpha: float = ALPHA,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict:
    """All scores of one split as plain JSON: those of subsidence, and under `head` those of head if its truth is given.

    subsidence, head: truth (N, H) in m, NaN where unknown; last (N,): last observed cumulative subsidence, m, where
    increments start; draws: bootstrap samples of places behind `band95`.
    """
    cells = contributions(pred.levels, pred.subsidence, subsidence, SUBSIDENCE, last=last, alpha=alpha)
    result = report(cells, subsidence, strata, draws=draws, seed=seed)
    if head is not None:
        heads = contributions(pred.levels, pred.head, head, HEAD, alpha=alpha)
        result["head"] = report(heads, head, strata, draws=draws, seed=seed)
    return result


def flat(scores: dict, prefix: str) -> dict[str, float | None]:
    """`<prefix>.mae_mm`, `<prefix>.coverage80`, ..., `<prefix>.head_mae_m`: the overall scores under flat names."""
    head = scores.get("head", {}).get("overall", {})
    named = {**scores.get("overall", {}), **{f"head_{name}": value for name, value in head.items()}}
    return {f"{prefix}.{name}": value for name, value in named.items() if not isinstance(value, dict)}


def report(cells: Cells, truth: np.ndarray, strata: Strata, *, draws: int = DRAWS, seed: int = 0) -> dict:
    """Scores of one quantity on every subset; truth (N, H) tells how many cells there were."""
    known = np.isfinite(truth)
    per_step = cells.values.sum(axis=0)
    return {
        "rows": int(known.sum()),
        "places": int(np.unique(strata.places[known.any(axis=1)]).size),
        "overall": cells.scores(per_step.sum(axis=0)),
        "per_horizon": {str(h + 1): cells.scores(sums) for h, sums in enumerate(per_step)},
        "per_year": {str(year): cells.over(strata.years == year) for year in np.unique(strata.years)},
        "per_class": {block: _per_label(cells, labels) for block, labels in strata.classes.items()},
        **_by_censoring(cells, strata.censored),
        "band95": _bands(cells, strata.places, draws, seed),
    }


def resampled(values: np.ndarray, places: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, H, K) sums of (N, H, K) contributions over bootstrap samples of whole places (N,)."""
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=places[order[0]] - 1))
    per_place = np.add.reduceat(values[order], starts, axis=0).reshape(starts.size, -1)
    rng, count = np.random.default_rng(seed), starts.size
    sums = []
    for first in range(0, draws, DRAWS_AT_ONCE):
        picks = rng.integers(count, size=(min(DRAWS_AT_ONCE, draws - first), count))
        often = np.stack([np.bincount(row, minlength=count) for row in picks]).astype(float)
        sums.append(often @ per_place)
    return np.concatenate(sums).reshape(draws, *values.shape[1:])


def _bands(cells: Cells, places: np.ndarray, draws: int, seed: int) -> dict:
    if draws < 1 or not places.size:
        return {}
    sums = resampled(cells.values, places, draws, seed)
    per_step = {str(h + 1): cells.scores(sums[:, h]) for h in range(sums.shape[1])}
    return {"overall": cells.scores(sums.sum(axis=1)), "per_horizon": per_step}


def _per_label(cells: Cells, labels: np.ndarray) -> dict:
    return {str(label): cells.over(labels == label) for label in sorted(set(labels))}


def _by_censoring(cells: Cells, flags: np.ndarray | None) -> dict:
    return {} if flags is None else {"censored": cells.over(flags), "uncensored": cells.over(~flags)}
