"""Whole runs with a stub in place of the model: bad tiles among good ones, a bad model, memory, metadata, the books."""

import json
import logging
import os

import numpy as np
import pytest

from tasks.contracts.errors import ConfigError, StoreError
from tasks.contracts.tile_errors import CheckpointError, InputDirError, OutputDirError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.refine_folder import refine_folder
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import (
    errors,
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
from tests.tiles.engine.stubs import marked


def test_mixed_sizes_are_refined_in_one_run_under_their_own_names(tmp_path):
    sizes = {"a 1": (120, 120), "-b": (224, 224), "ü": (100, 90), "d": (17, 17), "e": (2, 3), "f": (101, 97)}
    for name, size in sizes.items():
        write_tile(tmp_path / "in", name, tile(1, *size), {"month": 1, "biome_code": 2})
    summary = refine_folder(stub_run(tmp_path))
    assert (summary.done, summary.exit_code) == (6, 0)
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "in", ".npz")
    for name, size in sizes.items():
        np.testing.assert_allclose(output(tmp_path / "out", name), tile(1, *size) / 2 + 0.003, atol=1e-6)
    assert summary.buckets["112x96"] == 1 and summary.buckets["16x16"] == 1


def test_each_bad_tile_fails_alone_with_its_class_and_without_output(tmp_path):
    folder = tmp_path / "in"
    write_tiles(folder, 5)
    write_tile(folder, "bad_biome", tile(), {"biome_code": 99})
    write_tile(folder, "bad_month", tile(), {"month": 13})
    write_tile(folder, "bad_values", tile() * 10_000, {"month": 1})
    write_tile(folder, "channels_last", np.moveaxis(tile(), 0, -1))
    write_tile(folder, "empty", np.full((4, 32, 32), np.nan, np.float32))
    write_tile(folder, "integers", (tile() * 10_000).astype(np.uint16))
    write_tile(folder, "raises", marked(tile(), stubs.RAISES))
    write_tile(folder, "not_finite", marked(tile(), stubs.NOT_FINITE))
    (folder / "sidecar.npz").write_bytes((folder / "t000.npz").read_bytes())
    (folder / "sidecar.json").write_text("{")
    (folder / "truncated.npz").write_bytes((folder / "t000.npz").read_bytes()[:900])
    (folder / "gone.npz").symlink_to("nowhere")
    np.savez(folder / "three_bands.npz", **{f"s2_b{band}": tile()[0] for band in (2, 3, 4)})
    summary = refine_folder(stub_run(tmp_path))
    wanted = {
        "bad_biome": ("InvalidBiomeError", "sidecar"), "bad_month": ("InvalidMonthError", "sidecar"),
        "bad_values": ("ValueRangeError", "read"), "channels_last": ("TileShapeError", "read"),
        "empty": ("TileEmptyError", "read"), "integers": ("AmbiguousUnitsError", "read"),
        "raises": ("TileModelError", "model"), "not_finite": ("NonFiniteOutputError", "model"),
        "sidecar": ("SidecarError", "sidecar"), "truncated": ("TileReadError", "read"),
        "gone": ("TileReadError", "read"), "three_bands": ("TileShapeError", "read"),
    }  # fmt: skip
    assert {name: (line["error"], line["phase"]) for name, line in errors(tmp_path / "out").items()} == wanted
    assert (summary.found, summary.done, summary.failed, summary.exit_code) == (17, 5, 12, 1)
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == [f"t00{n}" for n in range(5)]
    assert "s2_b8" in errors(tmp_path / "out")["three_bands"]["message"]


def test_model_that_fails_the_warm_up_ends_the_run_before_any_tile(tmp_path):
    write_tiles(tmp_path / "in", 3)
    with pytest.raises(CheckpointError, match="warm-up") as caught:
        refine_folder(stub_run(tmp_path, load=stubs.failing, workers=2))
    assert caught.value.exit_code == 2
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == []


def test_model_that_fails_on_every_tile_makes_no_output_and_no_copy(tmp_path):
    write_tiles(tmp_path / "in", 5)
    summary = refine_folder(stub_run(tmp_path, load=stubs.failing_after_warm_up))
    assert (summary.failed, summary.done, summary.exit_code) == (5, 0, 1)
    assert summary.errors == {"TileModelError": 5}
    assert names(tmp_path / "out", ".npz") == []


