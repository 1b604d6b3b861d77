"""Errors of a checkpoint that a step has in a temporary folder name the user's file."""

import pytest

from tasks.contracts.errors import UnsafeCheckpointError
from tasks.contracts.tile_errors import CheckpointError
from tasks.store.blobs import Store
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.checkpoint_files import CONFIG_NAME, WEIGHTS_NAME
from tasks.tiles.flow.checkpoints import ingest_checkpoint, read_model
from tasks.tiles.flow.types import CheckpointFile
from tests.tiles.model.pickled import write_code


@pytest.fixture
def read(tmp_path):
    """What a step says of a checkpoint in the store, and never where it has it."""
    store = Store(str(tmp_path / "store"))

    def said(file, kind=CheckpointError):
        with pytest.raises(kind) as caught:
            read_model(file, {}, tmp_path / "scratch" / "model", store)
        assert str(tmp_path / "scratch") not in str(caught.value)
        return str(caught.value)

    said.store = store
    return said


def test_a_pt_that_is_none_has_its_own_name(read, tmp_path):
    (tmp_path / "best.pt").write_bytes(b"nothing")
    assert "checkpoint best.pt is" in read(ingest_checkpoint(tmp_path / "best.pt", None, read.store))


def test_a_pt_that_would_run_code_has_its_own_name(read, tmp_path):
    write_code(tmp_path / "best.pt", tmp_path / "trace", "plain")
    file = ingest_checkpoint(tmp_path / "best.pt", None, read.store)
    assert "best.pt" in read(file, (CheckpointError, UnsafeCheckpointError))


def test_weights_of_another_config_have_their_name(read, tmp_path):
    save_checkpoint(tmp_path / "one", fresh("nano", seed=1))
    config = read.store.put_file(tmp_path / "one" / CONFIG_NAME)
    weights = read.store.put_bytes(b"others", name=WEIGHTS_NAME)
    text = read(CheckpointFile(weights=weights, config=config))
    assert "checkpoint model.safetensors does not hold the weights of its config" in text


def test_a_config_that_is_none_has_its_name(read, tmp_path):
    save_checkpoint(tmp_path / "one", fresh("nano", seed=1))
    weights = read.store.put_file(tmp_path / "one" / WEIGHTS_NAME)
    config = read.store.put_bytes(b"{}", name=CONFIG_NAME)
    assert "checkpoint config.json is of another stage" in read(CheckpointFile(weights=weights, config=config))
