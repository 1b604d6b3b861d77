"""Diagnostics of honesty: counted by hand on small arrays, and told apart from noise on large ones."""

import numpy as np
import pytest
from scipy.stats import norm

from tasks.subsidence.scoring.reliability import isotonic_map, pit_histogram, pit_values, reliability_table

LEVELS = (0.1, 0.5, 0.9)


def gaussian(n: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Forecast quantiles of N(0, spread) for truths from N(0, 1): (n, 1, 3), (n, 1)."""
    values = np.tile(spread * norm.ppf(LEVELS), (n, 1, 1))
    return values, np.random.default_rng(seed).normal(size=(n, 1))


def test_reliability_counts_truths_at_or_below_each_level():
    values = np.tile([1.0, 2.0, 3.0], (4, 2, 1))
    truth = np.array([[0.5, 1.0], [1.5, 2.5], [2.5, np.nan], [9.0, 2.0]])
    table = reliability_table(values, truth, LEVELS)
    assert [row["empirical"] for row in table] == pytest.approx([2 / 7, 4 / 7, 6 / 7])
    assert table[0]["per_horizon"] == {"1": 0.25, "2": pytest.approx(1 / 3)}


def test_reliability_without_truth_is_unknown():
    table = reliability_table(np.zeros((2, 1, 3)), np.full((2, 1), np.nan), LEVELS)
    assert [row["empirical"] for row in table] == [None, None, None]
    assert isotonic_map(table) == []


def test_pit_stays_inside_the_cell_of_the_truth():
    values = np.tile([1.0, 2.0, 3.0], (4, 1, 1))
    pit = pit_values(values, np.array([[0.0], [1.5], [2.5], [4.0]]), LEVELS, np.random.default_rng(0))
    assert ((pit > [0.0, 0.1, 0.5, 0.9]) & (pit < [0.1, 0.5, 0.9, 1.0])).all()


def test_pit_of_honest_forecasts_is_flat_and_of_overconfident_ones_is_not():
    honest = pit_histogram(*gaussian(4000, 1.0), LEVELS)
    narrow = pit_histogram(*gaussian(4000, 0.5), LEVELS)
    assert sum(honest["counts"]) == honest["n"] == 4000
    assert honest["p_value"] > 0.01
    assert narrow["p_value"] < 1e-6
    assert narrow["counts"][0] > 600 < narrow["counts"][-1]


def test_pit_is_drawn_from_its_seed():
    values, truth = gaussian(300, 1.0)
    assert pit_histogram(values, truth, LEVELS, seed=4) == pit_histogram(values, truth, LEVELS, seed=4)
    assert pit_histogram(values, truth, LEVELS, seed=4) != pit_histogram(values, truth, LEVELS, seed=5)


def test_pit_without_truth_has_no_statistic():
    found = pit_histogram(np.zeros((2, 1, 3)), np.full((2, 1), np.nan), LEVELS)
    assert (found["n"], found["chi_square"]) == (0, None)


def test_isotonic_map_straightens_a_dip():
    table = [{"level": 0.1, "empirical": 0.3}, {"level": 0.5, "empirical": 0.2}, {"level": 0.9, "empirical": 0.8}]
    mapped = [point["calibrated"] for point in isotonic_map(table)]
    assert mapped == pytest.approx([0.0, 0.25, 0.25, 0.8, 1.0])
