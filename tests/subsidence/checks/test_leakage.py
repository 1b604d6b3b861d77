import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, in_manifest


def _copied(bundles):
    """A test location among the train windows, with inputs and targets of its own."""
    for part in ("inputs", "targets"):
        for name, array in bundles[f"train_{part}"].items():
            array[5] = bundles[f"test_{part}"][name][0]


def _near_copy(bundles):
    _copied(bundles)
    bundles["train_inputs"]["coords"][5, :, 1:] += 1e-5  # 0.12 m
    bundles["train_inputs"]["dynamic_features"][5] *= 1.01


def _listed_twice(groups):
    groups["val"][0] = groups["train"][0]


CASES = [
    Case(
        "G-01",
        "a test location among train",
        ("train_inputs.npz and test_inputs.npz share 1 places", "Split again"),
        {"arrays": _copied},
    ),
    Case("G-01", "nearly the same place", ("share 1 places (within 0.5 m)",), {"arrays": _near_copy}),
    Case("G-01", "a group in two lists", ("train and val group CSVs share 1 groups",), {"holdout": _listed_twice}),
    Case(
        "G-02", "the same window twice", ("train_inputs.npz and test_inputs.npz share 1 windows",), {"arrays": _copied}
    ),
    Case("G-02", "another window at the same place", (), {"arrays": _near_copy}, status="pass"),
    Case(
        "G-03",
        "a random split",
        ("random", "spatial interpolation score", "val "),
        status="warn",
        spoil=in_manifest("config.holdout.strategy", "random"),
    ),
    Case("G-03", "a split by blocks", ("median distance to the nearest train place: val ",), status="pass"),
    Case(
        "G-04",
        "one window per location",
        ("one window per group: no temporal hold-out in this handoff",),
        status="warn",
    ),
    Case(
        "G-04",
        "a later split is part of it, which nothing scores",
        ("out-of-time split, which is audited but not scored", "--truth"),
        {"oos_time": True},
        status="warn",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_split_is_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_later_test_windows_are_a_temporal_hold_out(tmp_path):
    def later(bundles):
        bundles["test_inputs"]["coords"][..., 0] += 1 / 7

    def recorded(record):
        record["config"]["TRAIN_END_YEAR"], record["config"]["FORECAST_START_YEAR"] = 2023, 2024
        record["config"]["holdout"]["window_end_years"] = {"train": 2022, "val": 2022, "test": 2023}

    outcome = audited(tmp_path, arrays=later, manifest=recorded)
    assert outcome.results["G-04"].status == "pass"
    assert outcome.results["C-06"].status == "pass"
