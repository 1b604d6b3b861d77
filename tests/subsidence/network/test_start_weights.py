"""Weights of another training as the start, and weights that belong to another network."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from tasks.contracts.errors import UnsafeCheckpointError
from tasks.subsidence.handoff.groups import take
from tasks.subsidence.infer import load, predict
from tasks.subsidence.network.checkpoints import weights_bytes
from tests.subsidence.network.tiny_training import DATA_ONLY, LIGHT, bank, trained, trainer, twin_case, windows_of

NEAR = {**DATA_ONLY, "NEIGHBOUR_CONTEXT": 4}
SETTLED_M = 0.5


def later(case, rows=None):
    """The case a year later, with more settlement behind it, and with fewer train places where `rows` are named."""

    def move(split):
        coords, dynamic = split.coords.copy(), split.dynamic.copy()
        coords[:, :, 0] += coords[0, 1, 0] - coords[0, 0, 0]
        dynamic[:, :, case.sem.subsidence_index] += SETTLED_M
        return replace(split, coords=coords, dynamic=dynamic, subsidence=split.subsidence + np.float32(SETTLED_M))

    moved = {name: move(case.splits[name]) for name in ("train", "val")}
    if rows is not None:
        moved["train"] = take(moved["train"], rows)
    return replace(case, splits={**case.splits, **moved})


def written(case, folder, model=None):
    """A weights file of the network at its start."""
    path = folder / "donor.weights.h5"
    path.write_bytes(weights_bytes(model or case.started(), folder))
    return path


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A case, its network at the start, and a loop over later years of it that starts from these weights."""
    folder = tmp_path_factory.mktemp("begun")
    case = twin_case(**DATA_ONLY)
    donor = case.started()
    loop = trainer(later(case), folder)
    loop.begin(written(case, folder, donor))
    return case, donor, loop


def test_a_warm_start_takes_what_was_learned(begun):
    _, donor, loop = begun
    for weight, learned in zip(loop.model.trainable_weights, donor.trainable_weights, strict=True):
        np.testing.assert_array_equal(weight, learned, err_msg=weight.path)
    np.testing.assert_array_equal(loop.model.scaler.mean, donor.scaler.mean)


def test_a_warm_start_knows_the_years_and_the_course_of_the_new_windows(begun):
    case, donor, loop = begun
    times, model = later(case).train.coords[:, :, 0], loop.model
    assert float(donor.known_until.numpy()) < float(times.max()) == float(model.known_until.numpy())
    assert float(model.common.last_time.numpy()) == float(times.max())
    levels = [np.array(network.common.levels) for network in (donor, model)]
    np.testing.assert_allclose(levels[1][:, 0] - levels[0][:, 0], SETTLED_M, atol=1e-5)
    assert windows_of(model, later(case).val).inputs["known"].min() == 1.0


def test_a_warm_start_forecasts_the_same_city_a_year_later_alike(begun):
    """The same course one year later, half a metre deeper: neither is a reason to forecast another increment."""
    case, donor, loop = begun
    before, after = predict(donor, case.val, hide_years=True), predict(loop.model, later(case).val, hide_years=True)
    np.testing.assert_allclose(after.subsidence - SETTLED_M, before.subsidence, atol=1e-5)


def test_a_warm_start_deals_the_years_like_any_other(begun, tmp_path):
    case, _, loop = begun
    cold = trainer(later(case), tmp_path)
    cold.begin(None)
    np.testing.assert_allclose(loop.source.year_effects, cold.source.year_effects, atol=1e-6)


def test_a_warm_start_looks_at_the_new_train_places(tmp_path):
    case = twin_case(**NEAR)
    fewer = later(case, np.arange(50))
    loop = trainer(fewer, tmp_path)
    loop.begin(written(case, tmp_path))
    scale = case.sem.coord_scale_si
    places = np.array(bank(loop.model).xy)
    np.testing.assert_allclose(places, fewer.train.coords[:, 0, 1:] * [scale.x, scale.y], rtol=1e-5)
    assert predict(loop.model, fewer.val).subsidence.shape[0] == len(fewer.val)


def test_a_warm_start_trains_and_reloads(tmp_path):
    case = twin_case(**DATA_ONLY, EPOCHS=1)
    result = trained(later(case), init_from=written(case, tmp_path))
    path = tmp_path / "after.weights.h5"
    path.write_bytes(result.best_weights)
    again = predict(load(case.manifest, path), later(case).val)
    np.testing.assert_array_equal(again.subsidence, result.val_prediction.subsidence)


# Weights of another network


def test_a_larger_file_does_not_go_into_a_smaller_network(tmp_path):
    """Weights of a network with physics hold all that one without needs, and more."""
    physical, plain = twin_case(**LIGHT), twin_case(**DATA_ONLY)
    path = written(physical, tmp_path, physical.network())
    with pytest.raises(UnsafeCheckpointError, match=r"expected no tensor fields/\S+, found fields/\S+ of shape \("):
        load(plain.manifest, path)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path):
    case, other = twin_case(**DATA_ONLY), twin_case(**DATA_ONLY, MEMORY_SIZE=5)
    path = written(case, tmp_path, case.network())
    with pytest.raises(UnsafeCheckpointError) as caught:
        load(other.manifest, path)
    assert caught.value.where == "donor.weights.h5"
    assert caught.value.expected.endswith("of shape (5, 8)") and caught.value.found.endswith("of shape (4, 8)")
    assert caught.value.expected.split()[0] == caught.value.found.split()[0] != ""


def test_a_tensor_more_is_noticed(tmp_path):
    case = twin_case(**DATA_ONLY)
    path = written(case, tmp_path, case.network())
    load(case.manifest, path)
    with h5py.File(path, "a") as stored:
        stored["in_years/vars/7"] = np.zeros((2, 3), np.float32)
    with pytest.raises(UnsafeCheckpointError, match=r"no tensor in_years/vars/7, found \S+ of shape \(2, 3\)"):
        load(case.manifest, path)
