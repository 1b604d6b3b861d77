"""The command with models that raise, run out of memory or find the disk full: nothing unrefined is ever presented."""

from collections import Counter

import pytest

from tests.tiles.acceptance.calls import books, refine
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import errors, log_lines, manifest, names, stub_checkpoint, tile, write_tile, write_tiles

pytestmark = [pytest.mark.xdist_group("tiles-acceptance"), pytest.mark.usefixtures("prefect_server")]
KNOWN = {"month": 5, "biome_code": 3}


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Refine the tiles in tmp_path/in to tmp_path/out with this loader in place of the model."""
    stub_checkpoint(tmp_path / "model")

    def refined(loader, *words):
        monkeypatch.setattr("tasks.tiles.flow.refined.load_refiner", loader)
        return refine(tmp_path, tmp_path / "model", tmp_path / "in", tmp_path / "out", "--quicklook", "0", *words)

    return refined


def states(folder) -> dict[str, int]:
    """Tiles per state in `summary.json`, after a look at their sum."""
    summary = books(folder, "summary.json")
    counts = {name: summary[name] for name in ("done", "resumed", "failed", "empty", "not_run")}
    assert summary["found"] == sum(counts.values())
    assert Counter(line["status"] for line in manifest(folder).values()) == {k: v for k, v in counts.items() if v}
    return {name: count for name, count in counts.items() if count}


def test_raising_at_the_warm_up_ends_with_2_and_no_output(call, tmp_path):
    write_tiles(tmp_path / "in", 3)
    code, told, text = call(stubs.failing)
    assert (code, told["error"]["class"]) == (2, "CheckpointError"), text
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == []


def test_raising_on_every_call_after_it_fails_all_tiles_and_copies_none(call, tmp_path):
    write_tiles(tmp_path / "in", 5)
    code, told, text = call(stubs.failing_after_warm_up)
    assert (code, told["status"]) == (1, "incomplete"), text
    assert states(tmp_path / "out") == {"failed": 5}
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == []


def test_the_same_error_in_two_whole_shards_stops_the_run(call, tmp_path):
    write_tiles(tmp_path / "in", 7)
    assert call(stubs.failing_after_warm_up, "--shard_size", "2").code == 1
    assert states(tmp_path / "out") == {"failed": 4, "not_run": 3}


def test_raising_on_one_tile_fails_that_one(call, tmp_path):
    write_tiles(tmp_path / "in", 4)
    write_tile(tmp_path / "in", "raises", stubs.marked(tile(), stubs.RAISES), KNOWN)
    write_tile(tmp_path / "in", "infinite", stubs.marked(tile(), stubs.NOT_FINITE), KNOWN)
    assert call(stubs.halving).code == 1
    failed = {name: line["error"] for name, line in errors(tmp_path / "out").items()}
    assert failed == {"raises": "TileModelError", "infinite": "NonFiniteOutputError"}
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == [f"t{n:03d}" for n in range(4)]
    assert states(tmp_path / "out") == {"done": 4, "failed": 2}


def test_three_batches_without_memory_are_three_events_and_three_lines_of_the_log(call, tmp_path):
    for number, size in enumerate((16, 32, 48)):
        write_tile(tmp_path / "in", f"t{number}", tile(number, size), KNOWN)
    assert call(stubs.no_gpu_memory).code == 0
    summary = books(tmp_path / "out", "summary.json")
    assert (len(summary["oom_events"]), summary["cpu_fallbacks"], summary["batch_halvings"]) == (3, 3, 0)
    assert sum("CPU fallback" in line for line in log_lines(tmp_path / "out")) == 3


def test_a_full_disk_ends_with_4_and_a_rerun_goes_on(call, tmp_path):
    write_tiles(tmp_path / "in", 6)
    code, told, text = call(stubs.disk_full_after(2), "--batch_size", "1")
    assert (code, told["error"]["class"]) == (4, "StorageFullError"), text
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == ["t000", "t001"]
    assert list((tmp_path / "out/.stagegate/tmp").iterdir()) == []
    assert states(tmp_path / "out") == {"done": 2, "not_run": 4}
    assert call(stubs.halving, "--batch_size", "1").code == 0
    assert states(tmp_path / "out") == {"done": 4, "resumed": 2}
