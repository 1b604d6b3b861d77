"""`stagegate tiles refine` as a shell calls it: what it writes, says and returns."""

import hashlib
import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from tasks.tiles.sample import make_sample
from tests.cli.command import stagegate
from tests.tiles.cli.shell import ONE_WORKER, last_json
from tests.tiles.scenes.images import digital_numbers, read_scene, write_scene

LOOP = """
for aoi in tiles/*/; do
  stagegate tiles --checkpoint model --input_dir $aoi --output_dir out/$(basename $aoi) --device cpu --workers 1
done
"""


@pytest.fixture(scope="module")
def looped(shell, sample):
    """The loop over areas of interest, one call for each folder: (exit code, stdout, stderr)."""
    for path in sorted(sample.tiles.glob("tile_*")):
        area = shell.folder / "tiles" / f"aoi{1 + (path.stem > 'tile_00003')}"
        area.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, area)
    shutil.copytree(sample.checkpoint, shell.folder / "model")
    return shell.run("bash", "-ec", LOOP)


@pytest.fixture
def call(monkeypatch, capsys, shell, looped):
    """The same, in this process, over the store of the loop."""
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("STAGEGATE_STORE", str(shell.folder / "store"))
    return lambda *words: stagegate(monkeypatch, capsys, "tiles", "--checkpoint", "model", *words, *ONE_WORKER)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")}


def test_the_loop_refines_every_area_into_a_folder_of_its_own(shell, looped):
    code, _, err = looped
    assert code == 0, err
    found = {path.name: sorted(each.name for each in path.glob("[!.]*")) for path in (shell.folder / "out").iterdir()}
    names = [f"tile_{n:05d}.{kind}" for n in range(6) for kind in ("json", "npz")]
    others = ["inference.log", "report.html"]
    assert found == {"aoi1": [*others, *names[:8]], "aoi2": [*others, *names[8:]]}
    made = json.loads((shell.folder / "out" / "aoi2" / "tile_00005.json").read_text())
    assert made["stage"] == "stage2_refined"
    assert made["processing"]["checkpoint"] == "model"


def test_a_person_reads_scores_counts_and_places(looped):
    _, out, _ = looped
    first = out[: out.index("aoi2")]
    head = next(line.split() for line in first.splitlines() if "identity" in line)
    assert head == ["metric", "refined", "identity", "unsharp", "target"]
    row = next(line.split() for line in first.splitlines() if "ndvi_rmse" in line)
    assert row[2] == "0.0000" and float(row[1]) > 0 and row[4:] == ["<", "0.05"]
    assert first.count("4 tiles: 4 done, 0 resumed, 0 failed, 0 empty, 0 not_run") == 1
    for line in ("output       out/aoi1", "report       out/aoi1/report.html", "log          out/aoi1/inference.log"):
        assert line in first.splitlines()


def test_again_nothing_is_computed_and_json_tells_the_scores(call, shell):
    before = digests(shell.folder / "out" / "aoi1")
    code, answer, text = call("--input-dir", "tiles/aoi1", "--output-dir", "out/aoi1", "--json")
    assert (code, answer["status"], answer["error"]) == (0, "complete", None), text
    assert digests(shell.folder / "out" / "aoi1") == before
    summary = json.loads((shell.folder / "out" / "aoi1" / ".stagegate" / "summary.json").read_text())
    assert (summary["found"], summary["resumed"]) == (4, 4)
    assert answer["run_folder"] == "out/aoi1"
    keys = ("ndvi_rmse", "edge_correlation", "share_bit_identical", "baselines.unsharp.ndvi_rmse", "tiles_per_s")
    assert set(keys) <= set(answer["metrics"])
    assert answer["metrics"]["baselines.identity.ndvi_rmse"] == 0
    assert answer["flow_run_id"]


def test_a_finished_folder_can_be_judged_and_verified_as_it_is(monkeypatch, capsys, shell, looped):
    monkeypatch.chdir(shell.folder)
    recorded = json.loads((shell.folder / "out" / "aoi2" / ".stagegate" / "quality.json").read_text())
    code, answer, text = stagegate(monkeypatch, capsys, "tiles", "evaluate", "--output_dir", "out/aoi2", "--json")
    assert (code, answer["verdict"], answer["tiles"]) == (0, recorded["verdict"], 2), text
    assert answer["metrics"]["ndvi_rmse"] == recorded["summary"]["ndvi_rmse"]["median"]
    assert stagegate(monkeypatch, capsys, "tiles", "verify", "--output_dir", "out/aoi2")[0] == 0


def test_a_dry_run_tells_what_would_be_skipped_and_why_not_the_rest(call, shell, tmp_path):
    out = shutil.copytree(shell.folder / "out" / "aoi1", tmp_path / "out")
    (out / "tile_00001.npz").write_bytes(b"other")
    (out / "tile_00002.json").unlink()
    words = ("--input_dir", "tiles/aoi1", "--output_dir", str(out), "--dry_run")
    code, answer, text = call(*words, "--json")
    assert code == 0, text
    assert answer["plan"]["resumed"] == 2
    assert answer["plan"]["reasons"] == {"output damaged": 1, "no commit marker": 1}
    code, answer, _ = call(*words, "--no-skip-existing", "--json")
    assert (answer["plan"]["resumed"], answer["plan"]["reasons"]) == (0, {"not skipped": 4})


