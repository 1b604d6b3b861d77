"""What training minimises: standardised pinball losses, weighted physics, and nothing from padded rows."""

import numpy as np
import pytest
import scoringrules as sr
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import Config, built_in
from tasks.subsidence.losses import (
    PENDING_WEIGHT,
    batch_losses,
    crps_weights,
    data_loss,
    loss_weights,
    masked_mean,
    physics_multiplier,
    pinball,
    scores,
)
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    OUTSIDE,
    open_gates,
    shaken,
    slopes,
    targets_of,
    tensors_of,
    twin_case,
    windows_of,
)

LEVELS = (0.1, 0.5, 0.9)


def weights(levels=LEVELS, **changes):
    return loss_weights(levels, Config({**built_in(), **changes}))


def judge(case, model, rows, *, present=None, **changed):
    """Forward, losses and scores of some train windows; `changed` replaces physics weights."""
    windows = windows_of(model, case.train, rows)
    inputs, truth, used = tensors_of(windows.inputs), targets_of(windows, present), case.weights(model)
    result = model.forward(inputs)
    used = used._replace(physics={**used.physics, **changed})
    return result, batch_losses(model, result, truth, inputs, used), scores(model, result, truth)


def prepared(**settings):
    """A case, and its network with all gates open and no weight at a special value."""
    case = twin_case(**{**LIGHT, **settings})
    return case, open_gates(shaken(case.network(), spread=0.02))


@pytest.fixture(scope="module")
def both():
    return prepared()


@pytest.fixture
def gates_restored(both):
    """Both equations, for a test that moves gates."""
    yield both
    open_gates(both[1])


# Weights


def test_levels_weigh_alike_and_the_median_a_third():
    assert weights().subsidence == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert weights((0.5,)).subsidence == (1.0,)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4))
def test_with_many_levels_the_median_still_weighs_a_third(below, above):
    levels = (*np.linspace(0.05, 0.45, below), 0.5, *np.linspace(0.55, 0.95, above))
    found = weights(tuple(levels)).subsidence
    assert sum(found) == pytest.approx(1.0)
    assert found[levels.index(0.5)] >= 1 / 3 - 1e-9


def test_named_weights_are_normalised_and_taken_as_they_are():
    assert weights(SUBS_WEIGHTS={"0.1": 3, "0.5": 1, "0.9": 3}).subsidence == pytest.approx((3 / 7, 1 / 7, 3 / 7))
    assert weights(GWL_WEIGHTS={"0.5": 2}).head == pytest.approx((0.25, 0.5, 0.25))


def test_a_weight_of_a_level_that_is_not_forecast_is_refused():
    with pytest.raises(ConfigError, match=r"SUBS_WEIGHTS names levels that are not forecast.*found \[0.25\]"):
        weights(SUBS_WEIGHTS={"0.25": 3.0})


def test_physics_weights_are_those_of_the_configuration():
    found = weights(LAMBDA_CONS=2.0, LAMBDA_GW=0.3, LAMBDA_MV=0.5, MV_WEIGHT=0.1, LOSS_WEIGHT_GWL=0.7)
    assert (found.physics["cons"], found.physics["gw"], found.gwl) == (2.0, 0.3, 0.7)
    assert found.physics["mv"] == pytest.approx(0.05)


def test_defaults_of_the_weights():
    found = weights().physics
    assert {name: found[name] for name in ("cons", "gw", "prior", "smooth", "bounds", "q")} == {
        "cons": 1.0, "gw": 0.1, "prior": 0.2, "smooth": 0.01, "bounds": 0.05, "q": 5e-4,
    }  # fmt: skip


# Pinball and scores


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([0.05, 0.1, 0.5, 0.9]))
def test_pinball_is_the_librarys_quantile_score(value, truth, level):
    found = pinball(tf.constant([[[value]]]), tf.constant([[truth]]), (level,)).numpy().item()
    assert found == pytest.approx(float(sr.quantile_score(truth, value, level)), abs=1e-6)


def test_crps_weights_are_a_trapezoid_with_flat_ends():
    assert crps_weights(LEVELS) == pytest.approx([0.3, 0.4, 0.3])
    assert crps_weights((0.5,)) == pytest.approx([1.0])


