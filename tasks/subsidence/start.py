"""Where training starts from: linear maps by ridge on the train windows, widths from left-out residuals, head by least squares."""

from typing import Any

import numpy as np
import tensorflow as tf

from tasks.subsidence.arrays import Split
from tasks.subsidence.datasets import every_origin
from tasks.subsidence.heads import inverse_softplus
from tasks.subsidence.model import SubsidenceNetwork
from tasks.subsidence.neighbours import nearest
from tasks.subsidence.origins import Windows, history_head, stored_time_step, stored_windows
from tasks.subsidence.ridge import MAX_ROWS, ridge, space_frequencies

LENGTHS = (0.4, 0.8, 1.6)  # of the length scale of smoothness
SPACE_SHARES = (0.3, 1.0, 3.0)  # prior spread of the map against one flat feature
LEAST_WIDTH = 1e-2  # standardised
LEAST_SPREAD = 1e-6
LARGEST_SHIFT = 2.5  # of a field before its bounds, so that it stays away from them
BISECTIONS = 12


def initialise(model: SubsidenceNetwork, train: Split) -> dict[str, Any]:
    """Set the linear maps, scalers, widths and the head field of an untrained network; what was chosen, for the summary.

    Only train windows are looked at.
    """
    sem = model.semantics
    known_until = float(train.coords[:, :, 0].max())
    model.known_until.assign(known_until)
    home = stored_windows(train, sem, known_until)
    flat, valid = _flat(model, home)
    _scale(model, flat)
    scaled = np.array(model.scaler(tf.constant(flat), tf.constant(valid)), np.float64)
    general = _start_general(model, train, known_until)
    target = _increments(model, home) - _general(model, scaled)
    if model.neighbours is None:
        chosen, left_out = _start_in_years(model, home, scaled, target)
    else:
        chosen, left_out = _start_neighbours(model, home, scaled, target)
    _set_widths(model, "known", left_out.reshape(-1, sem.horizon, 2))
    _set_widths(model, "unknown", general)
    rms = _start_head(model, train)
    return {**chosen, "head_field_rms_m": rms, "median_tau_s": _start_closure(model, train)}


def bank_rows(manifest: dict[str, Any], train: Split) -> int:
    """Train groups that neighbour context keeps in the weights."""
    return len(train) if manifest["neighbour_context"] else 0


def add_neighbours(model: SubsidenceNetwork, windows: Windows) -> Windows:
    """The same windows with their nearest train groups, where the network looks at neighbours."""
    if model.neighbours is None:
        return windows
    found = nearest(_metres(model, windows), np.array(model.neighbours.xy), model.manifest["neighbour_context"])
    windows.inputs.update(
        neighbour_index=found.index, neighbour_distance=found.distance, neighbour_present=found.present
    )
    return windows


