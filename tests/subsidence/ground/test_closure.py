"""The closure is Terzaghi's, and a drawdown is a fall of the head: nothing else is converted."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tasks.subsidence.ground.closure import (
    K_from_tau,
    drainage_length,
    drawdown,
    equilibrium_settlement,
    kappa_terzaghi,
    log_tau_closure,
    reference_head,
)
from tasks.subsidence.ground.physics import Drawdown
from tests.subsidence.physics_cases import spec

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "subsidence" / "zhongshan" / "artifacts"
HISTORY = np.array([[3.0, 2.5, 2.75, 2.0, 1.5]])


def constant(*values: float) -> tf.Tensor:
    return tf.constant(values, tf.float64)


def tau(K: float, Ss: float, H: float, kappa: float, **changes) -> float:
    logs = (constant(np.log(K)), constant(np.log(Ss)), constant(H), constant(np.log(kappa))[0])
    return float(tf.exp(log_tau_closure(*logs, spec(**changes)))[0])


def test_first_mode_of_terzaghi_with_double_drainage_is_the_reference():
    K, Ss, H = 1e-10, 1e-4, 10.0
    terzaghi = H**2 * Ss / (np.pi**2 * K)
    assert tau(K, Ss, H, 1.0, drainage_factor=1.0) == pytest.approx(terzaghi, rel=1e-12)
    assert tau(K, Ss, H, 1.0, kappa_mode="bar") == pytest.approx(terzaghi, rel=1e-12)
    assert tau(K, Ss, H, 1.0, drainage_factor=2.0) == pytest.approx(4.0 * terzaghi, rel=1e-12)


@pytest.mark.parametrize("mode, kappa, slower", [("kb", 2.0, 0.5), ("bar", 2.0, 2.0)])
def test_kappa_acts_as_its_mode_says(mode, kappa, slower):
    once, twice = (tau(1e-10, 1e-4, 10.0, value, kappa_mode=mode) for value in (1.0, kappa))
    assert twice / once == pytest.approx(slower, rel=1e-12)


@pytest.mark.parametrize("mode, factor, kappa", [("kb", 0.6, 0.36), ("kb", 1.0, 1.0), ("bar", 0.6, 1.0)])
def test_the_kappa_of_terzaghi_reads_one(mode, factor, kappa):
    settings = {"kappa_mode": mode, "drainage_factor": factor}
    assert kappa_terzaghi(kappa, spec(**settings)) == pytest.approx(1.0, rel=1e-12)
    assert tau(1e-10, 1e-4, 10.0, kappa, **settings) == pytest.approx(1e-2 / (np.pi**2 * 1e-10), rel=1e-12)


def test_drainage_length_is_a_share_of_the_thickness():
    assert float(drainage_length(constant(20.0), spec())[0]) == pytest.approx(12.0)


@pytest.mark.parametrize("mode", ["kb", "bar"])
def test_conductivity_from_tau_inverts_the_closure(mode):
    settings = spec(kappa_mode=mode)
    log_Ss, H, log_kappa = constant(-9.0), constant(7.0), constant(0.3)[0]
    log_tau = log_tau_closure(constant(-22.0), log_Ss, H, log_kappa, settings)
    assert float(K_from_tau(log_tau, log_Ss, H, log_kappa, settings)[0]) == pytest.approx(np.exp(-22.0), rel=1e-12)


def test_no_drawdown_at_the_reference_and_none_lost_at_half_a_metre():
    falls = drawdown(constant(0.0, -0.5, 0.3)[tf.newaxis], constant(0.0)[tf.newaxis], spec())[0].numpy()
    assert falls[0] == 0.0 and falls[2] == 0.0
    assert falls[1] == pytest.approx(0.5, rel=1e-3)


def test_smooth_drawdown_is_within_a_thousandth_from_35_centimetres_on():
    falls = drawdown(constant(-0.346)[tf.newaxis], constant(0.0)[tf.newaxis], spec())
    assert float(falls[0, 0]) == pytest.approx(0.346, rel=1e-3)


def test_slope_of_the_drawdown_vanishes_at_the_origin_and_is_one_far_from_it():
    head = constant(0.0, -1e-9, -5.0)[tf.newaxis]
    with tf.GradientTape() as tape:
        tape.watch(head)
        total = tf.reduce_sum(drawdown(head, constant(0.0)[tf.newaxis], spec()))
    slope = tape.gradient(total, head)[0].numpy()
    np.testing.assert_allclose(slope, [0.0, 0.0, -1.0], atol=1e-6)


@given(st.floats(-30.0, 30.0), st.sampled_from(["relu", "smooth_relu"]))
def test_drawdown_lies_between_nothing_and_the_fall(fall, mode):
    depth = drawdown(constant(-fall)[tf.newaxis], constant(0.0)[tf.newaxis], spec(drawdown=Drawdown(mode=mode)))
    assert 0.0 <= float(depth[0, 0]) <= max(fall, 0.0)


def test_drawdown_rule_swaps_the_sign_and_clip_limits_it():
    rising = spec(drawdown=Drawdown(mode="relu", rule="mean_minus_ref", clip_max_m=1.5))
    falls = drawdown(constant(1.0, 4.0, -1.0)[tf.newaxis], constant(0.0)[tf.newaxis], rising)
    assert falls.numpy().tolist() == [[1.0, 1.5, 0.0]]


@pytest.mark.parametrize("stop, slope", [(True, None), (False, 1.0)])
def test_gradient_into_the_reference_is_a_choice(stop, slope):
    reference, rule = constant(0.0)[tf.newaxis], spec(drawdown=Drawdown(mode="relu", stop_grad_ref=stop))
    with tf.GradientTape() as tape:
        tape.watch(reference)
        total = tf.reduce_sum(drawdown(constant(-2.0)[tf.newaxis], reference, rule))
    gradient = tape.gradient(total, reference)
    assert (None if gradient is None else float(gradient[0, 0])) == slope


@pytest.mark.parametrize("rule, head", [("auto", 3.0), ("last", 1.5), ("window_start", 3.0), (7.5, 7.5)])
def test_reference_head_follows_its_rule(rule, head):
    assert float(reference_head(tf.constant(HISTORY), spec(h_ref=rule))[0, 0]) == head


@pytest.mark.parametrize("rule, head", [("auto", 2.75), ("last", 1.5), ("window_start", 2.5)])
def test_reference_head_looks_at_observed_steps_only(rule, head):
    valid = tf.constant([[0.0, 1.0, 1.0, 1.0, 1.0]], tf.float64)
    assert float(reference_head(tf.constant(HISTORY), spec(h_ref=rule), valid)[0, 0]) == head


def test_equilibrium_settlement_is_storage_times_fall_times_thickness():
    settled = equilibrium_settlement(constant(2.0), constant(np.log(1e-4)), constant(10.0))
    assert float(settled[0]) == pytest.approx(2e-3, rel=1e-12)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")
def test_drawdown_of_the_reference_handoff_has_the_right_sign_and_size():
    inputs, targets = (np.load(DATA / f"train_{kind}.npz") for kind in ("inputs", "targets"))
    history = inputs["static_features"][:, 8:9] - inputs["dynamic_features"][:, :, 0]
    head, rule = targets["gwl_pred"][..., 0], spec(h_ref="last", drawdown=Drawdown(mode="relu"))
    reference = reference_head(tf.constant(history), rule)
    falls = drawdown(tf.constant(head), reference, rule).numpy()
    assert np.mean(falls > 0.0) == pytest.approx(0.729, abs=1e-3)
    assert np.mean(reference.numpy() - head) == pytest.approx(0.292, abs=1e-3)
