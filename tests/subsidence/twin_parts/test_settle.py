"""Settlement of the twin city against Terzaghi's table and an independent solution of the diffusion equation."""

import numpy as np
import pytest

from tasks.subsidence.twin_parts.settle import SERIES_TERMS, consolidate, series_weights

DAY = 86400.0


def _step_load(steps: int) -> np.ndarray:
    target = np.ones((steps + 1, 1))
    target[0] = 0.0
    return target


@pytest.mark.parametrize(("Tv", "U"), [(0.008, 0.10), (0.071, 0.30), (0.197, 0.50), (0.403, 0.70), (0.848, 0.90)])
def test_degree_of_consolidation_follows_the_table(Tv, U):
    """tau = H^2 Ss / (pi^2 K) and Tv = K t / (Ss (H/2)^2), so t / tau = Tv pi^2 / 4."""
    steps = 2000
    tau = DAY * steps / (Tv * np.pi**2 / 4)
    settled = consolidate(_step_load(steps), np.array([tau]), dt_s=DAY).settlement
    assert settled[-1, 0] == pytest.approx(U, abs=0.003)


def test_agrees_with_finite_differences_of_the_pore_pressure():
    """u_t = cv u_zz + D'(t), u = 0 at both drained faces; settlement = D - mean(u)."""
    nodes, steps, fine, tau = 100, 24, 400, 30 * DAY
    target = np.cumsum(np.sin(np.arange(steps + 1) / 3.0) * 0.1)[:, None]
    target -= target[0]
    dz, dt = 1.0 / nodes, 10 * DAY / fine
    cv = 1.0 / (np.pi**2 * tau)
    lag = np.diag(np.full(nodes, 2.0)) - np.diag(np.ones(nodes - 1), 1) - np.diag(np.ones(nodes - 1), -1)
    lag[0, 0] = lag[-1, -1] = 3.0  # drained face half a cell away
    step = np.linalg.inv(np.eye(nodes) + dt * cv / dz**2 * lag)
    pressure, expected = np.zeros(nodes), [0.0]
    for rise in np.diff(target[:, 0]):
        for _ in range(fine):
            pressure = step @ (pressure + rise / fine)
        expected.append(float(target[len(expected), 0] - pressure.mean()))
    settled = consolidate(target, np.array([tau]), dt_s=10 * DAY).settlement[:, 0]
    np.testing.assert_allclose(settled, expected, atol=4e-4)


def test_constant_load_is_the_closed_form_series():
    tau, steps = 200 * DAY, 50
    target = np.ones((steps + 2, 1))
    target[0] = 0.0
    after = consolidate(target, np.array([tau]), dt_s=DAY)
    odd = 2 * np.arange(5) + 1
    fade = np.exp(-steps * DAY * odd**2 / tau)
    np.testing.assert_allclose(1 - after.modes[-1, 0], (1 - after.modes[1, 0]) * fade, atol=1e-14)


def test_weights_are_those_of_the_series_and_nearly_sum_to_one():
    assert series_weights(1)[0] == pytest.approx(8 / np.pi**2)
    assert 1 - series_weights(SERIES_TERMS).sum() == pytest.approx(2 / (np.pi**2 * SERIES_TERMS), rel=0.01)


def test_a_layer_in_equilibrium_stays_so():
    settled = consolidate(np.full((4, 2), 0.3), np.array([DAY, 1e4 * DAY]), dt_s=30 * DAY)
    np.testing.assert_allclose(settled.settlement, 0.3, rtol=1e-12)
