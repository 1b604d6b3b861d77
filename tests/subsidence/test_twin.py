"""The twin city: seeds, physics between its arrays, noise, and the handoff it becomes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.subsidence.twin import TWIN_EPSG, TwinRequest, simulate, write_twin
from tasks.subsidence.twin_parts.fields import terzaghi_tau
from tasks.subsidence.twin_parts.flow import assemble
from tasks.subsidence.twin_parts.settle import consolidate
from tests.subsidence.small_twin import small_twin_handoff, small_twin_request


@pytest.fixture(scope="module")
def twin():
    return simulate(small_twin_request())


@pytest.fixture(scope="module")
def quiet():
    return simulate(small_twin_request(noise=False))


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _table(twin, name: str) -> np.ndarray:
    return twin.panel[name].reshape(len(twin.truth["K"]), -1)


def test_one_seed_gives_the_same_bytes(tmp_path):
    small_twin_handoff(tmp_path / "a")
    small_twin_handoff(tmp_path / "b")
    digests = _digest(tmp_path / "a")
    assert digests == _digest(tmp_path / "b")
    assert {"twin_panel.csv", "truth.npz", "stage1/manifest.json"} <= set(digests)


def test_writing_again_changes_nothing(tmp_path):
    small_twin_handoff(tmp_path)
    before = _digest(tmp_path)
    small_twin_handoff(tmp_path)
    assert _digest(tmp_path) == before


def test_two_seeds_give_different_cities(twin):
    other = simulate(small_twin_request(seed=43))
    for name in ("K", "Ss", "Ka", "Sa", "tau", "h", "s_clean"):
        assert np.abs(other.truth[name] / twin.truth[name] - 1).mean() > 0.01, name


def test_noise_leaves_the_ground_alone(twin, quiet):
    for name in ("K", "Ss", "tau", "h", "s_clean", "Q"):
        np.testing.assert_array_equal(twin.truth[name], quiet.truth[name])


def test_water_is_conserved(twin):
    assert twin.mass_balance_error <= 1e-6


def test_heads_solve_the_flow_equation_on_the_grid(twin):
    truth = twin.truth
    aquifer = assemble(truth["grid_Ka"], truth["grid_Sa"], spacing_m=1000.0, west_head_m=1.5, east_head_m=0.0)
    before, after = truth["grid_h"][10].ravel(), truth["grid_h"][11].ravel()
    stored = aquifer.Sa * (after - before) / float(truth["dt_s"])
    gained = truth["grid_Q"][10].ravel() + aquifer.edge_inflow - aquifer.lateral @ after
    np.testing.assert_allclose(stored, gained, atol=1e-9 * np.abs(gained).max() + 1e-18)


def test_relaxation_time_closes_with_the_conductivity(twin):
    truth = twin.truth
    closed = terzaghi_tau(truth["H"], truth["Ss"], truth["K"], hd_factor=float(truth["hd_factor"]))
    np.testing.assert_allclose(closed, truth["tau"], rtol=1e-12)


def test_settlement_relaxes_from_its_modes(twin):
    """Modes at the end of year 1 and the monthly drawdowns of year 2 give the modes at the end of year 2."""
    truth = twin.truth
    target = (truth["Ss"] * truth["H"])[:, None] * truth["D_month"][:, 12:25]
    odd = 2 * np.arange(5) + 1
    fade = np.exp(-float(truth["dt_s"]) / (truth["tau"][:, None] / odd**2))
    lag = truth["tau"][:, None] / odd**2 / float(truth["dt_s"]) * (1 - fade)
    modes = truth["modes"][:, 0]
    for before, after in zip(target.T[:-1], target.T[1:], strict=True):
        modes = modes * fade + after[:, None] - before[:, None] * fade - (after - before)[:, None] * lag
    np.testing.assert_allclose(modes, truth["modes"][:, 1], atol=1e-12)


def test_settlement_pending_from_the_spinup_is_in_the_truth(quiet):
    """Ground that were in equilibrium when the panel starts would settle less."""
    truth = quiet.truth
    rested = consolidate((truth["Ss"] * truth["H"] * truth["D_month"].T), truth["tau"], dt_s=float(truth["dt_s"]))
    pending = truth["s_month"].T - (rested.settlement - rested.settlement[0])
    assert pending.min() > -1e-12 and pending[-1].max() > 1e-3


def test_annual_truth_is_the_monthly_truth_at_the_end_of_the_year(twin):
    truth = twin.truth
    np.testing.assert_array_equal(truth["month_t"][12::12], truth["year"])
    for year, month in (("h", "h_month"), ("D", "D_month"), ("s_clean", "s_month")):
        np.testing.assert_array_equal(truth[year], truth[month][:, 12::12])


def test_drawdown_is_below_the_head_before_pumping(twin):
    truth = twin.truth
    np.testing.assert_allclose(truth["D"], np.maximum(truth["h_pre"][:, None] - truth["h"], 0.0), atol=1e-12)


def test_quiet_panel_holds_the_truth(quiet):
    np.testing.assert_allclose(_table(quiet, "subsidence_cum"), quiet.truth["s_clean"] * 1000, atol=1e-4)
    np.testing.assert_allclose(_table(quiet, "head_m"), quiet.truth["h"], atol=2e-5)
    assert not quiet.truth["noise_s"].any()


def test_noise_has_the_promised_size():
    twin = simulate(TwinRequest(grid=32, spacing_m=500.0, points=1000))
    noise = twin.truth["noise_s"]
    core = np.median(np.abs(noise)) / 0.6745
    assert core == pytest.approx(np.hypot(1e-3, 0.5e-3), rel=0.05)
    assert np.mean(np.abs(noise) > 5e-3) == pytest.approx(0.02 * 0.617, abs=0.004)
    head = _table(twin, "head_m") - twin.truth["h"]
    assert head.std() == pytest.approx(0.05, rel=0.03)


def test_noisy_panel_is_truth_plus_noise(twin):
    expected = (twin.truth["s_clean"] + twin.truth["noise_s"]) * 1000
    np.testing.assert_allclose(_table(twin, "subsidence_cum"), expected, atol=1e-4)


def test_panel_columns_agree_with_each_other(twin):
    np.testing.assert_allclose(np.cumsum(_table(twin, "subsidence"), axis=1), _table(twin, "subsidence_cum"), atol=1e-9)
    np.testing.assert_allclose(twin.panel["z_surf_m"] - twin.panel["GWL_depth_bgs_m"], twin.panel["head_m"], atol=1e-5)
    load = twin.panel["urban_load_global"]
    assert load.min() >= 0 and load.max() <= 1


@pytest.mark.parametrize("seed", [0, 1, 2, 42])
def test_magnitudes_are_those_of_a_city(seed):
    twin = simulate(small_twin_request(seed=seed))
    depth, rain = twin.panel["GWL_depth_bgs_m"], twin.panel["rainfall_mm"]
    rates = np.diff(twin.truth["s_clean"], axis=1)
    assert depth.min() > 1 and depth.max() < 30
    assert rain.min() > 500 and rain.max() < 4000
    assert np.abs(rates).max() < 0.1 and twin.truth["s_clean"].max() < 1.0
    assert rates.std() > 2e-3  # well above the noise


def test_subsidence_is_neither_trivial_nor_lost_in_noise():
    """A constant rate misses the next three years by more than the noise, and by less than the movement."""
    truth = simulate(TwinRequest(noise=False)).truth
    at = np.flatnonzero(truth["year"] == 2017)[0]
    series = truth["s_clean"]
    rate = (series[:, at] - series[:, at - 4]) / 4
    error = np.abs(series[:, at + 3] - series[:, at] - 3 * rate).mean()
    movement = np.abs(series[:, at + 3] - series[:, at]).mean()
    assert 3e-3 < error < movement


def test_degrees_decode_to_the_grid(twin):
    from pyproj import Transformer

    x_m, y_m = Transformer.from_crs(4326, TWIN_EPSG, always_xy=True).transform(
        twin.truth["longitude"], twin.truth["latitude"]
    )
    np.testing.assert_allclose(x_m, twin.truth["x_m"], atol=0.02)
    np.testing.assert_allclose(y_m, twin.truth["y_m"], atol=0.02)
    np.testing.assert_array_equal(twin.truth["grid_x_m"][twin.truth["column"]], twin.truth["x_m"])
    np.testing.assert_array_equal(twin.truth["grid_tau"][twin.truth["row"], twin.truth["column"]], twin.truth["tau"])


def test_panel_goes_beyond_the_training_years(tmp_path):
    import json

    config = json.loads(small_twin_handoff(tmp_path).read_bytes())["config"]
    assert config["TRAIN_END_YEAR"] == 2020 and small_twin_request().last_year == 2023
    assert config["future_drivers"]["rainfall_mm"]["2023"] == {"panel": 120, "held_last": 0}


def test_forecast_locations_are_the_points_of_the_truth(tmp_path):
    prepared = write_twin(small_twin_request(), tmp_path)
    stage1 = prepared.manifest.parent
    truth = np.load(tmp_path / "truth.npz")
    depth = np.load(stage1 / "artifacts/future_inputs.npz")["dynamic_features"][:, -1, 0]
    at = int(np.flatnonzero(truth["year"] == 2020)[0])
    assert np.abs(truth["z_surf"] - depth - truth["h"][:, at]).max() < 0.3
    assert prepared.split_sizes == {"train": 84, "val": 24, "test": 12, "future": 120}


def test_truth_holds_every_field(twin):
    assert {"K", "Ss", "Ka", "Sa", "tau", "Q", "h", "s_clean", "D", "longitude", "latitude", "x_m", "y_m"} <= set(
        twin.truth
    )
    assert twin.truth["tau"].min() >= 0.1 * SECONDS_PER_YEAR
    assert all(np.isfinite(values).all() for values in twin.truth.values())


def test_other_years_and_steps():
    twin = simulate(small_twin_request(first_year=2000, years=6, steps_per_year=24, spinup_years=3))
    assert twin.truth["year"].tolist() == [2000, 2001, 2002, 2003, 2004, 2005]
    assert twin.truth["h_month"].shape == (120, 6 * 24 + 1)
    assert twin.truth["D"][:, 0].max() > 0


def test_more_points_than_cells_are_refused():
    with pytest.raises(ValidationError, match="points 300 exceed the 256 cells"):
        small_twin_request(points=300)


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        TwinRequest(girid=16)
