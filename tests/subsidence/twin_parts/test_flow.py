"""The finite volumes of the twin city against solutions that are known."""

import numpy as np
import pytest

from tasks.contracts.errors import StagegateError
from tasks.subsidence.twin_parts.flow import advance, assemble, response, steady

SPACING_M = 250.0


def _uniform(ny: int, nx: int, *, west: float = 0.0, east: float = 0.0):
    return assemble(
        np.full((ny, nx), 1e-5), np.full((ny, nx), 2e-5), spacing_m=SPACING_M, west_head_m=west, east_head_m=east
    )


def test_fourier_mode_decays_as_backward_euler_says():
    cells, dt_s = 32, 86400.0 * 30
    mode = np.tile(np.sin(np.pi * (np.arange(cells) + 0.5) / cells), (4, 1))
    decay = 4.0 / SPACING_M**2 * np.sin(np.pi / (2 * cells)) ** 2 * 1e-5 / 2e-5
    history = advance(_uniform(4, cells), mode, np.zeros((6, 4, cells)), dt_s=dt_s)
    np.testing.assert_allclose(history.head[6], mode / (1.0 + dt_s * decay) ** 6, rtol=1e-10)


def test_steady_flow_through_exponential_conductivity():
    cells, a = 200, 2e-4
    x = (np.arange(cells) + 0.5) * SPACING_M
    Ka = np.tile(1e-6 * np.exp(a * x), (3, 1))
    aquifer = assemble(Ka, np.full_like(Ka, 1e-5), spacing_m=SPACING_M, west_head_m=8.0, east_head_m=2.0)
    exact = 8.0 - 6.0 * (1.0 - np.exp(-a * x)) / (1.0 - np.exp(-a * cells * SPACING_M))
    np.testing.assert_allclose(steady(aquifer, np.zeros_like(Ka))[1], exact, atol=2e-3)


def test_recharged_strip_is_a_parabola():
    cells, source = 40, 3e-12
    length = cells * SPACING_M
    x = (np.arange(cells) + 0.5) * SPACING_M
    head = steady(_uniform(2, cells), np.full((2, cells), source))[0]
    np.testing.assert_allclose(head, source / (2 * 1e-5) * x * (length - x), rtol=0.02)


def test_steady_state_is_where_time_stepping_ends():
    source = np.zeros((5, 12))
    source[2, 6] = -4e-10
    aquifer = _uniform(5, 12, west=3.0, east=1.0)
    history = advance(aquifer, np.full((5, 12), 2.0), np.tile(source, (400, 1, 1)), dt_s=2.6e6)
    np.testing.assert_allclose(history.head[-1], steady(aquifer, source), atol=1e-8)


def test_response_is_the_change_that_a_source_makes():
    source = np.zeros((4, 9))
    source[1, 4] = -1e-10
    aquifer = _uniform(4, 9, west=3.0)
    np.testing.assert_allclose(
        response(aquifer, source), steady(aquifer, source) - steady(aquifer, 0 * source), atol=1e-12
    )


def test_water_is_conserved_in_every_step():
    rng = np.random.default_rng(0)
    Ka, Sa = 10.0 ** rng.uniform(-6, -4, (8, 8)), 10.0 ** rng.uniform(-5.3, -4.3, (8, 8))
    aquifer = assemble(Ka, Sa, spacing_m=SPACING_M, west_head_m=1.5, east_head_m=0.0)
    history = advance(aquifer, np.zeros((8, 8)), rng.normal(0, 1e-11, (30, 8, 8)), dt_s=2.6e6)
    assert history.mass_balance_error < 1e-12


def test_a_solution_that_loses_water_is_refused():
    sources = np.full((2, 3, 3), np.nan)
    with pytest.raises(StagegateError, match="does not conserve water"):
        advance(_uniform(3, 3), np.zeros((3, 3)), sources, dt_s=1e6)
