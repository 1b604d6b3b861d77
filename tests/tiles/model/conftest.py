"""A checkpoint that tests of checkpoints begin with."""

import pytest

from tasks.tiles.checkpoint import save_checkpoint
from tests.tiles.model.small_models import random_head


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of a random nano model."""
    save_checkpoint(tmp_path / "checkpoint", random_head())
    return tmp_path / "checkpoint"
