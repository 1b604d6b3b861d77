"""Calibration statistics of the run: the evaluated rows, and beside them the rows that gave the factors."""

from types import SimpleNamespace

import pytest

from tasks.subsidence.products import assemble
from tests.subsidence.sample_run import forecasts

ROWS = {"isotonic_map": [[0.1, 0.1]], "pit": {"n": 3}, "future_factors": {"1": 1.5}}


def published(split: str, monkeypatch) -> dict:
    evaluation, _, factors = forecasts(12)
    calibrated = SimpleNamespace(groups_sha256="0" * 64, shared=False, stats="stats")
    made = SimpleNamespace(
        calibrated=calibrated, inferred=SimpleNamespace(evaluated_split=split), settings=SimpleNamespace()
    )
    monkeypatch.setattr(assemble.loading, "config", lambda _: {"SEED": 1})
    here = SimpleNamespace(store=SimpleNamespace(get_json={"stats": ROWS}.__getitem__))
    found = SimpleNamespace(evaluation=evaluation, factors=factors)
    return assemble._calibration_stats(made, found, here)


def test_statistics_of_the_calibration_rows_are_published_too(monkeypatch):
    found = published("test", monkeypatch)
    assert found["calibration_rows"] == ROWS and found["future_factors"] == {"1": 1.5}


@pytest.mark.parametrize("split, judged", [("test", True), ("val", False)])
def test_no_band_is_judged_on_validation_rows(split, judged, monkeypatch):
    assert (published(split, monkeypatch)["coverage_band"] is not None) is judged
