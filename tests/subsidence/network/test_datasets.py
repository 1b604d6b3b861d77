"""Batches of fixed shape, windows from other origins: nothing looks ahead, any epoch can be redone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.subsidence.network.datasets import EpochSource, batches, carried, every_origin
from tasks.subsidence.network.origins import stored_windows
from tests.subsidence.network.tiny_training import LIGHT, twin_case

H = 3


@pytest.fixture(scope="module")
def case():
    return twin_case(**LIGHT)


@pytest.fixture(scope="module")
def until(case) -> float:
    """The last target time of the train windows, in stored units."""
    return float(case.train.coords[:, :, 0].max())


def source(case, until, *, share: float = 0.5, seed: int = 42) -> EpochSource:
    return EpochSource(case.train, case.sem, share=share, seed=seed, known_until=until)


def moved_rows(case, windows) -> np.ndarray:
    """Which windows are seen from another origin than the stored one."""
    return windows.inputs["coords"][:, 0, 0] != case.train.coords[:, 0, 0]


# Batches


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 70))
def test_every_row_is_in_one_batch_and_the_rest_weighs_nothing(count, size):
    order = np.random.default_rng(0).permutation(count)
    rows, present = batches(order, size)
    assert rows.shape == present.shape == (-(-count // size), size)
    np.testing.assert_array_equal(rows[present > 0], order)
    assert present.sum() == count and set(present.ravel()) <= {0.0, 1.0}
    assert rows.min() >= 0 and rows.max() < count


def test_only_the_last_batch_is_padded():
    rows, present = batches(np.arange(84), 16)
    assert rows.shape == (6, 16) and rows.dtype == np.int32
    assert present.sum(axis=1).tolist() == [16, 16, 16, 16, 16, 4]


def test_the_order_depends_on_seed_and_epoch_alone(case, until):
    first, again, other = source(case, until), source(case, until), source(case, until, seed=7)
    np.testing.assert_array_equal(first.order(3), again.order(3))
    assert (first.order(3) != first.order(4)).any() and (first.order(3) != other.order(3)).any()
    np.testing.assert_array_equal(np.sort(first.order(3)), np.arange(84))


# Other origins


def test_a_window_from_another_origin_has_no_map_of_the_target_years(case, until):
    for windows, home in zip(every_origin(case.train, case.sem, until), (0, 0, 0, 1, 0, 0), strict=True):
        assert windows.inputs["known"].max() == home


# Epochs


def test_without_augmentation_every_epoch_is_the_stored_split(case, until):
    plain, stored = source(case, until, share=0.0), stored_windows(case.train, case.sem, until)
    for epoch in (0, 5):
        for name, array in plain.windows(epoch).inputs.items():
            np.testing.assert_array_equal(array, stored.inputs[name])


@pytest.mark.parametrize(("share", "count"), [(0.5, 42), (0.25, 21), (1.0, 84)])
def test_a_share_of_the_windows_is_seen_from_other_origins(case, until, share, count):
    windows = source(case, until, share=share).windows(0)
    assert moved_rows(case, windows).sum() == count
    assert len(np.unique(windows.inputs["coords"][:, 0, 0])) == 6 - (share == 1.0)


def test_an_epoch_can_be_redone_and_the_next_one_is_another(case, until):
    first, again = source(case, until).windows(2), source(case, until).windows(2)
    for name in first.inputs:
        np.testing.assert_array_equal(first.inputs[name], again.inputs[name])
    assert (source(case, until).windows(3).inputs["coords"] != first.inputs["coords"]).any()
    assert (source(case, until, seed=7).windows(2).inputs["coords"] != first.inputs["coords"]).any()


def dealing(case, until) -> EpochSource:
    """A source that knows the city-wide departures of the years: 1 mm per origin, the same for all leads."""
    made = source(case, until)
    made.year_effects = np.arange(6.0)[:, None, None] * np.array([1e-3, 0.1]) * np.ones((1, H, 1))
    return made


def test_dealing_years_at_random_leaves_windows_at_home_alone(case, until):
    plain, dealt = source(case, until).windows(1), dealing(case, until).windows(1)
    home = ~moved_rows(case, plain)
    np.testing.assert_array_equal(dealt.subsidence[home], plain.subsidence[home])
    for name, array in plain.inputs.items():
        np.testing.assert_array_equal(dealt.inputs[name][home], array[home], err_msg=name)


def test_a_dealt_year_shifts_all_leads_of_a_target_and_no_observation(case, until):
    plain, dealt = source(case, until).windows(1), dealing(case, until).windows(1)
    shift = dealt.subsidence - plain.subsidence
    np.testing.assert_allclose(shift, shift[:, :1] + np.zeros((1, H)), atol=1e-6)
    assert np.abs(shift).max() > 5e-4
    observed = [case.sem.subsidence_index, case.sem.depth_index]
    np.testing.assert_array_equal(dealt.inputs["dynamic_features"][..., observed],
                                  plain.inputs["dynamic_features"][..., observed])  # fmt: skip


def test_effects_of_leads_that_an_origin_lacks_are_carried_on():
    effects = np.array([[[1.0, 2.0], [3.0, 4.0], [np.nan, np.nan]], [[5.0, 6.0], [np.nan, np.nan], [np.nan, np.nan]]])
    np.testing.assert_array_equal(carried(effects)[:, :, 0], [[1.0, 3.0, 3.0], [5.0, 5.0, 5.0]])
