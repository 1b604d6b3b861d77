"""Where training starts from: linear maps by ridge on the train windows, widths from left-out residuals, fields by level.

Only train windows are looked at.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tasks.subsidence.arrays import Split
from tasks.subsidence.datasets import every_origin
from tasks.subsidence.groups import take
from tasks.subsidence.heads import inverse_softplus
from tasks.subsidence.model import SubsidenceNetwork
from tasks.subsidence.neighbours import nearest
from tasks.subsidence.origins import Windows, history_head, stored_time_step, stored_windows
from tasks.subsidence.ridge import MAX_ROWS, RidgeFit, ridge, space_frequencies

LENGTHS = (0.4, 0.8, 1.6)  # of the length scale of smoothness
SPACE_SHARES = (0.3, 1.0)  # prior spread of the map against one flat feature
GENERAL_PENALTIES = 10.0 ** np.arange(-3.0, 1.5, 0.5)
LEAST_WIDTH = 1e-2  # standardised
LEAST_SPREAD = 1e-6
LARGEST_SHIFT = 2.5  # of a field before its bounds, so that it stays away from them
BISECTIONS = 12
CHUNK = 4096
ROWS_PER_ORIGIN = 500  # for the general map


@dataclass(frozen=True)
class Tuned:
    """What leave-one-out residuals chose; chosen once per training."""

    map_length_m: float | None
    map_factor: float | None
    penalty: float
    left_out_mae_standardised: float

    def to_json(self) -> dict[str, float | None]:
        """Plain numbers."""
        return asdict(self)


def initialise(model: SubsidenceNetwork, train: Split) -> dict[str, float | None]:
    """Scalers, frequencies, neighbours, head field and relaxation time of an untrained network; what came out."""
    sem = model.semantics
    model.known_until.assign(float(train.coords[:, :, 0].max()))
    home = stored_windows(train, sem, float(model.known_until.numpy()))
    flat, _ = _flat(model, home)
    spread = flat.astype(np.float64).std(axis=0)
    model.scaler.mean.assign(flat.astype(np.float64).mean(axis=0))
    model.scaler.inverse_std.assign(np.where(spread > LEAST_SPREAD, 1.0 / np.maximum(spread, LEAST_SPREAD), 0.0))
    if model.neighbours is not None:
        model.neighbours.fill(_metres(model, home), _scaled(model, home), _increments(model, home))
    return {"head_field_rms_m": _start_head(model, train), "median_tau_s": _start_closure(model, train)}


def fit_linear(model: SubsidenceNetwork, train: Split, tuned: Tuned | None = None) -> tuple[Tuned, np.ndarray]:
    """Fit the linear maps and widths to what the physical mean leaves of the targets.

    `tuned` repeats an earlier choice of length scale and penalty. Also returned: the mean residual of the general map
    per origin, lead and target (origins, H, 2), standardised; NaN where a lead has no target.
    """
    known_until = float(model.known_until.numpy())
    some = np.random.default_rng(0).permutation(len(train))[:ROWS_PER_ORIGIN]
    elsewhere = every_origin(take(train, np.sort(some)), model.semantics, known_until)
    sets = [_rows(model, windows) for windows in elsewhere]
    general = _fit_general(model, sets)
    home = add_neighbours(model, stored_windows(train, model.semantics, known_until))
    scaled, target, _ = _rows(model, home)
    left_over = target - _general(model, scaled)
    fit = _fit_neighbours if model.neighbours is not None else _fit_space
    tuned, left_out = fit(model, home, scaled, left_over.reshape(len(home), -1), tuned)
    _set_widths(model, "known", left_out.reshape(-1, *target.shape[1:]))
    _set_widths(model, "unknown", general)
    return tuned, np.stack([_mean_residual(model, *part) for part in sets])


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


def _scaled(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    return np.array(model.scaler(*(tf.constant(part) for part in _flat(model, windows))), np.float64)


def _metres(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    scale = model.semantics.coord_scale_si
    return windows.inputs["coords"][:, 0, 1:].astype(np.float64) * [scale.x, scale.y]


def _increments(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    """(N, H, 2) standardised increments since the last observation."""
    sem, dynamic = model.semantics, windows.inputs["dynamic_features"]
    last = dynamic[:, -1:, sem.subsidence_index].astype(np.float64)
    depth = None if sem.depth_index is None else dynamic[:, -1:, sem.depth_index]
    surface = 0.0 if sem.z_surf_index is None else windows.inputs["static_features"][:, sem.z_surf_index, None]
    head = np.zeros_like(last) if depth is None else np.asarray(surface, np.float64) - depth
    return np.stack([windows.subsidence - last, windows.head - head], axis=2) / model.sigma.T


def _rows(model: SubsidenceNetwork, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scaled flat features (N, P), standardised targets less the physical mean (N, H, 2), weights (N, H)."""
    target = _increments(model, windows)
    target[..., 0] -= _physical(model, windows) / model.sigma[0]
    return _scaled(model, windows), target, windows.weight