def test_same_error_in_two_whole_shards_stops_the_run(tmp_path):
    write_tiles(tmp_path / "in", 7)
    summary = refine_folder(stub_run(tmp_path, load=stubs.failing_after_warm_up, shard_size=2))
    assert (summary.outcome, summary.failed, summary.not_run, summary.exit_code) == ("model_fails", 4, 3, 1)
    assert "ValueError: no" in summary.message
    assert manifest(tmp_path / "out")["t006"]["status"] == "not_run"


def test_pixel_without_value_stays_alone(tmp_path):
    values = tile()
    values[2, 10, 11] = np.nan
    write_tile(tmp_path / "in", "a", values, {"month": 4, "biome_code": 1})
    write_tile(tmp_path / "in", "b", tile(1), {"month": 4, "biome_code": 1})
    refine_folder(stub_run(tmp_path))
    refined = output(tmp_path / "out", "a")
    assert np.isnan(refined[:, 10, 11]).all() and np.isnan(refined).sum() == 4
    assert np.isfinite(output(tmp_path / "out", "b")).all()
    assert manifest(tmp_path / "out")["a"]["valid_fraction"] == 1023 / 1024


def test_three_batches_without_memory_make_three_events_and_three_log_lines(tmp_path):
    for number, size in enumerate((16, 32, 48)):
        write_tile(tmp_path / "in", f"t{number}", tile(number, size), {"month": 1, "biome_code": 1})
    summary = refine_folder(stub_run(tmp_path, load=stubs.no_gpu_memory, device="cpu"))
    assert (len(summary.oom_events), summary.cpu_fallbacks, summary.batch_halvings) == (3, 3, 0)
    assert sum("CPU fallback" in line for line in log_lines(tmp_path / "out")) == 3
    assert (summary.done, summary.device, summary.precision) == (3, ("cpu",), ("fp32",))
    sidecar = json.loads((tmp_path / "out/t0.json").read_text())
    assert [event["action"] for event in sidecar["processing"]["oom_events"]] == ["CPU fallback"]
    assert (sidecar["processing"]["device"], sidecar["processing"]["use_amp"]) == ("cpu", False)


def test_halved_batches_are_counted_and_recorded(tmp_path):
    write_tiles(tmp_path / "in", 8)
    summary = refine_folder(stub_run(tmp_path, load=stubs.small_gpu))
    assert (summary.done, summary.batch_halvings, summary.cpu_fallbacks) == (8, 2, 0)
    assert {line["batch_size"] for line in manifest(tmp_path / "out").values()} == {1}
    assert sum("batch halved" in line for line in log_lines(tmp_path / "out")) == 2


def test_unknown_keys_of_the_sidecar_come_through_in_their_order(tmp_path):
    keys = {"zeta": 1.50, "month": "June", "ä": "ü", "biome_code": None, "nested": {"b": [1, 2.0], "a": None}}
    write_tile(tmp_path / "in", "a", tile(), keys)
    summary = refine_folder(stub_run(tmp_path))
    sidecar = json.loads((tmp_path / "out/a.json").read_text())
    assert list(sidecar)[:5] == ["zeta", "month", "ä", "biome_code", "nested"]
    assert (sidecar["zeta"], sidecar["nested"], sidecar["month"], sidecar["biome_code"]) == (1.5, keys["nested"], 6, 0)
    assert sidecar["stage"] == "stage2_refined"
    assert sidecar["processing"]["defaults_used"] == ["biome_code"]
    assert summary.defaults_used == 1
    assert sum("without month or biome" in line for line in log_lines(tmp_path / "out")) == 1


def test_missing_metadata_is_june_and_0_or_unknown_for_the_model_as_asked(tmp_path):
    write_tile(tmp_path / "in", "a", tile())
    refine_folder(stub_run(tmp_path))
    np.testing.assert_allclose(output(tmp_path / "out", "a"), tile() / 2 + 0.006, atol=1e-6)
    refine_folder(stub_run(tmp_path, config=TilesConfig(missing_metadata="unknown")))
    np.testing.assert_allclose(output(tmp_path / "out", "a"), tile() / 2 + 0.016, atol=1e-6)
    assert json.loads((tmp_path / "out/a.json").read_text())["month"] == 6


