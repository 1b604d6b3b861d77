"""Hold-outs: whole points, whole blocks, later years."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.stage1.splits import split_points, temporal_shift
from tests.subsidence.panel_cases import panel_rows, prepare_rows, read_arrays, read_record

BASE = {"seed": 1, "val_frac": 0.2, "test_frac": 0.1, "block_m": 1000.0, "end_year": 2022, "shift": 0}


@given(seed=st.integers(0, 2**32), count=st.integers(30, 200), strategy=st.sampled_from(["random", "spatial_block"]))
def test_every_point_is_in_exactly_one_split(seed, count, strategy):
    x_m, y_m = np.random.default_rng(seed).uniform(0, 9000, (2, count))
    made = split_points(x_m, y_m, strategy=strategy, **(BASE | {"seed": seed}))
    merged = np.sort(np.concatenate(list(made.points.values())))
    np.testing.assert_array_equal(merged, np.arange(count))


@given(seed=st.integers(0, 2**32))
def test_no_block_is_divided(seed):
    x_m, y_m = np.random.default_rng(seed).uniform(3e5, 3.09e5, (2, 150))
    made = split_points(x_m, y_m, strategy="spatial_block", **(BASE | {"seed": seed}))
    blocks = [{(x // 1000, y // 1000) for x, y in zip(x_m[points], y_m[points])} for points in made.points.values()]
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == made.blocks


def test_random_shares_are_rounded_to_points():
    made = split_points(np.arange(2006.0), np.zeros(2006), strategy="random", **BASE)
    assert {name: len(points) for name, points in made.points.items()} == {"train": 1404, "val": 401, "test": 201}


def test_blocks_come_near_the_shares():
    rng = np.random.default_rng(2)
    made = split_points(*rng.uniform(0, 20_000, (2, 1000)), strategy="spatial_block", **BASE)
    assert len(made.points["val"]) == pytest.approx(200, abs=4)
    assert len(made.points["test"]) == pytest.approx(100, abs=4)


@pytest.mark.parametrize(("asked", "spare", "shift"), [(None, 5, 3), (None, 2, 2), (1, 5, 1)])
def test_shift_takes_what_the_panel_can_spare(asked, spare, shift):
    assert temporal_shift(asked, horizon=3, spare_years=spare) == shift


def test_shift_beyond_the_panel_is_refused():
    with pytest.raises(HandshakeError, match="expected 4 more years before the first window, found 2"):
        temporal_shift(4, horizon=3, spare_years=2)


def test_blocks_stay_whole(tmp_path):
    made = prepare_rows(tmp_path, holdout="spatial_block", block_m=1500.0)
    record = read_record(made)["config"]["holdout"]
    assert record["strategy"] == "spatial_block" and record["block_size_m"] == 1500.0 and record["block_count"] > 10
    low = np.array(read_record(made, "scalers.json")["coords"]["min"])[1:]
    span = np.array(read_record(made, "scalers.json")["coords"]["scale"])[1:]
    places = {s: read_arrays(made, f"{s}_inputs")["coords"][:, 0, 1:] * span + low for s in ("train", "val", "test")}
    blocks = {split: {tuple(np.floor(xy / 1500.0)) for xy in values} for split, values in places.items()}
    assert not blocks["train"] & blocks["val"] and not blocks["train"] & blocks["test"]


def test_temporal_windows_of_val_and_test_end_later(tmp_path):
    made = prepare_rows(tmp_path, holdout="temporal", train_end_year=2023)
    record = read_record(made)["config"]["holdout"]
    assert record["window_end_years"] == {"train": 2022, "val": 2023, "test": 2023} and record["temporal_shift"] == 1
    scaler = read_record(made, "scalers.json")["coords"]
    for split, years in (("train", [2020, 2021, 2022]), ("val", [2021, 2022, 2023]), ("future", [2024, 2025, 2026])):
        t = read_arrays(made, f"{split}_inputs")["coords"][0, :, 0] * scaler["scale"][0] + scaler["min"][0]
        np.testing.assert_allclose(t, years, atol=1e-4)


def test_temporal_without_spare_years_is_refused(tmp_path):
    with pytest.raises(HandshakeError, match=r"temporal hold-out needs train windows that end earlier.*found 0"):
        prepare_rows(tmp_path, holdout="temporal", train_end_year=2022)


def test_too_few_points_for_the_splits(tmp_path):
    with pytest.raises(HandshakeError, match="split 'val' is too small: expected at least 4 points, found 2 of 12"):
        prepare_rows(tmp_path, panel_rows(12))


def test_without_test_points_the_bundles_are_absent(tmp_path):
    made = prepare_rows(tmp_path, test_frac=0.0)
    assert not (made.manifest.parent / "artifacts/test_inputs.npz").exists()
    assert "test_inputs_npz" not in read_record(made)["artifacts"]["numpy"]
