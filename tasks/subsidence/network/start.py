"""Where training starts from: linear maps by ridge on the train windows, widths from left-out residuals, field levels.

Only train windows are looked at.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tasks.subsidence.arrays import Split
from tasks.subsidence.handoff.groups import take
from tasks.subsidence.model import SubsidenceNetwork
from tasks.subsidence.network.datasets import every_origin
from tasks.subsidence.network.features import Seen
from tasks.subsidence.network.heads import inverse_softplus
from tasks.subsidence.network.neighbours import nearest
from tasks.subsidence.network.origins import Windows, common_levels, history_head, stored_time_step, stored_windows
from tasks.subsidence.network.ridge import MAX_ROWS, RidgeFit, ridge, space_frequencies

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
    home = _take_years(model, train)
    flat = np.array(_seen(model, home).flat, np.float64)
    spread = flat.std(axis=0)
    model.scaler.mean.assign(flat.mean(axis=0))
    model.scaler.inverse_std.assign(np.where(spread > LEAST_SPREAD, 1.0 / np.maximum(spread, LEAST_SPREAD), 0.0))
    started = {"head_field_rms_m": _start_head(model, train), "median_tau_s": _start_closure(model, train)}
    _fill_bank(model, home)
    return started


def take_over(model: SubsidenceNetwork, donor: SubsidenceNetwork, train: Split) -> np.ndarray:
    """Start from what another network has learned, but with the years, the course and the groups of these windows.

    The city-wide departures come back as from `fit_linear`.
    """
    around = model.around
    given = set() if around is None else {id(weight) for weight in (around.xy, around.flat, around.increments)}
    for weight, learned in zip(model.weights, donor.weights, strict=True):
        if id(weight) not in given:
            weight.assign(learned)
    _fill_bank(model, _take_years(model, train))
    return _every_origin(model, train)[1]


def _take_years(model: SubsidenceNetwork, train: Split) -> Windows:
    """Known years and city-wide course of the train windows; these windows."""
    known_until = float(train.coords[:, :, 0].max())
    model.known_until.assign(known_until)
    model.common.fill(common_levels(train, model.semantics), float(model.known_until.numpy()))
    return stored_windows(train, model.semantics, float(model.known_until.numpy()))


def _fill_bank(model: SubsidenceNetwork, home: Windows) -> None:
    """The train groups, with what is left for linear maps to explain: neighbours tell what these leave over."""
    if model.around is not None:
        scaled, target, _ = _rows(model, home)
        model.around.fill(_metres(model, home), scaled, _without_field(model, home, target))


def fit_linear(model: SubsidenceNetwork, train: Split) -> tuple[Tuned, np.ndarray]:
    """Fit the linear maps and widths to what the city's mean rate and the head field leave of the targets.

    What was chosen, and the city-wide departures from the mean rate
    per origin, lead and target (origins, H, 2), standardised; NaN where a lead has no target. The general map is fitted
    to what is left without them: a handful of years does not tell which way the next one departs.
    """
    sets, departures = _every_origin(model, train)
    centred = [(rows, target - np.nan_to_num(gone), weight)
               for (rows, target, weight), gone in zip(sets, departures, strict=True)]  # fmt: skip
    _fit_general(model, centred)
    home = add_neighbours(model, stored_windows(train, model.semantics, float(model.known_until.numpy())))
    scaled, target, _ = _rows(model, home)
    left_over = _without_field(model, home, target) - _general(model, scaled)
    fit = _fit_neighbours if model.around is not None else _fit_space
    tuned, left_out = fit(model, home, scaled, left_over.reshape(len(home), -1))
    _set_widths(model, "known", left_out.reshape(-1, *target.shape[1:]))
    _set_widths(model, "unknown", _forecast_errors(model, centred, departures))
    return tuned, departures


def _every_origin(model: SubsidenceNetwork, train: Split) -> tuple[list, np.ndarray]:
    """Rows of some places from every origin, and their mean targets per origin (origins, H, 2)."""
    some = np.random.default_rng(0).permutation(len(train))[:ROWS_PER_ORIGIN]
    elsewhere = every_origin(take(train, np.sort(some)), model.semantics, float(model.known_until.numpy()))
    sets = [_rows(model, windows) for windows in elsewhere]
    return sets, np.stack([_departure(target, weight) for _, target, weight in sets])


def fit_trust(model: SubsidenceNetwork, train: Split) -> None:
    """How far the departures of the physical mean tell those of the settlement: least squares per lead, within [0, 1].

    From every origin with a full history, as in a forecast, between places: both lose their city-wide mean.
    """
    known_until, some = float(model.known_until.numpy()), np.random.default_rng(1).permutation(len(train))
    part = take(train, np.sort(some[:ROWS_PER_ORIGIN]))
    sums = np.zeros((2, model.semantics.horizon))
    for windows in every_origin(part, model.semantics, known_until):
        if windows.inputs["history_mask"].min() > 0:
            windows.inputs["known"][:] = 0.0
            sums += _trust_sums(model, windows)
    model.trust.assign(np.clip(sums[0] / np.maximum(sums[1], LEAST_SPREAD), 0.0, 1.0))


def _trust_sums(model: SubsidenceNetwork, windows: Windows) -> np.ndarray:
    """(2, H): departure times target, and departure squared, of anomalies from the city-wide mean."""
    scaled, target, weight = _rows(model, windows)
    left_over = (target - _general(model, scaled))[..., 0]
    inputs = add_neighbours(model, windows).inputs
    settlement = model.forward({name: tf.constant(array) for name, array in inputs.items()}).settlement
    departure = np.array(model.departure(_seen(model, windows), settlement), np.float64) / model.sigma[0]
    departure -= departure.mean(axis=0)
    left_over -= left_over.mean(axis=0)
    return np.stack([(departure * left_over * weight).sum(axis=0), (departure**2 * weight).sum(axis=0)])


def bank_rows(manifest: dict[str, Any], train: Split) -> int:
    """Train groups that neighbour context keeps in the weights."""
    return len(train) if manifest["neighbour_context"] else 0


def add_neighbours(model: SubsidenceNetwork, windows: Windows) -> Windows:
    """The same windows with their nearest train groups, where the network looks at neighbours."""
    if model.around is None:
        return windows
    found = nearest(_metres(model, windows), np.array(model.around.xy), model.manifest["neighbour_context"])
    windows.inputs.update(
        neighbour_index=found.index, neighbour_distance=found.distance, neighbour_present=found.present
    )
    return windows


def _seen(model: SubsidenceNetwork, windows: Windows) -> Seen:
    return model.features({name: tf.constant(array) for name, array in windows.inputs.items()}, model.common)


def _scaled(model: SubsidenceNetwork, seen: Seen) -> np.ndarray:
    return np.array(model.scaler(seen.flat, seen.flat_valid), np.float64)


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
    """Scaled flat features (N, P), standardised targets (N, H, 2) less the city's mean rate, weights (N, H)."""
    seen, target = _seen(model, windows), _increments(model, windows)
    target[..., 0] -= np.array(model.carried(seen), np.float64) / model.sigma[0]
    return _scaled(model, seen), target, windows.weight


