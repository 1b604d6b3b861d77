"""The network: data path, physics and quantiles in one forward pass; its median is the mean that equations judge."""

import copy
import json
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.subsidence.build import FLAVOURS, GATES, physics_of, quantile_levels, semantics_of
from tasks.subsidence.fields import CoordinateFields, FieldBundle, Site, map_points
from tasks.subsidence.ground.consolidation import Settlement, settle
from tasks.subsidence.network.blocks import Noise
from tasks.subsidence.network.features import CommonCourse, Seen, WindowFeatures, mean_step
from tasks.subsidence.network.heads import Widths, YearMap
from tasks.subsidence.network.neighbours import NeighbourContext
from tasks.subsidence.network.skip import TARGETS, FlatScaler, LeadLinear, SpaceFeatures, at_lead
from tasks.subsidence.network.trunk import Trunk

# How strongly a consolidation misfit pulls the published median, against 1 for the fields: the more, the more the
# physical mean explains. At full strength it would pull the median to the physical mean also where settlement has
# causes that the equations do not know, and the fields would not have to explain anything.
LARGEST_PULL, LEAST_PULL = 0.03, 1e-3


class Forward(NamedTuple):
    """Everything one pass knows of a batch; B windows, H steps, Q levels."""

    subsidence: tf.Tensor  # (B, H, Q) cumulative m
    head: tf.Tensor  # (B, H, Q) m
    published: tf.Tensor  # (B, H) m: median of subsidence since the last observation
    judged: tf.Tensor  # the same value with a damped gradient: what the equations are held against
    residual: tf.Tensor  # (B, H) m: what the data path adds to the physical mean
    head_mean: tf.Tensor  # (B, H) m
    data: FieldBundle | None  # at the target steps
    collocation: FieldBundle | None
    settlement: Settlement | None
    field_gap: tf.Tensor | None  # (B, 1+H) m: head less its field, from the last observation on; moves the field only


