"""One class for training and refinement: what training leaves is refined with as it is."""

from contextlib import suppress

import numpy as np
import pytest

from tasks.contracts.errors import RedFlagError
from tasks.contracts.tiles import TilesConfig
from tasks.store.npz import read_npz
from tasks.tiles.checkpoint import build, fresh, load_checkpoint
from tasks.tiles.model import Batch
from tasks.tiles.pairs import folder_pairs
from tasks.tiles.refine_folder import FolderRun, refine_folder
from tasks.tiles.sample import make_sample
from tasks.tiles.train import keep, train
from tasks.tiles.train_batches import collated
from tasks.tiles.train_job import TrainJob
from tests.tiles.training.small_training import Memory

FP32 = TilesConfig(precision="fp32")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiles of three sizes with gaps, and the checkpoint of two steps on them."""
    top = tmp_path_factory.mktemp("two_steps")
    sample = make_sample(top / "tiles", count=12, sizes=(32, 40, 17), nodata=True, checkpoint=False)
    pairs = folder_pairs(sample.tiles, sample.reference, FP32, seed=42)
    trained = train(TrainJob(steps=2, batch_size=4, crop=32, lr=1e-3), pairs, fresh("nano", seed=42), Memory())
    with suppress(RedFlagError):  # two steps need not beat anything
        keep(trained, top / "checkpoint", {})
    return top, pairs, trained.model


def test_refine_takes_the_trained_checkpoint_and_changes_every_tile(folders):
    top, pairs, _ = folders
    run = FolderRun(str(top / "checkpoint"), str(top / "tiles"), str(top / "out"), config=FP32, workers=1)
    summary = refine_folder(run)
    assert (summary.done, summary.failed) == (12, 0)
    for place, info in enumerate(pairs.infos):
        refined, pair = read_npz(top / "out" / f"{info.id}.npz")["opt_v2"], pairs.load(place)
        assert np.array_equal(np.isfinite(refined).all(axis=0), pair.seen)
        assert np.abs(refined - pair.tile[0])[:, pair.seen].max() > 0


def test_the_checkpoint_gives_the_very_outputs_of_the_trained_model(folders):
    top, pairs, model = folders
    batch: Batch = collated([pairs.load(0)]).batch
    assert build(load_checkpoint(top / "checkpoint")).refine(batch).equal(model.refine(batch))
