"""All bad tiles at once among good ones, through the engine and through the command: each fails alone and by name."""

import json

import numpy as np
import pytest

from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.folder_run import FolderRun
from tasks.tiles.refine_folder import refine_folder
from tests.tiles.acceptance.bad_tiles import BAD, GOOD, write_all
from tests.tiles.acceptance.calls import books, refine
from tests.tiles.engine.cases import errors, log_lines, manifest, names, output

pytestmark = pytest.mark.xdist_group("tiles-acceptance")


@pytest.fixture(scope="module", params=["engine", "command"])
def refined(request, tmp_path_factory):
    """(output folder, exit code, warnings about the run as a whole) of one run over the whole folder."""
    top = tmp_path_factory.mktemp("bad_tiles")
    write_all(top / "in")
    save_checkpoint(top / "model", fresh("nano", seed=1, head_scale=0.3))
    if request.param == "engine":
        run = FolderRun(str(top / "model"), str(top / "in"), str(top / "out"), workers=1)
        return top / "out", refine_folder(run).exit_code, log_lines(top / "out")
    request.getfixturevalue("prefect_server")
    code, told, _ = refine(top, top / "model", top / "in", top / "out", "--quicklook", "1")
    return top / "out", code, told["warnings"]


def test_the_run_ends_with_1_and_its_sum_holds(refined):
    folder, code, _ = refined
    summary = books(folder, "summary.json")
    assert code == 1
    assert summary["found"] == len(GOOD) + len(BAD) == len(manifest(folder))
    states = {name: summary[name] for name in ("done", "resumed", "failed", "empty", "not_run")}
    assert states == {"done": len(GOOD), "resumed": 0, "failed": len(BAD), "empty": 0, "not_run": 0}
    assert sum(summary["errors"].values()) == len(BAD)


def test_exactly_the_bad_tiles_have_a_line_of_error(refined):
    lines = (refined[0] / ".stagegate/errors.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(BAD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_tile_fails_by_class_and_message_and_leaves_nothing(refined, name):
    folder, *_ = refined
    line, wanted = errors(folder)[name], BAD[name]
    assert (line["error"], line["phase"]) == (wanted.error, wanted.phase)
    assert name in line["message"]
    assert wanted.says in line["message"]
    assert manifest(folder)[name]["status"] == "failed"
    assert [path.name for path in folder.rglob("*") if path.stem == name] == []


@pytest.mark.parametrize("name", GOOD)
def test_a_good_tile_among_them_is_refined_in_its_own_size(refined, name):
    folder, *_ = refined
    given, values = GOOD[name][0], output(folder, name)
    assert values.shape == given.shape
    assert np.nanmin(values) >= 0 and np.nanmax(values) <= 1
    assert np.nanmax(np.abs(values - np.where(np.isfinite(given), given, 0))) > 0.001
    assert json.loads((folder / f"{name}.json").read_text())["stage"] == "stage2_refined"


def test_outputs_are_those_of_the_good_tiles_and_no_others(refined):
    folder, *_ = refined
    assert set(names(folder, ".npz")) == set(names(folder, ".json")) == set(GOOD)
    assert [path for path in (folder / ".stagegate").rglob("*.npz")] == []


@pytest.mark.parametrize("name", ["good_nan", "good_inf", "good_nodata"])
def test_a_gap_stays_one_pixel_and_its_share_is_recorded(refined, name):
    folder, *_ = refined
    missing = np.isnan(output(folder, name))
    assert np.argwhere(missing).tolist() == [[band, 4, 7] for band in range(4)]
    processing = json.loads((folder / f"{name}.json").read_text())["processing"]
    assert processing["valid_fraction"] == manifest(folder)[name]["valid_fraction"] == 1023 / 1024


def test_a_clipped_sample_is_counted(refined):
    assert manifest(refined[0])["good_clipped"]["clipped_fraction"] == 1 / 4096


def test_missing_metadata_is_filled_in_said_in_the_sidecar_and_warned_of_once(refined):
    folder, _, warnings = refined
    told = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("good_no_month", "good_no_sidecar")}
    assert {name: (one["month"], one["biome_code"]) for name, one in told.items()} == {
        "good_no_month": (6, 3), "good_no_sidecar": (6, 0),
    }  # fmt: skip
    used = {name: line["defaults_used"] for name, line in manifest(folder).items() if line["status"] == "done"}
    lacking = {"good_no_month": ["month"], "good_no_sidecar": ["month", "biome_code"]}
    assert used == {name: lacking.get(name, []) for name in GOOD}
    assert sum("2 tiles without month or biome" in line for line in warnings) == 1


def test_numbers_that_json_does_not_know_are_kept_and_warned_of(refined):
    folder, *_ = refined
    text = (folder / "good_nan_sidecar.json").read_text()
    assert '"quality": NaN' in text and "-Infinity" in text
    assert any("WARNING good_nan_sidecar" in line and "NaN" in line for line in log_lines(folder))


def test_a_sidecar_without_a_tile_is_counted_and_warned_of(refined):
    folder, _, warnings = refined
    assert books(folder, "summary.json")["orphan_sidecars"] == ["orphan.json"]
    assert any("orphan.json" in line for line in warnings)
