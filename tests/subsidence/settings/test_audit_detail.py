"""AUDIT_STAGES adds lines on the console and nothing else."""

import pytest

from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import OWNERSHIP, last_value
from tasks.subsidence.settings.audit_detail import detail
from tasks.subsidence.settings.key import checked
from tasks.subsidence.types import CheckResult, ConfigLayer, LiveConfig

CHECKS = [
    CheckResult(id=id, severity="fail", status=status, message=f"{id} {status} words.")
    for id, status in (("M-01", "pass"), ("F-01", "warn"), ("U-08", "skipped"), ("K-03", "pass"))
]


def test_nothing_is_told_unless_asked():
    assert detail(CHECKS, None) == detail(CHECKS, []) == []


@pytest.mark.parametrize("stages", [["stage2"], ["all"], ["stage1", "stage2"]])
def test_the_second_stage_tells_every_line_whatever_its_status(stages):
    assert detail(CHECKS, stages) == [
        "pass    M-01 pass words.", "warn    F-01 warn words.", "skipped U-08 skipped words.",
        "pass    K-03 pass words.",
    ]  # fmt: skip


def test_the_first_stage_tells_the_lines_on_what_was_delivered():
    assert [line.split()[1] for line in detail(CHECKS, ["stage1"])] == ["F-01", "U-08"]


@pytest.mark.parametrize(("given", "stored"), [
    ("*", ["all"]), ("stage2", ["stage2"]), (["stage1", "*"], ["stage1", "all"]),
])  # fmt: skip
def test_one_stage_or_a_list_may_be_given(given, stored):
    assert checked(OWNERSHIP["AUDIT_STAGES"], given) == stored


@pytest.mark.parametrize(("given", "message"), [
    ("stage3", "There is no tuning stage here"), (["stag2"], r"AUDIT_STAGES\[0\] has an unknown value.*mean stage2"),
    (True, "expected one of stage1, stage2, all"),
])  # fmt: skip
def test_other_stages_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        checked(OWNERSHIP["AUDIT_STAGES"], given)


def test_the_last_layer_that_names_a_setting_wins_before_the_default():
    first, second = ConfigLayer(source="file:a", values={"EPOCHS": 3}), ConfigLayer(source="set", values={"EPOCHS": 4})
    assert last_value(LiveConfig(layers=(first, second)), "EPOCHS") == 4
    assert last_value(LiveConfig(layers=(first,)), "AUDIT_STAGES") is None
