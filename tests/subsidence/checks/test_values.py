import numpy as np
import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, in_array, setting
from tests.subsidence.mini_city import DYNAMIC

RAIN = DYNAMIC.index("rainfall_mm")

CASES = [
    Case(
        "V-01",
        "one gap",
        ("test_inputs.npz 'dynamic_features' has 1 values of 500 that are NaN or infinite", "first at [3, 2, 1]"),
        in_array("test_inputs", "dynamic_features", setting((3, 2, 1), np.nan)),
    ),
    Case(
        "V-01",
        "infinite target",
        ("train_targets.npz 'subs_pred'",),
        in_array("train_targets", "subs_pred", setting((0, 0, 0), np.inf)),
    ),
    Case(
        "V-01",
        "too large for single precision",
        ("val_inputs.npz 'H_field'",),
        in_array("val_inputs", "H_field", lambda array: array.astype(np.float64) * 1e60),
    ),
    Case(
        "V-01",
        "a future that is known",
        ("future_targets.npz 'subsidence' holds 40 finite values",),
        status="warn",
        spoil=in_array("future_targets", "subsidence", setting(np.s_[:, 0], 0.1)),
    ),
    Case("V-02", "ratios are written down", ("val_inputs.coords 1", "future_targets.gwl 0"), status="pass"),
    Case(
        "V-03",
        "two classes at once",
        ("'lithology' columns are not one-hot", "sum 2"),
        in_array("val_inputs", "static_features", setting(np.s_[4, :2], 1)),
    ),
    Case(
        "V-03", "half a class", ("not one-hot",), in_array("val_inputs", "static_features", setting(np.s_[4, :2], 0.5))
    ),
    Case(
        "V-03",
        "an unseen class",
        ("1 windows of a 'lithology' unseen in training",),
        status="warn",
        spoil=in_array("test_inputs", "static_features", setting(np.s_[4, :3], 0)),
    ),
    Case(
        "V-04",
        "train outside its own range",
        ("train_inputs.npz 'dynamic_features' rainfall_mm", "expected [0, 1]"),
        in_array("train_inputs", "dynamic_features", setting((0, 0, RAIN), 1.01)),
    ),
    Case(
        "V-04",
        "test far outside",
        ("test_inputs.npz 'dynamic_features' rainfall_mm", "..7"),
        status="warn",
        spoil=in_array("test_inputs", "dynamic_features", setting((0, 0, RAIN), 7.0)),
    ),
    Case(
        "V-05",
        "an empty channel",
        ("urban_load_global is 0 everywhere",),
        status="warn",
        spoil=in_array("val_inputs", "dynamic_features", setting(np.s_[..., 3], 0)),
    ),
    Case(
        "V-05",
        "a channel twice",
        ("rainfall_mm and urban_load_global are the same numbers",),
        status="warn",
        spoil={
            "arrays": lambda bundles: setting(np.s_[..., 3], bundles["train_inputs"]["dynamic_features"][..., 2])(
                bundles["train_inputs"]["dynamic_features"]
            )
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_values_are_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_a_gap_fails_once_and_the_other_windows_are_still_judged(tmp_path):
    def spoil(bundles):
        bundles["train_inputs"]["dynamic_features"][0, 0, 0] = np.nan

    outcome = audited(tmp_path, arrays=spoil)
    assert outcome.with_status("fail") == {"V-01"}
    assert outcome.results["U-02"].status == "pass"
    assert outcome.report["finite"]["X_train.dynamic_features.finite_ratio"] == pytest.approx(1 - 1 / 1500)
