"""Windows from other origins: the same timeline cut elsewhere, and nothing that looks ahead."""

from dataclasses import replace

import numpy as np
import pytest

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


def timeline(case, until) -> np.ndarray:
    """(N, T+H) m: cumulative subsidence of all steps of the train windows."""
    stored = stored_windows(case.train, case.sem, until)
    past = stored.inputs["dynamic_features"][:, :, case.sem.subsidence_index]
    return np.concatenate([past, stored.subsidence], axis=1)


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


def test_maps_of_the_training_years_are_used_by_windows_of_those_years_only(case, until):
    """A window that ends a year later shares two years with training, and still is forecast as a whole."""
    step = np.array([stored_time_step(case.sem), 0, 0], np.float32)
    later = replace(case.train, coords=case.train.coords + step)
    assert stored_windows(case.train, case.sem, until).inputs["known"].min() == 1.0
    assert stored_windows(later, case.sem, until).inputs["known"].max() == 0.0


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


def test_the_course_of_the_city_is_the_mean_over_its_windows(case, until):
    levels = common_levels(case.train, case.sem)
    assert levels.shape == (T + H, 2)
    np.testing.assert_allclose(levels[:, 0], timeline(case, until).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(levels[:T, 1], case.train.dynamic[:, :, case.sem.depth_index].mean(axis=0), rtol=1e-5)
