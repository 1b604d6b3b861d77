"""Tiles refined in the flow's own process, and by steps that see nothing but the store, as containers do."""

from contextvars import Context

import pytest

from flows.refine_tiles import refine_tiles
from tasks.orchestration import pools
from tasks.orchestration.dispatch import run_here
from tasks.orchestration.places import Place
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.runtimes import this_runtime
from tasks.orchestration.settings import PlatformSettings
from tasks.tiles.request import RefineRequest
from tasks.tiles.sample import make_sample
from tests.pools.tile_runs import Folder, furthest

COUNT = 6


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Six tiles of two sizes, one of them damaged, and a model that changes them."""
    made = make_sample(tmp_path_factory.mktemp("sample"), COUNT, (32, 45), nodata=True, head_scale=0.2)
    (made.tiles / "tile_00003.npz").write_bytes(b"no array")
    return made


@pytest.fixture(scope="module")
def refine(prefect_server, sample):
    """One run of the flow over a store: (run, output folder)."""

    def call(root, executor, output="out", **request):
        run = Run(PlatformSettings(store=str(root / "store"), executor=executor), "")
        asked = RefineRequest(
            checkpoint=str(sample.checkpoint), input_dir=str(sample.tiles), output_dir=str(root / output),
            device="cpu", precision="fp32", workers=1, shard_size=4, quicklook=1, **request,
        )  # fmt: skip
        with prepared(run):
            refine_tiles(asked)
        return run, Folder(root / output)

    return call


@pytest.fixture(scope="module")
def dispatched():
    """Steps that were sent to a pool; they run without the context of the flow, over the store alone."""
    sent = []

    def elsewhere(step, place, inputs, document, key, run):
        sent.append(step.name)
        alone = Run(PlatformSettings(store=run.settings.store), "")
        return Context().run(run_here, step, inputs, key, place.accelerator, alone)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "place_in_pool", lambda pool, wanted: Place(pool, "cpu", this_runtime()))
        patch.setattr(pools, "run_in_pool", elsewhere)
        yield sent


@pytest.fixture(scope="module")
def here(refine, tmp_path_factory):
    """In one process."""
    return refine(tmp_path_factory.mktemp("here"), "inprocess")[1]


@pytest.fixture(scope="module")
def shared(dispatched, tmp_path_factory):
    """The folder of a run whose steps went to pools."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def there(refine, shared):
    """Shared out."""
    return refine(shared, "pools")[1]


def test_both_ways_make_the_same_tiles_of_the_same_inputs(here, there, dispatched):
    assert dispatched.count("infer-tiles") == 2
    assert len(there.identities()) == COUNT
    assert there.identities() == here.identities()
    assert furthest(there, here) <= 1e-5


def test_the_damaged_tile_fails_both_ways_and_has_no_output(here, there):
    for folder in (here, there):
        assert (folder.summary["done"], folder.summary["failed"]) == (COUNT - 1, 1)
        assert "tile_00003" not in folder.outputs()


def test_the_second_run_dispatches_nothing_and_fills_another_folder(refine, there, shared, dispatched):
    before = len(dispatched)
    run, other = refine(shared, "pools", "other")
    assert {step.status for step in run.steps} == {"cached"}
    assert len(dispatched) == before
    assert other.identities() == there.identities()
    assert furthest(other, there) == 0


def test_tiles_that_stand_in_the_folder_are_not_asked_for(refine, there, shared):
    run, again = refine(shared, "pools")
    assert "infer-tiles" not in [step.step for step in run.steps]
    assert {step.status for step in run.steps} == {"cached"}
    assert (again.summary["resumed"], again.summary["failed"]) == (COUNT - 1, 1)
