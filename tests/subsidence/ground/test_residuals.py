"""Residuals are non-dimensional, honest about zero, and independent of the batch; priors move what they may move."""

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.fields import FieldBundle
from tasks.subsidence.ground import residuals
from tasks.subsidence.ground.consolidation import settle
from tasks.subsidence.ground.physics import Barrier
from tasks.subsidence.operators import Jet
from tests.subsidence.physics_cases import BOUNDS, SCALES, fields, scattered, site, spec

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "subsidence" / "zhongshan" / "artifacts"
HISTORY = np.array([[0.0, -0.5, -0.7, -1.5, -1.6], [1.0, 0.8, 0.1, 0.3, 0.0]] * 2)
HEAD = np.array([[-1.7, -2.5, -2.4], [-0.2, -0.4, -0.9]] * 2)


def constant(*values: float) -> tf.Tensor:
    return tf.constant(values, tf.float64)


def clay(rows: int = 4, tau_years: float = 2.0) -> FieldBundle:
    """Ss H = 0.01; log K unknown to the settlement because tau is given."""
    level = tf.zeros((rows, 3), tf.float64)
    log_tau = level + np.log(tau_years * YEAR_S)
    parts = {"log_Ss": Jet(level + np.log(1e-3)), "log_tau": log_tau, "e0": level + 1e-3, "dlogtau": level + 0.5}
    return FieldBundle(h=Jet(level), H=level + 10.0, **parts)


def settled(rows: int = 4, settings=None, tau_years: float = 2.0):
    times = tf.constant(np.tile([5.0, 6.0, 7.0], (rows, 1)) / 7.0)
    history, head = tf.constant(HISTORY[:rows]), tf.constant(HEAD[:rows])
    return settle(clay(rows, tau_years), history, head, times, settings or spec())


def test_flow_residual_is_that_of_its_terms():
    layer = fields()
    result = residuals.groundwater(layer.bundle(*site()), layer.spec)
    sizes = [np.max(np.abs(term)) * YEAR_S / SCALES.h_c for term in result.terms[:3]]
    assert min(sizes) > 1e-3
    balance = result.terms.storage - result.terms.lateral - result.terms.source
    np.testing.assert_allclose(result.scaled, balance * YEAR_S / SCALES.h_c, rtol=1e-12)


def test_raw_flow_residual_is_a_volumetric_rate():
    layer = fields()
    bundle = layer.bundle(*site())
    result = residuals.groundwater(bundle, layer.spec)
    np.testing.assert_allclose(
        result.raw, np.exp(bundle.log_Sa.value) * result.scaled * SCALES.h_c / YEAR_S, rtol=1e-12
    )


def test_closed_source_gate_leaves_storage_and_lateral_flow():
    layer = fields()
    terms = residuals.groundwater(layer.bundle(*site()), layer.spec, q_gate=0.0).terms
    assert np.all(terms.source == 0.0)
    np.testing.assert_array_equal(terms.residual, terms.storage - terms.lateral)


@pytest.mark.parametrize("method", ["exact", "backward_euler"])
def test_physical_mean_has_no_consolidation_residual_under_the_exact_step(method):
    settings = spec(residual_method=method)
    state = settled(settings=settings)
    largest = np.max(np.abs(residuals.consolidation(state, state.s_phys, settings).scaled))
    assert largest < 1e-12 if method == "exact" else 1e-3 < largest < 1.0


def test_consolidation_residual_measures_what_physics_does_not_explain():
    state = settled()
    extra = constant(8.5e-3, 8.5e-3, 8.5e-3)[tf.newaxis]
    result = residuals.consolidation(state, state.s_phys + extra, spec())
    np.testing.assert_allclose(result.scaled[:, 0], 1.0, rtol=1e-9)
    kept = 1.0 - result.scaled[:, 1:].numpy()  # what is left of the excess after one step of relaxation
    assert np.all((kept > 0.0) & (kept < 1.0))
    np.testing.assert_allclose(result.raw, result.scaled * SCALES.s_c / YEAR_S, rtol=1e-12)
    np.testing.assert_allclose(result.step, result.scaled * SCALES.s_c, rtol=1e-12)


