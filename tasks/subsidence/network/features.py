"""What the network sees of a window: increments instead of levels, less what the whole city did in that year.

A handoff has thousands of places but a handful of years. A map from this year's increment to the next one is learned
from differences between places; applied to a year in which the whole city was slow, it would take an accident for a
trend. So the city-wide part of history is taken off, and carried on at its mean rate.

B windows, T history steps, H horizon steps, F future drivers.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tasks.subsidence.network.origins import stored_time_step
from tasks.subsidence.semantics import Semantics


class Seen(NamedTuple):
    """Standardised views of one batch."""

    static: tf.Tensor  # (B, variables)
    dynamic: tf.Tensor  # (B, T, variables), zero where not observed
    past_drivers: tf.Tensor | None  # (B, T, F)
    drivers: tf.Tensor  # (B, H, F) of the target steps
    mask: tf.Tensor  # (B, T) 1 where observed
    known: tf.Tensor  # (B, H) 1 where maps of the target years may be used
    lead: tf.Tensor  # (B, H, H) one-hot number of the step ahead
    flat: tf.Tensor  # (B, P) general features first, then those that only maps of the target years use
    flat_valid: tf.Tensor  # (B, P) 1 where the feature is known
    common_rate: tf.Tensor  # (B, 1) m per step: mean city-wide settlement over the observed history
    history_head: tf.Tensor  # (B, T) m
    subsidence: tf.Tensor  # (B, T) m
    xy: tf.Tensor  # (B, 2) m


class CommonCourse(keras.layers.Layer):
    """City-wide mean of cumulative subsidence and depth at the T+H time steps of the train windows.

    Outside these steps subsidence goes on at its mean rate and depth stays at its mean.
    """

    def __init__(self, steps: int, **options):
        super().__init__(**options)
        self.steps = steps
        fixed = {"initializer": "zeros", "trainable": False}
        self.levels = self.add_weight(shape=(steps, 2), name="levels", **fixed)
        self.last_time = self.add_weight(shape=(), name="last_time", **fixed)

    def fill(self, levels: np.ndarray, last_time: float) -> None:
        """levels (T+H, 2) m: cumulative subsidence, depth; last_time in stored units."""
        self.levels.assign(levels)
        self.last_time.assign(last_time)

    def at(self, first_target, step: float, count: int):
        """(B, count, 2) m at the time steps before `first_target` (B,), which is in stored units."""
        levels = tf.convert_to_tensor(self.levels)
        behind = tf.round((first_target - self.last_time) / step) + (self.steps - 1 - count)
        place = behind[:, tf.newaxis] + tf.range(count, dtype=behind.dtype)
        inside = tf.clip_by_value(place, 0.0, self.steps - 1.0)
        found = tf.gather(levels, tf.cast(inside, tf.int32))
        rate = (levels[-1, 0] - levels[0, 0]) / (self.steps - 1)
        settled = found[..., 0] + rate * (place - inside)
        depth = tf.where(place == inside, found[..., 1], tf.reduce_mean(levels[:, 1]))
        return tf.stack([settled, depth], axis=-1)


class WindowFeatures:
    """Turns raw SI inputs into `Seen`; constants only, no weights."""

    def __init__(self, sem: Semantics):
        self.sem = sem
        scales = sem.residual_scales
        self.step = stored_time_step(sem)
        self.others = [
            column for column in range(len(sem.dynamic_names)) if column not in (sem.depth_index, sem.subsidence_index)
        ]
        self.increment_scale = {"subsidence": scales.s_c, "depth": scales.h_c}

    def general_size(self) -> int:
        """Flat features that mean the same from every origin."""
        sem = self.sem
        depth = 0 if sem.depth_index is None else sem.time_steps
        return sem.time_steps - 1 + depth + len(sem.static_names) + 1

    def flat_size(self) -> int:
        """All flat features."""
        sem = self.sem
        levels = 1 + (0 if sem.depth_index is None else sem.time_steps - 1)
        drivers = len(self.others) * sem.time_steps + len(sem.future_names) * sem.horizon
        return self.general_size() + levels + drivers + 2

    def __call__(self, inputs: dict[str, Any], common: "CommonCourse") -> Seen:
        """inputs as in `Windows.inputs`; `history_mask` and `known` may be left out (all observed, nothing known)."""
        sem = self.sem
        dynamic, coords = inputs["dynamic_features"], inputs["coords"]
        mask = inputs.get("history_mask", tf.ones_like(dynamic[:, :, 0]))
        known = inputs.get("known", tf.zeros_like(coords[:, :, 0]))
        subsidence = dynamic[:, :, sem.subsidence_index]
        depth = None if sem.depth_index is None else dynamic[:, :, sem.depth_index]
        static = self._static(inputs)
        drivers = inputs["future_features"]
        city = common.at(tf.reduce_min(coords[:, :, 0], axis=1), self.step, sem.time_steps)
        local = (subsidence - city[..., 0], None if depth is None else depth - city[..., 1])
        flat, valid = self._flat(static, *local, subsidence, dynamic, drivers, coords, mask)
        lead = (coords[:, :, 0] - tf.reduce_min(coords[:, :, 0], axis=1, keepdims=True)) / self.step
        return Seen(
            static=static if depth is None else tf.concat([static, self._spread(local[1], "depth")[:, -1:]], axis=1),
            dynamic=self._dynamic(*local, dynamic, mask),
            past_drivers=drivers[:, : sem.time_steps] if sem.mode == "tft_like" else None,
            drivers=drivers[:, -sem.horizon :],
            mask=mask,
            known=known,
            lead=tf.one_hot(tf.cast(tf.round(lead), tf.int32), sem.horizon, dtype=coords.dtype),
            flat=flat,
            flat_valid=valid,
            common_rate=mean_step(city[..., 0], mask),
            history_head=self._history_head(inputs["static_features"], depth, subsidence),
            subsidence=subsidence,
            xy=coords[:, 0, 1:] * np.array([sem.coord_scale_si.x, sem.coord_scale_si.y], np.float32),
        )

    def _standard(self, values, name: str):
        moments = self.sem.standardisation
        return (values - moments.mean[name]) / max(moments.std[name], 1e-9)

    def _spread(self, values, name: str):
        """Anomalies in units of the train spread."""
        return values / max(self.sem.standardisation.std[name], 1e-9)

    def _static(self, inputs):
        static, column = inputs["static_features"], self.sem.z_surf_index
        if column is not None:
            surface = self._standard(static[:, column : column + 1], "z_surf")
            static = tf.concat([static[:, :column], surface, static[:, column + 1 :]], axis=1)
        return tf.concat([static, self._standard(inputs["H_field"][:, 0, :1], "thickness")], axis=1)

    def _increments(self, values, mask, name: str):
        """(B, T-1) standardised annual increments, zero where one end is not observed; and where both are."""
        valid = mask[:, 1:] * mask[:, :-1]
        return (values[:, 1:] - values[:, :-1]) / self.increment_scale[name] * valid, valid

    def _dynamic(self, subsidence, depth, dynamic, mask):
        parts = [tf.pad(self._increments(subsidence, mask, "subsidence")[0], [[0, 0], [1, 0]]), mask]
        if depth is not None:
            parts.append(tf.pad(self._increments(depth, mask, "depth")[0], [[0, 0], [1, 0]]))
            parts.append(self._spread(depth, "depth") * mask)
        parts += [dynamic[:, :, column] * mask for column in self.others]
        return tf.stack(parts, axis=2)

    def _flat(self, static, subsidence, depth, level, dynamic, drivers, coords, mask):
        horizon = self.sem.horizon
        settled, both = self._increments(subsidence, mask, "subsidence")
        general, valid = [settled, static], [both, tf.ones_like(static)]
        special, special_valid = [level[:, -1:] / self.increment_scale["subsidence"]], [mask[:, -1:]]
        if depth is not None:
            general += [self._increments(depth, mask, "depth")[0], self._spread(depth, "depth")[:, -1:]]
            valid += [both, mask[:, -1:]]
            special.append(self._spread(depth, "depth")[:, :-1])
            special_valid.append(mask[:, :-1])
        for column in self.others:
            special.append(dynamic[:, :, column])
            special_valid.append(mask)
        ahead = tf.reshape(drivers[:, -horizon:], (tf.shape(drivers)[0], horizon * drivers.shape[-1]))
        special += [ahead, coords[:, 0, 1:]]
        special_valid += [tf.ones_like(ahead), tf.ones_like(coords[:, 0, 1:])]
        return tf.concat([*general, *special], axis=1), tf.concat([*valid, *special_valid], axis=1)

    def _history_head(self, static, depth, subsidence):
        if depth is None:
            return tf.zeros_like(subsidence)
        column = self.sem.z_surf_index
        return (0.0 if column is None else static[:, column : column + 1]) - depth


def mean_step(levels, mask):
    """(B, 1) mean step between observed levels (B, T)."""
    valid = mask[:, 1:] * mask[:, :-1]
    steps = (levels[:, 1:] - levels[:, :-1]) * valid
    return tf.math.divide_no_nan(
        tf.reduce_sum(steps, axis=1, keepdims=True), tf.reduce_sum(valid, axis=1, keepdims=True)
    )