class SubsidenceNetwork(keras.Model):
    """Built from an init manifest alone; gates, scales and the maps of the train years are saved weights."""

    def __init__(self, manifest: dict[str, Any], bank_rows: int = 0, **options):
        super().__init__(**options)
        self.manifest, self.bank_rows = MappingProxyType(copy.deepcopy(dict(manifest))), int(bank_rows)
        config, seed = manifest["config"], int(manifest["seed"])
        self.semantics = semantics_of(manifest)
        self.spec = physics_of(manifest)
        self.levels = quantile_levels(config["quantiles"])
        self.features = WindowFeatures(self.semantics)
        self._make_parts(config, seed)
        self._make_state()
        self.built = True

    def _make_parts(self, config: dict[str, Any], seed: int) -> None:
        horizon, hidden, width = self.semantics.horizon, config["hidden_units"], self.features.flat_size()
        self.trunk = Trunk(config, seed=seed, has_future=bool(self.semantics.future_names), name="trunk")
        self.trunk.build(_seen_shapes(self.features))
        self.common = CommonCourse(self.semantics.time_steps + horizon, name="common")
        self.scaler = FlatScaler(width, name="scaler")
        self.everywhere = LeadLinear(self.features.general_size(), horizon, name="everywhere")
        self.in_years = LeadLinear(width, horizon, name="in_years")
        self.space = SpaceFeatures(self.manifest["space_features"], name="space")
        self.in_space = LeadLinear(self.manifest["space_features"], horizon, name="in_space")
        self.year_map = YearMap(hidden, seed=seed + 9000, name="year_map")
        self.year_map.build((None, horizon, hidden), (None, self.manifest["space_features"]))
        self.from_features = keras.layers.Dense(TARGETS, kernel_initializer="zeros", name="from_features")
        self.from_year_map = keras.layers.Dense(
            TARGETS, kernel_initializer="zeros", use_bias=False, name="from_year_map"
        )
        for part in (self.from_features, self.from_year_map):
            part.build((None, horizon, hidden))
        self.subsidence_widths = Widths(self.levels, seed=seed + 9100, name="subsidence_widths")
        self.head_widths = Widths(self.levels, seed=seed + 9200, name="head_widths")
        for widths in (self.subsidence_widths, self.head_widths):
            widths.build((None, horizon, 2 * hidden))
        self.around = self._neighbours(width, horizon, hidden, seed) if self.bank_rows else None
        self.trust = self.add_weight(shape=(horizon,), initializer="zeros", name="trust")
        self.fields = CoordinateFields(self.spec, seed=seed + 9300, name="fields") if self.spec.active else None

    def _neighbours(self, width: int, horizon: int, hidden: int, seed: int) -> NeighbourContext:
        return NeighbourContext(self.bank_rows, width, horizon, hidden, seed=seed + 9400, name="around")

    def _make_state(self) -> None:
        fixed = {"shape": (), "trainable": False}
        start = {"physics": 0.0, "q": 1.0, "subs_resid": 1.0, "offset": 1.0, "mv": 0.0}
        self.gates = {
            name: self.add_weight(name=f"gate_{name}", initializer=keras.initializers.Constant(start[name]), **fixed)
            for name in GATES
        }
        self.known_until = self.add_weight(name="known_until", initializer="ones", **fixed)
        moments = self.semantics.standardisation
        self.sigma = np.array([moments.sigma_s, moments.sigma_h], np.float32)

    def get_config(self) -> dict[str, Any]:
        """JSON that rebuilds the network without its weights."""
        return {"manifest": dict(self.manifest), "bank_rows": self.bank_rows, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        """The inverse of `get_config`."""
        return cls(**config)

    def build_from_config(self, config):
        """Nothing to do: all weights exist once the network does."""

    def call(self, inputs, training=None):
        """inputs: arrays named as in the handoff -> subs_pred, gwl_pred (B, H, Q, 1), SI."""
        result = self.forward(inputs)
        return {"subs_pred": result.subsidence[..., tf.newaxis], "gwl_pred": result.head[..., tf.newaxis]}

    def forward(
        self, inputs: dict[str, Any], *, noise=None, collocation: Site | None = None, rows: tf.Tensor | None = None
    ) -> Forward:
        """One pass. `noise` (2,) int32 switches dropout on; `collocation` points are evaluated with the data's; nothing
        is learned from rows of the batch where `rows` (B,) is 0."""
        seen = self.features(inputs, self.common)
        decoded, increments = self._data_path(seen, inputs, None if noise is None else Noise(noise, rows))
        sigma = tf.matmul(seen.lead, tf.transpose(tf.constant(self.sigma))[tf.newaxis])
        data, points, change, gap = self._head_field(seen, inputs, collocation)
        head_mean = seen.history_head[:, -1:] + change + sigma[..., 1] * increments[..., 1]
        settlement = self._settle(data, seen, inputs, head_mean)
        learned = sigma[..., 0] * increments[..., 0] + self.carried(seen)
        physical = tf.zeros_like(learned) if settlement is None else settlement.s_phys
        residual = self._residual(learned + self._physical_departure(seen, settlement), physical)
        published = physical + residual
        distances = [
            widths(decoded, seen.known, sigma[..., target])
            for target, widths in enumerate((self.subsidence_widths, self.head_widths))
        ]
        return Forward(
            subsidence=self.subsidence_widths.spread(seen.subsidence[:, -1:] + published, distances[0]),
            head=self.head_widths.spread(head_mean, distances[1]),
            published=published,
            judged=damped(published, _pull(published, physical, rows)),
            residual=residual,
            head_mean=head_mean,
            data=data,
            collocation=points,
            settlement=settlement,
            field_gap=None if data is None else tf.stop_gradient(_heads(seen, head_mean)) - gap,
        )

    def _data_path(self, seen: Seen, inputs, noise):
        """Features (B, H, 2 * hidden), those of the target years second, and standardised increments (B, H, 2) since
        the last observation, subsidence then head."""
        space = self.space(seen.xy)
        features = self.trunk.call(seen, noise)
        mapped = self.year_map.call(features, space, seen.known)
        flat = self.scaler(seen.flat, seen.flat_valid)
        general = at_lead(self.everywhere(flat[:, : self.features.general_size()]), seen.lead)
        special = self.in_years(flat) + self.in_space(space)
        if self.around is not None:
            around = (inputs["neighbour_index"], inputs["neighbour_distance"], inputs["neighbour_present"])
            special += self.around.call(flat, *around, self._explain)
        linear = general + at_lead(special, seen.lead) * seen.known[..., tf.newaxis]
        learned = self.from_features(features) + self.from_year_map(mapped)
        return tf.concat([features, mapped], axis=-1), linear + learned

    def field_change(self, inputs: dict[str, Any]):
        """(B, H) m: what the head field adds to the head; zero where nothing is known of the target years."""
        return self._head_field(self.features(inputs, self.common), inputs, None)[2]

    def carried(self, seen: Seen):
        """(B, H) m: the city's mean rate of settlement over the history, carried on."""
        return seen.common_rate * self._steps_ahead(seen)

    def _steps_ahead(self, seen: Seen):
        return tf.linalg.matvec(seen.lead, tf.range(1, self.semantics.horizon + 1, dtype=seen.lead.dtype))

    def departure(self, seen: Seen, settlement: Settlement):
        """(B, H) m: how the physical mean departs from its own mean rate over the history."""
        path, last = settlement.path.settlement, settlement.last
        return settlement.s_phys - mean_step(path[:, : last + 1], seen.mask) * self._steps_ahead(seen)

    def _physical_departure(self, seen: Seen, settlement: Settlement | None):
        """Beyond the train years the forecast departs from the mean rate as physics does, as far as it is trusted."""
        if settlement is None or settlement.path is None:
            return 0.0
        trust = tf.linalg.matvec(seen.lead, tf.convert_to_tensor(self.trust))
        return (1.0 - seen.known) * trust * self.departure(seen, settlement)

    def _explain(self, flat):
        """The linear part of the increments of scaled flat rows (rows, P) -> (rows, L, 2)."""
        return self.everywhere(flat[:, : self.features.general_size()]) + self.in_years(flat)

    def _open(self):
        """The residual gate, and 1 once it is fully open. What it holds back learns only then: half open, it would
        learn to shout twice as loud."""
        gate = tf.convert_to_tensor(self.gates["subs_resid"])
        return gate, tf.cast(gate >= 1.0, gate.dtype)

    def _residual(self, learned, physical):
        """(B, H) m: what the data path adds to the physical mean, on the way to what it has learned itself."""
        if not self.manifest["residual_allowed"]:
            return tf.zeros_like(learned)
        gate, is_open = self._open()
        return gate * (damped(learned, is_open) - physical)

    def _head_field(self, seen: Seen, inputs, collocation: Site | None):
        """Fields at the target steps, at collocation points, the change of the head field, and the field itself.

        Steps beyond the train years see the fields of the last observation: a network of time says nothing there.
        """
        if self.fields is None:
            return None, None, tf.zeros_like(seen.known), None
        coords = inputs["coords"]
        first = tf.reduce_min(coords[:, :, :1], axis=1, keepdims=True) - self.features.step
        at_last = tf.concat([first, coords[:, :1, 1:]], axis=2)
        known = seen.known[..., tf.newaxis]
        there = tf.concat([at_last, known * coords + (1.0 - known) * at_last], axis=1)
        thickness = tf.concat([inputs["H_field"][:, :1], inputs["H_field"]], axis=1)
        site = (there, inputs["static_features"], thickness)
        if collocation is None:
            both, points = self.fields.bundle(*site), None
        else:
            both, points = self.fields.bundle_pair(site, collocation)
        field = both.h.value
        data = FieldBundle(*map_points(lambda member: member[:, 1:], both))
        return data, points, field[:, 1:] - field[:, :1], field

    def _settle(self, data, seen: Seen, inputs, head_mean) -> Settlement | None:
        if data is None:
            return None
        # Heads are observed: settlement must be explained by the ground, not by bending them.
        heads, times = tf.stop_gradient(head_mean), inputs["coords"][:, :, 0]
        settled = settle(data, seen.history_head, heads, times, self.spec, valid=seen.mask)
        # Where heads stand still because they are forecast, the ground must not be blamed for what they did.
        return settled._replace(s_phys=damped(settled.s_phys, seen.known))


def _pull(published, physical, rows=None):
    """Share of the gradient of a misfit that reaches the median: what physics explains of the published settlement of
    the rows (B,) that are not padded."""
    used = tf.ones_like(published) if rows is None else rows[:, tf.newaxis]
    explained = 1.0 - tf.math.divide_no_nan(
        tf.reduce_sum(used * tf.square(published - physical)), tf.reduce_sum(used * tf.square(published))
    )
    return tf.stop_gradient(tf.maximum(LARGEST_PULL * explained * tf.abs(explained), LEAST_PULL))


def _heads(seen: Seen, head_mean):
    """(B, 1+H) m: the last observation and the forecast."""
    return tf.concat([seen.history_head[:, -1:], head_mean], axis=1)


def damped(values, share):
    """The same values; only `share` of the gradient passes."""
    return share * values + tf.stop_gradient((1.0 - share) * values)


def _seen_shapes(features: WindowFeatures) -> Seen:
    """Shapes of `Seen` for building the trunk."""
    sem = features.sem
    steps, horizon, drivers = sem.time_steps, sem.horizon, len(sem.future_names)
    depth = 0 if sem.depth_index is None else 1
    return Seen(
        static=(None, len(sem.static_names) + 1 + depth),
        dynamic=(None, steps, 2 + 2 * depth + len(features.others)),
        past_drivers=(None, steps, drivers) if sem.mode == "tft_like" else None,
        drivers=(None, horizon, drivers),
        mask=(None, steps),
        known=(None, horizon),
        lead=(None, horizon, horizon),
        flat=(None, features.flat_size()),
        flat_valid=(None, features.flat_size()),
        common_rate=(None, 1),
        history_head=(None, steps),
        subsidence=(None, steps),
        xy=(None, 2),
    )


@keras.saving.register_keras_serializable(package="stagegate")
class GeoPriorSubsNet(SubsidenceNetwork):
    """Groundwater flow and consolidation."""


@keras.saving.register_keras_serializable(package="stagegate")
class PoroElasticSubsNet(SubsidenceNetwork):
    """Consolidation alone."""


@keras.saving.register_keras_serializable(package="stagegate")
class HybridAttnNoPhysics(SubsidenceNetwork):
    """The data path alone."""


CLASSES = dict(zip(FLAVOURS, (GeoPriorSubsNet, PoroElasticSubsNet, HybridAttnNoPhysics), strict=True))


def rebuild(manifest: dict[str, Any], bank_rows: int = 0) -> SubsidenceNetwork:
    """The untrained network of an init manifest; `bank_rows` is the number of train groups behind neighbour context.

    Raises ConfigError for an unknown flavour. Equal manifests give equal weights.
    """
    name = manifest["model_class"]
    if name not in CLASSES:
        raise ConfigError("is unknown", where="model_class", expected=" or ".join(CLASSES), found=name)
    return CLASSES[name](manifest, bank_rows=bank_rows, name="network")


def architecture(manifest: dict[str, Any], bank_rows: int = 0) -> dict[str, Any]:
    """Content of the architecture JSON: the Keras configuration and a table of all weights."""
    model = rebuild(manifest, bank_rows)
    table = [
        {"path": weight.path, "shape": list(weight.shape), "trainable": bool(weight.trainable)}
        for weight in model.weights
    ]
    count = int(sum(np.prod(row["shape"], dtype=int) for row in table if row["trainable"]))
    return {"keras": json.loads(model.to_json()), "layers": table, "trainable_parameters": count}
