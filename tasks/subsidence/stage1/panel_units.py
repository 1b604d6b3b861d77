"""Units of a panel: conversion to SI, and magnitudes that no real city has."""

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.stage1.panel_columns import SIBLING

UNIT_TO_SI = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}
_UNIT_OF = {
    "subsidence_cum": "subs",
    "subsidence_rate": "subs",
    "depth": "depth",
    "head": "depth",
    "thickness": "thickness",
}
RANGES_SI = {
    "longitude": (-180.0, 180.0),
    "latitude": (-90.0, 90.0),
    "year": (1900, 2200),
    "depth": (-5.0, 300.0),
    "head": (-1000.0, 9000.0),
    "z_surf": (-500.0, 9000.0),
    "thickness": (1e-3, 1000.0),
    "subsidence_cum": (-5.0, 5.0),
    "subsidence_rate": (-1.0, 1.0),
    "rainfall": (0.0, 20_000.0),
}
_TOO_MANY = 0.10  # share of implausible rows above which the whole column is in another unit
_REMEDY = {
    "longitude": "Longitude and latitude must be degrees; are they projected, or swapped?",
    "latitude": "Longitude and latitude must be degrees; are they swapped?",
    "depth": "Depth to water must be positive down; pass its unit with --unit-depth.",
    "head": "Pass the unit with --unit-depth.",
    "thickness": "Pass the unit with --unit-thickness.",
    "subsidence_cum": "Pass the unit with --unit-subs.",
    "subsidence_rate": "Pass the unit with --unit-subs.",
}


def to_si(numbers: dict[str, np.ndarray], units: dict[str, str]) -> dict[str, np.ndarray]:
    """Values in metres; surface elevation is metres already, drivers keep their own unit."""
    return {
        role: values * UNIT_TO_SI[units[_UNIT_OF[role]]] if role in _UNIT_OF else values
        for role, values in numbers.items()
    }


def in_range(values: np.ndarray, role: str, column: str) -> np.ndarray:
    """Mask of plausible values (NaN passes); raises HandshakeError when the whole column is implausible."""
    low, high = RANGES_SI[role]
    mask = np.isnan(values) | ((values >= low) & (values <= high))
    if np.mean(~mask) > _TOO_MANY:
        raise HandshakeError(
            f"column '{column}' is implausible",
            where="panel CSV",
            expected=f"{low:g} to {high:g}",
            found=f"{np.nanmin(values):.4g} to {np.nanmax(values):.4g}",
            remedy=_REMEDY.get(role, "Check the unit of this column."),
        )
    return mask


def check_magnitudes(values: dict[str, np.ndarray], columns: dict[str, str]) -> None:
    """Refuse series (G, Y) [m] whose size says that the declared unit is wrong. Raises HandshakeError."""
    change = np.abs(np.diff(values["subsidence"], axis=1))
    if np.isfinite(change).any():
        _limit("median annual change of subsidence", np.nanmedian(change), (1e-4, 0.5), "m", _REMEDY["subsidence_cum"])
    depth = values["depth"]
    _limit("median depth to water", np.nanmedian(depth), (0.0, 300.0), "m", _REMEDY["depth"])
    _limit("99th percentile of depth to water", np.nanquantile(depth, 0.99), (0.3, 300.0), "m", _REMEDY["depth"])
    _limit("median thickness", np.nanmedian(values["thickness"]), (0.1, 200.0), "m", _REMEDY["thickness"])
    if "z_surf" in values:
        _agree(values["z_surf"] - depth, values["head"], columns)


def _limit(what: str, value: float, limits: tuple[float, float], unit: str, remedy: str) -> None:
    if not limits[0] <= value <= limits[1]:
        raise HandshakeError(
            f"{what} is implausible",
            where="panel CSV",
            found=f"{value:.3g} {unit}",
            expected=f"{limits[0]:g} to {limits[1]:g} {unit}",
            remedy=remedy,
        )


def _agree(implied: np.ndarray, head: np.ndarray, columns: dict[str, str]) -> None:
    """Head must be surface minus depth: anything else means a sign, a unit or a datum that was mixed up."""
    known = np.isfinite(implied) & np.isfinite(head)
    gap = np.abs(implied - head)[known]
    if len(gap) and np.mean(gap > 0.05) > 0.01:
        raise HandshakeError(
            "head, surface elevation and depth contradict each other",
            where="panel CSV",
            expected=f"{columns.get('head', 'head')} = {columns.get('z_surf', 'z_surf')} - "
            f"{columns.get('depth', 'depth')} within 0.05 m",
            found=f"median difference {np.median(gap):.3g} m",
            remedy="Check sign (head up, depth down), unit and datum of the three columns.",
        )


def check_same_quantity(numbers: dict[str, np.ndarray], columns: dict[str, str]) -> None:
    """Refuse columns of one quantity (X, X_raw, X_m) that differ by a constant power of ten. Raises HandshakeError."""
    for role, values in numbers.items():
        if role.startswith(SIBLING):
            _same_scale(columns[role], values, columns[role.split(":")[1]], numbers[role.split(":")[1]])


def _same_scale(name: str, values: np.ndarray, other: str, others: np.ndarray) -> None:
    usable = np.isfinite(values) & np.isfinite(others) & (values != 0) & (others != 0)
    if usable.sum() < 10:
        return
    decades = np.log10(np.abs(values[usable] / others[usable]))
    power = np.round(np.median(decades))
    if power != 0 and np.mean(np.abs(decades - power) < 1e-3) > 0.95:
        raise HandshakeError(
            f"columns '{name}' and '{other}' differ by a factor of 10^{power:.0f}",
            where="panel CSV",
            expected="one quantity in one unit",
            remedy="Correct the column that is in another unit.",
        )