def test_empty_tile_is_no_failure_where_that_is_allowed(tmp_path):
    write_tile(tmp_path / "in", "a", np.full((4, 32, 32), np.nan, np.float32))
    summary = refine_folder(stub_run(tmp_path, allow_empty=True))
    assert (summary.empty, summary.failed, summary.exit_code) == (1, 0, 0)
    assert names(tmp_path / "out", ".npz") == []


def test_old_output_of_a_tile_that_now_fails_is_moved_away(tmp_path):
    write_tiles(tmp_path / "in", 2)
    refine_folder(stub_run(tmp_path))
    write_tile(tmp_path / "in", "t000", marked(tile(), stubs.RAISES), {"month": 1})
    (tmp_path / "in/t001.npz").write_bytes(b"no archive")
    refine_folder(stub_run(tmp_path))
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == []
    stale = names(tmp_path / "out/.stagegate/stale", ".stale")
    assert stale == ["t000.json", "t000.npz", "t001.json", "t001.npz"]


def test_input_that_changes_during_the_run_fails(tmp_path, monkeypatch):
    write_tiles(tmp_path / "in", 2)

    def survey_then_change(*args):
        found = survey(*args)
        write_tile(tmp_path / "in", "t000", tile(9))
        (tmp_path / "in/t001.npz").unlink()
        return found

    from tasks.tiles.survey import survey

    monkeypatch.setattr("tasks.tiles.refine_folder.survey", survey_then_change)
    refine_folder(stub_run(tmp_path))
    classes = {name: line["error"] for name, line in errors(tmp_path / "out").items()}
    assert classes == {"t000": "InputChangedError", "t001": "TileReadError"}


def test_sub_folders_keep_their_names(tmp_path):
    for below in ("x", "y"):
        write_tile(tmp_path / "in" / below, "a", tile(), {"month": 1, "biome_code": 1})
    assert refine_folder(stub_run(tmp_path, recursive=True)).done == 2
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in tmp_path.glob("out/**/a.*")) == [
        "x/a.json", "x/a.npz", "y/a.json", "y/a.npz",
    ]  # fmt: skip


def test_folder_without_tiles_is_refused_in_the_published_words(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputDirError, match=f"No NPZ tiles found in {tmp_path / 'in'}"):
        refine_folder(stub_run(tmp_path))
    with pytest.raises(InputDirError):
        refine_folder(stub_run(tmp_path / "absent"))
    assert not (tmp_path / "out").exists()


def test_checkpoint_with_another_digest_is_refused_and_nothing_written(tmp_path):
    write_tiles(tmp_path / "in", 1)
    with pytest.raises(CheckpointError, match="sha256"):
        refine_folder(stub_run(tmp_path, checkpoint_sha256="0" * 64))
    assert not (tmp_path / "out").exists()
    (stub_checkpoint(tmp_path / "checkpoint") / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="Error loading checkpoint"):
        refine_folder(stub_run(tmp_path))


def test_window_that_is_no_multiple_of_the_patch_is_refused(tmp_path):
    write_tiles(tmp_path / "in", 1)
    with pytest.raises(ConfigError, match="Use 96"):
        refine_folder(stub_run(tmp_path, config=TilesConfig(window=100)))
    assert not (tmp_path / "out").exists()


def test_required_device_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.tiles.devices.gpu_count", lambda: 0)
    write_tiles(tmp_path / "in", 1)
    with pytest.raises(ConfigError, match="no such device"):
        refine_folder(stub_run(tmp_path, device="cuda", require_device=True))
    assert refine_folder(stub_run(tmp_path, device="cuda")).device == ("cpu",)
    processing = json.loads((tmp_path / "out/t000.json").read_text())["processing"]
    assert (processing["device"], processing["device_requested"]) == ("cpu", "cuda")


