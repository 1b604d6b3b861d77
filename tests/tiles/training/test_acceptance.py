"""Training on the generator's pairs beats doing nothing on scenes that it has not seen."""

import time

import pytest
import torch

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.checkpoint import fresh
from tasks.tiles.pairs import folder_pairs
from tasks.tiles.sample import make_sample
from tasks.tiles.train import train
from tasks.tiles.train_job import TrainJob
from tests.tiles.training.small_training import Memory

JOB = TrainJob(steps=300, batch_size=8, crop=64, lr=1e-3, val_fraction=0.25, seed=42)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The verdict of one thread, and the seconds of CPU that the training took."""
    sample = make_sample(tmp_path_factory.mktemp("sample"), count=64, sizes=(120,), seed=42, checkpoint=False)
    pairs = folder_pairs(sample.tiles, sample.reference, TilesConfig(), seed=42)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.process_time()
        trained = train(JOB, pairs, fresh("nano", seed=42), Memory())
        return trained, time.process_time() - began
    finally:
        torch.set_num_threads(threads)


def test_reflectance_of_unseen_scenes_is_better_by_a_third_of_a_decibel(outcome):
    verdict = outcome[0].verdict
    assert verdict.model["psnr"] >= verdict.identity["psnr"] + 0.3


def test_ndvi_of_unseen_scenes_is_better_by_a_tenth(outcome):
    verdict = outcome[0].verdict
    assert verdict.model["ndvi_rmse"] <= 0.9 * verdict.identity["ndvi_rmse"]


def test_it_beats_the_classical_filter_too(outcome):
    verdict = outcome[0].verdict
    assert verdict.better and verdict.model["loss"] < verdict.unsharp["loss"] and verdict.warnings == ()


def test_a_minute_of_one_core_is_enough(outcome):
    assert outcome[1] < 60
