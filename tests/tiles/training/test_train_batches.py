"""Batches follow from seed, epoch and step alone."""

import numpy as np
import torch

from tasks.tiles.pair import in_memory
from tasks.tiles.train_batches import Batches, collated
from tasks.tiles.train_job import TrainJob
from tests.tiles.training.small_pairs import small_pair, small_pairs

JOB = TrainJob(batch_size=4, crop=16)


def test_an_epoch_shows_every_pair_and_fills_its_last_batch_from_its_start():
    batches = Batches(small_pairs(count=12), (0, 2, 4, 6, 8, 10), JOB)
    first, last = batches.members(0, 0), batches.members(0, 1)
    assert set(first) | set(last) == {0, 2, 4, 6, 8, 10}
    assert last[2:].tolist() == first[:2].tolist()


def test_epochs_have_orders_of_their_own():
    batches = Batches(small_pairs(count=12), range(12), JOB)
    orders = {tuple(batches.members(epoch, 0)) for epoch in range(4)}
    assert len(orders) == 4 and tuple(batches.members(2, 0)) in orders


def test_a_batch_can_be_made_again_without_those_before_it():
    batches, again = (Batches(small_pairs(count=12), range(12), JOB) for _ in range(2))
    for step in range(3):
        batches(0, step, step)
    assert torch.equal(batches(1, 0, 3).target, again(1, 0, 3).target)
    assert not torch.equal(again(1, 0, 3).target, again(1, 0, 4).target)


def test_the_seed_decides():
    pairs = small_pairs(count=12)
    other = JOB.model_copy(update={"seed": 43})
    assert (
        Batches(pairs, range(12), JOB).members(0, 0).tolist() != Batches(pairs, range(12), other).members(0, 0).tolist()
    )


def test_crops_are_never_larger_than_the_largest_pair():
    pairs = in_memory([small_pair("a_0", 20, 12), small_pair("b_0", 9, 9)], ["a", "b"])
    batches = Batches(pairs, (0, 1), JOB.model_copy(update={"crop": 224}))
    assert batches.side == 20 and batches(0, 0, 0).target.shape == (4, 4, 20, 20)


def test_all_that_is_known_reaches_the_model():
    told = {"month": 7, "biome": 4, "year": 2021.0, "day_of_year": 196.0, "lat": 47.5, "lon": 8.25}
    hole = np.ones((8, 8), bool)
    hole[0, 0] = False
    examples = collated([small_pair("a", 8, 8, seen=hole, **told), small_pair("b", 8, 8)])
    assert examples.batch.tiles.shape == (2, 1, 4, 8, 8) and examples.batch.tiles.dtype == torch.float32
    assert {name: getattr(examples.batch, name)[0].item() for name in told} == told
    assert not examples.batch.valid[0, 0, 0] and examples.valid.all() and examples.batch.year[1].isnan()
