"""The commands beside `refine` and `train`: data in, data out, and wrong input."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tasks.tiles.backbone import Backbone
from tasks.tiles.variants import model_config
from tests.cli.command import stagegate
from tests.tiles.quality.finished_folder import finished
from tests.tiles.scenes.images import digital_numbers, write_scene
from tests.tiles.scenes.test_cut import write_stack


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *words: stagegate(monkeypatch, capsys, "tiles", *words)


def test_make_sample_says_where_everything_is(call, tmp_path):
    words = ("--output_dir", "made", "--count", "4", "--size", "16", "--size", "20", "--head_scale", "0.5")
    code, answer, text = call("make-sample", *words, "--json")
    assert (code, answer["status"], answer["tiles"]) == (0, "complete", 4), text
    shapes = [np.load(path)["opt_v1"].shape for path in sorted((tmp_path / answer["input_dir"]).glob("*.npz"))]
    assert shapes == [(4, 16, 16), (4, 20, 20), (4, 16, 16), (4, 20, 20)]
    assert (tmp_path / answer["checkpoint"] / "model.safetensors").is_file()
    assert (tmp_path / answer["reference_dir"] / "tile_00003.npz").is_file()


def test_verify_finds_one_flipped_byte(call, tmp_path):
    _, output = finished(tmp_path)
    code, answer, _ = call("verify", "--output_dir", str(output), "--json")
    assert (code, answer["status"], answer["tiles"], answer["faults"]) == (0, "complete", 4, [])
    npz = output / "tile_00002.npz"
    npz.write_bytes(npz.read_bytes()[:-1] + b"!")
    code, answer, _ = call("verify", "--output-dir", str(output), "--json")
    assert (code, answer["status"]) == (1, "incomplete")
    assert [(fault["id"], fault["state"]) for fault in answer["faults"]] == [("tile_00002", "damaged")]
    code, _, text = call("verify", "--output_dir", str(output))
    assert code == 1
    assert "tile_00002: damaged" in text and "3 of 4 tiles are intact" in text


def test_verify_of_nothing_is_no_success(call, tmp_path):
    (tmp_path / "empty").mkdir()
    assert call("verify", "--output_dir", "empty")[0] == 1
    assert call("verify", "--output_dir", "nowhere")[0] == 2


def test_evaluate_shows_identity_and_unsharp_beside_and_reads_only(call, tmp_path):
    sample, output = finished(tmp_path)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    words = ("evaluate", "--output_dir", str(output), "--input_dir", str(sample.tiles))
    words += ("--reference_dir", str(sample.reference), "--quality", "told/q.json")
    code, answer, text = call(*words, "--json")
    assert (code, answer["status"], answer["oracle_strength"]) == (0, "complete", "physics_derived"), text
    metrics = answer["metrics"]
    assert metrics["baselines.identity.ndvi_rmse"] == 0
    assert metrics["baselines.identity.edge_correlation"] == pytest.approx(1)
    assert metrics["psnr_db"] != metrics["baselines.identity.psnr_db"] != metrics["baselines.unsharp.psnr_db"]
    written = (tmp_path / "told" / "q.json").read_bytes()
    assert answer["artifacts"]["quality.json"]["sha256"] == hashlib.sha256(written).hexdigest()
    assert json.loads(written)["tiles"] == 4
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    code, _, text = call(*words)
    (row,) = [line.split() for line in text.splitlines() if "psnr_db" in line]
    assert row[1:] == [f"{metrics[key]:.4f}" for key in ("psnr_db", "baselines.identity.psnr_db",
                                                         "baselines.unsharp.psnr_db")]  # fmt: skip
    assert "identity" in text and "unsharp" in text


def test_evaluate_of_copies_is_no_refinement(call, tmp_path):
    sample, output = finished(tmp_path, refine=lambda values: values)
    words = ("evaluate", "--output_dir", str(output), "--input_dir", str(sample.tiles))
    code, answer, _ = call(*words, "--json")
    assert (code, answer["status"], answer["verdict"]) == (1, "no_refinement", "no_refinement")
    code, _, text = call(*words)
    assert code == 1
    assert text.splitlines()[-1].startswith("no_refinement: ")


def test_evaluate_tells_which_tile_could_not_be_compared(call, tmp_path):
    sample, output = finished(tmp_path)
    (sample.tiles / "tile_00001.npz").unlink()
    words = ("evaluate", "--output_dir", str(output), "--input_dir", str(sample.tiles))
    code, answer, _ = call(*words, "--json")
    assert (code, answer["status"], list(answer["missing"])) == (1, "incomplete", ["tile_00001"])


def test_evaluate_asks_for_the_input_where_the_folder_does_not_say(call, tmp_path):
    _, output = finished(tmp_path)
    code, answer, _ = call("evaluate", "--output_dir", str(output), "--json")
    assert (code, answer["error"]["class"]) == (2, "ConfigError")
    assert "--input_dir" in answer["error"]["message"]


def test_import_backbone_takes_the_named_file_only(call, tmp_path):
    state = Backbone(model_config("nano"), 6).state_dict()
    save_file({f"encoder.{name}": torch.full_like(value, 0.1) for name, value in state.items()}, "given.safetensors")
    digest = hashlib.sha256((tmp_path / "given.safetensors").read_bytes()).hexdigest()
    words = ("import-backbone", "--weights", "given.safetensors", "--variant", "nano", "--output", "new", "--json")
    code, answer, _ = call(*words, "--sha256", "0" * 64)
    assert (code, answer["error"]["class"]) == (2, "CheckpointError")
    assert digest in answer["error"]["message"]
    assert not (tmp_path / "new").exists()
    code, answer, text = call(*words, "--sha256", digest, "--licence", "Apache-2.0")
    assert (code, answer["status"]) == (0, "complete"), text
    origin = json.loads((tmp_path / "new" / "config.json").read_text())["origin"]
    assert origin == {"file": "given.safetensors", "sha256": digest, "licence": "Apache-2.0"}
    weights = (tmp_path / "new" / "model.safetensors").read_bytes()
    assert answer["artifacts"]["model.safetensors"]["sha256"] == hashlib.sha256(weights).hexdigest()


def test_import_backbone_refuses_an_unknown_variant(call, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"")
    words = ("--weights", "w.safetensors", "--sha256", "0" * 64, "--variant", "v1_10", "--output", "new")
    code, answer, _ = call("import-backbone", *words, "--json")
    assert code == 2
    assert "v1_100" in answer["error"]["message"]


def test_cut_makes_tiles_of_a_scene_and_tells_what_was_left(call, tmp_path):
    write_scene(tmp_path / "alp.tif", digital_numbers(70, 90))
    words = ("cut", "--source", "alp.tif", "--output_dir", "cut", "--size", "32", "--set", "month=7")
    code, answer, text = call(*words, "--json")
    assert (code, answer["tiles"]) == (0, 4), text
    assert answer["warnings"] == ["6 rows and 26 columns at the border make no whole tile and were left out"]
    assert json.loads((tmp_path / "cut" / "alp_000_001.json").read_text())["month"] == 7


def test_cut_makes_a_tile_of_every_date_of_a_stack(call, tmp_path):
    write_stack(tmp_path / "stack.nc", ["2021-03-01", "2021-04-01"])
    words = ("cut", "--source", "stack.nc", "--output_dir", "cut", "--scale", "10000", "--json")
    code, answer, text = call(*words)
    assert (code, answer["tiles"]) == (0, 2), text
    months = [json.loads(path.read_text())["month"] for path in sorted((tmp_path / "cut").glob("*.json"))]
    assert months == [3, 4]
    code, answer, _ = call(*words, "--bands", "1,2,3,4")
    assert code == 2
    assert "--bands means nothing for a stack" in answer["error"]["message"]


def test_cut_refuses_what_it_cannot_place(call, tmp_path):
    write_scene(tmp_path / "alp.tif", digital_numbers(70, 90))
    code, answer, _ = call("cut", "--source", "alp.tif", "--output_dir", "cut", "--json")
    assert (code, answer["error"]["class"]) == (2, "ConfigError")
    assert "--size is needed" in answer["error"]["message"]
    code, answer, _ = call("cut", "--source", "none.tif", "--output_dir", "cut", "--size", "32", "--json")
    assert (code, answer["error"]["class"]) == (2, "MissingInputError")
    code, answer, _ = call(
        "cut", "--source", "alp.tif", "--output_dir", "cut", "--size", "32", "--set", "month", "--json"
    )
    assert code == 2
    assert "--set is not KEY=VALUE" in answer["error"]["message"]