def test_crps_of_many_gaussian_levels_is_the_closed_form():
    levels = tuple(np.arange(1, 100) / 100)
    forecast = tf.constant(norm.ppf(levels)[None, None], tf.float64)
    truth = 0.7
    loss = pinball(forecast, tf.constant([[truth]], tf.float64), levels).numpy()[0, 0]
    exact = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / np.sqrt(np.pi)
    assert 2 * crps_weights(levels) @ loss == pytest.approx(exact, rel=0.01)


def test_a_mean_over_nothing_is_zero():
    assert float(masked_mean(tf.constant([1.0, 5.0]), tf.zeros(2))) == 0.0
    assert float(masked_mean(tf.constant([1.0, 5.0]), tf.constant([0.0, 2.0]))) == 5.0


def test_the_data_loss_is_the_pinball_in_standard_units(both):
    case, model = both
    result, losses, _ = judge(case, model, slice(0, 12))
    truth, moments, expected = windows_of(model, case.train, slice(0, 12)), case.sem.standardisation, 0.0
    for forecast, actual, sigma, share in (
        (result.subsidence, truth.subsidence, moments.sigma_s, 1.0), (result.head, truth.head, moments.sigma_h, 0.5),
    ):  # fmt: skip
        error = actual[..., None].astype(float) - forecast.numpy()
        loss = np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1.0) * error).mean(axis=-1)
        expected += share * (loss / np.array(sigma)).mean()
    assert float(losses.data) == pytest.approx(expected, rel=1e-4)


def test_a_metre_of_head_does_not_swamp_a_millimetre_of_settlement():
    """Of a forecast that knows nothing yet, both targets have a share in the loss within 1:3."""
    case = twin_case(**DATA_ONLY)
    model = case.network()
    windows = windows_of(model, case.train)
    result, truth, alone = model.forward(tensors_of(windows.inputs)), targets_of(windows), case.weights(model)
    subsidence = float(data_loss(model, result, truth, alone._replace(gwl=0.0)))
    head = float(data_loss(model, result, truth, alone._replace(gwl=1.0))) - subsidence
    assert 1 / 3 < subsidence / head < 3


def test_scores_are_means_in_metres(both):
    case, model = both
    result, _, found = judge(case, model, slice(0, 12))
    truth, levels = windows_of(model, case.train, slice(0, 12)).subsidence, result.subsidence.numpy().astype(float)
    low, middle, high = np.moveaxis(levels, -1, 0)
    crps = 2 * sum(
        weight * sr.quantile_score(truth, value, level).mean()
        for value, level, weight in zip((low, middle, high), LEVELS, crps_weights(LEVELS), strict=True)
    )
    expected = {
        "subs_pred_mae_q50": np.abs(middle - truth).mean(), "subs_pred_mse_q50": ((middle - truth) ** 2).mean(),
        "subs_pred_sharpness80": (high - low).mean(), "crps_subs": crps,
        "subs_pred_coverage80": ((truth >= low) & (truth <= high)).mean(),
    }  # fmt: skip
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-9)


# Physics in the total


def test_total_is_data_field_and_gated_physics(both):
    _, losses, _ = judge(*both, slice(0, 16))
    assert float(losses.physics_scaled) > 0.0
    parts = float(losses.data) + float(losses.field) + float(losses.physics_scaled)
    assert float(losses.total) == pytest.approx(parts, rel=1e-5)


def test_a_closed_gate_keeps_the_equations_out_of_the_total(gates_restored):
    case, model = gates_restored
    model.gates["physics"].assign(0.0)
    model.gates["mv"].assign(0.0)
    _, shut, _ = judge(case, model, slice(0, 16))
    _, heavy, _ = judge(case, model, slice(0, 16), cons=1e4, gw=1e4, prior=1e4, smooth=1e4, q=1e4, mv=1e4)
    assert float(shut.total) == float(heavy.total)
    assert float(heavy.physics_sum) > 100 * float(shut.physics_sum)
    assert float(shut.physics_scaled) == pytest.approx(PENDING_WEIGHT * float(shut.physics.pending), rel=1e-4)
    assert float(shut.physics.pending) > 0.0


def test_the_field_loss_moves_the_head_field_and_nothing_of_the_data_path(both):
    case, model = both
    with tf.GradientTape() as tape:
        field = judge(case, model, slice(0, 16))[1].field
    found = slopes(tape, field, model)
    assert np.abs(found[model.fields.head_plane.path]).max() > 0.0
    moved = {path.split("/")[0] for path, slope in found.items() if np.abs(slope).max() > 0.0}
    assert moved == {"spacetime", model.fields.head_plane.path.split("/")[0]}