def _physical(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    """(N, H) m: what the physical mean settles."""
    if not model.spec.consolidation:
        return np.zeros(windows.weight.shape)
    parts = []
    for start in range(0, len(windows), CHUNK):
        chunk = {name: tf.constant(array[start : start + CHUNK]) for name, array in windows.inputs.items()}
        parts.append(model.forward(chunk).settlement.s_phys.numpy())
    return np.concatenate(parts).astype(np.float64)


def _general(model: SubsidenceNetwork, scaled: np.ndarray) -> np.ndarray:
    """(N, H, 2) from the map that holds from every origin."""
    size = model.features.general_size()
    out = scaled[:, :size] @ np.array(model.everywhere.kernel, np.float64) + np.array(model.everywhere.bias)
    return out.reshape(len(scaled), -1, 2)


def _fit_general(model: SubsidenceNetwork, sets: list) -> np.ndarray:
    """Pooled ridge over all origins, one map per lead; its left-out residuals (rows, 2), standardised."""
    rows, targets, weights = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    rows = rows[:, : model.features.general_size()]
    fits = []
    for lead in range(model.semantics.horizon):
        use = weights[:, lead] > 0
        fits.append(ridge(rows[use], targets[use, lead], penalties=GENERAL_PENALTIES))
    model.everywhere.kernel.assign(np.concatenate([fit.weights for fit in fits], axis=1))
    model.everywhere.bias.assign(np.concatenate([fit.bias for fit in fits]))
    return np.concatenate([fit.left_out for fit in fits])


def _mean_residual(model: SubsidenceNetwork, scaled: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(H, 2) mean residual of the general map over the windows of one origin."""
    mean = (target - _general(model, scaled)).mean(axis=0)
    return np.where(weight.mean(axis=0)[:, None] > 0, mean, np.nan)


def _fit_space(model: SubsidenceNetwork, home: Windows, scaled: np.ndarray, target: np.ndarray, tuned: Tuned | None):
    """Flat features and a map of the place together; length scale and strength of the map by left-out residuals."""
    count, xy = model.space.count, _metres(model, home)
    frequency, phase = space_frequencies(count, model.manifest["seed"])
    rows = np.random.default_rng(0).permutation(len(xy))[:MAX_ROWS]

    def attempt(length_m: float, factor: float, penalties: dict) -> RidgeFit:
        space = np.sqrt(2.0) * np.cos(xy[rows] @ (frequency / length_m) + phase)
        return ridge(np.concatenate([scaled[rows], factor * space], axis=1), target[rows], **penalties)

    if tuned is None:
        unit_m, unit_factor = model.semantics.residual_scales.L_xy, (scaled.shape[1] / count) ** 0.5
        trials = [(length * unit_m, share * unit_factor) for length in LENGTHS for share in SPACE_SHARES]
        fits = [attempt(length_m, factor, {}) for length_m, factor in trials]
        best = int(np.argmin([fit.score for fit in fits]))
        (length_m, factor), fit = trials[best], fits[best]
    else:
        length_m, factor = tuned.map_length_m, tuned.map_factor
        fit = attempt(length_m, factor, {"penalties": np.array([tuned.penalty])})
    model.space.frequency.assign(frequency / length_m)
    model.space.phase.assign(phase)
    model.in_years.kernel.assign(fit.weights[: scaled.shape[1]])
    model.in_years.bias.assign(fit.bias)
    model.in_space.kernel.assign(factor * fit.weights[scaled.shape[1] :])
    return Tuned(length_m, factor, fit.penalty, fit.score), fit.left_out


def _fit_neighbours(model: SubsidenceNetwork, home: Windows, scaled: np.ndarray, target: np.ndarray, tuned):
    """Flat features, then inverse distance weights of what they leave over at other train groups."""
    fit = ridge(scaled, target) if tuned is None else ridge(scaled, target, penalties=np.array([tuned.penalty]))
    model.in_years.kernel.assign(fit.weights)
    model.in_years.bias.assign(fit.bias)
    around = [home.inputs[f"neighbour_{name}"] for name in ("index", "distance", "present")]
    weights = around[2] / np.maximum(around[1], 1.0) ** 2
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)
    filled = fit.left_out - np.einsum("nk,nkc->nc", weights, fit.left_out[around[0]])
    return Tuned(None, None, fit.penalty, float(np.abs(filled).mean())), filled


def _set_widths(model: SubsidenceNetwork, which: str, residuals: np.ndarray) -> None:
    """Biases of the widths from the quantiles of standardised residuals (..., 2)."""
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
    coords = np.repeat(train.coords[:, :1].astype(np.float64), len(ages), axis=1)
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
    sites = [tf.constant(part[:CHUNK], tf.float32) for part in (train.coords, train.static, train.thickness)]

    def median_log_tau(shift: float) -> float:
        moved = start.copy()
        moved[places, 0, 0] += [-shift, shift]
        stack.biases[2].assign(moved)
        return float(np.median(model.fields.bundle(*sites).log_tau.numpy()))

    low, high = -LARGEST_SHIFT, LARGEST_SHIFT
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if median_log_tau(middle) < wanted else (low, middle)
    return float(np.exp(median_log_tau(0.5 * (low + high))))
