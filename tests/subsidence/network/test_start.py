"""The start of a training: the forecast is what least squares fitted, and nothing in it is added twice."""

import numpy as np
import pytest

from tasks.subsidence.infer import predict
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    bank,
    open_gates,
    tensors_of,
    twin_case,
    windows_of,
)


def errors(case, model, name):
    """Mean absolute errors of the medians per step: settlement in m, head in m."""
    split, found = case.splits[name], predict(model, case.splits[name])
    middle = found.levels.index(0.5)
    settled = np.abs(found.subsidence[..., middle] - split.subsidence[..., 0]).mean(axis=0)
    return settled, np.abs(found.head[..., middle] - split.head[..., 0]).mean(axis=0)


@pytest.fixture(scope="module", params=[0, 4], ids=["map of places", "neighbours"])
def pair(request):
    """The same city with and without physics, both networks at their start with the data path fully on."""
    cases = [twin_case(**settings, NEIGHBOUR_CONTEXT=request.param) for settings in (LIGHT, DATA_ONLY)]
    return [(case, open_gates(case.started())) for case in cases]


@pytest.mark.parametrize("name", ["train", "val"])
def test_heads_start_as_well_with_a_head_field_as_without(pair, name):
    physical, plain = (errors(case, model, name)[1] for case, model in pair)
    np.testing.assert_allclose(physical, plain, rtol=0.05, atol=2e-3)


def test_the_change_of_the_head_field_is_too_large_to_be_counted_twice(pair):
    case, model = pair[0]
    windows = windows_of(model, case.val)
    change = model.field_change(tensors_of(windows.inputs)).numpy()
    assert (np.abs(change).mean(axis=0) > 2 * errors(case, model, "val")[1]).all()


def test_beyond_the_train_years_the_head_field_is_silent_and_the_map_of_all_origins_tells_the_whole_change(pair):
    case, model = pair[0]
    windows = windows_of(model, case.val)
    windows.inputs["known"][:] = 0.0
    np.testing.assert_array_equal(model.field_change(tensors_of(windows.inputs)), np.zeros((len(case.val), 3)))
    heads = [predict(network, case.val, hide_years=True).head for case, network in pair]
    np.testing.assert_allclose(*heads, atol=1e-4)


def test_settlement_starts_closer_than_standing_still(pair):
    """Neighbours that tell the city's mean rate a second time lead away by twice the movement."""
    for case, model in pair:
        last = case.val.dynamic[:, -1:, case.sem.subsidence_index]
        movement = np.abs(case.val.subsidence[..., 0] - last).mean(axis=0)
        assert errors(case, model, "val")[0][-1] < 0.5 * movement[-1]


def test_neighbours_tell_the_increments_less_what_is_added_to_them():
    case = twin_case(**LIGHT, NEIGHBOUR_CONTEXT=4)
    model = case.started()
    windows = windows_of(model, case.train)
    inputs = tensors_of(windows.inputs)
    told = bank(model).increments.numpy().reshape(len(case.train), -1, 2) * model.sigma.T
    seen = model.features(inputs, model.common)
    settled, head = told[..., 0] + model.carried(seen).numpy(), told[..., 1] + model.field_change(inputs).numpy()
    np.testing.assert_allclose(settled, windows.subsidence - seen.subsidence[:, -1:], atol=1e-5)
    np.testing.assert_allclose(head, windows.head - seen.history_head[:, -1:], atol=1e-4)
