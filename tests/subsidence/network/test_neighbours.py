"""Neighbours of the train years: never oneself, never beyond those years."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.subsidence.infer import load, predict
from tasks.subsidence.network.neighbours import nearest
from tests.subsidence.network.tiny_training import DATA_ONLY, bank, rows_of, trained, twin_case


def test_neighbours_come_nearest_first_and_a_place_is_not_its_own():
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [100.0, 0.0]])
    found = nearest(places, places, 2)
    assert found.index.tolist()[0] == [1, 2] and found.distance.tolist()[0] == [3.0, 4.0]
    assert all(row not in indices for row, indices in enumerate(found.index.tolist()))
    assert found.present.min() == 1.0


def test_a_place_that_is_there_twice_is_skipped_with_all_its_copies():
    bank = np.array([[0.0, 0.0], [0.2, 0.0], [0.0, 0.3], [5.0, 0.0], [6.0, 0.0]])
    found = nearest(np.zeros((1, 2)), bank, 2)
    assert found.index.tolist() == [[3, 4]] and found.present.tolist() == [[1.0, 1.0]]


def test_too_few_neighbours_are_filled_with_absent_ones():
    found = nearest(np.zeros((1, 2)), np.array([[0.0, 0.0], [7.0, 0.0]]), 4)
    assert found.index.shape == found.distance.shape == found.present.shape == (1, 4)
    assert found.present.sum() == 1.0 and found.index[0, found.present[0] > 0].tolist() == [1]


@pytest.fixture(scope="module")
def filling(tmp_path_factory):
    """A network that looks at four neighbours: its case, what training left, and the reloaded network."""
    case = twin_case(**DATA_ONLY, NEIGHBOUR_CONTEXT=4, EPOCHS=1)
    result = trained(case)
    path = tmp_path_factory.mktemp("filling") / "best.weights.h5"
    path.write_bytes(result.best_weights)
    return case, result, load(case.manifest, path)


def test_neighbour_context_trains_and_reloads_exactly(filling):
    case, result, model = filling
    np.testing.assert_array_equal(predict(model, case.val).subsidence, result.val_prediction.subsidence)
    assert result.summary["hp_init"]["protocol"] == "spatial_fill" and model.bank_rows == len(case.train)
    assert all(np.isfinite(value) for value in rows_of(result)[0].values() if value is not None)


def test_what_neighbours_did_in_the_target_years_is_hidden_from_a_forecast_beyond_them(filling):
    case, _, model = filling
    before = {name: predict(model, case.splits[name]) for name in ("test", "future")}
    told = bank(model).increments
    kept = told.numpy()
    told.assign(kept + 3.0)
    after = {name: predict(model, case.splits[name]) for name in ("test", "future")}
    told.assign(kept)
    assert np.abs(after["test"].subsidence - before["test"].subsidence).min() > 0.0
    np.testing.assert_array_equal(after["future"].subsidence, before["future"].subsidence)
    np.testing.assert_array_equal(after["future"].head, before["future"].head)


def test_a_place_is_never_told_what_it_did_itself(filling):
    case, _, model = filling
    before, told = predict(model, case.train).subsidence, bank(model).increments
    kept = told.numpy()
    told.assign(np.where(np.arange(len(kept))[:, None] == 5, kept + 3.0, kept))
    moved = np.abs(predict(model, case.train).subsidence - before).max(axis=(1, 2))
    told.assign(kept)
    assert moved[5] == 0.0 and (moved > 0.0).sum() >= 1


def test_neighbours_start_as_inverse_distance_weights_of_residuals():
    """At 100 m and 200 m of them, 4:1; of absent ones, nothing."""
    case = twin_case(**DATA_ONLY, NEIGHBOUR_CONTEXT=2)
    model = case.network()
    count, flat = len(case.train), model.features.flat_size()
    increments = np.zeros((count, 3, 2))
    increments[:, :, 0] = np.arange(count)[:, None]
    model.around.fill(np.arange(count)[:, None] * np.array([[100.0, 0.0]]), np.zeros((count, flat)), increments)

    def mixed(present):
        nothing = lambda rows: tf.zeros((tf.shape(rows)[0], 3, 2))  # noqa: E731
        places = tf.constant([[3, 4]]), tf.constant([[100.0, 200.0]])
        return model.around.call(tf.zeros((1, flat)), *places, tf.fill((1, 2), present), nothing).numpy()

    np.testing.assert_allclose(mixed(1.0)[0, :, 0], (3 * 4 + 4) / 5, rtol=1e-5)
    np.testing.assert_array_equal(mixed(0.0), np.zeros((1, 3, 2)))