def test_one_mode_residual_is_the_published_step_minus_the_public_recursion():
    settings = spec(modes=1, step="constant")
    state = settled(settings=settings)
    published = state.s_phys + constant(0.001, -0.002, 0.004)[tf.newaxis]
    start = np.concatenate([np.zeros((4, 1)), published[:, :-1]], axis=1) + state.path.settlement[:, 4:5]
    load, a = state.path.load[:, 5:], math.exp(-0.5)
    expected = published + state.path.settlement[:, 4:5] - (start * a + load * (1.0 - a))
    np.testing.assert_allclose(residuals.consolidation(state, published, settings).step, expected, atol=1e-15)


def test_ten_per_cent_of_relaxation_time_is_visible_and_does_not_depend_on_the_batch():
    truth = settled().s_phys
    wrong = residuals.consolidation(settled(tau_years=2.2), truth, spec()).scaled
    assert 0.005 < np.sqrt(np.mean(wrong**2)) < 0.5
    alone = residuals.consolidation(settled(rows=1, tau_years=2.2), truth[:1], spec()).scaled
    np.testing.assert_array_equal(wrong[:1], alone)


def test_residual_gradient_reaches_the_published_median():
    state = settled()
    published = tf.Variable(state.s_phys + 0.002)
    with tf.GradientTape() as tape:
        total = tf.reduce_mean(tf.square(residuals.consolidation(state, published, spec()).scaled))
    assert np.all(tape.gradient(total, published).numpy() != 0.0)


@pytest.mark.parametrize("scale", [True, False])
def test_millimetres_and_years_give_the_same_residual(scale):
    mm, year = 1e3, 1.0 / YEAR_S
    other_scales = SCALES.model_copy(update={"T_c": 1.0, "h_c": SCALES.h_c * mm, "s_c": SCALES.s_c * mm})
    layer = fields()
    bundle = layer.bundle(*site())
    head = bundle.h.map(lambda member: member * mm)
    converted = bundle._replace(
        h=head._replace(t=head.t / year),
        log_Ka=bundle.log_Ka._replace(value=bundle.log_Ka.value - np.log(year)),
        source=bundle.source * mm / year,
    )
    si = residuals.groundwater(bundle, spec())
    mixed = residuals.groundwater(converted, spec(scales=other_scales))
    np.testing.assert_allclose(si.scaled, mixed.scaled, rtol=1e-10)
    if not scale:
        np.testing.assert_allclose(si.raw * mm / year, mixed.raw, rtol=1e-10)


def tilted(x: float, y: float = 0.0) -> FieldBundle:
    level = tf.zeros(8, tf.float64)
    slope = Jet(level, x=level + x, y=level + y)
    return FieldBundle(h=Jet(level), H=level, log_K=slope, log_Ss=Jet(level, x=level, y=level))


def test_double_contrast_of_conductivity_is_four_times_the_smoothness_loss():
    once, twice = (float(residuals.smoothness(tilted(x, -x), spec())) for x in (1e-4, 2e-4))
    assert twice / once == pytest.approx(4.0, rel=1e-12)


def test_smoothness_does_not_depend_on_the_level_of_conductivity():
    flat, low = tilted(1e-4), tilted(1e-4)
    low = low._replace(log_K=low.log_K._replace(value=low.log_K.value - 30.0))
    assert float(residuals.smoothness(flat, spec())) == float(residuals.smoothness(low, spec()))


def test_a_decade_in_two_kilometres_weighs_like_a_loss_term():
    weighted = 0.01 * float(residuals.smoothness(tilted(math.log(10.0) / 2000.0), spec()))
    assert 1e-4 < weighted < 1.0


def test_bounds_cost_nothing_in_sigmoid_mode():
    assert float(residuals.bounds(fields().bundle(*site()), spec())) == 0.0


