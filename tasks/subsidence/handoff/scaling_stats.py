"""Numbers taken from the train windows: standardisation for learning, characteristic scales for physics. Fixed."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.arrays import Split
from tasks.subsidence.semantics import ResidualScales, Semantics, Standardisation

H_FLOOR_M = 0.01
S_FLOOR_M = 1e-4
SHARE_OF_EXTENT = 0.05
FIELDS = ("K", "Ss", "tau", "H", "Ka", "Sa")


def limits(bounds: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Linear SI limits by field name, from K_min, K_max and so on."""
    return {name: (float(bounds[f"{name}_min"]), float(bounds[f"{name}_max"])) for name in FIELDS}


def standardisation(train: Split, sem: Semantics, heads: np.ndarray) -> Standardisation:
    """Spread of what is to be learned, and mean and spread of the inputs; heads (N, T) m, all from train in SI.

    sigma_s, sigma_h: std over windows of target minus last observation; per step for subsidence, whose spread grows
    with it, and over all steps for head, whose spread does not.
    """
    last_s = train.dynamic[:, -1:, sem.subsidence_index].astype(float)
    sigma_s = np.std(_targets(train.subsidence) - last_s, axis=0)
    sigma_h = np.full(sigma_s.shape, np.std(_targets(train.head) - heads[:, -1:].astype(float)))
    inputs = {"subsidence": train.dynamic[:, :, sem.subsidence_index], "thickness": train.thickness[:, 0]}
    if sem.depth_index is not None:
        inputs["depth"] = train.dynamic[:, :, sem.depth_index]
    if sem.z_surf_index is not None:
        inputs["z_surf"] = train.static[:, sem.z_surf_index]
    moments = {name: _moments(values) for name, values in sorted(inputs.items())}
    return Standardisation(
        sigma_s=_known("sigma_s", np.maximum(sigma_s, S_FLOOR_M)),
        sigma_h=_known("sigma_h", np.maximum(sigma_h, H_FLOOR_M)),
        mean={name: mean for name, (mean, _) in moments.items()},
        std={name: std for name, (_, std) in moments.items()},
    )


def characteristic_scales(train: Split, sem: Semantics, heads: np.ndarray) -> ResidualScales:
    """Sizes that make residuals non-dimensional; heads (N, T) m. Annual changes run from the last observation on.

    Raises HandshakeError where a scale is not finite and positive; none of them is clamped further.
    """
    bounds = {name: math.sqrt(low * high) for name, (low, high) in sem.bounds.items()}
    width = max(sem.coord_range.x * _metres(sem, "x"), sem.coord_range.y * _metres(sem, "y"))
    scales = {
        "T_c": sem.seconds_per_time_unit,
        "h_c": max(_spread(heads[:, -1:], train.head), H_FLOOR_M),
        "s_c": max(_spread(train.dynamic[:, -1:, sem.subsidence_index], train.subsidence), S_FLOOR_M),
        "L_c": float(np.median(train.thickness[:, 0].astype(float))),
        "L_xy": SHARE_OF_EXTENT * width,
        "Ss_c": bounds["Ss"],
        "Sa_c": bounds["Sa"],
        "K_c": bounds["K"],
    }
    for name, value in scales.items():
        _known(name, np.array([value]))
    return ResidualScales(**scales)


def scale_checks(scales: ResidualScales, cons_floor: float, gw_floor: float) -> dict[str, dict[str, Any]]:
    """Raw sizes of one residual unit (m/s and 1/s) beside the configured floors; told, never clamped."""
    raw = {
        "cons": (scales.s_c / scales.T_c, cons_floor, "m/s"),
        "gw": (scales.Sa_c * scales.h_c / scales.T_c, gw_floor, "1/s"),
    }
    return {
        name: {"natural": natural, "floor": floor, "unit": unit, "below_floor": natural < floor}
        for name, (natural, floor, unit) in raw.items()
    }


def _targets(values: np.ndarray | None) -> np.ndarray:
    if values is None:
        raise HandshakeError("train windows have no targets", where="train_targets.npz")
    return values[:, :, 0].astype(float)


def _spread(last: np.ndarray, targets: np.ndarray | None) -> float:
    """Std of the changes per step over [last, targets], (N, 1) and (N, H, 1)."""
    return float(np.std(np.diff(np.concatenate([last.astype(float), _targets(targets)], axis=1), axis=1)))


def _metres(sem: Semantics, axis: str) -> float:
    """Metres per unit of the coordinate range of an axis."""
    size = getattr(sem.coord_scale_si, axis)
    return size / getattr(sem.coord_range, axis) if sem.coords_normalized else size


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and std; 1 for a constant, which then standardises to zero."""
    mean, std = float(np.mean(values.astype(float))), float(np.std(values.astype(float)))
    return mean, std if std > 1e-9 else 1.0


def _known(name: str, values: np.ndarray) -> tuple[float, ...]:
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise HandshakeError(
            "is not finite and positive",
            where=f"scale {name}",
            found=values.tolist(),
            remedy="Look for missing or constant values in the train windows.",
        )
    return tuple(float(value) for value in values)
