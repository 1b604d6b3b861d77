"""The physical fields of a city as functions of place and time, with their derivatives.

`CoordinateFields.bundle` is the only way from coordinates to physics: the forecast and every residual use what it
returns, so no path can bound, clip or scale a field differently from another.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.subsidence.ground.closure import drainage_length, log_tau_closure
from tasks.subsidence.ground.nets import NetStack
from tasks.subsidence.ground.physics import PhysicsSpec
from tasks.subsidence.ground.sources import characteristic_source, volumetric_source
from tasks.subsidence.operators import Jet, add, scale, sigmoid

BOUND_OF = {"log_K": "K", "log_Ss": "Ss", "log_Ka": "Ka", "log_Sa": "Sa"}
OFFSET_FIELDS = ("log_K", "log_Ss")
PENDING_SPAN, PENDING_START = 5.0, -2.0  # e0 starts near 0.6 annual increments and can grow without limit
Site = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # coords, static, thickness


class FieldBundle(NamedTuple):
    """Fields at the points of one batch, in the shape of the points; None where no active equation needs the field."""

    h: Jet  # hydraulic head, m, with all derivatives
    H: tf.Tensor  # compressible thickness, m
    log_K: Jet | None = None  # vertical conductivity of the compressible layer, log m/s
    log_Ss: Jet | None = None  # its specific storage, log 1/m
    log_Ka: Jet | None = None  # aquifer conductivity, log m/s (the compressible layer's where one layer is shared)
    log_Sa: Jet | None = None  # aquifer specific storage, log 1/m
    Q: tf.Tensor | None = None  # raw source, in the units of its kind
    source: tf.Tensor | None = None  # the same as 1/s, before any gate
    dlogtau: tf.Tensor | None = None  # departure from the closure
    e0: tf.Tensor | None = None  # settlement pending when the history starts, m
    Hd: tf.Tensor | None = None  # drainage length, m
    log_tau_closure: tf.Tensor | None = None
    log_tau: tf.Tensor | None = None  # log s
    log_kappa: tf.Tensor | None = None  # scalar
    log_mv: tf.Tensor | None = None  # scalar, log 1/Pa


def map_points(function, members: tuple) -> list:
    """The function on every per-point member of a bundle or jet; None and scalars pass."""
    return [
        Jet(*map_points(function, member))
        if isinstance(member, Jet)
        else (member if member is None or member.shape.rank == 0 else function(member))
        for member in members
    ]


@keras.saving.register_keras_serializable(package="stagegate")
class CoordinateFields(keras.layers.Layer):
    """Networks of coordinates for every field that the active equations need.

    Coordinates (..., 3) are t, x, y in stored units; derivatives come out in SI. Class offsets shift log K and
    log Ss by lithology, piecewise constant and hence without gradient in space.
    """

    def __init__(self, spec: PhysicsSpec | dict[str, Any], *, seed: int = 42, **kwargs):
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, PhysicsSpec) else PhysicsSpec.from_json(spec)
        if not self.spec.active:
            raise ConfigError("a model without physics has no fields", where="PDE_MODE_CONFIG", found="none")
        self.seed = seed
        spec = self.spec
        self.space = self._stack("space", spec.space_names, False, seed) if spec.space_names else None
        self.spacetime = self._stack("spacetime", spec.spacetime_names, True, seed + 10)
        self.head_plane = self.add_weight(name="head_plane", shape=(3,), initializer="zeros")
        clay = "log_Ss" in spec.names
        self.class_offsets = self._offsets() if clay and spec.class_columns else None
        self.log_mv = self._scalar("log_mv", spec.init_mv) if clay else None
        self.log_kappa = self._scalar("log_kappa", spec.init_kappa) if spec.consolidation else None
        self.built = True

    def _stack(self, name: str, names: tuple[str, ...], with_time: bool, seed: int) -> NetStack:
        return NetStack(self.spec, names, with_time=with_time, seed=seed, name=name, dtype=self.dtype_policy)

    def _scalar(self, name: str, value: float):
        start = keras.initializers.Constant(math.log(value))
        return self.add_weight(name=name, shape=(), initializer=start)

    def _offsets(self):
        shape = (len(self.spec.class_columns), len(OFFSET_FIELDS))
        return self.add_weight(name="class_offsets", shape=shape, initializer="zeros")

    def get_config(self) -> dict[str, Any]:
        """JSON that rebuilds the layer."""
        return {**super().get_config(), "spec": self.spec.to_json(), "seed": self.seed}

    def call(self, coords: tf.Tensor, static: tf.Tensor, thickness: tf.Tensor) -> FieldBundle:
        """The same as `bundle`."""
        return self.bundle(coords, static, thickness)

    def bundle(self, coords: tf.Tensor, static: tf.Tensor, thickness: tf.Tensor) -> FieldBundle:
        """Fields at coords (..., 3); static (..., S) or (batch, S); thickness (...) or (..., 1) m."""
        points, shape = self._flat((coords, static, thickness))
        flat = self._assemble(self._raw(points[0]), *points[1:])
        return FieldBundle(*map_points(lambda member: tf.reshape(member, shape), flat))

    def bundle_pair(self, data: Site, collocation: Site) -> tuple[FieldBundle, FieldBundle]:
        """Fields at data and collocation points; every network is evaluated once over both."""
        left, left_shape = self._flat(data)
        right, right_shape = self._flat(collocation)
        joined = [tf.concat(pair, axis=0) for pair in zip(left, right, strict=True)]
        flat = self._assemble(self._raw(joined[0]), *joined[1:])
        cut = tf.shape(left[0])[0]
        first = map_points(lambda member: tf.reshape(member[:cut], left_shape), flat)
        second = map_points(lambda member: tf.reshape(member[cut:], right_shape), flat)
        return FieldBundle(*first), FieldBundle(*second)

    def _flat(self, site: Site) -> tuple[Site, list]:
        """coords (points, 3), static classes (points, classes), thickness (points,), and the shape of the points."""
        coords, static, thickness = (tf.cast(part, self.compute_dtype) for part in site)
        shape = [tf.shape(coords)[axis] if size is None else size for axis, size in enumerate(coords.shape[:-1])]
        classes = tf.gather(static, tf.constant(self.spec.class_columns, tf.int32), axis=-1)
        if classes.shape.rank < coords.shape.rank:
            classes = tf.repeat(classes[:, tf.newaxis], shape[1], axis=1)
        classes = tf.reshape(classes, (-1, len(self.spec.class_columns)))
        return (tf.reshape(coords, (-1, 3)), classes, tf.reshape(thickness, (-1,))), shape

    def _raw(self, points: tf.Tensor) -> dict[str, Jet]:
        space = self.space.call(points) if self.space is not None else {}
        return {**space, **self.spacetime.call(points), "plane": self._plane(points)}

    def _plane(self, points: tf.Tensor) -> Jet:
        """The part of the head that is linear in the coordinates."""
        features, slope = self.spacetime.features, tf.convert_to_tensor(self.head_plane)
        value = tf.linalg.matvec(features.scaled(points), slope)
        rates = tf.unstack(slope * tf.constant(features.per_si, slope.dtype))
        zero = tf.zeros_like(value)
        return Jet(value, *(zero + rate for rate in rates), zero, zero)

    def _assemble(self, raw: dict[str, Jet], classes: tf.Tensor, thickness: tf.Tensor) -> FieldBundle:
        spec = self.spec
        logs = {name: self._bounded(name, raw[name], classes) for name in BOUND_OF if name in raw}
        if spec.gw_flow and spec.gw_layer == "shared":
            logs |= {"log_Ka": logs["log_K"], "log_Sa": logs["log_Ss"]}
        H = tf.clip_by_value(thickness, *spec.bounds["H"])
        head = scale(add(raw["h"], raw["plane"]), spec.head_scale_m, spec.head_mean_m)
        scalars = {
            name: tf.convert_to_tensor(weight)
            for name, weight in (("log_kappa", self.log_kappa), ("log_mv", self.log_mv))
            if weight is not None
        }
        bundle = FieldBundle(head, H, **logs, **scalars)
        bundle = self._with_source(bundle, raw) if spec.gw_flow else bundle
        return self._with_closure(bundle, raw) if spec.consolidation else bundle

    def _bounded(self, name: str, raw: Jet, classes: tf.Tensor) -> Jet:
        if self.class_offsets is not None and name in OFFSET_FIELDS:
            offset = tf.linalg.matvec(classes, self.class_offsets[:, OFFSET_FIELDS.index(name)])
            raw = raw._replace(value=raw.value + offset)
        low, high = (math.log(limit) for limit in self.spec.bounds[BOUND_OF[name]])
        if self.spec.bounds_mode == "sigmoid":
            return scale(sigmoid(raw), high - low, low)
        return scale(raw, 1.0, 0.5 * (low + high))

    def _with_source(self, bundle: FieldBundle, raw: dict[str, Jet]) -> FieldBundle:
        Q = characteristic_source(self.spec) * raw["Q"].value
        return bundle._replace(Q=Q, source=volumetric_source(Q, bundle.log_Sa.value, bundle.H, self.spec))

    def _with_closure(self, bundle: FieldBundle, raw: dict[str, Jet]) -> FieldBundle:
        spec = self.spec
        closure = log_tau_closure(bundle.log_K.value, bundle.log_Ss.value, bundle.H, bundle.log_kappa, spec)
        dlogtau = tf.zeros_like(closure) if spec.closure_locked else raw["dlogtau"].value
        return bundle._replace(
            dlogtau=dlogtau,
            e0=PENDING_SPAN * spec.scales.s_c * tf.nn.softplus(raw["e0"].value + PENDING_START),
            Hd=drainage_length(bundle.H, spec),
            log_tau_closure=closure,
            log_tau=closure + dlogtau,
        )

    def initialise_head(
        self, coords: np.ndarray, head: np.ndarray, *, ridge: float = 1e-3, flow_weight: float = 1.0
    ) -> float:
        """Fit the output layer of the head to train heads; the RMS misfit in m.

        coords (windows, H, 3) in stored units, head (windows, H) m. Least squares on the last hidden layer and the
        plane; where the flow equation is active its residual without sources, at the middle of the aquifer bounds,
        counts `flow_weight` times, so that training does not start from a rough surface.
        """
        points = np.reshape(coords, (-1, 3)).astype(self.compute_dtype)
        target = (np.reshape(head, -1).astype(float) - self.spec.head_mean_m) / self.spec.head_scale_m
        basis, flow = self._head_basis(points)
        weights = _ridge(basis, flow * flow_weight if self.spec.gw_flow else None, target, ridge)
        hidden = self.spec.nets.hidden
        index = self.spec.spacetime_names.index("h")
        for weight, values in (
            (self.spacetime.kernels[2], weights[:hidden, np.newaxis]),
            (self.spacetime.biases[2], weights[-1:, np.newaxis]),
        ):
            start = np.array(weight)
            start[index] = values
            weight.assign(start)
        self.head_plane.assign(weights[hidden:-1])
        return float(np.sqrt(np.mean((basis @ weights - target) ** 2)) * self.spec.head_scale_m)

    def _head_basis(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the head is linear in, (points, hidden + 4), and the scaled flow residual of every column."""
        scales, features = self.spec.scales, self.spacetime.features
        index = self.spec.spacetime_names.index("h")
        hidden = self.spacetime.hidden(tf.constant(points)).map(lambda member: np.array(member[index], float))
        ones = np.ones((len(points), 1))
        basis = np.concatenate([hidden.value, np.array(features.scaled(tf.constant(points)), float), ones], axis=1)
        diffusivity = middle_diffusivity(self.spec)
        curved = hidden.t - diffusivity * (hidden.xx + hidden.yy)
        linear = np.concatenate([features.per_si[0] * ones, 0.0 * ones, 0.0 * ones, 0.0 * ones], axis=1)
        unit = scales.T_c / scales.h_c * self.spec.head_scale_m
        spread = self.spec.head_scale_m / float(np.mean(self.spec.sigma_h))
        return basis, unit / spread * np.concatenate([curved, linear], axis=1)


def middle_diffusivity(spec: PhysicsSpec) -> float:
    """Hydraulic diffusivity in m2/s in the middle of the bounds of the layer that carries the flow."""
    conductivity, storage = ("Ka", "Sa") if spec.gw_layer == "two_layer" else ("K", "Ss")
    middle = {name: math.sqrt(math.prod(spec.bounds[name])) for name in (conductivity, storage)}
    return middle[conductivity] / middle[storage]


def _ridge(basis: np.ndarray, flow: np.ndarray | None, target: np.ndarray, ridge: float) -> np.ndarray:
    """Minimiser of mean (basis w - target)^2 + mean (flow w)^2 + ridge |w|^2, the last column (level) free."""
    count = len(target)
    normal = basis.T @ basis / count + (0.0 if flow is None else flow.T @ flow / count)
    penalty = np.full(basis.shape[1], ridge)
    penalty[-1] = 1e-9
    return np.linalg.solve(normal + np.diag(penalty), basis.T @ target / count)
