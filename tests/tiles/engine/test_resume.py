"""An earlier output stands only if everything about it still fits; each difference has its name."""

import json
import shutil

import numpy as np
import pytest

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.dry_run import dry_run
from tasks.tiles.refine_folder import refine_folder
from tests.tiles.engine.cases import (
    log_lines,
    manifest,
    names,
    output,
    stub_checkpoint,
    stub_run,
    tile,
    write_tile,
    write_tiles,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Eight refined tiles, to be copied."""
    top = tmp_path_factory.mktemp("finished")
    write_tiles(top / "in", 8)
    assert refine_folder(stub_run(top)).done == 8
    return top


@pytest.fixture
def top(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "top")
    return tmp_path / "top"


def reasons(top, **changes) -> dict[str, int]:
    return dry_run(stub_run(top, **changes))["reasons"]


def test_finished_folder_is_skipped_whole_and_starts_no_worker(top):
    before = {path.name: path.stat().st_mtime_ns for path in (top / "out").glob("t*")}
    summary = refine_folder(stub_run(top))
    assert (summary.resumed, summary.done, summary.workers, summary.exit_code) == (8, 0, 0, 0)
    assert {path.name: path.stat().st_mtime_ns for path in (top / "out").glob("t*")} == before
    assert {line["status"] for line in manifest(top / "out").values()} == {"resumed"}


def test_exactly_the_three_spoiled_tiles_are_redone(top):
    good = (top / "out/t003.npz").read_bytes()
    flipped = bytearray(good)
    flipped[-300] ^= 1
    (top / "out/t003.npz").write_bytes(flipped)
    (top / "out/t005.json").unlink()
    write_tile(top / "in", "t006", tile(99), {"month": 7, "biome_code": 6})
    summary = refine_folder(stub_run(top))
    assert (summary.done, summary.resumed) == (3, 5)
    redone = {name: line["reason"] for name, line in manifest(top / "out").items() if line["status"] == "done"}
    assert redone == {"t003": "output damaged", "t005": "no commit marker", "t006": "input changed"}
    assert (top / "out/t003.npz").read_bytes() == good
    np.testing.assert_allclose(output(top / "out", "t006"), tile(99) / 2 + 0.013, atol=1e-6)
    assert any(line.endswith("t003: output damaged") for line in log_lines(top / "out"))


def test_truncated_output_is_damaged(top):
    whole = (top / "out/t000.npz").read_bytes()
    (top / "out/t000.npz").write_bytes(whole[:100])
    assert reasons(top) == {"output damaged": 1}


def test_changed_sidecar_counts_as_changed_input(top):
    (top / "in/t000.json").write_text('{"month": 3}')
    (top / "in/t001.json").unlink()
    assert reasons(top) == {"input changed": 2}


def test_other_checkpoint_config_or_code_redoes_everything(top, monkeypatch):
    assert reasons(top, config=TilesConfig(range_policy="strict")) == {"config changed": 8}
    monkeypatch.setattr("tasks.tiles.folder_run.code_version", lambda: "other")
    assert reasons(top) == {"code changed": 8}
    stub_checkpoint(top / "checkpoint", b"other weights")
    assert reasons(top) == {"checkpoint changed": 8}


def test_batch_size_workers_and_compression_do_not(top):
    assert reasons(top, batch_size=1, workers=2, compression="zlib1") == {}


def test_marker_that_is_no_marker_does_not_count(top):
    marker = json.loads((top / "out/t000.json").read_text())
    (top / "out/t000.json").write_text(json.dumps(marker | {"stage": "stage1"}))
    (top / "out/t001.json").write_text("{")
    (top / "out/t002.json").write_text("[1]")
    edited = json.loads((top / "out/t003.json").read_text())
    del edited["processing"]["padded_to"]
    (top / "out/t003.json").write_text(json.dumps(edited))
    assert reasons(top) == {"no commit marker": 4}


def test_asked_not_to_skip_every_tile_is_done_again_with_equal_bytes(top):
    before = {name: (top / f"out/{name}.npz").read_bytes() for name in names(top / "out", ".npz")}
    summary = refine_folder(stub_run(top, skip_existing=False))
    assert (summary.done, summary.resumed) == (8, 0)
    assert {name: (top / f"out/{name}.npz").read_bytes() for name in before} == before


def test_finished_tiles_of_a_batch_are_computed_with_it_and_not_written_again(top):
    before = (top / "out/t000.npz").stat().st_mtime_ns
    (top / "out/t001.json").unlink()
    refine_folder(stub_run(top))
    line = manifest(top / "out")["t001"]
    assert (line["batch_size"], line["status"]) == (4, "done")
    assert (top / "out/t000.npz").stat().st_mtime_ns == before


def test_dry_run_touches_nothing(tmp_path):
    write_tiles(tmp_path / "in", 3)
    plan = dry_run(stub_run(tmp_path, batch_size=2))
    assert plan == {
        "found": 3, "failed": 0, "resumed": 0, "to_do": 3, "reasons": {"new": 3}, "buckets": {"32x32": 3}, "shards": 1,
    }  # fmt: skip
    assert not (tmp_path / "out").exists()
