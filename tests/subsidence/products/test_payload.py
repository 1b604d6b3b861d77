"""Physics payload: public keys, coordinates, closure that is recomputed, and no NaN."""

import io
import json

import numpy as np
import pytest

from tasks.contracts.errors import IncompleteRunError
from tasks.subsidence.products.payload import (
    json_bytes,
    meta,
    near_bound,
    npz_bytes,
    parameter_csv,
    parameter_map,
    payload,
    payload_metrics,
)
from tests.subsidence.sample_run import H, fields, forecasts, physics_scalars, semantics

PUBLIC = {"tau", "tau_prior", "tau_closure", "K", "Ss", "Hd", "H", "cons_res_vals", "cons_res_scaled", "log10_tau",
          "log10_tau_prior", "log10_tau_closure", "K_from_tau", "K_from_tau_m_per_year",
          "log10_K_from_tau_m_per_year"}  # fmt: skip
OURS = {"sample_idx", "forecast_step", "coord_t", "coord_x", "coord_y", "longitude", "latitude", "Q", "h_f",
        "K_aquifer", "S_aquifer", "gw_res_vals", "gw_res_scaled", "drawdown", "s_eq", "s_phys",
        "residual_share"}  # fmt: skip
META = {"model_name", "pde_modes_active", "kappa_mode", "use_effective_h", "hd_factor", "lambda_offset", "time_units",
        "units", "tau_prior_definition", "tau_prior_human_name", "tau_prior_source", "kappa_value", "kappa_terzaghi",
        "tau_closure_formula", "city", "split", "gwl_kind", "gwl_sign", "use_head_proxy",
        "payload_metrics"}  # fmt: skip


@pytest.fixture(scope="module")
def evaluation():
    return forecasts(10)[0]


@pytest.fixture
def arrays(evaluation):
    return payload(fields(evaluation), evaluation, physics_scalars())


def test_payload_has_public_and_own_keys_as_flat_arrays_of_one_length(arrays):
    assert set(arrays) == PUBLIC | OURS
    assert {values.shape for values in arrays.values()} == {(10 * H,)}


def test_payload_names_place_and_year_of_every_cell(arrays, evaluation):
    assert arrays["coord_t"].tolist()[:3] == [2020, 2021, 2022]
    assert np.array_equal(arrays["coord_x"][::H], evaluation.metres[0])


def test_closure_is_recomputed_not_copied(evaluation):
    given = fields(evaluation)
    given["tau_prior"] = given["tau_prior"] * 1.1
    arrays = payload(given, evaluation, physics_scalars())
    assert not np.allclose(arrays["tau_closure"], arrays["tau_prior"])
    found = payload_metrics(arrays, physics_scalars())
    assert found["closure_consistency_rms"] == pytest.approx(np.log(1.1))


def test_closure_consistency_is_a_number_near_zero_for_a_model_that_obeys_it(arrays):
    assert payload_metrics(arrays, physics_scalars())["closure_consistency_rms"] < 1e-12


@pytest.mark.parametrize("mode", ["kb", "bar"])
def test_K_from_tau_puts_tau_back_through_the_closure(evaluation, mode):
    scalars = physics_scalars(kappa_mode=mode)
    arrays = payload(fields(evaluation, scalars), evaluation, scalars)
    again = scalars.closure_s(arrays["K_from_tau"], arrays["Ss"], arrays["Hd"], arrays["H"])
    assert np.allclose(again, arrays["tau"])


def test_terzaghi_factor_is_one_for_double_drainage():
    assert physics_scalars(kappa=1.0, hd_factor=1.0).kappa_terzaghi == 1.0
    assert physics_scalars(kappa=2.0, kappa_mode="bar").kappa_terzaghi == 0.5


def test_residual_share_is_the_part_physics_does_not_explain(evaluation):
    given = fields(evaluation)
    settled = evaluation.raw.median() - evaluation.last_m[:, None]
    given["s_phys"] = 0.75 * settled
    assert np.allclose(payload(given, evaluation, physics_scalars())["residual_share"], 0.25)


def test_nan_is_refused_with_field_and_count(evaluation):
    given = fields(evaluation)
    given["tau"][2, 1] = np.nan
    with pytest.raises(IncompleteRunError, match=r"payload field 'tau' is not finite.*found 1 of 30"):
        payload(given, evaluation, physics_scalars())


def test_absent_field_is_named(evaluation):
    given = fields(evaluation)
    del given["Ss"]
    with pytest.raises(IncompleteRunError, match="physics field 'Ss' was not computed"):
        payload(given, evaluation, physics_scalars())


def test_wrong_shape_is_named(evaluation):
    given = fields(evaluation) | {"K": np.ones((10, 2))}
    with pytest.raises(IncompleteRunError, match=r"'K' has another shape: expected \(10, 3\), found \(10, 2\)"):
        payload(given, evaluation, physics_scalars())


def test_a_flavour_without_flow_has_no_flow_fields(evaluation):
    arrays = payload(fields(evaluation), evaluation, physics_scalars(pde_modes=("consolidation",)))
    assert "gw_res_scaled" not in arrays and "K_aquifer" not in arrays and "tau" in arrays


def test_meta_carries_split_and_the_conventions_of_the_manifest(arrays):
    side = meta(arrays, physics_scalars(), semantics(), model="GeoPriorSubsNet", split="test")
    assert set(side) >= META
    assert side["split"] == "test" and side["use_head_proxy"] is False
    assert side["gwl_kind"] == "depth_bgs"
    assert None not in side["payload_metrics"].values()
    assert "NaN" not in json_bytes(side).decode()


def test_npz_loads_without_pickle_and_has_equal_bytes(arrays):
    first, second = npz_bytes(arrays), npz_bytes(arrays)
    assert first == second
    with np.load(io.BytesIO(first), allow_pickle=False) as stored:
        assert set(stored.files) == set(arrays)


def test_json_refuses_numbers_that_are_not_finite():
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"a": float("nan")})
    assert json.loads(json_bytes({"a": 1})) == {"a": 1}


def test_parameter_csv_starts_with_the_public_rows():
    lines = parameter_csv(physics_scalars()).decode().splitlines()
    assert lines[0] == "Parameter,Value"
    assert [line.split(",")[0] for line in lines[1:5]] == [
        "Compressibility_mv", "Consistency_Kappa", "Unit_Weight_Water_gamma_w", "Reference_Head_h_ref",
    ]  # fmt: skip


def test_parameter_map_has_one_row_per_location(evaluation):
    columns = parameter_map(fields(evaluation), evaluation, semantics())
    assert [column.name for column in columns] == [
        "longitude", "latitude", "coord_x", "coord_y", "K_m_s", "Ss_1_m", "tau_yr", "Hd_m", "dlogtau", "near_bound",
    ]  # fmt: skip
    assert {len(column.values) for column in columns} == {10}


def test_near_bound_means_five_percent_of_the_log_range():
    assert near_bound(np.array([1e-12, 1e-9, 9e-8, 1.7e-12]), (1e-12, 1e-7)).tolist() == [True, False, True, True]
    assert not near_bound(np.array([2e-12]), (1e-12, 1e-7)).any()
