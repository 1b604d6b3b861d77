"""`refine` as a whole, from the command to the dashboard: identity, repetition, repair, and what people look at."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from tasks.tiles.sample import make_sample
from tests.tiles.acceptance.calls import books, refine
from tests.tiles.engine.cases import errors, manifest, names, output, write_tile
from tests.tiles.quality import test_snippets as snippets

pytestmark = [pytest.mark.xdist_group("tiles-acceptance"), pytest.mark.usefixtures("prefect_server")]
SIZES, COUNT = (32, 40, 17), 9


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """Nine tiles of three sizes and a model that changes them, in top/in and top/in/checkpoint."""
    top = tmp_path_factory.mktemp("whole")
    make_sample(top / "in", COUNT, SIZES, head_scale=0.3)
    return top


@pytest.fixture(scope="module")
def first(top, prefect_server):
    """A run from nothing to top/first."""
    return refine(top, top / "in/checkpoint", top / "in", top / "first", "--quicklook", "3")


@pytest.fixture(scope="module")
def second(top, first):
    """The same again to another folder."""
    return refine(top, top / "in/checkpoint", top / "in", top / "second", "--quicklook", "3")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fresh_model_gives_its_input_back_and_the_run_says_so(tmp_path, precision):
    made = make_sample(tmp_path / "in", 4, (32, 120, 17))
    code, told, text = refine(tmp_path, made.checkpoint, made.tiles, tmp_path / "out", "--precision", precision)
    assert (code, told["status"]) == (1, "no_refinement"), text
    for name in names(tmp_path / "out", ".npz"):
        with np.load(made.tiles / f"{name}.npz") as given:
            assert output(tmp_path / "out", name).tobytes() == given["opt_v1"].tobytes()
    quality = books(tmp_path / "out", "quality.json")
    assert (quality["verdict"], quality["share_bit_identical"], quality["tiles"]) == ("no_refinement", 1.0, 4)
    assert {(each["ndvi_rmse"], each["edge_correlation"]) for each in quality["per_tile"]} == {(0.0, 1.0)}
    assert books(tmp_path / "out", "summary.json")["precision"] == [precision]
    processing = json.loads((tmp_path / "out/tile_00000.json").read_text())["processing"]
    assert (processing["precision"], processing["use_amp"]) == (precision, precision == "bf16")


def test_the_first_run_is_complete(top, first):
    assert (first.code, first.told["status"]) == (0, "complete"), first.text
    assert first.told["cache"]["hits"] == 0
    assert names(top / "first", ".npz") == names(top / "first", ".json") == [f"tile_{n:05d}" for n in range(COUNT)]


def test_repeated_to_another_folder_every_step_is_cached_and_all_bytes_are_equal(top, first, second):
    steps = first.told["cache"]["steps"]
    assert second.told["cache"] == {"hits": steps, "misses": 0, "steps": steps} and steps >= 5
    assert digests(top / "second") == digests(top / "first") and len(digests(top / "first")) == COUNT
    assert (second.code, second.told["metrics"]["ndvi_rmse"]) == (0, first.told["metrics"]["ndvi_rmse"])


def test_repeated_to_the_same_folder_every_tile_is_resumed_and_every_step_cached(top, second, tmp_path):
    folder = shutil.copytree(top / "second", tmp_path / "out")
    again = refine(top, top / "in/checkpoint", top / "in", folder, "--quicklook", "3")
    assert (again.code, again.told["cache"]["misses"]) == (0, 0)
    assert books(folder, "summary.json")["resumed"] == COUNT


def test_both_manifests_name_the_same_inputs_and_outputs(top, second):
    one, two = (manifest(top / name) for name in ("first", "second"))
    assert list(one) == list(two)
    for name in one:
        assert {key: value for key, value in one[name].items() if key != "processing_time_ms"} == {
            key: value for key, value in two[name].items() if key != "processing_time_ms"
        }
        given = hashlib.sha256((top / f"in/{name}.npz").read_bytes()).hexdigest()
        assert one[name]["input_sha256"] == given
    assert books(top / "first", "tileset.json") == books(top / "second", "tileset.json")


def test_sidecars_of_a_cached_run_say_the_same_as_those_of_the_first(top, second):
    for name in names(top / "first", ".json"):
        one, two = (json.loads((top / folder / f"{name}.json").read_text()) for folder in ("first", "second"))
        for told in (one, two):
            told.pop("timestamp")
            told["processing"].pop("processing_time_ms")
            told["processing"].pop("worker")
        assert one == two


def test_what_users_type_to_inspect_tiles_agrees_with_the_quality_document(top, first):
    figures = {tile["id"]: tile for tile in books(top / "first", "quality.json")["per_tile"]}
    for typed in (
        snippets.test_the_file_is_what_it_should_be,
        snippets.test_ndvi_by_numpy,
        snippets.test_edges_by_scipy,
    ):
        typed((top / "in", top / "first", figures))


def test_the_dashboard_has_progress_tables_and_pictures(first):
    shown_by = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[first.told["flow_run_id"]]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=shown_by)
    by_type = {kind: [each for each in found if each.type == kind] for kind in ("progress", "table", "image")}
    assert any("infer" in each.key and each.data == 100.0 for each in by_type["progress"])
    assert len(by_type["image"]) == 3
    assert all(each.data.startswith("data:image/png;base64,") for each in by_type["image"])
    (counts,) = [json.loads(each.data) for each in by_type["table"] if each.key.startswith("counts-")]
    table = {row["what"]: row["value"] for row in counts}
    assert (table["found"], table["done"], table["failed"]) == (str(COUNT), str(COUNT), "0")


def test_exactly_the_three_spoiled_tiles_are_redone(top, first, tmp_path):
    tiles, folder = shutil.copytree(top / "in", tmp_path / "in"), shutil.copytree(top / "first", tmp_path / "out")
    good = digests(folder)
    flipped = bytearray((folder / "tile_00001.npz").read_bytes())
    flipped[-300] ^= 1
    (folder / "tile_00001.npz").write_bytes(flipped)
    with np.load(tiles / "tile_00004.npz") as given:
        np.savez(tiles / "tile_00004.npz", opt_v1=given["opt_v1"] * np.float32(0.9))
    (folder / "tile_00007.json").unlink()
    assert refine(top, top / "in/checkpoint", tiles, folder).code == 0
    lines = manifest(folder)
    redone = {name: line["reason"] for name, line in lines.items() if line["status"] == "done"}
    assert redone == {"tile_00001": "output damaged", "tile_00004": "input changed", "tile_00007": "no commit marker"}
    assert [line["status"] for line in lines.values()].count("resumed") == COUNT - 3
    changed = {name for name, digest in digests(folder).items() if digest != good[name]}
    assert changed == {"tile_00004.npz"}
    assert refine(top, top / "in/checkpoint", tiles, folder).told["status"] == "complete"
    assert {line["status"] for line in manifest(folder).values()} == {"resumed"}


def test_a_tile_whose_file_is_gone_fails_alone(top, tmp_path):
    tiles = shutil.copytree(top / "in", tmp_path / "in")
    (tiles / "gone.npz").symlink_to("nowhere")
    code, told, text = refine(top, top / "in/checkpoint", tiles, tmp_path / "out")
    assert (code, told["status"]) == (1, "incomplete"), text
    assert {name: line["error"] for name, line in errors(tmp_path / "out").items()} == {"gone": "TileReadError"}
    assert len(names(tmp_path / "out", ".npz")) == COUNT


@pytest.mark.parametrize(("words", "code", "state"), [((), 1, "failed"), (("--allow_empty",), 0, "empty")])
def test_a_folder_of_nodata_fails_unless_empty_tiles_are_allowed(top, tmp_path, words, code, state):
    write_tile(tmp_path / "in", "blank", np.full((4, 32, 32), np.nan, np.float32), {"month": 5, "biome_code": 3})
    answer = refine(top, top / "in/checkpoint", tmp_path / "in", tmp_path / "out", *words)
    assert answer.code == code, answer.text
    summary = books(tmp_path / "out", "summary.json")
    assert (summary["found"], summary[state]) == (1, 1)
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == []
