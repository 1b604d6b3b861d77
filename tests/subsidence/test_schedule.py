"""Gates as functions of the step: what is on when, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import Config, built_in
from tasks.subsidence.schedule import Plan, full_strength, gates, offset_table, physics_gate

PLAN = Plan(epochs=20, steps_per_epoch=10)
OFFSETS = {"USE_LAMBDA_OFFSET_SCHEDULER": True}


def gate(name: str, plan: Plan = PLAN, *, consolidation: bool = True, **changes):
    """One gate of the default schedule; any setting can be changed."""
    return gates(Config({**built_in(), **changes}), plan, physics=True, consolidation=consolidation)[name]


def test_a_plan_counts_all_steps():
    assert Plan(epochs=4, steps_per_epoch=6).steps == 24


def test_physics_waits_five_per_cent_of_the_steps_and_is_full_after_thirty():
    physics = gate("physics")
    assert [physics(step) for step in (0, 10, 35, 60, 199)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert full_strength(physics, PLAN) == 60
    assert full_strength(physics, Plan(epochs=2, steps_per_epoch=10)) is None


def test_without_ramp_physics_is_switched_on_in_one_step():
    physics = physics_gate(Plan(1, 100), 0.1, 0.0)
    assert [physics(step) for step in (9, 10)] == [0.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(2, 50), st.floats(0.0, 0.3), st.floats(0.0, 0.3))
def test_physics_never_falls_and_is_full_by_sixty_per_cent(epochs, steps_per_epoch, warmup, ramp):
    plan = Plan(epochs, steps_per_epoch)
    values = [physics_gate(plan, warmup, ramp)(step) for step in range(plan.steps)]
    assert values == sorted(values) and values[0] >= 0.0
    assert {value for step, value in enumerate(values) if step >= 0.6 * plan.steps} <= {1.0}


def test_physics_that_is_full_too_late_is_refused_with_the_numbers():
    with pytest.raises(ConfigError, match=r"PHYSICS_RAMP_FRACTION.*too late.*0\.6 of 200.*0\.4 \+ 0\.3, step 140"):
        gate("physics", PHYSICS_WARMUP_FRACTION=0.4, PHYSICS_RAMP_FRACTION=0.3)


@pytest.mark.parametrize(("name", "half", "opened"), [("q", 50, 80), ("subs_resid", 30, 50)])
def test_data_first_opens_the_residual_after_one_epoch_and_four_and_q_after_two_and_six(name, half, opened):
    opening = gate(name)
    assert (opening(half), opening(opened - 1) < 1.0, opening(opened)) == (0.5, True, 1.0)
    assert opening(0) == 0.0


@pytest.mark.parametrize("name", ["q", "subs_resid"])
def test_physics_first_keeps_both_closed_for_five_epochs(name):
    opening = gate(name, TRAINING_STRATEGY="physics_first")
    assert [opening(step) for step in (50, 75, 100)] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("policy", "value"), [("always_on", 1.0), ("always_off", 0.0)])
def test_a_gate_can_be_always_on_or_off(policy, value):
    fixed = gate("subs_resid", SUBS_RESID_POLICY_DATA_FIRST=policy)
    assert {fixed(step) for step in range(PLAN.steps)} == {value}


@pytest.mark.parametrize("name", ["q", "subs_resid"])
@pytest.mark.parametrize("epochs", [1, 2, 5, 9])
def test_short_trainings_open_their_gates_by_sixty_per_cent_all_the_same(name, epochs):
    plan = Plan(epochs, 10)
    assert gate(name, plan)(round(0.6 * plan.steps)) == pytest.approx(1.0)
    assert gate(name, plan)(0) == 0.0


def test_without_consolidation_the_residual_is_all_there_is_and_stays_on():
    assert {gate("subs_resid", consolidation=False)(step) for step in range(PLAN.steps)} == {1.0}


def test_without_physics_only_the_residual_is_on():
    off = gates(Config(built_in()), PLAN, physics=False, consolidation=False)
    assert {name: value(100) for name, value in off.items()} == {
        "physics": 0.0, "q": 0.0, "subs_resid": 1.0, "offset": 1.0, "mv": 0.0,
    }  # fmt: skip


def test_the_compressibility_prior_waits_one_epoch_and_fades_in_over_two():
    assert [gate("mv")(step) for step in (10, 20, 30)] == [0.0, 0.5, 1.0]


def test_the_compressibility_prior_can_be_scheduled_in_steps():
    prior = gate("mv", MV_SCHEDULE_UNIT="step", MV_DELAY_STEPS=3, MV_WARMUP_STEPS=4)
    assert [prior(step) for step in (3, 5, 7)] == [0.0, 0.5, 1.0]


def test_without_a_scheduler_the_offset_stays_what_it_is():
    offset = gate("offset", LAMBDA_OFFSET=0.3, LAMBDA_OFFSET_END=9.0)
    assert (offset(0), offset(199)) == (0.3, 0.3)


def test_the_offset_moves_from_start_to_end_in_a_straight_line_and_stays():
    offset = gate("offset", **OFFSETS)
    assert [offset(10 * epoch) for epoch in range(7)] == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82, 1.0, 1.0])
    assert offset(19) == offset(10)  # within an epoch nothing moves


def test_an_offset_that_moves_at_the_end_of_an_epoch_is_one_epoch_behind():
    begin, end = gate("offset", **OFFSETS), gate("offset", **OFFSETS, LAMBDA_OFFSET_WHEN="end")
    assert [end(10 * epoch) for epoch in (0, 1, 2, 6)] == [begin(10 * epoch) for epoch in (0, 0, 1, 5)]


def test_the_offset_can_move_with_every_step():
    offset = gate("offset", **OFFSETS, LAMBDA_OFFSET_UNIT="step", LAMBDA_OFFSET_WARMUP=4)
    assert [offset(step) for step in (0, 2, 4)] == pytest.approx([0.1, 0.55, 1.0])


def test_an_offset_without_warmup_starts_at_its_end():
    assert gate("offset", **OFFSETS, LAMBDA_OFFSET_WARMUP=0)(0) == pytest.approx(1.0)


@pytest.mark.parametrize("table", [{0: 0.2, 3: 0.7}, {"0": 0.2, "3": 0.7}, [0.2, 0.2, 0.2, 0.7]])
def test_a_table_and_a_list_hold_each_value_until_the_next(table):
    offset = gate("offset", **OFFSETS, LAMBDA_OFFSET_SCHEDULE=table)
    assert [offset(10 * epoch) for epoch in (0, 2, 3, 19)] == [0.2, 0.2, 0.7, 0.7]


def test_before_its_first_index_a_table_holds_its_first_value():
    assert gate("offset", **OFFSETS, LAMBDA_OFFSET_SCHEDULE={5: 0.4})(0) == 0.4


def test_table_indices_are_ordered_as_numbers():
    assert offset_table({"10": 3.0, "9": 2.0}) == [(9, 2.0), (10, 3.0)]


@pytest.mark.parametrize("table", [{}, []])
def test_an_empty_table_is_refused(table):
    with pytest.raises(ConfigError, match=r"LAMBDA_OFFSET_SCHEDULE is empty: expected \{index: value\} or a list"):
        offset_table(table)


@pytest.mark.parametrize("changes", [
    {"LAMBDA_OFFSET": 0.0}, {**OFFSETS, "LAMBDA_OFFSET_START": 0.0}, {**OFFSETS, "LAMBDA_OFFSET_SCHEDULE": [1.0, -1.0]},
])  # fmt: skip
def test_a_multiplier_that_is_not_positive_is_refused_unless_it_is_an_exponent(changes):
    with pytest.raises(ConfigError, match="LAMBDA_OFFSET must be positive while OFFSET_MODE is mul"):
        gate("offset", **changes)
    assert gate("offset", OFFSET_MODE="log10", **changes)(0) <= 1.0
