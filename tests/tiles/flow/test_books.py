"""The books of a run over tiles: right whatever ends it, and untouched by a run that was refused."""

import json
import os

import numpy as np
import pytest

from flows.refine_tiles import refine_tiles
from tasks.contracts.errors import ConfigError, InterruptedStepError
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.settings import PlatformSettings
from tasks.tiles.output_folder import OutputFolder
from tasks.tiles.request import RefineRequest
from tasks.tiles.sample import make_sample

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Four small tiles and one that is all nodata, with a model that changes them."""
    folder = tmp_path_factory.mktemp("sample")
    make_sample(folder, count=4, sizes=(32,), head_scale=0.3)
    np.savez(folder / "void.npz", opt_v1=np.full((4, 32, 32), np.nan, np.float32))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def refine(sample, store):
    """Run the flow; the run is given back with the report."""

    def call(out, *, settings=None, before=lambda run: None, **request):
        run = Run(PlatformSettings(store=store, **(settings or {})), "")
        before(run)
        given = {"input_dir": str(sample), "checkpoint": str(sample / "checkpoint")} | request
        with prepared(run):
            report = refine_tiles(RefineRequest(output_dir=str(out), device="cpu", workers=1, **given))
        return run, report

    return call


@pytest.fixture(scope="module")
def finished(refine, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    _, report = refine(out)
    return out, report


def book(out, name="summary.json"):
    return json.loads((out / ".stagegate" / name).read_text())


def test_a_failed_tile_is_told_once(finished):
    out, report = finished
    assert report.status == "incomplete"
    assert list(report.missing) == ["void"]
    assert (out / "inference.log").read_text().count("void failed") == 1


def test_a_refused_run_leaves_the_books_of_a_finished_folder(finished, refine):
    out, _ = finished
    before = {path.name: path.read_bytes() for path in (out / ".stagegate").iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match="multiple of the patch size"):
        refine(out, window=225)
    assert {path.name: path.read_bytes() for path in (out / ".stagegate").iterdir() if path.is_file()} == before


def test_tiles_from_the_cache_are_no_throughput(finished, refine, tmp_path):
    run, report = refine(tmp_path / "other")
    assert [step.status for step in run.steps if step.step == "infer-tiles"] == ["cached"]
    assert book(tmp_path / "other")["done"] == 4
    assert report.metrics["tiles_per_s"] is None


def test_empty_tiles_are_no_failure_where_they_are_allowed(refine, tmp_path):
    _, report = refine(tmp_path / "out", allow_empty=True)
    assert (report.status, report.missing) == ("complete", {})
    assert book(tmp_path / "out")["empty"] == 1


def test_a_signal_between_steps_closes_the_books(finished, refine, monkeypatch):
    out, _ = finished
    looked = []
    run = None

    def remember(made):
        nonlocal run
        run = made

    def finished_then_stopped(self, header, job):
        looked.append(header.id)
        run.stop.set()
        return find(self, header, job)

    find = OutputFolder.finished
    monkeypatch.setattr(OutputFolder, "finished", finished_then_stopped)
    with pytest.raises(InterruptedStepError):
        refine(out, before=remember)
    assert len(looked) == 1
    summary = book(out)
    assert (summary["outcome"], summary["not_run"], summary["found"]) == ("stopped", 5, 5)


def test_a_link_out_of_the_data_root_is_not_followed(refine, sample, tmp_path):
    secret, root = tmp_path / "secret.json", tmp_path / "data"
    secret.write_text('{"month": 3, "password": "hidden"}')
    (root / "in").mkdir(parents=True)
    (root / "in" / "a.npz").write_bytes((sample / "tile_00000.npz").read_bytes())
    (root / "in" / "b.npz").write_bytes((sample / "tile_00000.npz").read_bytes())
    os.symlink(secret, root / "in" / "a.json")
    for path in (sample / "checkpoint").iterdir():
        (root / path.name).write_bytes(path.read_bytes())
    settings = {"data_root": root, "results": tmp_path / "results"}
    _, report = refine("out", settings=settings, input_dir="in", checkpoint=".")
    assert "leads out of the data root" in report.missing["a"]
    assert sorted(path.name for path in (tmp_path / "results" / "out").glob("*.npz")) == ["b.npz"]
