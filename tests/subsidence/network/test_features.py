"""What the network may see of a window: nothing that was not observed, no map beyond the train years."""

import numpy as np
import pytest

from tasks.subsidence.network.features import CommonCourse, WindowFeatures
from tests.subsidence.network.tiny_training import shaken, tensors_of, twin_case, windows_of


@pytest.fixture(scope="module")
def case():
    """All blocks of the data path."""
    return twin_case(MODEL_NAME="HybridAttn-NoPhysics")


@pytest.fixture(scope="module")
def model(case):
    return shaken(case.started())


def median(model, inputs) -> np.ndarray:
    return model.forward(tensors_of(inputs)).published.numpy()


def test_what_is_not_observed_cannot_be_seen(case, model):
    inputs = windows_of(model, case.val).inputs
    inputs["history_mask"][:, :2] = 0.0
    inputs["known"][:] = 0.0
    before = median(model, inputs)
    inputs["dynamic_features"][:, :2] += 3.0
    inputs["dynamic_features"][:, :2, case.sem.subsidence_index] -= 1.0
    np.testing.assert_array_equal(median(model, inputs), before)


@pytest.mark.parametrize(("known", "moved"), [(0.0, False), (1.0, True)])
def test_the_place_tells_something_within_the_train_years_alone(case, model, known, moved):
    inputs = windows_of(model, case.val).inputs
    inputs["known"][:] = known
    apart = inputs["coords"] + np.array([0.0, 0.3, -0.2], np.float32)
    here, there = median(model, inputs), median(model, {**inputs, "coords": apart})
    assert bool((here != there).any()) is moved


def test_future_windows_know_no_map_and_those_of_the_train_years_do(case, model):
    assert windows_of(model, case.splits["future"]).inputs["known"].max() == 0.0
    assert windows_of(model, case.splits["test"]).inputs["known"].min() == 1.0


def test_a_year_in_which_the_whole_city_is_slow_is_no_feature(case, model):
    """The city-wide course is taken off: the same departure everywhere and in that course changes nothing."""
    common, features = CommonCourse(8), WindowFeatures(case.sem)
    inputs = windows_of(model, case.val).inputs
    levels, last_time = np.linspace(0.0, 0.1, 8)[:, None] * np.ones((1, 2)), float(inputs["coords"][0, -1, 0])
    common.fill(levels, last_time)
    before = features(tensors_of(inputs), common)
    slow = np.array([0.0, 0.0, -0.02, 0.0, 0.0], np.float32)
    inputs["dynamic_features"][:, :, case.sem.subsidence_index] += slow
    levels[:5, 0] += slow
    common.fill(levels, last_time)
    after, general = features(tensors_of(inputs), common), features.general_size()
    np.testing.assert_allclose(after.dynamic.numpy(), before.dynamic.numpy(), atol=1e-4)
    np.testing.assert_allclose(after.flat.numpy()[:, :general], before.flat.numpy()[:, :general], atol=1e-4)


def test_beyond_its_years_the_common_course_goes_on_at_its_mean_rate():
    common = CommonCourse(4)
    common.fill(np.array([[0.0, 1.0], [1.0, 2.0], [3.0, 3.0], [6.0, 6.0]]), last_time=10.0)
    at = common.at(np.array([13.0], np.float32), step=1.0, count=4).numpy()[0]
    np.testing.assert_allclose(at[:, 0], [3.0, 6.0, 8.0, 10.0])
    np.testing.assert_allclose(at[:, 1], [3.0, 6.0, 3.0, 3.0])
