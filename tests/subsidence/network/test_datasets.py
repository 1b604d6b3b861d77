"""Batches of fixed shape, windows from other origins: nothing looks ahead, any epoch can be redone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.subsidence.network.datasets import EpochSource, batches, carried, every_origin
from tasks.subsidence.network.origins import (
    common_levels,
    feasible_origins,
    history_head,
    stored_time_step,
    stored_windows,
    windows_from,
)
from tests.subsidence.network.tiny_training import LIGHT, twin_case

T, H = 5, 3


@pytest.fixture(scope="module")
def case():
    return twin_case(**LIGHT)


@pytest.fixture(scope="module")
def until(case) -> float:
    """The last target time of the train windows, in stored units."""
    return float(case.train.coords[:, :, 0].max())


def source(case, until, *, share: float = 0.5, seed: int = 42) -> EpochSource:
    return EpochSource(case.train, case.sem, share=share, seed=seed, known_until=until)


def timeline(case, until) -> np.ndarray:
    """(N, T+H) m: cumulative subsidence of all steps of the train windows."""
    stored = stored_windows(case.train, case.sem, until)
    past = stored.inputs["dynamic_features"][:, :, case.sem.subsidence_index]
    return np.concatenate([past, stored.subsidence], axis=1)


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


# Stored windows


def test_stored_windows_are_the_handoff_in_float32(case, until):
    windows = stored_windows(case.train, case.sem, until)
    assert {array.dtype for array in windows.inputs.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(windows.inputs["dynamic_features"], case.train.dynamic)
    np.testing.assert_array_equal(windows.subsidence, case.train.subsidence[:, :, 0])
    assert windows.inputs["history_mask"].min() == windows.weight.min() == windows.inputs["known"].min() == 1.0


def test_future_windows_have_no_weight_and_no_map(case, until):
    windows = stored_windows(case.splits["future"], case.sem, until)
    assert windows.weight.max() == windows.inputs["known"].max() == 0.0
    assert np.isfinite(windows.subsidence).all()


# Other origins


def test_a_time_step_is_one_year_of_the_stored_coordinate(case):
    steps = np.diff(case.train.coords[:, :, 0], axis=1)
    np.testing.assert_allclose(steps, stored_time_step(case.sem), rtol=1e-5)


def test_every_split_of_the_window_but_the_stored_one_is_an_origin(case):
    assert feasible_origins(case.sem) == (2, 3, 4, 6, 7)


def test_without_past_drivers_earlier_origins_are_not_feasible(case):
    sem = case.sem.model_copy(update={"mode": "pihal_like", "future_names": ("unheard of",)})
    assert feasible_origins(sem) == (6, 7)


@pytest.mark.parametrize("origin", [2, 3, 4, 5, 6, 7])
def test_a_window_from_another_origin_is_the_same_timeline_cut_elsewhere(case, until, origin):
    windows = windows_from(case.train, case.sem, np.full(84, origin), until)
    line, seen = timeline(case, until), min(origin, T)
    past = windows.inputs["dynamic_features"][:, :, case.sem.subsidence_index]
    np.testing.assert_array_equal(past[:, T - seen :], line[:, origin - seen : origin])
    np.testing.assert_array_equal(windows.inputs["history_mask"], np.tile(np.arange(T) >= T - seen, (84, 1)))
    there = min(H, T + H - origin)
    np.testing.assert_array_equal(windows.subsidence[:, :there], line[:, origin : origin + there])
    np.testing.assert_array_equal(windows.weight, np.tile(np.arange(H) < there, (84, 1)))


@pytest.mark.parametrize("origin", [2, 6])
def test_times_drivers_and_heads_move_with_the_origin(case, until, origin):
    windows, stored = (windows_from(case.train, case.sem, np.full(84, at), until) for at in (origin, T))
    shift = (origin - T) * stored_time_step(case.sem)
    np.testing.assert_allclose(windows.inputs["coords"][..., 0], stored.inputs["coords"][..., 0] + shift, rtol=1e-6)
    np.testing.assert_array_equal(windows.inputs["coords"][..., 1:], stored.inputs["coords"][..., 1:])
    there = min(H, T + H - origin)
    np.testing.assert_array_equal(windows.inputs["future_features"][:, T : T + there],
                                  case.train.future[:, origin : origin + there])  # fmt: skip
    heads = np.concatenate([history_head(case.train, case.sem), case.train.head[:, :, 0]], axis=1)
    np.testing.assert_array_equal(windows.head[:, :there], heads[:, origin : origin + there].astype(np.float32))
    depth = windows.inputs["dynamic_features"][:, -1, case.sem.depth_index]
    surface = case.train.static[:, case.sem.z_surf_index]
    np.testing.assert_allclose(surface - depth, heads[:, origin - 1], atol=1e-5)


def test_a_window_from_another_origin_has_no_map_of_the_target_years(case, until):
    for windows, home in zip(every_origin(case.train, case.sem, until), (0, 0, 0, 1, 0, 0), strict=True):
        assert windows.inputs["known"].max() == home


def test_nothing_after_the_origin_reaches_the_inputs(case, until):
    """Targets changed from the origin on leave every input as it is, but for the drivers that are known ahead."""
    for origin in (2, 4, 5, 6):
        ahead = slice(max(origin - T, 0), None)
        spoilt = replace(case.train, subsidence=case.train.subsidence.copy(), head=case.train.head.copy())
        spoilt.subsidence[:, ahead] += 1.0
        spoilt.head[:, ahead] -= 5.0
        if origin < T:
            spoilt = replace(spoilt, dynamic=case.train.dynamic.copy())
            spoilt.dynamic[:, origin:, : case.sem.subsidence_index + 1] += 2.0
        clean, dirty = (windows_from(split, case.sem, np.full(84, origin), until) for split in (case.train, spoilt))
        seen = clean.inputs["history_mask"] > 0
        for name in set(clean.inputs) - {"dynamic_features"}:
            np.testing.assert_array_equal(clean.inputs[name], dirty.inputs[name], err_msg=f"{name} from {origin}")
        np.testing.assert_array_equal(clean.inputs["dynamic_features"][seen], dirty.inputs["dynamic_features"][seen])


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


def test_the_course_of_the_city_is_the_mean_over_its_windows(case, until):
    levels = common_levels(case.train, case.sem)
    assert levels.shape == (T + H, 2)
    np.testing.assert_allclose(levels[:, 0], timeline(case, until).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(levels[:T, 1], case.train.dynamic[:, :, case.sem.depth_index].mean(axis=0), rtol=1e-5)


def test_maps_of_the_training_years_are_used_by_windows_of_those_years_only(case, until):
    """A window that ends a year later shares two years with training, and still is forecast as a whole."""
    step = np.array([stored_time_step(case.sem), 0, 0], np.float32)
    later = replace(case.train, coords=case.train.coords + step)
    assert stored_windows(case.train, case.sem, until).inputs["known"].min() == 1.0
    assert stored_windows(later, case.sem, until).inputs["known"].max() == 0.0
