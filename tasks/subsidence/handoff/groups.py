"""Locations as groups: rows of one place are never parted, and a place is named by its coordinates, not by its row."""

import hashlib
from collections.abc import Iterable
from dataclasses import fields, replace

import numpy as np

from tasks.subsidence.arrays import Split

COORDINATE_DECIMALS = 6  # of stored coordinates: centimetres when they are normalized, micrometres when in metres


def location_keys(split: Split) -> np.ndarray:
    """(N,) text keys of the places of a split, from the stored x and y of its first target step."""
    xy = np.round(split.coords[:, 0, 1:].astype(float), COORDINATE_DECIMALS) + 0.0  # + 0.0: one spelling of zero
    return np.array([f"{x:.{COORDINATE_DECIMALS}f},{y:.{COORDINATE_DECIMALS}f}" for x, y in xy.tolist()], dtype=object)


def location_ids(split: Split) -> np.ndarray:
    """(N,) integers, equal for rows of one place."""
    _, ids = np.unique(location_keys(split).astype(str), return_inverse=True)
    return ids.reshape(-1)


def digest(key: str) -> str:
    """sha256 of a location key: an order of places that depends neither on the rows nor on the machine."""
    return hashlib.sha256(key.encode()).hexdigest()


def groups_sha256(split: Split, rows: np.ndarray) -> str:
    """One sha256 for the set of places in `rows`, whatever their order and however often they occur."""
    return _set_digest(location_keys(split)[rows])


def take(split: Split, rows: np.ndarray) -> Split:
    """The same split with only `rows` of every array."""
    names = [field.name for field in fields(split) if field.name != "name"]
    picked = {name: getattr(split, name) for name in names}
    return replace(split, **{name: None if array is None else array[rows] for name, array in picked.items()})


def blind(split: Split) -> Split:
    """The same split without its targets: what a forecaster may see."""
    return replace(split, subsidence=None, head=None)


def _set_digest(keys: Iterable[str]) -> str:
    return digest("\n".join(sorted(set(keys))))
