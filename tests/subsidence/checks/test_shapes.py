import numpy as np
import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, in_array


def _first(count, *names):
    def spoil(bundles):
        for name in names:
            bundles[name] = {key: array[:count] for key, array in bundles[name].items()}

    return {"arrays": spoil}


def _wider(array):
    return np.concatenate([array, array[..., :1]], axis=-1)


CASES = [
    Case(
        "S-01",
        "not the recorded shape",
        ("test_inputs.npz 'coords' has shape (19, 3, 3)", "records (20, 3, 3)"),
        _first(19, "test_inputs", "test_targets"),
    ),
    Case(
        "S-02",
        "a shorter horizon",
        ("val_inputs.npz 'coords' has shape (20, 2, 3), expected (N, 3, 3)", "FORECAST_HORIZON_YEARS 3"),
        in_array("val_inputs", "coords", lambda array: array[:, :2]),
    ),
    Case(
        "S-02",
        "a shorter history",
        ("'dynamic_features' has shape (60, 4, 5), expected (N, 5, D)",),
        in_array("train_inputs", "dynamic_features", lambda array: array[:, 1:]),
    ),
    Case(
        "S-02",
        "drivers of the wrong mode",
        ("'future_features' has shape (60, 3, 1), expected (N, 8, F)", "tft_like"),
        in_array("train_inputs", "future_features", lambda array: array[:, 5:]),
    ),
    Case(
        "S-02",
        "flat targets",
        ("train_targets.npz 'gwl_pred' has shape (60, 3)",),
        in_array("train_targets", "gwl_pred", lambda array: array[..., 0]),
    ),
    Case(
        "S-02",
        "static with a time axis",
        ("'static_features' has shape (20, 1, 6)",),
        in_array("val_inputs", "static_features", lambda array: array[:, None]),
    ),
    Case(
        "S-02",
        "a misshapen future",
        ("future_inputs.npz 'H_field' has shape (40, 2, 1)",),
        status="warn",
        spoil=in_array("future_inputs", "H_field", lambda array: array[:, :2]),
    ),
    Case(
        "S-03",
        "one static column too many",
        (
            "S-03 val_inputs.npz 'static_features' has 7 columns, manifest features.static lists 6 "
            "(last name: z_surf_m__si). Manifest sha256 ",
            "city minicity. Re-run prepare or pass the manifest",
        ),
        in_array("val_inputs", "static_features", _wider),
    ),
    Case(
        "S-03",
        "one dynamic column too few",
        ("'dynamic_features' has 4 columns, manifest features.dynamic lists 5",),
        in_array("train_inputs", "dynamic_features", lambda array: array[..., :4]),
    ),
    Case(
        "S-03",
        "one future column too many",
        ("future_inputs.npz 'future_features' has 2 columns",),
        in_array("future_inputs", "future_features", _wider),
    ),
    Case(
        "S-04",
        "arrays of different length",
        ("val: arrays differ in length", "'H_field' 19", "'coords' 20"),
        in_array("val_inputs", "H_field", lambda array: array[:19]),
    ),
    Case(
        "S-04",
        "too few train windows",
        ("train: has 7 windows, at least 8",),
        _first(7, "train_inputs", "train_targets"),
    ),
    Case(
        "S-04",
        "too few validation windows",
        ("val: has 3 windows, at least 4",),
        _first(3, "val_inputs", "val_targets"),
    ),
    Case("S-04", "no windows", ("test: has 0 windows",), _first(0, "test_inputs", "test_targets")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_shapes_are_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_columns_that_do_not_match_their_names_are_not_read_by_name(tmp_path):
    outcome = audited(tmp_path, **in_array("val_inputs", "static_features", _wider))
    assert outcome.with_status("fail") == {"S-01", "S-03"}
    assert outcome.results["U-01"].status == "skipped"
    assert "val: no surface elevation column" in outcome.results["U-01"].message


def test_every_failure_is_listed_not_only_the_first(tmp_path):
    def spoil(bundles):
        bundles["train_inputs"]["coords"] = bundles["train_inputs"]["coords"][:, :2]
        bundles["val_inputs"]["H_field"] = bundles["val_inputs"]["H_field"][:, :2]

    message = audited(tmp_path, arrays=spoil).results["S-02"].message
    assert "train_inputs.npz 'coords'" in message and "val_inputs.npz 'H_field'" in message
