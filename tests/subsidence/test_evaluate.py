"""The oracle's verdict: known ground is joined by place and year, and a constant is always the yardstick."""

import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.evaluate import Estimate, evaluate, spearman, truth_cells
from tests.subsidence.sample_run import fields, forecasts, semantics

CHECKS, LIMITS = {"theis": 1e-9, "manufactured": 1e-3}, {"theis": 1e-6, "manufactured": 1e-8}
YEARS = np.arange(2015, 2026)


@pytest.fixture(scope="module")
def evaluation():
    return forecasts(30)[0]


def truth_of(forecast, *, factor: float = 1.0, noise_m: float = 0.0) -> dict[str, np.ndarray]:
    """A twin city whose rows stand in another order, with ground that differs by a factor from the estimate."""
    order = np.random.default_rng(1).permutation(len(forecast.split))
    given = fields(forecast)
    x, y = forecast.metres
    clean = np.zeros((len(order), YEARS.size))
    clean[:, 5:8] = forecast.truth_m[order]
    names = {"tau": "tau", "K": "K", "Ss": "Ss", "Ka": "K_aquifer", "Sa": "S_aquifer"}
    ground = {name: given[field][order, 0] * factor for name, field in names.items()}
    noise = np.full(clean.shape, noise_m)
    return {**ground, "x_m": x[order], "y_m": y[order], "year": YEARS, "s_clean": clean, "noise_s": noise}


def judged(evaluation, truth, estimate=True, named="test", sem=None):
    return evaluate(
        sem or semantics(), {named: evaluation},
        estimate=Estimate(fields(evaluation), evaluation) if estimate else None,
        truth=truth, skill={named: {"model": 1.0}}, checks=CHECKS, limits=LIMITS,
    )  # fmt: skip


def test_perfect_fields_are_recovered_whatever_the_order_of_the_rows(evaluation):
    document, metrics = judged(evaluation, truth_of(evaluation))
    assert document["evidence"] == "physics_derived"
    assert set(document["recovery"]) == {"tau", "K", "Ss", "Ka", "Sa", "clay_diffusivity", "aquifer_diffusivity"}
    assert metrics["oracle.tau.rmse_log10"] == pytest.approx(0.0, abs=1e-9)
    assert metrics["oracle.tau.spearman"] == pytest.approx(1.0)


def test_a_factor_of_ten_is_a_bias_of_one_decade_and_leaves_ranks_and_ratios(evaluation):
    document, _ = judged(evaluation, truth_of(evaluation, factor=0.1))
    row = document["recovery"]["K"]
    assert row["median_bias_log10"] == pytest.approx(1.0) and row["rmse_log10"] == pytest.approx(1.0)
    assert row["spearman"] == pytest.approx(1.0)
    assert document["recovery"]["clay_diffusivity"]["rmse_log10"] == pytest.approx(0.0, abs=1e-9)


def test_a_constant_at_mid_bound_stands_beside_every_field(evaluation):
    truth = truth_of(evaluation)
    document, _ = judged(evaluation, truth)
    middle = np.sqrt(np.prod(semantics().bounds["tau"]))
    row = document["recovery"]["tau"]
    assert row["constant_mid_bound_rmse_log10"] == pytest.approx(np.sqrt(np.mean(np.log10(middle / truth["tau"]) ** 2)))
    assert row["best_constant_rmse_log10"] == pytest.approx(np.log10(truth["tau"]).std())


def test_a_constant_field_has_no_rank_correlation():
    assert spearman(np.ones(5), np.arange(5.0)) is None


def test_stand_ins_are_not_judged(evaluation):
    alone = fields(evaluation)
    alone |= {"K_aquifer": alone["K"], "S_aquifer": alone["Ss"]}
    assert set(Estimate(alone, evaluation).named()) == {"tau", "K", "Ss"}
    del alone["tau"]
    assert Estimate(alone, evaluation).named() == {}


def test_truth_is_joined_by_year_and_place(evaluation):
    clean, noisy = truth_cells(evaluation, truth_of(evaluation, noise_m=0.001))
    assert np.allclose(clean, evaluation.truth_m)
    assert np.allclose(noisy - clean, 0.001)


def test_years_and_places_that_the_twin_does_not_know_stay_unknown(evaluation):
    truth = truth_of(evaluation)
    truth |= {"year": YEARS - 4, "x_m": truth["x_m"] + np.where(np.arange(30) < 5, 50.0, 0.0)}
    clean, _ = truth_cells(evaluation, truth)
    assert np.isnan(clean[:, 2]).all() and np.isnan(clean[:, 0]).sum() == 5


def test_median_error_is_against_clean_settlement_and_coverage_against_noise(evaluation):
    document, _ = judged(evaluation, truth_of(evaluation, noise_m=10.0))
    block = document["forecast"]["test"]["overall"]
    expected = np.abs(evaluation.raw.median() - evaluation.truth_m).mean() * 1000
    assert block["mae_clean_mm"] == pytest.approx(expected)
    assert block["coverage_noisy"] == 0.0
    assert set(document["forecast"]["test"]["per_year"]) == {"2020", "2021", "2022"}


def test_truth_of_another_city_is_refused(evaluation):
    truth = truth_of(evaluation)
    with pytest.raises(HandshakeError, match=r"other places than the forecast: expected at least 50%.*found 0 of 30"):
        judged(evaluation, truth | {"x_m": truth["x_m"] + 1e5})


def test_expectations_show_what_was_missed(evaluation):
    document, metrics = judged(evaluation, truth_of(evaluation, noise_m=10.0))
    met = {row["name"]: row["met"] for row in document["expectations"]}
    assert met["rank correlation of tau"] is True
    assert met["coverage of noisy settlement, test"] is False
    assert met["closed-form cases"] is False
    assert metrics["oracle.analytic_failed"] == 1.0


def test_a_real_city_gives_observation_only(evaluation):
    document, metrics = judged(evaluation, None)
    assert document["evidence"] == "observation_only" and "recovery" not in document
    assert document["skill"]["test"] == {"model": 1.0}
    assert document["analytic_checks"]["theis"] == {"error": 1e-9, "limit": 1e-6, "passed": True}
    assert set(metrics) == {"oracle.analytic_failed"}


def test_a_model_without_physics_is_judged_by_its_forecast(evaluation):
    document, _ = judged(evaluation, truth_of(evaluation), estimate=False)
    assert document["recovery"] == {} and document["forecast"]["test"]["overall"]["rows"] == 90
    assert [row["met"] for row in document["expectations"][:2]] == [None, None]
