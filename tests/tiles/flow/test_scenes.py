"""Scenes through `refine-tiles`: beside tiles, alone, again, damaged, unclear, stopped."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from flows.refine_tiles import refine_tiles
from tasks.contracts.errors import ConfigError, DependencyError, InterruptedStepError
from tasks.contracts.report import FlowReport
from tasks.contracts.tile_errors import InputDirError
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.settings import PlatformSettings
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.request import RefineRequest
from tasks.tiles.sample import make_sample
from tests.tiles.scenes.images import digital_numbers, read_scene, write_scene
from tests.tiles.scenes.test_whole_scene import SCENE

needs_scene = pytest.mark.skipif(not SCENE.is_file(), reason=f"{SCENE.name} is not beside this checkout")
SMALL = {"window": 32, "overlap": 8}


class Outcome(NamedTuple):
    run: Run
    report: FlowReport
    folder: Path

    def books(self, name: str) -> dict:
        return json.loads((self.folder / ".stagegate" / name).read_text())

    @property
    def manifest(self) -> dict[str, dict]:
        lines = (self.folder / ".stagegate" / "manifest.jsonl").read_text().splitlines()
        return {record["id"]: record for record in map(json.loads, lines)}

    def steps(self, name: str) -> list[str]:
        return [step.status for step in self.run.steps if step.step == name]


def refine(root: Path, output: str, *, run: Run | None = None, **asked) -> Outcome:
    run = run or Run(PlatformSettings(store=str(root / "store")), "")
    asked = {"checkpoint": str(root / "model"), "device": "cpu", "workers": 1, "precision": "fp32", **asked}
    with prepared(run):
        return Outcome(run, refine_tiles(RefineRequest(output_dir=str(root / output), **asked)), root / output)


def top(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in (".tif", ".npz", ".json")}


@pytest.fixture(scope="module")
def root(tmp_path_factory, prefect_server):
    """Two tiles, a scene with its month, one with other content, one whose bands have no names; a random head."""
    folder = tmp_path_factory.mktemp("scenes")
    sample = make_sample(folder / "in", 2, (32,), head_scale=0.3)
    shutil.move(sample.checkpoint, folder / "model")
    numbers = digital_numbers()
    numbers[:, :5, :7] = 0
    write_scene(folder / "in" / "wide.tif", numbers, nodata=0)
    (folder / "in" / "wide.json").write_text('{"site": "Ötztal", "month": "May", "biome_code": 3}')
    write_scene(folder / "in" / "other.tiff", digital_numbers(40, 40, seed=6), nodata=0)
    write_scene(folder / "in" / "unclear.tif", digital_numbers(40, 40), names=None)
    return folder


@pytest.fixture(scope="module")
def mixed(root):
    """All of them in one run, over a folder where an older run left something."""
    (root / "out").mkdir()
    (root / "out" / "unclear.tif").write_bytes(b"older")
    (root / "out" / "gone.tif").write_bytes(b"of another day")
    return refine(root, "out", input_dir=str(root / "in"), **SMALL)


def test_tiles_and_scenes_stand_in_the_same_books(mixed):
    summary = mixed.books("summary.json")
    assert {name: summary[name] for name in ("found", "done", "failed", "not_run")} == {
        "found": 5, "done": 4, "failed": 1, "not_run": 0,
    }  # fmt: skip
    assert summary["orphans"] == ["gone.tif"]
    assert list(mixed.manifest) == ["other", "tile_00000", "tile_00001", "unclear", "wide"]
    assert mixed.manifest["wide"]["reason"] == "new" and mixed.manifest["wide"]["processing_time_ms"] > 0
    tileset = {tile["id"]: tile["output"] for tile in mixed.books("tileset.json")["tiles"]}
    assert tileset["wide"]["media_type"] == "image/tiff"
    assert tileset["other"]["name"] == "other.tiff"


def test_a_scene_comes_out_as_a_cog_with_its_sidecar(mixed, root):
    values, profile, names, _ = read_scene(mixed.folder / "wide.tif")
    given, before, *_ = read_scene(root / "in" / "wide.tif")
    assert (profile["layout"], profile["dtype"], names) == ("COG", "uint16", ("B02", "B03", "B04", "B08"))
    assert {key: profile[key] == before[key] for key in ("crs", "transform", "nodata")} == dict.fromkeys(
        ("crs", "transform", "nodata"), True
    )
    assert (values[:, :5, :7] == 0).all() and np.count_nonzero(values == 0) == 4 * 35
    assert np.abs(values.astype(int) - given).max() > 100
    document = json.loads((mixed.folder / "wide.json").read_text())
    made = document["processing"]
    assert (document["site"], document["month"], document["stage"]) == ("Ötztal", 5, "stage2_refined")
    assert document["timestamp"] and made["processing_time_ms"] > 0
    assert made["input_file"] == str(root / "in" / "wide.tif")
    assert made["output_sha256"] == hashlib.sha256((mixed.folder / "wide.tif").read_bytes()).hexdigest()
    assert (made["scene"]["window"], made["scene"]["windows"], made["scene"]["units"]) == (32, 12, "16-bit default")


def test_nothing_with_a_clock_or_a_path_of_the_user_goes_into_the_store(mixed, root):
    documents = [data for path in (root / "store" / "sha256").rglob("*") if path.is_file()
                 and (data := path.read_bytes()).startswith(b"{") and b'"windows"' in data]  # fmt: skip
    assert len(documents) == 2
    for data in documents:
        assert not any(word in data for word in (b"timestamp", b"time_ms", str(root).encode()))


def test_bands_without_names_fail_the_scene_alone_and_set_its_older_output_aside(mixed):
    record = mixed.manifest["unclear"]
    assert (record["status"], record["error"], record["output"]) == ("failed", "BandSelectionError", None)
    assert "--bands 1,2,3,4" in record["message"]
    assert mixed.report.status == "incomplete" and "BandSelectionError" in mixed.report.missing["unclear"]
    assert (mixed.folder / ".stagegate/stale/unclear.tif.stale").read_bytes() == b"older"
    assert {"unclear.tif", "unclear.json"} & top(mixed.folder) == set()


def test_scenes_are_judged_and_shown_like_tiles(mixed):
    quality = mixed.books("quality.json")
    figures = {tile["id"]: tile for tile in quality["per_tile"]}
    assert list(figures) == ["other", "tile_00000", "tile_00001", "wide"]
    wide = figures["wide"]
    assert (wide["height"], wide["width"], wide["month"]) == (70, 90, 5)
    assert wide["valid_fraction"] == pytest.approx(1 - 35 / 6300)
    assert 0 < wide["ndvi_rmse"] < 1 and wide["share_bit_identical"] < 0.5
    assert wide["plausible"]["validity_mask"] and wide["plausible"]["range"]
    assert quality["not_evaluated"] == {}
    assert {look["id"] for look in quality["quicklooks"] if look["file"]} == set(figures)
    assert (mixed.folder / ".stagegate/quicklook/last_wide.png").stat().st_size > 1000


def test_again_finished_scenes_are_skipped_and_a_flipped_byte_is_redone(mixed, root):
    shutil.copytree(mixed.folder, root / "again")
    image = root / "again" / "wide.tif"
    before = image.read_bytes()
    image.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    again = refine(root, "again", input_dir=str(root / "in"), **SMALL)
    states = {name: (record["status"], record["reason"]) for name, record in again.manifest.items()}
    assert states["other"] == ("resumed", "")
    assert states["wide"] == ("done", "output damaged")
    assert image.read_bytes() == before
    assert again.steps("infer-scene") == ["cached"] * 2  # the damaged one, and the one that fails
    assert again.steps("evaluate-scene") == ["cached"] * 2
    assert again.books("summary.json")["orphans"] == ["gone.tif"]


def test_a_renamed_scene_comes_out_under_its_new_name_and_is_then_skipped(mixed, root):
    shutil.copytree(root / "in", root / "renamed")
    (root / "renamed" / "wide.tif").rename(root / "renamed" / "wide.tiff")
    shutil.copytree(mixed.folder, root / "out_renamed")
    first = refine(root, "out_renamed", input_dir=str(root / "renamed"), **SMALL)
    assert set(first.steps("infer-scene")) == {"cached"}
    assert (first.folder / "wide.tiff").read_bytes() == (mixed.folder / "wide.tif").read_bytes()
    assert not (first.folder / "wide.tif").exists()
    assert (first.folder / ".stagegate/stale/wide.tif.stale").exists()
    assert first.manifest["wide"]["output"]["name"] == "wide.tiff"
    again = refine(root, "out_renamed", input_dir=str(root / "renamed"), **SMALL)
    assert again.manifest["wide"]["status"] == "resumed"


def test_one_scene_alone_with_bands_and_type_as_asked(mixed, root):
    words = {"scene": str(root / "in" / "unclear.tif"), "bands": (1, 2, 3, 4), "scene_dtype": "float32"}
    alone = refine(root, "alone", **words, **SMALL)
    assert alone.report.status == "complete"
    assert top(alone.folder) == {"unclear.tif", "unclear.json"}
    values, profile, *_ = read_scene(alone.folder / "unclear.tif")
    assert profile["dtype"] == "float32" and values.min() >= 0 and values.max() <= 1
    made = json.loads((alone.folder / "unclear.json").read_text())["processing"]
    assert (made["input_file"], made["scene"]["requested"]) == (
        words["scene"],
        {"bands": [1, 2, 3, 4], "dtype": "float32"},
    )
    assert alone.books("summary.json")["found"] == 1
    assert alone.books("handshake_audit.json")[0]["status"] == "skipped"


def test_a_stopped_scene_leaves_nothing_and_is_not_run(root):
    run = Run(PlatformSettings(store=str(root / "store")), "")
    run.tell = lambda step, share, line: run.stop.set() if step == "infer-scene" else None
    with pytest.raises(InterruptedStepError):
        refine(root, "stopped", run=run, scene=str(root / "in" / "wide.tif"), precision="bf16", **SMALL)
    assert top(root / "stopped") == set()
    summary = json.loads((root / "stopped/.stagegate/summary.json").read_text())
    assert (summary["outcome"], summary["not_run"]) == ("stopped", 1)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, ConfigError),
        ({"input_dir": "in", "scene": "in/wide.tif"}, ConfigError),
        ({"scene": "in/absent.tif"}, InputDirError),
        ({"scene": "in/wide.json"}, InputDirError),
    ],
)
def test_a_request_names_one_input_that_is_there(root, asked, error):
    with pytest.raises(error):
        refine(root, "none", **{name: str(root / path) for name, path in asked.items()})
    assert not (root / "none").exists()


def test_without_rasterio_a_run_with_scenes_ends_before_anything_is_written(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DependencyError, match=r"pip install \"stagegate\[geo\]\""):
        refine(root, "none", input_dir=str(root / "in"))
    assert not (root / "none").exists()


def test_a_scene_is_never_written_beside_itself(root):
    with pytest.raises(ConfigError, match="is the input folder"):
        refine(root, "in", scene=str(root / "in" / "wide.tif"))


@needs_scene
def test_an_untrained_model_gives_the_real_scene_back_and_that_is_no_refinement(root, tmp_path):
    save_checkpoint(tmp_path / "model", fresh("nano", seed=1))
    done = refine(root, "alpine", checkpoint=str(tmp_path / "model"), scene=str(SCENE), bands=(1, 2, 3, 4))
    assert done.report.status == "no_refinement"
    given, before, *_ = read_scene(SCENE)
    values, after, *_ = read_scene(done.folder / SCENE.name)
    valid = (given[:4] != 0).all(axis=0)
    np.testing.assert_array_equal(values[:, valid], np.minimum(given[:4, valid], 10_000))
    assert np.count_nonzero((values == 0).all(axis=0)) == np.count_nonzero(~valid) == 38
    for key in ("crs", "transform", "width", "height", "nodata", "dtype"):
        assert after[key] == before[key], key
    (figures,) = done.books("quality.json")["per_tile"]
    assert (figures["share_bit_identical"], figures["ndvi_rmse"], figures["edge_correlation"]) == (1.0, 0.0, 1.0)
