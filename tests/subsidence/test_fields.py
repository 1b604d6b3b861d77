"""One function from coordinates to physics: exact derivatives, honest bounds, and the fields each equation needs."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.fields import CoordinateFields, FieldBundle
from tasks.subsidence.ground.physics import PhysicsSpec
from tasks.subsidence.operators import Jet
from tasks.subsidence.semantics import Axes
from tests.subsidence.physics_cases import BOUNDS, MINIMUM, RANGE, SCALES, fields, scattered, site, spec

ALL = {"h", "H", "log_K", "log_Ss", "log_Ka", "log_Sa", "Q", "source", "dlogtau", "e0", "Hd", "log_kappa", "log_mv"}
ALL |= {"log_tau_closure", "log_tau"}
AQUIFER = {"log_Ka", "log_Sa", "Q", "source"}
STORAGE = {"log_K", "log_Ss", "log_mv"}


def members(bundle: FieldBundle) -> set[str]:
    return {name for name, member in bundle._asdict().items() if member is not None}


def leaves(bundle: FieldBundle):
    for name, member in bundle._asdict().items():
        parts = member._asdict() if isinstance(member, Jet) else {"value": member}
        yield from ((f"{name}.{part}", value) for part, value in parts.items() if value is not None)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"pde_mode": "both"}, ALL),
        ({"pde_mode": "both", "gw_layer": "shared"}, ALL),
        ({"pde_mode": "consolidation"}, ALL - AQUIFER),
        ({"pde_mode": "gw_flow"}, {"h", "H"} | AQUIFER),
        ({"pde_mode": "gw_flow", "gw_layer": "shared"}, {"h", "H"} | AQUIFER | STORAGE),
    ],
)
def test_fields_exist_as_the_equations_need_them(changes, expected):
    assert members(fields(**changes).bundle(*site())) == expected


def test_no_physics_has_no_fields():
    with pytest.raises(ConfigError, match="PDE_MODE_CONFIG"):
        CoordinateFields(spec(pde_mode="none"))


def test_shared_layer_carries_the_flow_with_the_clay():
    bundle = fields(gw_layer="shared").bundle(*site())
    np.testing.assert_array_equal(bundle.log_Ka.x, bundle.log_K.x)
    np.testing.assert_array_equal(bundle.log_Sa.value, bundle.log_Ss.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_members_have_the_shape_of_the_points_and_the_type_of_the_layer(dtype):
    for name, member in leaves(fields(dtype).bundle(*site(dtype=np.dtype(dtype)))):
        assert member.shape == (() if name.split(".")[0] in ("log_kappa", "log_mv") else (4, 3)), name
        assert member.dtype == dtype, name


def test_shapes_are_known_while_tracing_with_an_open_batch():
    layer, seen = fields("float32"), {}

    @tf.function(input_signature=[tf.TensorSpec((None, 3, 3)), tf.TensorSpec((None, 3)), tf.TensorSpec((None, 3, 1))])
    def trace(coords, static, thickness):
        bundle = layer.bundle(coords, static, thickness)
        seen["tau"] = bundle.log_tau.shape.as_list()
        return bundle.log_tau

    assert trace(*site(5, dtype=np.float32)).shape == (5, 3)
    assert seen["tau"] == [None, 3]


@pytest.mark.parametrize("axis, name, second", [(0, "t", None), (1, "x", "xx"), (2, "y", "yy")])
def test_derivatives_agree_with_central_differences(axis, name, second):
    layer, (coords, static, thickness) = fields(), scattered(20)
    unit = getattr(layer.spec.coord_scale_si, name)
    step = 2e-5 * np.eye(3)[axis]
    here, ahead, behind = (layer.bundle(coords + side * step, static, thickness) for side in (0.0, 1.0, -1.0))
    for field in ("h",) if axis == 0 else ("h", "log_K", "log_Ss", "log_Ka", "log_Sa"):
        jet, up, down = (getattr(bundle, field) for bundle in (here, ahead, behind))
        slope = (up.value - down.value) / (4e-5 * unit)
        assert_close(getattr(jet, name), slope, 1e-6)
        if second and field == "h":
            assert_close(getattr(jet, second), (getattr(up, name) - getattr(down, name)) / (4e-5 * unit), 1e-6)


def assert_close(found: tf.Tensor, expected: tf.Tensor, relative: float) -> None:
    assert np.max(np.abs(found - expected)) <= relative * np.max(np.abs(expected)) > 0.0


def test_derivatives_of_every_field_agree_with_automatic_differentiation():
    layer, (coords, static, thickness) = fields(), scattered()
    unit = layer.spec.coord_scale_si
    for field in ("h", "log_K", "log_Ss", "log_Ka", "log_Sa"):
        with tf.GradientTape() as tape:
            tape.watch(coords)
            jet = getattr(layer.bundle(coords, static, thickness), field)
        slope = tape.gradient(jet.value, coords)
        np.testing.assert_allclose(jet.x, slope[:, 1] / unit.x, rtol=1e-9)
        np.testing.assert_allclose(jet.y, slope[:, 2] / unit.y, rtol=1e-9)


def test_frozen_fields_do_not_change_with_time_and_relaxed_ones_do():
    coords, static, thickness = site()
    frozen, relaxed = (
        layer.bundle(coords, static, thickness) for layer in (fields(), fields(time_varying=True, pde_mode="both"))
    )
    np.testing.assert_array_equal(frozen.log_K.value[:, 0], frozen.log_K.value[:, 2])
    assert np.all(relaxed.log_K.value[:, 0] != relaxed.log_K.value[:, 2])
    assert np.all(frozen.h.value[:, 0] != frozen.h.value[:, 2])
    assert np.all(frozen.Q[:, 0] != frozen.Q[:, 2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forecast_and_loss_see_the_same_bits(dtype):
    layer, data, collocation = fields(dtype), site(32, dtype=np.dtype(dtype)), scattered(96, np.dtype(dtype))
    forward = tf.function(lambda *parts: layer.bundle(*parts))(*data)
    in_loss, _ = tf.function(layer.bundle_pair)(data, collocation)
    for (name, left), (_, right) in zip(leaves(forward), leaves(in_loss), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)


def test_joint_evaluation_keeps_the_two_sets_of_points_apart():
    layer = fields()
    _, together = layer.bundle_pair(site(), scattered())
    alone = layer.bundle(*scattered())
    for (name, left), (_, right) in zip(leaves(alone), leaves(together), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-13, err_msg=name)


def test_every_weight_moves_something_at_the_start():
    layer = fields("float32", lively=False)
    with tf.GradientTape() as tape:
        bundle = layer.bundle(*site(dtype=np.float32))
        total = sum(tf.reduce_sum(member) for name, member in leaves(bundle) if name.endswith("value"))
    for weight, gradient in zip(
        layer.trainable_variables, tape.gradient(total, layer.trainable_variables), strict=True
    ):
        assert gradient is not None and np.max(np.abs(gradient)) > 0.0, weight.path


def test_fields_start_near_the_middle_of_their_bounds():
    bundle = fields("float32", lively=False).bundle(*site(dtype=np.float32))
    for name, limit in (("log_K", "K"), ("log_Ss", "Ss"), ("log_Ka", "Ka"), ("log_Sa", "Sa")):
        low, high = np.log(BOUNDS[limit])
        assert np.max(np.abs(getattr(bundle, name).value - (low + high) / 2.0)) < 0.15 * (high - low)
    assert np.max(np.abs(bundle.dlogtau)) < 0.5
    assert np.all(bundle.e0 > 0.0) and np.all(bundle.e0 < 2.0 * SCALES.s_c)


@pytest.mark.parametrize("push", [-30.0, 30.0])
def test_sigmoid_bounds_cannot_be_left_and_soft_ones_can_with_a_live_gradient(push):
    for mode in ("sigmoid", "soft"):
        layer = fields(bounds_mode=mode)
        layer.class_offsets.assign(np.full((2, 2), push))
        low, high = np.log(BOUNDS["K"])
        with tf.GradientTape() as tape:
            log_K = layer.bundle(*site()).log_K.value
        inside = np.all((log_K >= low) & (log_K <= high))
        assert inside == (mode == "sigmoid")
        gradient = tape.gradient(log_K, layer.class_offsets)
        assert np.max(np.abs(gradient)) > (0.0 if mode == "sigmoid" else 1.0)


def test_no_logit_is_clipped_inside_the_range_where_sigmoid_still_moves():
    layer = fields()
    values = []
    for push in (15.0, 16.0, 18.0):
        layer.class_offsets.assign(np.full((2, 2), push))
        values.append(float(layer.bundle(*site()).log_K.value[0, 0]))
    assert values[0] < values[1] < values[2] < math.log(BOUNDS["K"][1])


def test_lithology_shifts_storage_without_a_gradient_in_space():
    layer = fields()
    before = layer.bundle(*site())
    layer.class_offsets.assign(np.array([[0.0, 1.0], [0.0, 0.0]]))
    after = layer.bundle(*site())
    moved = np.any(before.log_Ss.value != after.log_Ss.value, axis=1)
    assert moved.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(before.log_K.value, after.log_K.value)
    np.testing.assert_array_equal(before.log_Ka.value, after.log_Ka.value)


def test_locked_closure_has_no_departure_and_no_weights_for_one():
    layer = fields(closure_locked=True)
    bundle = layer.bundle(*site())
    assert "dlogtau" not in layer.spec.names
    assert np.all(bundle.dlogtau == 0.0)
    np.testing.assert_array_equal(bundle.log_tau, bundle.log_tau_closure)


def test_relaxation_time_is_the_closure_times_its_departure():
    bundle = fields().bundle(*site())
    K, Ss = np.exp(bundle.log_K.value), np.exp(bundle.log_Ss.value)
    closure = np.log((0.6 * 12.0) ** 2 * Ss / (np.pi**2 * K))
    np.testing.assert_allclose(bundle.log_tau, closure + bundle.dlogtau, rtol=1e-12)


def test_thickness_stays_inside_its_bounds():
    coords, static, _ = site()
    bundle = fields().bundle(
        coords, static, tf.constant([0.0, 5.0, 30.0, 80.0], tf.float64)[:, None] + tf.zeros((4, 3), tf.float64)
    )
    assert bundle.H[:, 0].numpy().tolist() == [0.1, 5.0, 30.0, 30.0]


def test_normalized_and_metric_coordinates_are_the_same_fields():
    normalized = fields()
    half = {axis: getattr(RANGE, axis) / 2.0 for axis in ("t", "x", "y")}
    metric = fields(
        coord_center=Axes(**{axis: getattr(MINIMUM, axis) + half[axis] for axis in half}),
        coord_half=Axes(**half),
        coord_scale_si=Axes(t=YEAR_S, x=1.0, y=1.0),
    )
    metric.set_weights(normalized.get_weights())
    coords, static, thickness = site()
    stored = coords * np.array(list(RANGE.model_dump().values())) + np.array(list(MINIMUM.model_dump().values()))
    left, right = normalized.bundle(coords, static, thickness), metric.bundle(stored, static, thickness)
    for (name, one), (_, other) in zip(leaves(left), leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.max(np.abs(one)), err_msg=name)


def test_layer_survives_json_and_a_weights_file(tmp_path):
    layer = fields("float32")
    twin = CoordinateFields.from_config(json.loads(json.dumps(layer.get_config())))
    assert twin.spec == layer.spec and PhysicsSpec.from_json(layer.spec.to_json()) == layer.spec

    def model(inner: CoordinateFields) -> keras.Model:
        class Holder(keras.Model):
            def __init__(self):
                super().__init__()
                self.fields = inner
                self.built = True

            def call(self, inputs):
                return self.fields.bundle(*inputs).h.value

        return Holder()

    path = tmp_path / "fields.weights.h5"
    model(layer).save_weights(path)
    model(twin).load_weights(path)
    data = site(dtype=np.float32)
    np.testing.assert_array_equal(layer.bundle(*data).log_tau, twin.bundle(*data).log_tau)
    assert {weight.name for weight in twin.trainable_variables} >= {"log_kappa", "log_mv"}


def test_same_seed_same_weights():
    one, two, other = (fields("float32", seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_initial_head_is_a_plane_when_the_data_are_one():
    layer = fields("float32", lively=False)
    coords = site(200, dtype=np.float32)[0].numpy()
    head = 2.0 - 3.0 * coords[..., 1] + 1.5 * coords[..., 2]
    misfit = layer.initialise_head(coords, head, ridge=1e-6)
    found = layer.bundle(coords, np.zeros((200, 3), np.float32), np.ones((200, 3), np.float32)).h
    assert misfit < 0.01
    np.testing.assert_allclose(found.value, head, atol=0.05)
    np.testing.assert_allclose(np.mean(found.x) * RANGE.x, -3.0, atol=0.1)


def test_flow_weight_makes_the_initial_head_obey_the_flow_equation():
    coords = site(200, dtype=np.float32)[0].numpy()
    head = np.sin(12.0 * coords[..., 1]) + np.cos(9.0 * coords[..., 2])
    bends, misfits = [], []
    for weight in (0.0, 3.0):
        layer = fields("float32", lively=False)
        misfits.append(layer.initialise_head(coords, head, flow_weight=weight))
        jet = layer.bundle(coords, np.zeros((200, 3), np.float32), np.ones((200, 3), np.float32)).h
        bends.append(float(np.sqrt(np.mean((jet.xx + jet.yy) ** 2))))
    assert bends[1] < 0.3 * bends[0] and misfits[0] < misfits[1]