@pytest.mark.parametrize("name", ["cons", "gw", "prior", "smooth", "q", "mv"])
def test_every_weight_moves_the_total_by_its_own_loss(both, name):
    case, model = both
    _, losses, _ = judge(case, model, slice(0, 16), **{name: 0.0})
    own = float(getattr(losses.physics, name))
    factor = float(losses.total) / own  # so that both parts are of one size
    _, more, _ = judge(case, model, slice(0, 16), **{name: factor})
    assert own > 0.0
    assert float(more.total) - float(losses.total) == pytest.approx(factor * own, rel=1e-3)


def test_bounds_a_thousand_times_as_heavy_change_neither_data_loss_nor_score():
    case, model = prepared(**OUTSIDE)
    _, plain, seen = judge(case, model, slice(0, 16))
    _, heavy, seen_heavy = judge(case, model, slice(0, 16), bounds=1000 * case.weights(model).physics["bounds"])
    assert float(plain.physics.bounds) > 0.1
    assert float(heavy.total) > 2 * float(plain.total)
    assert float(heavy.data) == float(plain.data)
    assert [float(value) for value in seen.values()] == [float(value) for value in seen_heavy.values()]


@pytest.mark.parametrize(("mode", "offset", "multiplier"), [("mul", 0.25, 0.25), ("log10", -2.0, 0.01)])
def test_the_offset_multiplies_or_is_an_exponent(mode, offset, multiplier):
    model = twin_case(**LIGHT, PDE_MODE_CONFIG="consolidation", OFFSET_MODE=mode).network()
    model.gates["offset"].assign(offset)
    assert float(physics_multiplier(model)) == pytest.approx(multiplier)


def test_the_multiplier_scales_the_equations_alone(gates_restored):
    case, model = gates_restored
    _, whole, _ = judge(case, model, slice(0, 16), q=0.0, mv=0.0)
    model.gates["offset"].assign(0.5)
    _, half, _ = judge(case, model, slice(0, 16), q=0.0, mv=0.0)
    assert float(whole.total) - float(half.total) == pytest.approx(0.5 * float(whole.physics_sum), rel=1e-3)


# Padding


@pytest.mark.parametrize("settings", [
    {"MODEL_NAME": "HybridAttn-NoPhysics"}, {"PDE_MODE_CONFIG": "gw_flow"}, {"PDE_MODE_CONFIG": "consolidation"}, {},
    OUTSIDE,
], ids=["data", "flow", "consolidation", "both", "soft bounds"])  # fmt: skip
def test_padded_rows_have_no_effect_on_any_loss_or_score(settings):
    case, model = prepared(**settings)
    alone = judge(case, model, [0, 1, 2, 3])[1:]
    padded = judge(case, model, [0, 1, 2, 3, 70, 71, 72, 73, 74], present=[1.0] * 4 + [0.0] * 5)[1:]
    for one, other in zip(tf.nest.flatten(alone), tf.nest.flatten(padded), strict=True):
        if one is not None:
            assert float(other) == pytest.approx(float(one), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("settings", [DATA_ONLY, {"PDE_MODE_CONFIG": "gw_flow"}], ids=["data", "flow"])
def test_padded_rows_have_no_effect_on_the_gradient(settings):
    case, model = prepared(**settings)
    found = []
    for rows, present in (([0, 1, 2, 3], None), ([0, 1, 2, 3, 70, 71], [1.0] * 4 + [0.0] * 2)):
        with tf.GradientTape() as tape:
            total = judge(case, model, rows, present=present)[1].total
        found.append(slopes(tape, total, model))
    scale = max(np.abs(slope).max() for slope in found[0].values())
    for path, alone in found[0].items():
        np.testing.assert_allclose(found[1][path], alone, rtol=1e-3, atol=1e-6 * scale, err_msg=path)


def test_steps_without_truth_have_no_effect(both):
    """Windows from a later origin end before their horizon does."""
    case, model = both
    windows = windows_of(model, case.train, slice(0, 8))
    windows.weight[:, 2] = 0.0
    result = model.forward(tensors_of(windows.inputs))
    before = float(data_loss(model, result, targets_of(windows), case.weights(model)))
    windows.subsidence[:, 2] += 5.0
    windows.head[:, 2] -= 9.0
    assert float(data_loss(model, result, targets_of(windows), case.weights(model))) == before
