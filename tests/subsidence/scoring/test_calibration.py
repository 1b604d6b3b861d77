"""The calibration step: the reload check always runs; a setting chooses whose predictions are calibrated."""

import numpy as np
import pytest

from tasks.contracts.errors import ReloadMismatchError
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.calibrate import fit, split_validation
from tasks.subsidence.scoring.calibration import calibrate, of_rows, reload_difference
from tests.subsidence.small_network import small_config, small_network, small_validation


def moved(prediction: Prediction, by_m: float) -> Prediction:
    """Upper quantiles a little higher."""
    subsidence = prediction.subsidence.copy()
    subsidence[..., -1] += by_m
    return Prediction(prediction.levels, subsidence, prediction.head)


@pytest.mark.parametrize(("in_memory", "named"), [(False, "reloaded"), (True, "in_memory")])
def test_factors_belong_to_the_predictions_that_the_setting_names(in_memory, named):
    val, reloaded = small_validation()
    trained = moved(reloaded, 9e-7)
    done = calibrate(small_network(), val, trained, small_config(USE_IN_MEMORY_MODEL=in_memory))
    rows = split_validation(val)[1]
    truth = val.subsidence[rows, :, 0], val.head[rows, :, 0]
    named_first = (trained, reloaded) if in_memory else (reloaded, trained)
    wanted, other = (fit(of_rows(one, rows), *truth) for one in named_first)
    assert done.factors == wanted != other
    assert done.stats["predictions"] == named
    assert done.reload_max_abs_difference_m == pytest.approx(9e-7)


@pytest.mark.parametrize("in_memory", [False, True])
def test_another_network_than_the_trained_one_stops_the_run(in_memory):
    val, reloaded = small_validation()
    with pytest.raises(ReloadMismatchError, match=r"reloaded network predicts something else.*found 0.001 m"):
        calibrate(small_network(), val, moved(reloaded, 1e-3), small_config(USE_IN_MEMORY_MODEL=in_memory))


@pytest.mark.parametrize("name", ["subsidence", "head"])
def test_a_prediction_that_is_not_finite_is_no_match(name):
    sound = {"subsidence": np.zeros((2, 3, 1)), "head": np.zeros((2, 3, 1))}
    broken = sound | {name: np.full((2, 3, 1), np.nan)}
    with pytest.raises(ReloadMismatchError, match="found nan m"):
        reload_difference(Prediction((0.5,), **sound), Prediction((0.5,), **broken))
