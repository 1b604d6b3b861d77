"""Inference from a clean rebuild: the trained network exactly, or a refusal that says why."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError, UnsafeCheckpointError
from tasks.subsidence.infer import check_fits, diagnostics, load, physics, predict, scalars
from tasks.subsidence.network.checkpoints import put_values, weights_bytes
from tests.subsidence.network.tiny_training import DATA_ONLY, LIGHT, column, open_gates, reference, shaken, twin_case

PAYLOAD = {
    "K", "Ss", "Hd", "H", "tau", "tau_prior", "tau_closure", "cons_res_vals", "cons_res_scaled", "Q", "h_f",
    "K_aquifer", "S_aquifer", "gw_res_vals", "gw_res_scaled", "drawdown", "s_eq", "s_phys", "residual_share", "dlogtau",
}  # fmt: skip
CLOSURE = {"Hd", "tau", "tau_prior", "tau_closure", "dlogtau"}


@pytest.fixture(scope="module")
def trained():
    """A case with both equations and what training left."""
    return reference()


@pytest.fixture(scope="module")
def weights(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.weights.h5"
    path.write_bytes(trained[1].best_weights)
    return path


@pytest.fixture(scope="module")
def model(trained, weights):
    return load(trained[0].manifest, weights)


@pytest.fixture(scope="module")
def fields(trained, model):
    return physics(model, trained[0].val, trained[0].sem)


# Reload


def test_the_reloaded_network_predicts_what_the_trained_one_did(trained, model):
    """Bit for bit, all quantiles of both targets."""
    again, before = predict(model, trained[0].val), trained[1].val_prediction
    assert again.levels == before.levels == (0.1, 0.5, 0.9)
    np.testing.assert_array_equal(again.subsidence, before.subsidence)
    np.testing.assert_array_equal(again.head, before.head)


def test_gates_survive_the_reload(trained, model):
    stored = trained[1].summary["gates_at_end"]
    assert {name: float(gate.numpy()) for name, gate in model.gates.items()} == stored
    assert stored["physics"] == column(trained[1], "physics_gate")[trained[1].summary["best_epoch"]] > 0.0


def test_nothing_moves_the_gates_after_training(trained, model):
    """They are weights that no pass writes to, and that compiling does not reset."""
    before = {name: float(gate.numpy()) for name, gate in model.gates.items()}
    model.compile(optimizer="adam", loss="mse")
    again = predict(model, trained[0].val)
    physics(model, trained[0].val, trained[0].sem)
    assert {name: float(gate.numpy()) for name, gate in model.gates.items()} == before
    assert not any(gate.trainable for gate in model.gates.values())
    np.testing.assert_array_equal(again.subsidence, trained[1].val_prediction.subsidence)


def test_a_network_without_its_weights_predicts_something_else(trained, model):
    """What was compared above does not come from the manifest alone."""
    fresh = predict(trained[0].network(), trained[0].val)
    assert np.abs(fresh.subsidence - predict(model, trained[0].val).subsidence).max() > 1e-4


def test_the_reload_reads_nothing_but_its_own_file(trained, weights, tmp_path):
    """Another name, another folder, and no archive beside it."""
    moved = tmp_path / "other.weights.h5"
    moved.write_bytes(weights.read_bytes())
    again = predict(load(trained[0].manifest, moved), trained[0].val)
    np.testing.assert_array_equal(again.subsidence, trained[1].val_prediction.subsidence)


# Prediction


@pytest.mark.parametrize("batch", [7, 24, 512])
def test_the_batch_size_changes_no_forecast(trained, model, batch):
    """Seven leaves a partial batch of three."""
    again, before = predict(model, trained[0].val, batch=batch), trained[1].val_prediction
    assert again.subsidence.shape == (24, 3, 3) and again.subsidence.dtype == np.float64
    np.testing.assert_allclose(again.subsidence, before.subsidence, rtol=0, atol=1e-6)
    np.testing.assert_allclose(again.head, before.head, rtol=0, atol=1e-5)


def test_targets_are_not_looked_at(trained, model):
    blind = replace(trained[0].val, subsidence=None, head=None)
    np.testing.assert_array_equal(predict(model, blind).subsidence, trained[1].val_prediction.subsidence)


def test_every_place_of_the_future_gets_a_forecast_of_its_own(trained, model):
    case = trained[0]
    future = predict(model, case.splits["future"])
    assert future.subsidence.shape == (120, 3, 3) and np.isfinite(future.subsidence).all()
    assert (np.diff(future.subsidence, axis=2) > 0.0).all()
    assert len(np.unique(future.median()[:, 0])) > 100


# What does not fit


def refused(manifest, path: Path) -> str:
    with pytest.raises(UnsafeCheckpointError, match=r"weights do not fit the network of the init manifest") as caught:
        load(manifest, path)
    assert path.name in str(caught.value) and str(path.parent) not in str(caught.value).partition("found")[0]
    return str(caught.value)


@pytest.mark.parametrize("settings", [
    {"HIDDEN_UNITS": 4}, {"ATTENTION_LEVELS": ["cross"]}, {"SCALES": [1, 2]}, {"USE_VSN": True}, {"MEMORY_SIZE": 5},
    {"QUANTILES": [0.05, 0.1, 0.5, 0.9, 0.95]}, {"PDE_MODE_CONFIG": "consolidation"}, {"NEIGHBOUR_CONTEXT": 4},
], ids=lambda settings: " ".join(settings))  # fmt: skip
def test_weights_of_another_architecture_are_refused(weights, settings):
    refused(twin_case(**{**LIGHT, **settings}).manifest, weights)


def test_weights_without_physics_are_refused_by_a_network_with_physics(trained, tmp_path):
    path = tmp_path / "plain.weights.h5"
    path.write_bytes(weights_bytes(twin_case(**DATA_ONLY).network(), tmp_path))
    refused(trained[0].manifest, path)


@pytest.mark.parametrize("content", [b"", b"weights", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" + bytes(100)])
def test_files_that_hold_no_weights_are_refused(trained, tmp_path, content):
    (tmp_path / "x.weights.h5").write_bytes(content)
    refused(trained[0].manifest, tmp_path / "x.weights.h5")
    with pytest.raises(UnsafeCheckpointError, match=r"x\.weights\.h5.*neighbour context"):
        load(twin_case(**LIGHT, NEIGHBOUR_CONTEXT=2).manifest, tmp_path / "x.weights.h5")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_weights_are_refused(trained, weights, tmp_path, share):
    data = weights.read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(data[: int(share * len(data))])
    refused(trained[0].manifest, tmp_path / "cut.weights.h5")


def test_weights_that_are_not_there_are_refused(trained, tmp_path):
    refused(trained[0].manifest, tmp_path / "absent.weights.h5")


def test_a_lost_array_is_noticed(trained, weights, tmp_path):
    path, names = tmp_path / "lost.weights.h5", []
    path.write_bytes(weights.read_bytes())
    with h5py.File(path, "a") as stored:
        stored.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        del stored[names[len(names) // 2]]
    refused(trained[0].manifest, path)


# Another handoff


@pytest.mark.parametrize(("field", "value"), [
    ("dynamic_names", ("depth", "other")), ("static_names", ("a",)), ("future_names", ()), ("time_steps", 4),
    ("horizon", 2), ("mode", "pihal_like"), ("time_units", "month"),
])  # fmt: skip
def test_another_kind_of_handoff_is_refused_with_what_differs(trained, model, field, value):
    other = trained[0].sem.model_copy(update={field: value})
    with pytest.raises(HandshakeError, match=rf"{field} the network was trained on another kind of handoff.*Train on"):
        check_fits(model, other)
    with pytest.raises(HandshakeError, match=field):
        physics(model, trained[0].val, other)


def test_columns_in_another_order_are_another_handoff(trained, model):
    names = trained[0].sem.dynamic_names
    with pytest.raises(HandshakeError, match="dynamic_names"):
        check_fits(model, trained[0].sem.model_copy(update={"dynamic_names": names[::-1]}))


def test_another_city_of_the_same_kind_fits(trained, model):
    check_fits(model, trained[0].sem.model_copy(update={"city": "elsewhere", "train_end_year": 2050}))


# Physics


def test_every_field_of_the_payload_is_there_finite_and_of_every_step(fields):
    assert set(fields) == PAYLOAD
    assert {array.shape for array in fields.values()} == {(24, 3)}
    assert not [name for name, array in fields.items() if not np.isfinite(array).all()]


def test_fields_lie_within_their_bounds(trained, fields):
    limits = trained[0].sem.bounds
    for name, limit in (("K", "K"), ("Ss", "Ss"), ("K_aquifer", "Ka"), ("S_aquifer", "Sa"), ("H", "H")):
        low, high = limits[limit]
        assert (fields[name] >= low * (1 - 1e-5)).all() and (fields[name] <= high * (1 + 1e-5)).all(), name


def test_the_relaxation_time_is_the_closure_times_its_departure(model, fields):
    np.testing.assert_allclose(fields["tau"], fields["tau_closure"] * np.exp(fields["dlogtau"]), rtol=1e-4)
    np.testing.assert_allclose(fields["tau_prior"] * np.exp(fields["dlogtau"]), fields["tau"], rtol=1e-4)
    closure = fields["Hd"] ** 2 * fields["Ss"] / (np.pi**2 * scalars(model)["kappa"] * fields["K"])
    np.testing.assert_allclose(fields["tau_prior"], closure, rtol=1e-3)


def test_raw_residuals_are_the_scaled_ones_in_si(trained, fields):
    scales = trained[0].sem.residual_scales
    np.testing.assert_allclose(fields["cons_res_vals"], fields["cons_res_scaled"] * scales.s_c / scales.T_c, rtol=1e-4)
    flow = fields["S_aquifer"] * fields["gw_res_scaled"] * scales.h_c / scales.T_c
    np.testing.assert_allclose(fields["gw_res_vals"], flow, rtol=1e-4)


def test_physical_mean_and_residual_make_the_median(trained, fields):
    case, before = trained[0], trained[1].val_prediction
    last = case.val.dynamic[:, -1:, case.sem.subsidence_index].astype(float)
    residual = before.median() - last - fields["s_phys"]
    share = np.abs(residual) / (np.abs(residual) + np.abs(fields["s_phys"]))
    np.testing.assert_allclose(fields["residual_share"], share, atol=1e-3)


@pytest.mark.parametrize(("settings", "absent"), [
    ({"PDE_MODE_CONFIG": "consolidation"}, set()), ({"PDE_MODE_CONFIG": "gw_flow"}, CLOSURE),
    ({"GW_LAYER": "shared"}, set()), ({"MODEL_NAME": "PoroElasticSubsNet"}, set()),
])  # fmt: skip
def test_an_equation_that_is_off_leaves_zeros_or_no_field(settings, absent):
    case = twin_case(**LIGHT, **settings)
    network = open_gates(shaken(case.network(), spread=0.02))
    found = physics(network, case.val, case.sem)
    assert set(found) >= PAYLOAD - absent and not absent & set(found)
    assert not [name for name, array in found.items() if not np.isfinite(array).all()]
    for active, name in ((network.spec.gw_flow, "gw_res_scaled"), (network.spec.consolidation, "cons_res_scaled")):
        assert bool(np.abs(found[name]).max() > 0.0) is active
    assert bool(np.abs(found["s_phys"]).max() > 0.0) is network.spec.consolidation


@pytest.mark.parametrize("settings", [{"GW_LAYER": "shared"}, {"PDE_MODE_CONFIG": "consolidation"}])
def test_one_layer_stands_for_the_aquifer_where_there_is_no_other(settings):
    case = twin_case(**LIGHT, **settings)
    network = open_gates(shaken(case.network(), spread=0.02))
    found = physics(network, case.val, case.sem)
    np.testing.assert_array_equal(found["K_aquifer"], found["K"])
    np.testing.assert_array_equal(found["S_aquifer"], found["Ss"])
    if not network.spec.gw_flow:
        assert (found["Q"] == 0.0).all() and (found["gw_res_vals"] == 0.0).all()
        told = diagnostics(network, found)
        assert told["epsilon_gw"] is None and told["epsilon_cons"] > 0.0


def test_without_physics_there_are_no_fields_and_no_diagnostics():
    case = twin_case(**DATA_ONLY)
    network = case.network()
    assert physics(network, case.val, case.sem) == {}
    found = diagnostics(network, {})
    assert {value for name, value in found.items() if name != "epsilon_cons_reading"} == {None}


# Diagnostics and scalars


def test_epsilons_are_root_mean_squares_of_the_residuals(model, fields):
    found = diagnostics(model, fields)
    for name, residual in (
        ("epsilon_cons", "cons_res_scaled"), ("epsilon_gw", "gw_res_scaled"), ("epsilon_prior", "dlogtau"),
        ("epsilon_cons_raw", "cons_res_vals"), ("epsilon_gw_raw", "gw_res_vals"),
    ):  # fmt: skip
        assert found[name] == pytest.approx(np.sqrt((fields[residual] ** 2).mean()))
    assert found["epsilon_cons_reading"] == "share_not_explained_by_physics"


def test_a_median_that_is_the_physical_mean_is_said_to_have_no_residual_by_construction():
    case = twin_case(**LIGHT, IDENTIFIABILITY_REGIME="anchored")
    network = open_gates(shaken(case.network(), spread=0.02))
    found = diagnostics(network, physics(network, case.val, case.sem))
    assert found["epsilon_cons_reading"] == "zero_by_construction"
    assert found["epsilon_cons"] == pytest.approx(0.0, abs=1e-4)


def test_scalars_are_those_that_the_network_holds(trained, model):
    found = scalars(model)
    assert found["kappa"] == pytest.approx(float(np.exp(model.fields.log_kappa.numpy())))
    assert found["kappa"] != 1.0  # it was learned
    assert (found["kappa_mode"], found["hd_factor"], found["gamma_w"]) == ("kb", 0.6, 9810.0)
    assert found["pde_modes"] == ("consolidation", "gw_flow") and found["lambda_offset"] == 1.0
    assert found["residual_gate"] == trained[1].summary["gates_at_end"]["subs_resid"]


def test_scalars_without_physics_are_those_of_the_configuration():
    found = scalars(twin_case(**DATA_ONLY, GEOPRIOR_INIT_KAPPA=2.0).network())
    assert (found["kappa"], found["mv"], found["pde_modes"]) == (2.0, 1e-7, ())


def test_values_put_back_in_order_are_the_network(trained, model):
    twin = trained[0].network()
    put_values(twin, [weight.numpy() for weight in model.weights])
    np.testing.assert_array_equal(predict(twin, trained[0].val).head, trained[1].val_prediction.head)
