"""The commands beside `refine` and `train`: data in, data out, and one wrong input each."""

import hashlib
import json

import numpy as np
import pytest

from tasks.tiles.checkpoint import fresh
from tests.cli.command import stagegate
from tests.tiles.quality.finished_folder import write_finished


@pytest.fixture
def call(monkeypatch, capsys):
    return lambda *words: stagegate(monkeypatch, capsys, "tiles", *words)
