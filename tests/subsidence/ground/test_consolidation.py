"""Delayed settlement against closed forms, and the spin-up that carries earlier drawdown into the horizon."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError
from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.fields import FieldBundle
from tasks.subsidence.ground.consolidation import mean_decay, mode_weights, predicted_step, relax, settle, step_lengths
from tasks.subsidence.operators import Jet, terzaghi_degree
from tests.subsidence.physics_cases import spec


def tensor(values) -> tf.Tensor:
    return tf.constant(values, tf.float64)


def run(s_eq, dt_years, tau_years, **options):
    """One site; equilibrium settlement at N+1 times, N steps."""
    parts = (tensor([s_eq]), tensor([dt_years]) * YEAR_S, tensor([np.atleast_1d(tau_years)]) * YEAR_S)
    return relax(*parts, **{"modes": 1, **options})


def test_weights_of_the_modes_are_those_of_the_series():
    np.testing.assert_allclose(mode_weights(3), [0.810569, 0.090063, 0.032423], atol=1e-6)
    assert mode_weights(1).tolist() == [1.0]
    assert mode_weights(2000).sum() == pytest.approx(1.0, abs=1e-3)


def test_no_mode_is_refused():
    with pytest.raises(ConfigError, match="CONSOLIDATION_MODES"):
        mode_weights(0)


@pytest.mark.parametrize("modes", [1, 5])
def test_uneven_steps_of_a_ramp_give_the_closed_form_at_every_time(modes):
    dt, tau, slope = np.array([0.2, 1.0, 0.05, 3.0]), 2.5, 0.04
    time = np.concatenate([[0.0], np.cumsum(dt)])
    taus = tau / (2.0 * np.arange(modes) + 1.0) ** 2
    lag = sum(w * t * (1.0 - np.exp(-time / t)) for w, t in zip(mode_weights(modes), taus, strict=True))
    path = run(slope * time, dt, tau, modes=modes)
    np.testing.assert_allclose(path.settlement[0], slope * (time - lag), atol=1e-15)


def test_constant_steps_hold_the_new_value_over_the_step():
    path = run([0.0, 0.3], [1.0], 2.0, step="constant")
    assert float(path.settlement[0, 1]) == pytest.approx(0.3 * (1.0 - np.exp(-0.5)), rel=1e-12)


def test_a_constant_load_makes_ramp_and_constant_steps_agree():
    ramp, constant = (run([0.3, 0.3, 0.3], [1.0, 2.0], 2.0, modes=5, step=step) for step in ("ramp", "constant"))
    np.testing.assert_allclose(ramp.settlement, constant.settlement, rtol=1e-13)


def test_what_the_modes_leave_out_acts_at_once():
    path = run([0.0, 1.0], [1e-9], 5.0, modes=3, step="constant")
    assert float(path.settlement[0, 1]) == pytest.approx(1.0 - mode_weights(3).sum(), rel=1e-4)


@pytest.mark.parametrize("modes, error", [(1, 0.140), (3, 0.0067), (5, 0.00043)])
def test_truncation_error_of_the_degree_of_consolidation(modes, error):
    time_factor = np.geomspace(0.01, 3.0, 4000)
    ones = np.ones((4000, 2))
    path = relax(tensor(ones), tensor(time_factor[:, None]), tensor([[4.0 / np.pi**2]]), modes=modes, step="constant")
    found = np.max(np.abs(path.settlement[:, 1] - terzaghi_degree(time_factor)))
    assert found == pytest.approx(error, rel=0.02)


@settings(deadline=None, max_examples=40)
@given(st.floats(1e-3, 300.0), st.lists(st.floats(0.0, 1.0), min_size=3, max_size=6))
def test_splitting_a_step_changes_nothing_under_a_straight_load(tau, loads):
    coarse = run(loads, np.ones(len(loads) - 1), tau, modes=3)
    middles = [(a + b) / 2.0 for a, b in pairwise(loads)]
    fine_loads = [value for pair in zip(loads, middles, strict=False) for value in pair] + [loads[-1]]
    fine = run(fine_loads, np.full(len(fine_loads) - 1, 0.5), tau, modes=3)
    np.testing.assert_allclose(coarse.settlement[0], fine.settlement[0, ::2], atol=1e-13)


def test_steps_without_length_change_nothing_and_keep_a_finite_gradient():
    dt = tensor([[0.0, 1.0 * YEAR_S]])
    with tf.GradientTape() as tape:
        tape.watch(dt)
        path = relax(tensor([[0.2, 0.2, 0.2]]), dt, tensor([[2.0 * YEAR_S]]), modes=5)
    assert float(path.settlement[0, 1]) == float(path.settlement[0, 0])
    assert np.all(np.isfinite(tape.gradient(path.settlement, dt)))
    np.testing.assert_allclose(mean_decay(tensor([0.0, 1e-9, 1.0])), [1.0, 1.0, 1.0 - np.exp(-1.0)], rtol=1e-8)


def test_extreme_relaxation_times_stay_finite_in_single_precision():
    tau = tf.constant([[1e-3], [1e12]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(tau)
        path = relax(tf.constant([[0.0, 0.3, 0.3]] * 2), tf.fill((2, 2), tf.constant(YEAR_S, tf.float32)), tau, modes=5)
    np.testing.assert_allclose(path.settlement[0], [0.0, 0.3, 0.3], rtol=1e-5)
    assert np.all(np.isfinite(tape.gradient(path.settlement, tau)))


def test_pending_settlement_relaxes_with_the_same_modes():
    tau, w = 2.0, mode_weights(5)
    taus = tau / (2.0 * np.arange(5) + 1.0) ** 2
    path = run([0.0, 0.0, 0.0], [1.0, 1.0], tau, modes=5, e0=tensor([[0.1]]))
    expected = [0.1 * np.sum(w * (1.0 - np.exp(-time / taus))) for time in (0.0, 1.0, 2.0)]
    np.testing.assert_allclose(path.settlement[0] - path.settlement[0, 0], expected, rtol=1e-12)


def test_a_modal_state_can_be_injected():
    first = run([0.0, 0.1, 0.3, 0.2], [1.0, 1.0, 1.0], 3.0, modes=5)
    state = first.load[:, 1:2] - first.deficit[:, 1]
    second = run([0.1, 0.3, 0.2], [1.0, 1.0], 3.0, modes=5, state=state)
    np.testing.assert_allclose(second.settlement, first.settlement[:, 1:], rtol=1e-12)


def test_five_modes_with_a_known_start_reproduce_the_full_series():
    years, months = 8, 12
    load = np.cumsum(0.004 * (1.0 + 0.5 * np.sin(np.arange(years * months + 1))))
    for tau in (0.3, 1.0, 3.0, 10.0):
        dt = np.full(years * months, 1.0 / months)
        full, few = (run(load, dt, tau, modes=modes).settlement[0, ::months] for modes in (400, 5))
        difference = np.diff(full.numpy()) - np.diff(few.numpy())
        assert np.sqrt(np.mean(difference**2)) / 8.5e-3 < 0.02


def test_step_lengths_come_from_the_coordinates():
    settings_ = spec(time_steps=3)
    steps = step_lengths(tensor([[5.0, 6.0, 8.0]]) / 7.0, settings_) / YEAR_S
    np.testing.assert_allclose(steps, [[1.0, 1.0, 1.0, 1.0, 2.0]], rtol=1e-12)


def test_no_step_is_shorter_than_the_floor():
    steps = step_lengths(tensor([[5.0, 5.0]]) / 7.0, spec(time_steps=1, dt_min_units=1e-3)) / YEAR_S
    assert float(steps[0, -1]) == pytest.approx(1e-3)


def bundle(tau_years: float, *, e0: float = 0.0, rows: int = 1, horizon: int = 3) -> FieldBundle:
    """Ss H = 0.01: one metre of drawdown settles one centimetre."""
    level = tf.zeros((rows, horizon), tf.float64)
    return FieldBundle(
        h=Jet(level),
        H=level + 10.0,
        log_Ss=Jet(level + np.log(1e-3)),
        log_tau=level + np.log(tau_years * YEAR_S),
        e0=level + e0,
    )


TIMES = np.array([[5.0, 6.0, 7.0]]) / 7.0
RELU = {"drawdown": {"mode": "relu"}}


def test_earlier_drawdown_keeps_settling_when_the_head_stands_still():
    history, head = tensor([[0.0, -1.0, -2.0, -3.0, -3.0]]), tensor([[-3.0, -3.0, -3.0]])
    settled = settle(bundle(2.0), history, head, tensor(TIMES), spec(**RELU)).s_phys.numpy()[0]
    assert np.all(np.diff([0.0, *settled]) > 1e-4)
    assert np.all(np.diff(settled, 2) < 0.0)


def test_spin_up_matches_the_same_recursion_run_over_all_eight_years():
    history, head = np.array([[0.0, -0.5, -0.7, -1.5, -1.6]]), np.array([[-1.7, -2.5, -2.4]])
    settings_ = spec(**RELU)
    settled = settle(bundle(2.0), tensor(history), tensor(head), tensor(TIMES), settings_)
    load = 0.01 * -np.concatenate([history, head], axis=1)
    whole = relax(tensor(load), tensor(np.full((1, 7), YEAR_S)), tensor([[2.0 * YEAR_S]]), modes=5)
    np.testing.assert_allclose(settled.s_phys, whole.settlement[:, 5:] - whole.settlement[:, 4:5], rtol=1e-12)
    np.testing.assert_allclose(settled.s_eq, load[:, 5:], rtol=1e-12)
    assert settled.last == 4


def test_instant_relaxation_follows_the_equilibrium():
    history, head = tensor([[0.0, -1.0, -1.0, -1.0, -1.0]]), tensor([[-2.0, -2.5, -2.0]])
    settled = settle(bundle(1e-9), history, head, tensor(TIMES), spec(**RELU))
    np.testing.assert_allclose(settled.s_phys, [[0.01, 0.015, 0.01]], rtol=1e-6)


def test_a_perfect_head_is_taken_as_it_is():
    history, head = tensor([[4.0, 4.0, 4.0, 4.0, 3.0]]), tensor([[2.5, 3.5, 2.0]])
    settled = settle(bundle(1.0), history, head, tensor(TIMES), spec(h_ref="last", **RELU))
    np.testing.assert_allclose(settled.drawdown, [[0.5, 0.0, 1.0]])
    assert settled.h_ref.numpy().tolist() == [[3.0]]


def test_pending_settlement_shows_in_the_horizon_without_any_drawdown():
    still = tensor(np.zeros((1, 5)))
    settled = settle(bundle(3.0, e0=0.05), still, still[:, :3], tensor(TIMES), spec()).s_phys.numpy()[0]
    assert 0.0 < settled[0] < settled[1] < settled[2] < 0.05


def test_unobserved_history_adds_neither_load_nor_time():
    history, head = np.array([[-9.0, -9.0, 0.0, -1.0, -1.5]]), tensor([[-2.0, -2.0, -2.5]])
    valid = tensor([[0.0, 0.0, 1.0, 1.0, 1.0]])
    masked = settle(bundle(2.0, e0=0.02), tensor(history), head, tensor(TIMES), spec(**RELU), valid)
    short = settle(bundle(2.0, e0=0.02), tensor(history[:, 2:]), head, tensor(TIMES), spec(time_steps=3, **RELU))
    np.testing.assert_allclose(masked.s_phys, short.s_phys, rtol=1e-12)


def test_without_the_consolidation_equation_there_is_no_physical_settlement():
    history, head = tensor([[0.0, -1.0, -2.0, -3.0, -3.0]]), tensor([[-3.0, -3.0, -4.0]])
    settled = settle(bundle(2.0), history, head, tensor(TIMES), spec(pde_mode="gw_flow"))
    assert settled.s_phys.numpy().tolist() == [[0.0, 0.0, 0.0]]
    assert settled.path is None


@pytest.mark.parametrize("method", ["exact", "backward_euler"])
def test_one_step_ahead_with_one_mode_is_the_public_recursion(method):
    s_eq, tau, published = np.array([0.0, 0.02, 0.05]), 2.0, np.array([0.004, 0.011])
    path = run(s_eq, [1.0, 1.0], tau, step="constant")
    before = tensor([[0.0, published[0] - float(path.settlement[0, 1])]])
    ahead = predicted_step(path, before, 0, spec(modes=1, step="constant", residual_method=method))
    start = np.array([0.0, published[0]])
    share = 1.0 - np.exp(-0.5) if method == "exact" else 0.5 / 1.5
    np.testing.assert_allclose(ahead[0], start + (s_eq[1:] - start) * share, rtol=1e-12)
