"""The length of a training and its learning rates."""

import pytest

from tasks.tiles.schedule import plan, rate_factor
from tasks.tiles.train_job import TrainJob


def test_an_epoch_shows_every_pair():
    planned = plan(TrainJob(epochs=3, batch_size=4), training_pairs=9)
    assert (planned.steps_per_epoch, planned.steps, planned.epochs) == (3, 9, 3)


def test_steps_replace_epochs_and_cut_the_last_one():
    planned = plan(TrainJob(steps=7, batch_size=4), training_pairs=9)
    assert [planned.batches(epoch) for epoch in range(planned.epochs)] == [3, 3, 1]


def test_short_epochs_share_a_validation_and_the_last_one_has_its_own():
    planned = plan(TrainJob(epochs=8, batch_size=4, validate_steps=7), training_pairs=9)
    assert [epoch for epoch in range(8) if planned.judged(epoch)] == [2, 5, 7]


def test_long_epochs_are_judged_each():
    planned = plan(TrainJob(epochs=3, batch_size=4, validate_steps=7), training_pairs=28)
    assert all(planned.judged(epoch) for epoch in range(3))


def test_the_rate_rises_over_a_tenth_of_the_steps_and_falls_to_zero():
    planned = plan(TrainJob(steps=100, batch_size=4), training_pairs=9)
    factors = [rate_factor(step, planned) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.5)
    assert 0.0 < factors[99] < 0.001 and factors[10:] == sorted(factors[10:], reverse=True)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_all_or_no_warm_up_gives_finite_rates(warmup):
    planned = plan(TrainJob(steps=4, warmup=warmup), training_pairs=8)
    assert all(0.0 <= rate_factor(step, planned) <= 1.0 for step in range(5))
