"""A training of a second: a model of one patch and one block on a few pairs, with its state in memory."""

from tasks.tiles.checkpoint import fresh
from tasks.tiles.train import train
from tasks.tiles.train_job import TrainJob
from tasks.tiles.variants import model_config
from tests.tiles.training.small_pairs import small_pairs

SMALL = model_config("nano").model_copy(update={"dim": 16, "depth": 1, "heads": 2})
JOB = TrainJob(epochs=3, batch_size=4, crop=16, validate_steps=1, lr=1e-3, lr_backbone=1e-3, val_fraction=0.25)


class Memory:
    """Saved progress in memory; `history` has every state that was put down."""

    def __init__(self, files=None):
        self.files, self.history = files, []

    def save(self, files):
        """The newest state."""
        self.files = dict(files)
        self.history.append(self.files)

    def load(self):
        """The newest state, or None."""
        return self.files


def small_model(seed=1):
    """Identity, until it learns."""
    return fresh(SMALL, seed=seed)


def trained(job=JOB, pairs=None, model=None, progress=None, **options):
    """A finished training."""
    pairs = small_pairs() if pairs is None else pairs
    return train(job, pairs, small_model() if model is None else model, progress or Memory(), **options)


def stop_after(questions):
    """A signal that comes once it was asked for so many times."""
    left = iter(range(questions))
    return lambda: next(left, None) is None
