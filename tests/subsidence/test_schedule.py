"""Gates are functions of the step."""

import pytest

from tasks.contracts.errors import ConfigError
from tasks.subsidence.schedule import Plan, full_strength, gates, offset_table, physics_gate
from tests.subsidence.tiny_network import tiny_config

PLAN = Plan(epochs=20, steps_per_epoch=10)


def made(**changes):
    return gates(tiny_config(EPOCHS=20, **changes), PLAN, physics=True, consolidation=True)


def test_physics_fades_in_over_fractions_of_the_planned_steps():
    gate = physics_gate(PLAN, 0.05, 0.25)
    assert [gate(step) for step in (0, 10, 35, 60, 199)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert full_strength(gate, PLAN) == 60


def test_a_schedule_that_is_too_late_is_refused_with_its_numbers():
    with pytest.raises(ConfigError, match=r"at most 0.6 of 200 steps, found 0.4 \+ 0.3, step 140"):
        physics_gate(PLAN, 0.4, 0.3)


def test_no_ramp_is_a_jump():
    gate = physics_gate(PLAN, 0.1, 0.0)
    assert (gate(19), gate(20)) == (0.0, 1.0)


def test_data_first_opens_the_residual_before_the_forcing():
    made_gates = made()
    assert full_strength(made_gates["subs_resid"], PLAN) == 50
    assert full_strength(made_gates["q"], PLAN) == 80
    assert made_gates["subs_resid"](9) == 0.0


def test_physics_first_keeps_the_residual_back():
    assert full_strength(made(TRAINING_STRATEGY="physics_first")["subs_resid"], PLAN) == 100


@pytest.mark.parametrize(("policy", "value"), [("always_on", 1.0), ("always_off", 0.0)])
def test_policies_without_warm_up(policy, value):
    gate = made(SUBS_RESID_POLICY_DATA_FIRST=policy)["subs_resid"]
    assert gate(0) == gate(199) == value


def test_a_short_training_opens_its_gates_in_time():
    short = Plan(epochs=3, steps_per_epoch=10)
    opened = gates(tiny_config(EPOCHS=3), short, physics=True, consolidation=True)
    assert full_strength(opened["subs_resid"], short) <= 0.6 * short.steps
    assert full_strength(opened["q"], short) <= 0.6 * short.steps


def test_without_consolidation_the_residual_is_always_on():
    assert gates(tiny_config(), PLAN, physics=True, consolidation=False)["subs_resid"](0) == 1.0
    assert gates(tiny_config(), PLAN, physics=False, consolidation=False)["subs_resid"](0) == 1.0


def test_the_offset_is_constant_without_a_scheduler():
    assert {made(LAMBDA_OFFSET=0.7)["offset"](step) for step in (0, 50, 199)} == {0.7}


def test_the_linear_offset_moves_per_epoch():
    gate = made(USE_LAMBDA_OFFSET_SCHEDULER=True, LAMBDA_OFFSET_WARMUP=2)["offset"]
    assert [gate(step) for step in (0, 9, 10, 20, 199)] == pytest.approx([0.1, 0.1, 0.55, 1.0, 1.0])


def test_moving_at_the_end_of_a_unit_is_one_unit_later():
    late = made(USE_LAMBDA_OFFSET_SCHEDULER=True, LAMBDA_OFFSET_WARMUP=2, LAMBDA_OFFSET_WHEN="end")["offset"]
    assert [late(step) for step in (0, 10, 20, 30)] == pytest.approx([0.1, 0.1, 0.55, 1.0])


def test_the_offset_may_move_per_step():
    gate = made(USE_LAMBDA_OFFSET_SCHEDULER=True, LAMBDA_OFFSET_WARMUP=4, LAMBDA_OFFSET_UNIT="step")["offset"]
    assert [gate(step) for step in (0, 2, 4)] == pytest.approx([0.1, 0.55, 1.0])


def test_a_table_holds_each_value_until_the_next_and_a_list_counts_from_0():
    table = made(USE_LAMBDA_OFFSET_SCHEDULER=True, LAMBDA_OFFSET_SCHEDULE={"2": 0.5, "0": 0.2})["offset"]
    assert [table(step) for step in (0, 19, 20, 199)] == [0.2, 0.2, 0.5, 0.5]
    assert offset_table([0.1, 0.4]) == [(0, 0.1), (1, 0.4)]
    with pytest.raises(ConfigError, match="LAMBDA_OFFSET_SCHEDULE is empty"):
        offset_table([])


def test_a_plain_multiplier_must_be_positive_and_an_exponent_need_not():
    with pytest.raises(ConfigError, match="must be positive"):
        made(LAMBDA_OFFSET=0.0)
    assert made(LAMBDA_OFFSET=-1.0, OFFSET_MODE="log10")["offset"](0) == -1.0


def test_the_compressibility_prior_fades_in_after_its_delay():
    per_epoch = made()["mv"]
    assert [per_epoch(step) for step in (10, 20, 30)] == [0.0, 0.5, 1.0]
    per_step = made(MV_SCHEDULE_UNIT="step", MV_DELAY_STEPS=2, MV_WARMUP_STEPS=4)["mv"]
    assert [per_step(step) for step in (2, 4, 6)] == [0.0, 0.5, 1.0]
