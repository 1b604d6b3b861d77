"""Which failures of a scene are remembered: those that its bytes prove."""

from pathlib import Path

import pytest

from tasks.contracts.errors import BlobMissingError
from tasks.contracts.tiles import TileInput, TilesConfig
from tasks.store.blobs import Store
from tasks.store.progress import Progress
from tasks.store.workspace import Workspace
from tasks.tiles.flow import refined_scene
from tasks.tiles.flow.types import CheckpointFile, Manner, ModelRefs, SceneForm
from tests.tiles.scenes.images import digital_numbers, write_scene


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A place where no scene comes as far as the model."""
    monkeypatch.setattr(refined_scene, "checkpoint_here", lambda *_: tmp_path / "model")
    store = Store(str(tmp_path / "store"))
    return Workspace(
        store, tmp_path / "scratch", Progress(tmp_path / "store", "test"), lambda *_: None, lambda: False, "cpu", {}
    )


def stored(here, path: Path, name: str = "s") -> TileInput:
    return TileInput(id=name, file=here.store.put_file(path))


def refined(here, scene: TileInput):
    weights = here.store.put_bytes(b"weights", name="model.safetensors")
    model = ModelRefs(file=CheckpointFile(weights=weights), id="0" * 64, patch=16, num_frames=1)
    return refined_scene.refine_scene(scene, model, TilesConfig(), SceneForm(), Manner(), here)


def test_unclear_bands_are_remembered(here, tmp_path):
    result = refined(here, stored(here, write_scene(tmp_path / "s.tif", digital_numbers(40, 40), names=None)))
    assert (result.record.error, result.passing) == ("BandSelectionError", False)


def test_a_file_that_gdal_does_not_read_is_tried_again(here, tmp_path):
    (tmp_path / "s.tif").write_bytes(b"no image")
    result = refined(here, stored(here, tmp_path / "s.tif"))
    assert (result.record.error, result.passing) == ("TileReadError", True)


def test_a_scene_that_was_damaged_in_the_store_is_no_failed_scene(here, tmp_path, monkeypatch):
    scene = stored(here, write_scene(tmp_path / "s.tif", digital_numbers(40, 40), names=None))
    path = Path(here.store.local_path(scene.file))

    def damaged_meanwhile(*_):
        path.chmod(0o600)
        path.write_bytes(b"of another")
        raise refined_scene.TileReadError("cannot be read")

    monkeypatch.setattr(refined_scene, "write_scene", lambda *_, **__: damaged_meanwhile())
    with pytest.raises(BlobMissingError, match=r"^s\.tif is not in the store, or was damaged"):
        refined(here, scene)


def test_a_scene_that_found_no_memory_is_tried_again(here, tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(refined_scene, "write_scene", full)
    result = refined(here, stored(here, write_scene(tmp_path / "s.tif", digital_numbers(40, 40))))
    assert (result.record.error, result.passing) == ("TileOutOfMemoryError", True)
    assert result.record.message.startswith("s.tif cannot be read: there is no memory left")


def test_a_name_that_leaves_no_room_for_a_sidecar_fails_its_scene(here, tmp_path):
    scene = stored(here, write_scene(tmp_path / "s.tif", digital_numbers(40, 40)), "n" * 241)
    record = refined(here, scene).record
    assert record.error == "TileReadError" and "Rename it" in record.message