def test_a_scene_is_refined_once(call, tmp_path):
    scene = write_scene(tmp_path / "alp.tif", digital_numbers(40, 50))
    words = ("--scene", str(scene), "--output_dir", str(tmp_path / "out"), "--window", "32", "--overlap", "16")
    code, answer, text = call(*words, "--json")
    assert (code, answer["status"]) == (0, "complete"), text
    values, profile, names, _ = read_scene(tmp_path / "out" / "alp.tif")
    assert (values.shape, profile["dtype"], names) == ((4, 40, 50), "uint16", ("B02", "B03", "B04", "B08"))
    code, answer, text = call(*words, "--dry_run", "--json")
    assert answer["plan"]["scenes"] == {"alp": "would skip"}, text


def test_failed_tiles_are_named_and_the_others_are_done(call, tiles, tmp_path):
    (tiles / "tile_00001.npz").write_bytes(b"PK\x03\x04 truncated")
    (tiles / "tile_00004.json").write_text('{"month": 13}')
    code, _, text = call("--input_dir", str(tiles), "--output_dir", str(tmp_path / "out"))
    assert code == 1, text
    assert "failed: tile_00001: TileReadError: " in text
    assert "failed: tile_00004: InvalidMonthError: " in text
    assert "6 tiles: 4 done, 0 resumed, 2 failed, 0 empty, 0 not_run" in text
    assert sorted(path.name for path in (tmp_path / "out").glob("*.npz")) == [f"tile_{n:05d}.npz" for n in (0, 2, 3, 5)]


def test_a_model_that_does_nothing_ends_with_a_line_that_says_so(call, tmp_path):
    fresh = make_sample(tmp_path / "made", 2, (32,))
    words = ("--input_dir", str(fresh.tiles), "--output_dir", str(tmp_path / "out"))
    code, _, text = call(*words, "--checkpoint", str(fresh.checkpoint))
    assert code == 1
    assert "2 tiles: 2 done" in text
    last = [line for line in text.splitlines() if "no_refinement" in line][-1]
    assert last.startswith("no_refinement: ")


def test_an_empty_folder_is_refused_in_the_words_of_the_guide(call, tmp_path):
    (tmp_path / "empty").mkdir()
    words = ("--input_dir", str(tmp_path / "empty"), "--output_dir", str(tmp_path / "out"))
    code, answer, _ = call(*words, "--json")
    assert (code, answer["status"], answer["error"]["class"]) == (2, "refused", "InputDirError")
    assert f"No NPZ tiles found in {tmp_path / 'empty'}" in answer["error"]["message"]


def test_a_checkpoint_of_another_digest_is_refused_and_nothing_written(call, tmp_path):
    words = ("--input_dir", "tiles/aoi1", "--output_dir", str(tmp_path / "out"))
    code, answer, _ = call(*words, "--checkpoint_sha256", "0" * 64, "--json")
    assert (code, answer["error"]["class"]) == (2, "CheckpointError")
    assert not list(tmp_path.glob("out/*.npz"))


def test_an_interrupt_leaves_finished_tiles_and_books_that_say_so(shell, looped, tmp_path):
    many = make_sample(tmp_path / "many", 80, (64,), checkpoint=False).tiles
    out = tmp_path / "out"
    words = ("stagegate", "tiles", "--checkpoint", "model", "--input_dir", str(many), "--output_dir", str(out))
    words += (*ONE_WORKER, "--batch_size", "1", "--quicklook", "0", "--json")
    process = shell.start(*words)
    deadline = time.monotonic() + 120
    while not any(out.glob("*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    told, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    answer = last_json(told)
    assert (answer["status"], answer["error"]["class"]) == ("stopped", "InterruptedStepError")
    summary = json.loads((out / ".stagegate" / "summary.json").read_text())
    assert summary["found"] == 80 == summary["done"] + summary["not_run"]
    assert len(list(out.glob("*.npz"))) == len(list(out.glob("*.json"))) == summary["done"]


def test_without_torch_only_finished_folders_can_be_refined(shell, looped, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    words = f"stagegate tiles --checkpoint model --input_dir tiles/aoi1 {' '.join(ONE_WORKER)} --json --output_dir"
    paths = f'PYTHONPATH="{tmp_path}:$PYTHONPATH"'
    code, out, err = shell.run("bash", "-c", f"{paths} {words} {tmp_path / 'new'}")
    assert code == 4, err
    assert last_json(out)["error"]["class"] == "DependencyError"
    assert "pip install 'stagegate[torch]'" in last_json(out)["error"]["message"]
    assert not (tmp_path / "new").exists()
    code, out, err = shell.run("bash", "-c", f"{paths} {words} out/aoi2 --input_dir tiles/aoi2")
    assert (code, last_json(out)["status"]) == (0, "complete"), err
