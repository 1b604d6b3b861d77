"""Clean reload, one-pass prediction, physical fields and their diagnostics."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError, UnsafeCheckpointError
from tasks.subsidence.infer import check_fits, diagnostics, load, physics, predict, scalars
from tasks.subsidence.model import rebuild
from tasks.subsidence.network.checkpoints import weights_bytes
from tasks.subsidence.network.identifiability import gradient_correlation
from tests.subsidence.test_model import shake
from tests.subsidence.tiny_network import NO_PHYSICS, H, tiny_manifest, tiny_semantics, tiny_split

FIELDS = {
    "tau", "tau_prior", "tau_closure", "K", "Ss", "Hd", "H", "cons_res_vals", "cons_res_scaled", "gw_res_vals",
    "gw_res_scaled", "Q", "h_f", "K_aquifer", "S_aquifer", "drawdown", "s_eq", "s_phys", "residual_share", "dlogtau",
}  # fmt: skip


def network(**changes):
    model = rebuild(tiny_manifest(**changes))
    shake(model, 0.1)
    return model


@pytest.fixture(scope="module")
def full():
    return network()


def test_weights_reload_into_a_clean_rebuild(full, tmp_path):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(weights_bytes(full, tmp_path))
    full.gates["physics"].assign(0.25)
    path.write_bytes(weights_bytes(full, tmp_path))
    again = load(tiny_manifest(), path)
    assert float(again.gates["physics"].numpy()) == 0.25
    for a, b in zip(full.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_another_network_are_refused(full, tmp_path):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(weights_bytes(full, tmp_path))
    with pytest.raises(UnsafeCheckpointError, match=r"net.weights.h5 weights do not fit"):
        load(tiny_manifest(HIDDEN_UNITS=12), path)


@pytest.mark.parametrize("content", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_broken_weights_are_refused(tmp_path, content):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(content)
    with pytest.raises(UnsafeCheckpointError, match=r"net\.weights\.h5"):
        load(tiny_manifest(), path)
    with pytest.raises(UnsafeCheckpointError, match="neighbour context"):
        load(tiny_manifest(NEIGHBOUR_CONTEXT=2), path)


def test_the_size_of_the_batches_changes_nothing(full):
    split = tiny_split("train")
    whole, parts = predict(full, split), predict(full, split, batch=16)
    assert whole.subsidence.shape == (40, H, 3) and whole.subsidence.dtype == np.float64
    np.testing.assert_allclose(parts.subsidence, whole.subsidence, atol=1e-6)
    np.testing.assert_allclose(parts.head, whole.head, atol=1e-5)


def test_targets_are_not_looked_at(full):
    split = tiny_split("val")
    blind = replace(split, subsidence=None, head=None)
    np.testing.assert_array_equal(predict(full, blind).subsidence, predict(full, split).subsidence)


def test_physics_gives_every_payload_field_finite(full):
    fields = physics(full, tiny_split("test"), tiny_semantics())
    assert set(fields) == FIELDS
    assert all(values.shape == (12, H) and np.isfinite(values).all() for values in fields.values())
    np.testing.assert_allclose(np.log(fields["tau"] / fields["tau_prior"]), fields["dlogtau"], atol=1e-4)
    kappa = scalars(full)["kappa"]
    closure = fields["Hd"] ** 2 * fields["Ss"] / (np.pi**2 * kappa * fields["K"])
    np.testing.assert_allclose(fields["tau_prior"], closure, rtol=1e-3)


def test_the_raw_residuals_are_the_scaled_ones_in_si(full):
    fields, scale = physics(full, tiny_split("test"), tiny_semantics()), full.spec.scales
    np.testing.assert_allclose(fields["cons_res_vals"], fields["cons_res_scaled"] * scale.s_c / scale.T_c, rtol=1e-4)
    raw = fields["S_aquifer"] * fields["gw_res_scaled"] * scale.h_c / scale.T_c
    np.testing.assert_allclose(fields["gw_res_vals"], raw, rtol=1e-4)


def test_one_layer_stands_for_the_aquifer_where_there_is_no_other():
    model = network(PDE_MODE_CONFIG="consolidation")
    fields = physics(model, tiny_split("test"), tiny_semantics())
    np.testing.assert_array_equal(fields["K_aquifer"], fields["K"])
    assert (fields["Q"] == 0).all() and (fields["gw_res_vals"] == 0).all()
    found = diagnostics(model, fields)
    assert found["epsilon_gw"] is None and found["epsilon_cons"] > 0


def test_diagnostics_are_root_mean_squares(full):
    fields = physics(full, tiny_split("test"), tiny_semantics())
    found = diagnostics(full, fields)
    assert found["epsilon_cons"] == pytest.approx(np.sqrt((fields["cons_res_scaled"] ** 2).mean()))
    assert found["epsilon_prior"] == pytest.approx(np.sqrt((fields["dlogtau"] ** 2).mean()))
    assert found["epsilon_cons_reading"] == "share_not_explained_by_physics"


def test_a_forecast_of_physics_alone_is_said_to_have_no_residual_by_construction():
    model = network(ALLOW_SUBS_RESIDUAL=False)
    found = diagnostics(model, physics(model, tiny_split("test"), tiny_semantics()))
    assert found["epsilon_cons"] == pytest.approx(0.0, abs=1e-3)
    assert found["epsilon_cons_reading"] == "zero_by_construction"


def test_a_network_without_physics_has_no_fields():
    model = network(**NO_PHYSICS)
    assert physics(model, tiny_split("test"), tiny_semantics()) == {}
    assert scalars(model)["pde_modes"] == ()
    assert gradient_correlation(model, tiny_split("test")) is None


def test_another_kind_of_handoff_is_refused(full):
    with pytest.raises(HandshakeError, match="future_names"):
        check_fits(full, tiny_semantics(future_names=("pumping",)))
    check_fits(full, tiny_semantics(city="elsewhere"))


def test_conductivity_and_time_cannot_be_told_apart(full):
    found = gradient_correlation(full, tiny_split("train"))
    assert found["log_K~log_tau"] == pytest.approx(-1.0, abs=1e-3)
    assert -1.0 <= found["log_K~log_Ss"] <= 1.0