def test_soft_fields_far_outside_their_bounds_are_pulled_back():
    layer = fields(bounds_mode="soft")
    layer.class_offsets.assign([[30.0, 0.0], [30.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = residuals.bounds(layer.bundle(*site()), layer.spec)
    assert float(loss) > 10.0
    gradient = tape.gradient(loss, layer.class_offsets).numpy()
    assert np.all(gradient[:, 0] > 0.1)


@pytest.mark.parametrize("kind", ["residual", "barrier", "both"])
def test_excess_penalty_is_quadratic_then_linear(kind):
    low, high = BOUNDS["K"]
    top, barrier = math.log(high), Barrier(kind=kind, beta=20.0, guard=3.0)
    inside, one, four, five = residuals.excess_penalty(constant(top - 5, top + 1, top + 4, top + 5), low, high, barrier)
    count = 2.0 if kind == "both" else 1.0
    assert float(inside) < 1e-12
    assert float(one) == pytest.approx(count, rel=1e-6)
    assert float(four) == pytest.approx(count * (2.0 * 3.0 * 4.0 - 9.0), rel=1e-6)
    assert float(five - four) == pytest.approx(count * 6.0, rel=1e-6)


def test_relaxation_time_has_a_barrier_only_when_asked():
    low_tau = clay(tau_years=1e-6)
    with_tau, without = (
        float(residuals.bounds(low_tau, spec(bounds_mode="soft", barrier=Barrier(include_tau=include))))
        for include in (True, False)
    )
    assert with_tau > without + 10.0


def storage(*log_Ss: float) -> FieldBundle:
    level = constant(*log_Ss)
    return FieldBundle(h=Jet(level), H=level, log_Ss=Jet(level), log_mv=constant(math.log(1e-7))[0])


def test_storage_prior_is_zero_where_storage_is_compressibility_times_the_weight_of_water():
    assert float(residuals.mv_prior(storage(math.log(9.81e-4)), spec())) == pytest.approx(0.0, abs=1e-15)


def test_storage_prior_counts_the_mean_and_a_tenth_of_the_spread():
    level = math.log(9.81e-4)
    found = float(residuals.mv_prior(storage(level, level + 4.0), spec()))
    assert found == pytest.approx((2.0 - 0.5) + 0.1 * 1.5, rel=1e-12)


@pytest.mark.parametrize("mode, moves_storage, moves_mv", [("calibrate", False, True), ("field", True, True)])
def test_storage_prior_moves_what_its_mode_says(mode, moves_storage, moves_mv):
    layer = fields(storage_prior={"mode": mode})
    with tf.GradientTape() as tape:
        loss = residuals.mv_prior(layer.bundle(*site()), layer.spec)
    storage_net, mv = tape.gradient(loss, [layer.class_offsets, layer.log_mv])
    assert (storage_net is not None) == moves_storage
    assert (mv is not None and float(mv) != 0.0) == moves_mv


def test_storage_prior_can_be_switched_off():
    assert float(residuals.mv_prior(storage(0.0), spec(storage_prior={"mode": "off"}))) == 0.0


def test_source_that_moves_the_head_by_its_characteristic_change_costs_one():
    level = constant(1.0, -1.0) * SCALES.Sa_c * SCALES.h_c / SCALES.T_c
    bundle = FieldBundle(h=Jet(level), H=level, source=level)
    assert float(residuals.q_regulariser(bundle, spec())) == pytest.approx(1.0)
    assert float(residuals.q_regulariser(bundle, spec(), q_gate=0.5)) == pytest.approx(0.25)


UNEXPLAINED = 0.002 * np.arange(1.0, 13.0).reshape(4, 3)


def losses(layer, weight=None, collocation=True, **changes):
    data, extra = layer.bundle_pair(site(), scattered())
    times = site()[0][..., 0]
    state = settle(data, tf.constant(HISTORY), data.h.value, times, layer.spec)
    published = state.s_phys + tf.constant(UNEXPLAINED)
    return residuals.physics_losses(
        data, extra if collocation else None, state, published, layer.spec, weight=weight, **changes
    )


def test_losses_are_the_squares_of_what_is_reported():
    found = losses(fields())
    assert float(found.cons) == pytest.approx(float(found.epsilon_cons) ** 2, rel=1e-12)
    assert float(found.gw) == pytest.approx(float(found.epsilon_gw) ** 2, rel=1e-12)
    assert float(found.prior) == pytest.approx(float(found.epsilon_prior) ** 2, rel=1e-12)
    assert float(found.epsilon_cons_raw) == pytest.approx(float(found.epsilon_cons) * SCALES.s_c / YEAR_S, rel=1e-12)
    assert all(np.isfinite(value) for value in found)


def test_unscaled_losses_are_si():
    found = losses(fields(scale_residuals=False))
    assert float(found.cons) == pytest.approx(float(found.epsilon_cons_raw) ** 2, rel=1e-12)
    assert float(found.gw) == pytest.approx(float(found.epsilon_gw_raw) ** 2, rel=1e-12)
    assert float(found.cons) < 1e-18


@pytest.mark.parametrize("unit, factor", [("second", 1.0), ("time_unit", YEAR_S), ("step", YEAR_S)])
def test_units_of_the_raw_residual_change_the_report_only(unit, factor):
    second, other = losses(fields()), losses(fields(cons_units=unit))
    assert float(other.epsilon_cons_raw) == pytest.approx(float(second.epsilon_cons_raw) * factor, rel=1e-9)
    assert float(other.cons) == float(second.cons)


def test_yearly_flow_residual_is_the_one_per_second_times_a_year():
    second, year = losses(fields()), losses(fields(gw_units="time_unit"))
    assert float(year.epsilon_gw_raw) == pytest.approx(float(second.epsilon_gw_raw) * YEAR_S, rel=1e-12)


def test_padded_rows_do_not_count():
    layer = fields()
    full, cut = losses(layer, collocation=False), losses(layer, constant(1.0, 1.0, 0.0, 0.0), collocation=False)
    assert float(full.cons) != float(cut.cons)
    data = layer.bundle(*(part[:2] for part in site()))
    state = settle(data, tf.constant(HISTORY[:2]), data.h.value, site()[0][:2, :, 0], layer.spec)
    published = state.s_phys + tf.constant(UNEXPLAINED[:2])
    small = residuals.physics_losses(data, None, state, published, layer.spec)
    for name, found, expected in zip(cut._fields, cut, small, strict=True):
        assert float(found) == pytest.approx(float(expected), rel=1e-12), name


@pytest.mark.parametrize(
    "mode, zero",
    [("consolidation", {"gw", "q", "epsilon_gw"}), ("gw_flow", {"cons", "prior", "smooth", "mv", "pending"})],
)
def test_equations_that_are_off_cost_nothing(mode, zero):
    found = losses(fields(pde_mode=mode))
    assert {name for name in zero if float(getattr(found, name)) != 0.0} == set()
    assert float(found.gw if mode == "gw_flow" else found.cons) > 0.0


def test_every_loss_has_a_gradient_at_the_start():
    layer = fields("float64", lively=False)
    with tf.GradientTape(persistent=True) as tape:
        found = losses(layer)
    for name in ("cons", "gw", "prior", "smooth", "mv", "q", "pending"):
        gradients = tape.gradient(getattr(found, name), layer.trainable_variables)
        assert sum(float(tf.norm(g)) for g in gradients if g is not None) > 0.0, name


def test_lateral_share_tells_flow_from_storage():
    one = tf.ones(3, tf.float64)
    terms = residuals.GroundwaterTerms(2.0 * one, one, one, 0.0 * one)
    assert float(residuals.lateral_share(terms)) == pytest.approx(0.25)


def test_shared_layer_warns_when_points_lie_beyond_its_reach():
    message = residuals.shared_layer_warning(spec(gw_layer="shared"), 271.0)
    assert "17.8 m per time unit" in message and "two_layer" in message
    assert residuals.shared_layer_warning(spec(gw_layer="shared"), 10.0) is None
    assert residuals.shared_layer_warning(spec(), 271.0) is None


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")
def test_head_of_the_reference_handoff_starts_as_a_surface_that_nearly_obeys_the_flow_equation():
    inputs, targets = (np.load(DATA / f"train_{kind}.npz") for kind in ("inputs", "targets"))
    layer = fields("float32", lively=False, class_columns=tuple(range(8)))
    head = targets["gwl_pred"][..., 0]
    misfit = layer.initialise_head(inputs["coords"], head)
    bundle = layer.bundle(inputs["coords"], inputs["static_features"], inputs["H_field"])
    assert misfit == pytest.approx(float(np.sqrt(np.mean((bundle.h.value - head) ** 2))), rel=1e-3)
    assert misfit < np.std(head)
    assert float(np.sqrt(np.mean(residuals.groundwater(bundle, layer.spec).scaled ** 2))) < 2.0


def test_single_precision_keeps_the_flow_residual():
    double, single = fields(), fields("float32")
    single.set_weights([np.float32(weight) for weight in double.get_weights()])
    double.set_weights([np.float64(weight) for weight in single.get_weights()])
    exact = residuals.groundwater(double.bundle(*site()), double.spec).scaled
    found = residuals.groundwater(single.bundle(*site(dtype=np.float32)), single.spec).scaled
    np.testing.assert_allclose(found, exact, atol=1e-4 * float(np.max(np.abs(exact))))
