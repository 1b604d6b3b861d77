"""A finished folder gets its quality document and pictures, where no reader of tiles finds them."""

import pytest

from tasks.contracts.tile_errors import InputDirError, OutputDirError
from tasks.contracts.tiles import TilesConfig
from tasks.store.jsons import read_json
from tasks.tiles.evaluate_folder import evaluate_folder, write_quicklooks
from tasks.tiles.quicklook import Quicklook
from tests.tiles.quality.finished_folder import finished

CONFIG = TilesConfig()


def test_the_document_and_the_pictures_are_written(tmp_path):
    sample, output = finished(tmp_path)
    quality = evaluate_folder(output, sample.tiles, CONFIG, reference_dir=sample.reference, pictures=3)
    assert read_json((output / ".stagegate" / "quality.json").read_bytes(), name="quality.json") == quality
    assert [(look["id"], look["role"]) for look in quality["quicklooks"][:2]] == [
        ("tile_00000", "first"),
        ("tile_00003", "last"),
    ]
    assert len(quality["quicklooks"]) == 3
    for look in quality["quicklooks"]:
        assert (output / ".stagegate" / "quicklook" / look["file"]).read_bytes().startswith(b"\x89PNG")
    assert quality["oracle_strength"] == "physics_derived"


def test_the_folder_keeps_as_many_tiles_and_sidecars_as_before(tmp_path):
    sample, output = finished(tmp_path, sizes=(16,))
    evaluate_folder(output, sample.tiles, CONFIG)
    assert len(list(output.rglob("*.npz"))) == len(list(output.glob("*.json"))) == 4


def test_copies_are_found_out(tmp_path):
    sample, output = finished(tmp_path, refine=lambda values: values, sizes=(16,), nodata=True)
    quality = evaluate_folder(output, sample.tiles, CONFIG, pictures=0)
    assert (quality["verdict"], quality["quicklooks"]) == ("no_refinement", [])


def test_equal_folders_give_equal_documents(tmp_path):
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sample, output = finished(tmp_path / name, sizes=(16,))
        evaluate_folder(output, sample.tiles, CONFIG)
        texts.append((output / ".stagegate" / "quality.json").read_bytes())
    assert texts[0] == texts[1]


def test_a_picture_that_cannot_be_written_is_recorded(tmp_path):
    (tmp_path / "a").write_text("in the way")
    said = write_quicklooks(tmp_path, [Quicklook("a/b", "first", b"png"), Quicklook("c/d", "last", b"png")])
    assert "file" not in said[0] and "Error" in said[0]["error"]
    assert said[1] == {"id": "c/d", "role": "last", "file": "c/d.png"}


def test_a_picture_whose_tile_is_gone_stops_nothing(tmp_path):
    sample, output = finished(tmp_path, sizes=(16,))
    (sample.tiles / "tile_00000.npz").unlink()
    quality = evaluate_folder(output, sample.tiles, CONFIG)
    assert list(quality["not_evaluated"]) == ["tile_00000"]
    assert quality["quicklooks"][0]["id"] == "tile_00001"


def test_folders_that_are_not_there_are_named(tmp_path):
    with pytest.raises(OutputDirError, match="out is no folder"):
        evaluate_folder(tmp_path / "out", tmp_path, CONFIG)
    with pytest.raises(InputDirError, match="in is no folder"):
        evaluate_folder(tmp_path, tmp_path / "in", CONFIG)
