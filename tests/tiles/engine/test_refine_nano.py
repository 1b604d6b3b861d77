"""Whole runs with a small model of the real kind."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.torch_model import load_refiner
from tests.tiles.engine import loaders
from tests.tiles.engine.cases import manifest, names, output, stub_run, tile, write_tile, write_tiles

FP32 = TilesConfig(precision="fp32")
SIZES = ((32, 32), (40, 33), (48, 48), (17, 17))


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """Tiles of several sizes, one with a missing pixel, and a model that changes them visibly."""
    top = tmp_path_factory.mktemp("nano")
    for number in range(26):
        values = tile(number, *SIZES[number % len(SIZES)])
        values[0, 3, 3] = np.nan if number == 5 else values[0, 3, 3]
        write_tile(top / "in", f"t{number:03d}", values, {"month": 1 + number % 12, "biome_code": number % 16})
    save_checkpoint(top / "checkpoint", fresh("nano", seed=1, head_scale=0.3))
    return top


def refined(top, name: str, **changes) -> dict[str, np.ndarray]:
    """Outputs of a run with these settings, kept under a name."""
    summary = refine_folder(stub_run(top, load=load_refiner, config=FP32, **changes))
    assert (summary.done, summary.exit_code) == (26, 0)
    (top / "out").rename(top / name)
    return {one: output(top / name, one) for one in names(top / name, ".npz")}


@pytest.fixture(scope="module")
def one(top):
    """Outputs of a run with one worker and batches of 4."""
    return refined(top, "one")


def test_number_of_workers_changes_no_byte_and_batch_size_next_to_nothing(top, one):
    two = refined(top, "two", workers=2, batch_size=3)
    assert one.keys() == two.keys() and len(one) == 26
    assert max(np.nanmax(np.abs(two[name] - one[name])) for name in one) <= 1e-5
    again = refined(top, "again", workers=2)
    for name in again:
        assert digest(top / "again" / f"{name}.npz") == digest(top / "one" / f"{name}.npz")
    assert {line["batch_size"] for line in manifest(top / "two").values()} == {1, 3}


def test_outputs_are_reflectance_of_the_size_of_the_input_and_nan_only_where_it_was(one):
    for number, values in enumerate(one.values()):
        size = SIZES[number % len(SIZES)]
        assert values.shape == (4, *size)
        assert np.isnan(values).sum() == (4 if number == 5 else 0)
        assert np.nanmin(values) >= 0 and np.nanmax(values) <= 1
        assert np.nanmax(np.abs(values - tile(number, *size))) > 0.01


def test_mixed_precision_is_not_recorded_where_it_did_not_run(tmp_path, top):
    shutil.copytree(top / "checkpoint", tmp_path / "checkpoint")
    write_tiles(tmp_path / "in", 1)
    summary = refine_folder(stub_run(tmp_path, load=loaders.without_bf16))
    processing = json.loads((tmp_path / "out/t000.json").read_text())["processing"]
    assert (processing["precision"], processing["use_amp"], summary.precision) == ("fp32", False, ("fp32",))


def test_no_network_is_used_and_changed_weights_change_everything(tmp_path, top, monkeypatch):
    loaders.block_network(monkeypatch.setattr)
    shutil.copytree(top / "checkpoint", tmp_path / "checkpoint")
    write_tiles(tmp_path / "in", 2)
    run = stub_run(tmp_path, load=loaders.without_network)
    assert refine_folder(run).done == 2
    before = [output(tmp_path / "out", "t000"), json.loads((tmp_path / "out/t000.json").read_text())["processing"]]
    save_checkpoint(tmp_path / "checkpoint", fresh("nano", seed=2, head_scale=0.3))
    assert refine_folder(run).done == 2
    assert manifest(tmp_path / "out")["t000"]["reason"] == "checkpoint changed"
    assert not np.array_equal(output(tmp_path / "out", "t000"), before[0])
    after = json.loads((tmp_path / "out/t000.json").read_text())["processing"]
    assert after["checkpoint_id"] != before[1]["checkpoint_id"]


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