def test_books_are_complete(tmp_path):
    write_tiles(tmp_path / "in", 3)
    (tmp_path / "in/lonely.json").write_text("{}")
    (tmp_path / "in/shouting.NPZ").touch()
    refine_folder(stub_run(tmp_path))
    (tmp_path / "in/t002.npz").unlink()
    summary = refine_folder(stub_run(tmp_path))
    own = tmp_path / "out/.stagegate"
    written = json.loads((own / "summary.json").read_text())
    assert written == json.loads(summary.model_dump_json())
    assert (summary.orphan_sidecars, summary.ignored) == (("lonely.json", "t002.json"), ("shouting.NPZ",))
    assert summary.orphans == ("t002.npz",)
    config = json.loads((own / "run_config.json").read_text())
    assert (config["batch_size"], config["input_dir"]) == (4, str(tmp_path / "in"))
    assert [path for path in tmp_path.rglob("out/.stagegate/**/*.npz")] == []
    assert list((own / "tmp").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["t000.json", "t001.json", "t002.json"]


def test_books_of_an_earlier_run_stay_when_the_next_one_cannot_begin(tmp_path):
    write_tiles(tmp_path / "in", 2)
    refine_folder(stub_run(tmp_path))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out/.stagegate").glob("*.json*")}
    assert set(before) == {"manifest.jsonl", "errors.jsonl", "summary.json", "run_config.json"}
    write_tile(tmp_path / "in", "t002", tile(2))
    with pytest.raises(CheckpointError):
        refine_folder(stub_run(tmp_path, load=stubs.failing))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/.stagegate").glob("*.json*")} == before


def test_logger_is_as_before_after_a_run_that_failed(tmp_path):
    logger = logging.getLogger("tasks.tiles")
    before = (logger.level, list(logger.handlers))
    write_tiles(tmp_path / "in", 1)
    with pytest.raises(CheckpointError):
        refine_folder(stub_run(tmp_path, load=stubs.failing))
    assert (logger.level, list(logger.handlers)) == before


def test_log_file_that_cannot_be_written_is_refused(tmp_path):
    write_tiles(tmp_path / "in", 1)
    with pytest.raises(OutputDirError, match="log_file"):
        refine_folder(stub_run(tmp_path, log_file=str(tmp_path)))


def test_second_run_in_the_same_folder_is_refused_while_the_first_works(tmp_path):
    from tasks.tiles.output_folder import opened

    write_tiles(tmp_path / "in", 1)
    with opened(tmp_path / "out", tmp_path / "in"), pytest.raises(OutputDirError, match="another run"):
        refine_folder(stub_run(tmp_path))


def test_full_disk_ends_the_run_and_a_rerun_goes_on(tmp_path, monkeypatch):
    write_tiles(tmp_path / "in", 6)
    with pytest.raises(StoreError) as caught:
        refine_folder(stub_run(tmp_path, load=stubs.disk_full_after(2), batch_size=1))
    assert (type(caught.value).__name__, caught.value.exit_code) == ("StorageFullError", 4)
    summary = json.loads((tmp_path / "out/.stagegate/summary.json").read_text())
    assert (summary["outcome"], summary["done"], summary["not_run"]) == ("broken", 2, 4)
    assert list((tmp_path / "out/.stagegate/tmp").iterdir()) == []
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == ["t000", "t001"]
    again = refine_folder(stub_run(tmp_path))
    assert (again.resumed, again.done, again.exit_code) == (2, 4, 0)


def test_stop_commits_the_running_batch_and_leaves_the_rest_for_a_rerun(tmp_path):
    write_tiles(tmp_path / "in", 40)
    run = stub_run(tmp_path, load=stubs.slow, batch_size=2)
    summary = refine_folder(run, stopping=lambda: len(os.listdir(tmp_path / "out")) > 6)
    assert (summary.outcome, summary.exit_code) == ("stopped", 3)
    assert 2 <= summary.done < 40 and summary.done + summary.not_run == 40
    assert len(names(tmp_path / "out", ".json")) == summary.done
    again = refine_folder(run)
    assert (again.resumed, again.done, again.exit_code) == (summary.done, 40 - summary.done, 0)


def test_stop_before_the_first_tile_starts_no_worker(tmp_path):
    write_tiles(tmp_path / "in", 2)
    summary = refine_folder(stub_run(tmp_path), stopping=lambda: True)
    assert (summary.not_run, summary.workers, summary.exit_code) == (2, 0, 3)


def test_tile_whose_sidecar_could_not_be_named_fails_alone(tmp_path):
    name = "n" * 251
    write_tile(tmp_path / "in", name, tile())
    write_tile(tmp_path / "in", "m" * 240, tile(), {"month": 1})
    summary = refine_folder(stub_run(tmp_path))
    assert (summary.done, summary.failed) == (1, 1)
    assert "Rename it" in errors(tmp_path / "out")[name]["message"]
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == ["m" * 240]
