"""Which rows belong together when scores are reported: place, year, lithology class, censored thickness."""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.handoff.groups import location_ids
from tasks.subsidence.scaling import decode
from tasks.subsidence.semantics import Semantics

CAP_TOLERANCE_M = 1e-6


@dataclass(frozen=True)
class Strata:
    """Labels of N windows."""

    places: np.ndarray  # (N,) integer per location: the unit that the bootstrap draws
    years: np.ndarray  # (N, H) integer calendar years
    classes: dict[str, np.ndarray]  # one-hot block -> (N,) text label
    censored: np.ndarray | None  # (N,) bool, thickness known only as a lower limit; None: not known


def strata(split: Split, sem: Semantics) -> Strata:
    """Labels of a split, from its coordinates, its one-hot blocks and its censor flag."""
    years = np.rint(decode(split, sem).years).astype(int)
    classes = {block: _labels(split, sem, block) for block in sorted(sem.one_hot_blocks)}
    return Strata(location_ids(split), years, classes, censored(split, sem))


def censored(split: Split, sem: Semantics) -> np.ndarray | None:
    """(N,) True where thickness is a lower limit: by the flag channel, else by the cap; None when neither exists."""
    flags = [i for i, name in enumerate(sem.dynamic_names) if "censored" in name.lower()]
    if flags:
        return (split.dynamic[:, :, flags] > 0.5).any(axis=(1, 2))
    if sem.thickness_cap_m is None:
        return None
    return split.thickness[:, 0, 0] >= sem.thickness_cap_m - CAP_TOLERANCE_M


def _labels(split: Split, sem: Semantics, block: str) -> np.ndarray:
    columns = list(sem.one_hot_blocks[block])
    names = np.array([sem.static_names[i].removeprefix(f"{block}_") for i in columns] + ["unseen"], dtype=object)
    hot = split.static[:, columns]
    return names[np.where(hot.max(axis=1) > 0.5, hot.argmax(axis=1), len(columns))]