def _without_field(model: SubsidenceNetwork, windows: Windows, target: np.ndarray) -> np.ndarray:
    """Standardised targets (N, H, 2) less the change of the head field, which the forecast adds to the maps.

    For maps of the target years only: the field is silent beyond them, and the map that holds from every origin must
    tell the whole change there.
    """
    if model.fields is None:
        return target
    left = target.copy()
    for first in range(0, len(windows), CHUNK):
        part = {name: tf.constant(array[first : first + CHUNK]) for name, array in windows.inputs.items()}
        left[first : first + CHUNK, :, 1] -= np.array(model.field_change(part), np.float64) / model.sigma[1]
    return left


def _general(model: SubsidenceNetwork, scaled: np.ndarray) -> np.ndarray:
    """(N, H, 2) from the map that holds from every origin."""
    size = model.features.general_size()
    out = scaled[:, :size] @ np.array(model.everywhere.kernel, np.float64) + np.array(model.everywhere.bias)
    return out.reshape(len(scaled), -1, 2)


def _fit_general(model: SubsidenceNetwork, sets: list) -> None:
    """Pooled ridge over all origins, one map per lead."""
    rows, targets, weights = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    rows = rows[:, : model.features.general_size()]
    fits = []
    for lead in range(model.semantics.horizon):
        use = weights[:, lead] > 0
        fits.append(ridge(rows[use], targets[use, lead], penalties=GENERAL_PENALTIES))
    model.everywhere.kernel.assign(np.concatenate([fit.weights for fit in fits], axis=1))
    model.everywhere.bias.assign(np.concatenate([fit.bias for fit in fits]))


def _forecast_errors(model: SubsidenceNetwork, sets: list, departures: np.ndarray) -> np.ndarray:
    """(rows, 2) errors of the general map where a target exists, with the spread of the years put back."""
    spread = departures - np.nanmean(departures, axis=0)
    errors = [
        (target - _general(model, rows) + gone)[weight > 0]
        for (rows, target, weight), gone in zip(sets, np.nan_to_num(spread), strict=True)
    ]
    return np.concatenate(errors)


def _departure(target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(H, 2) mean target over the windows of one origin; NaN for leads without targets."""
    return np.where(weight.mean(axis=0)[:, None] > 0, target.mean(axis=0), np.nan)


def _fit_space(model: SubsidenceNetwork, home: Windows, scaled: np.ndarray, target: np.ndarray):
    """Flat features and a map of the place together; length scale and strength of the map by left-out residuals."""
    count, xy = model.space.count, _metres(model, home)
    frequency, phase = space_frequencies(count, model.manifest["seed"])
    rows = np.random.default_rng(0).permutation(len(xy))[:MAX_ROWS]

    def attempt(length_m: float, factor: float) -> RidgeFit:
        space = np.sqrt(2.0) * np.cos(xy[rows] @ (frequency / length_m) + phase)
        return ridge(np.concatenate([scaled[rows], factor * space], axis=1), target[rows])

    unit_m, unit_factor = model.semantics.residual_scales.L_xy, (scaled.shape[1] / count) ** 0.5
    trials = [(length * unit_m, share * unit_factor) for length in LENGTHS for share in SPACE_SHARES]
    fits = [attempt(*trial) for trial in trials]
    best = int(np.argmin([fit.score for fit in fits]))
    (length_m, factor), fit = trials[best], fits[best]
    model.space.frequency.assign(frequency / length_m)
    model.space.phase.assign(phase)
    model.in_years.kernel.assign(fit.weights[: scaled.shape[1]])
    model.in_years.bias.assign(fit.bias)
    model.in_space.kernel.assign(factor * fit.weights[scaled.shape[1] :])
    return Tuned(length_m, factor, fit.penalty, fit.score), fit.left_out


def _fit_neighbours(model: SubsidenceNetwork, home: Windows, scaled: np.ndarray, target: np.ndarray):
    """Flat features, then inverse distance weights of what they leave over at other train groups."""
    fit = ridge(scaled, target)
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
    """Shift log K down and log Ss up until the median relaxation time lies in the middle of its bounds; that time, s.

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
