"""What the network sees of a window: increments instead of levels, standardised with train statistics.

B windows, T history steps, H horizon steps, F future drivers.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tasks.subsidence.origins import stored_time_step
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
    history_head: tf.Tensor  # (B, T) m
    last_subsidence: tf.Tensor  # (B, 1) m
    xy: tf.Tensor  # (B, 2) m


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

    def __call__(self, inputs: dict[str, Any]) -> Seen:
        """inputs as in `Windows.inputs`; `history_mask` and `known` may be left out (all observed, nothing known)."""
        sem = self.sem
        dynamic, coords = inputs["dynamic_features"], inputs["coords"]
        mask = inputs.get("history_mask", tf.ones_like(dynamic[:, :, 0]))
        known = inputs.get("known", tf.zeros_like(coords[:, :, 0]))
        subsidence = dynamic[:, :, sem.subsidence_index]
        depth = None if sem.depth_index is None else dynamic[:, :, sem.depth_index]
        static = self._static(inputs)
        drivers = inputs["future_features"]
        flat, valid = self._flat(static, subsidence, depth, dynamic, drivers, coords, mask)
        lead = (coords[:, :, 0] - tf.reduce_min(coords[:, :, 0], axis=1, keepdims=True)) / self.step
        return Seen(
            static=static if depth is None else tf.concat([static, self._standard(depth, "depth")[:, -1:]], axis=1),
            dynamic=self._dynamic(subsidence, depth, dynamic, mask),
            past_drivers=drivers[:, : sem.time_steps] if sem.mode == "tft_like" else None,
            drivers=drivers[:, -sem.horizon :],
            mask=mask,
            known=known,
            lead=tf.one_hot(tf.cast(tf.round(lead), tf.int32), sem.horizon, dtype=coords.dtype),
            flat=flat,
            flat_valid=valid,
            history_head=self._history_head(inputs["static_features"], depth, subsidence),
            last_subsidence=subsidence[:, -1:],
            xy=coords[:, 0, 1:] * np.array([sem.coord_scale_si.x, sem.coord_scale_si.y], np.float32),
        )

    def _standard(self, values, name: str):
        moments = self.sem.standardisation
        return (values - moments.mean[name]) / max(moments.std[name], 1e-9)

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
            parts.append(self._standard(depth, "depth") * mask)
        parts += [dynamic[:, :, column] * mask for column in self.others]
        return tf.stack(parts, axis=2)

    def _flat(self, static, subsidence, depth, dynamic, drivers, coords, mask):
        steps, horizon = self.sem.time_steps, self.sem.horizon
        settled, both = self._increments(subsidence, mask, "subsidence")
        general, valid = [settled, static], [both, tf.ones_like(static)]
        special, special_valid = [subsidence[:, -1:] / self.increment_scale["subsidence"]], [mask[:, -1:]]
        if depth is not None:
            general += [self._increments(depth, mask, "depth")[0], self._standard(depth, "depth")[:, -1:]]
            valid += [both, mask[:, -1:]]
            special.append(self._standard(depth, "depth")[:, :-1])
            special_valid.append(mask[:, :-1])
        for column in self.others:
            special.append(dynamic[:, :, column])
            special_valid.append(mask)
        ahead = tf.reshape(drivers[:, -horizon:], (-1, horizon * drivers.shape[-1]))
        special += [ahead, coords[:, 0, 1:]]
        special_valid += [tf.ones_like(ahead), tf.ones_like(coords[:, 0, 1:])]
        return tf.concat([*general, *special], axis=1), tf.concat([*valid, *special_valid], axis=1)

    def _history_head(self, static, depth, subsidence):
        if depth is None:
            return tf.zeros_like(subsidence)
        column = self.sem.z_surf_index
        return (0.0 if column is None else static[:, column : column + 1]) - depth
