"""The ground of the twin city: correlation, bounds, closure."""

import numpy as np
import pytest

from tasks.contracts.errors import ConfigError
from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.subsidence.twin_parts import fields as twin_fields
from tasks.subsidence.twin_parts.fields import draw_ground, gaussian_field, terzaghi_tau


def _ground(seed: int, **changes):
    place = {"grid": 16, "spacing_m": 1000.0, "correlation_m": 2000.0, "tau_max_yr": 100.0, "hd_factor": 0.6}
    return draw_ground(np.random.default_rng(seed), **(place | changes))


def test_field_has_unit_variance_and_the_asked_correlation():
    rng = np.random.default_rng(3)
    fields = np.stack([gaussian_field(rng, 64, 250.0, 2000.0) for _ in range(200)])
    centre = fields[:, 32, 32]
    assert fields.std() == pytest.approx(1.0, abs=0.05)
    for cells in (4, 8):
        expected = np.exp(-((cells * 250.0 / 2000.0) ** 2))
        assert np.mean(centre * fields[:, 32, 32 + cells]) == pytest.approx(expected, abs=0.15)


def test_opposite_edges_are_independent():
    rng = np.random.default_rng(4)
    fields = np.stack([gaussian_field(rng, 32, 250.0, 2000.0) for _ in range(300)])
    assert abs(np.mean(fields[:, 16, 0] * fields[:, 16, -1])) < 0.2


@pytest.mark.parametrize("seed", range(5))
def test_every_cell_is_inside_the_bounds(seed):
    ground = _ground(seed)
    years = ground.tau / SECONDS_PER_YEAR
    for values, (low, high) in (
        (years, (0.1, 100)),
        (ground.Ss, (3e-5, 1e-3)),
        (ground.thickness, (2, 30)),
        (ground.K, (1e-12, 1e-7)),
        (ground.Ka, (1e-6, 1e-4)),
        (ground.Sa, (5e-6, 5e-5)),
    ):
        assert low <= values.min() and values.max() <= high


@pytest.mark.parametrize("hd_factor", [0.5, 0.6, 1.0])
def test_conductivity_closes_the_relaxation_time(hd_factor):
    ground = _ground(1, hd_factor=hd_factor)
    np.testing.assert_allclose(
        terzaghi_tau(ground.thickness, ground.Ss, ground.K, hd_factor=hd_factor), ground.tau, rtol=1e-12
    )


def test_relaxation_time_is_terzaghis_first_mode():
    assert terzaghi_tau(10.0, 1e-4, 1e-10, hd_factor=1.0) == pytest.approx(1.01321e7, rel=1e-5)


def test_slow_ground_can_be_kept_out():
    assert _ground(2, tau_max_yr=10.0).tau.max() <= 10.0 * SECONDS_PER_YEAR


def test_fine_ground_is_softer_and_slower():
    ground = [_ground(seed) for seed in range(10)]
    fine = np.mean([np.log(g.tau[g.lithology == 0]).mean() - np.log(g.tau[g.lithology == 3]).mean() for g in ground])
    soft = np.mean([np.log(g.Ss[g.lithology == 0]).mean() - np.log(g.Ss[g.lithology == 3]).mean() for g in ground])
    assert fine > 0.5 and soft > 0.5


def test_bounds_that_no_draw_meets_are_reported(monkeypatch):
    monkeypatch.setattr(twin_fields, "SS_RANGE_1_M", (4e-4, 5e-4))
    with pytest.raises(ConfigError, match=r"no draw of Ss in 500 stayed inside.*\[0.0004, 0.0005\]"):
        _ground(0)