def _flat(model: SubsidenceNetwork, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    seen = model.features({name: tf.constant(array) for name, array in windows.inputs.items()})
    return np.array(seen.flat), np.array(seen.flat_valid)


def _metres(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    scale = model.semantics.coord_scale_si
    return windows.inputs["coords"][:, 0, 1:].astype(np.float64) * [scale.x, scale.y]


def _scale(model: SubsidenceNetwork, flat: np.ndarray) -> None:
    spread = flat.astype(np.float64).std(axis=0)
    model.scaler.mean.assign(flat.astype(np.float64).mean(axis=0))
    model.scaler.inverse_std.assign(np.where(spread > LEAST_SPREAD, 1.0 / np.maximum(spread, LEAST_SPREAD), 0.0))


def _increments(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    """(N, H * 2) standardised increments since the last observation."""
    sem, dynamic = model.semantics, windows.inputs["dynamic_features"]
    last = dynamic[:, -1:, sem.subsidence_index].astype(np.float64)
    depth = None if sem.depth_index is None else dynamic[:, -1:, sem.depth_index]
    surface = 0.0 if sem.z_surf_index is None else windows.inputs["static_features"][:, sem.z_surf_index, None]
    head = np.zeros_like(last) if depth is None else surface.astype(np.float64) - depth
    both = np.stack([windows.subsidence - last, windows.head - head], axis=2)
    return (both / model.sigma.T).reshape(len(windows), -1)


def _general(model: SubsidenceNetwork, scaled: np.ndarray) -> np.ndarray:
    size = model.features.general_size()
    return scaled[:, :size] @ np.array(model.everywhere.kernel, np.float64) + np.array(model.everywhere.bias)


def _start_general(model: SubsidenceNetwork, train: Split, known_until: float) -> np.ndarray:
    """Pooled ridge over all origins, one map per lead; its left-out residuals (rows, 1, 2), standardised."""
    sets = [_general_rows(model, windows) for windows in every_origin(train, model.semantics, known_until)]
    rows, targets, weights = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    horizon, kernel, bias, residuals = model.semantics.horizon, [], [], []
    for lead in range(horizon):
        use = weights[:, lead] > 0
        fit = ridge(rows[use], targets[use, lead], penalties=10.0 ** np.arange(-3.0, 1.5, 0.5))
        kernel.append(fit.weights)
        bias.append(fit.bias)
        residuals.append(fit.left_out)
    model.everywhere.kernel.assign(np.concatenate(kernel, axis=1))
    model.everywhere.bias.assign(np.concatenate(bias))
    return np.concatenate(residuals)[:, None]


def _general_rows(model: SubsidenceNetwork, windows: Windows):
    flat, valid = _flat(model, windows)
    scaled = np.array(model.scaler(tf.constant(flat), tf.constant(valid)), np.float64)
    targets = _increments(model, windows).reshape(len(windows), -1, 2)
    return scaled[:, : model.features.general_size()], targets, windows.weight


def _start_in_years(model: SubsidenceNetwork, home: Windows, scaled: np.ndarray, target: np.ndarray):
    """Flat features and a map of the place together; length scale and strength of the map by left-out residuals."""
    count, xy = model.space.count, _metres(model, home)
    frequency, phase = space_frequencies(count, model.manifest["seed"])
    unit = 1.0 / (model.semantics.residual_scales.L_xy * np.array(LENGTHS))
    rows = np.random.default_rng(0).permutation(len(xy))[:MAX_ROWS]
    trials = []
    for inverse_length in unit:
        space = np.sqrt(2.0) * np.cos(xy @ (frequency * inverse_length) + phase)
        for share in SPACE_SHARES:
            factor = share * (scaled.shape[1] / count) ** 0.5
            joined = np.concatenate([scaled, factor * space], axis=1)
            fit = ridge(joined[rows], target[rows])
            trials.append((fit.score, inverse_length, factor, fit))
    _, inverse_length, factor, fit = min(trials, key=lambda trial: trial[0])
    model.space.frequency.assign(frequency * inverse_length)
    model.space.phase.assign(phase)
    model.in_years.kernel.assign(fit.weights[: scaled.shape[1]])
    model.in_years.bias.assign(fit.bias)
    model.in_space.kernel.assign(factor * fit.weights[scaled.shape[1] :])
    chosen = {"map_length_m": float(1.0 / inverse_length), "map_factor": float(factor), "penalty": fit.penalty}
    return {**chosen, "left_out_mae_standardised": fit.score}, fit.left_out


def _start_neighbours(model: SubsidenceNetwork, home: Windows, scaled: np.ndarray, target: np.ndarray):
    """Flat features, then inverse distance weights of what they leave over at other train groups."""
    fit = ridge(scaled, target)
    model.in_years.kernel.assign(fit.weights)
    model.in_years.bias.assign(fit.bias)
    observed = _increments(model, home)
    model.neighbours.fill(_metres(model, home), scaled.astype(np.float32), observed)
    add_neighbours(model, home)
    around = [home.inputs[f"neighbour_{name}"] for name in ("index", "distance", "present")]
    leftover = fit.left_out.reshape(len(home), -1, 2)
    weights = around[2] / np.maximum(around[1], 1.0) ** 2
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)
    filled = leftover - np.einsum("nk,nkhc->nhc", weights, leftover[around[0]])
    return {"penalty": fit.penalty, "left_out_mae_standardised": float(np.abs(filled).mean())}, filled


def _set_widths(model: SubsidenceNetwork, which: str, residuals: np.ndarray) -> None:
    """Biases of the widths from the quantiles of standardised residuals (N, H, 2)."""
    for target, widths in enumerate((model.subsidence_widths, model.head_widths)):
        levels = np.quantile(residuals[..., target], widths.levels)
        distances = np.maximum(np.diff(levels), LEAST_WIDTH)
        getattr(widths, which).assign([inverse_softplus(float(value)) for value in distances])


def _start_head(model: SubsidenceNetwork, train: Split) -> float | None:
    """Fit the head field to observed and target heads of the train windows; its RMS misfit in m."""
    if model.fields is None:
        return None
    sem = model.semantics
    ages = np.arange(-sem.time_steps, sem.horizon) * stored_time_step(sem)
    first = train.coords[:, :1].astype(np.float64)
    coords = np.repeat(first, len(ages), axis=1)
    coords[:, :, 0] += ages
    head = np.concatenate([history_head(train, sem), train.head[:, :, 0]], axis=1)
    return model.fields.initialise_head(coords, head)


def _start_closure(model: SubsidenceNetwork, train: Split) -> float | None:
    """Shift log K down and log Ss up alike until the median relaxation time lies in the middle of its bounds; that time.

    In the middle of the bounds of K and Ss it would be days, and what relaxes in days teaches nothing about years.
    """
    spec = model.spec
    if not (spec.consolidation and spec.bounds_mode == "sigmoid"):
        return None
    stack = model.fields.space if "log_K" in spec.space_names else model.fields.spacetime
    places = [stack.names.index(name) for name in ("log_K", "log_Ss")]
    start = np.array(stack.biases[2])
    wanted = 0.5 * sum(np.log(spec.bounds["tau"]))
    low, high = -LARGEST_SHIFT, LARGEST_SHIFT
    sites = [tf.constant(part, tf.float32) for part in (train.coords, train.static, train.thickness)]

    def median_log_tau(shift: float) -> float:
        moved = start.copy()
        moved[places, 0, 0] += [-shift, shift]
        stack.biases[2].assign(moved)
        return float(np.median(model.fields.bundle(*sites).log_tau.numpy()))

    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if median_log_tau(middle) < wanted else (low, middle)
    return float(np.exp(median_log_tau(0.5 * (low + high))))
