"""The deployed refinement with every step in a container of its own, against the same request in one process."""

import json
from pathlib import Path

import pytest

from tasks.tiles.sample import make_sample
from tests.engines.docker_platform import need_images
from tests.pools.runs import Asked, Finished
from tests.pools.tile_runs import (
    INFER,
    REQUEST,
    SHARDS,
    SIZES,
    TILES,
    Cut,
    Folder,
    artifacts,
    furthest,
    in_process,
    infer_runs,
    kill_in_the_middle,
)

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1500)]
STEPS = {"load-tiles-checkpoint", "list-tiles", "audit-tiles", INFER, "evaluate-tiles", "export-tiles"}
TORCH = {"load-tiles-checkpoint", INFER}
DEPLOYMENT = "refine-tiles/default"
TRAINING = {
    "input_dir": "tiles", "target_dir": "tiles/reference", "output_dir": "model", "variant": "nano", "device": "cpu",
    "steps": 40, "batch_size": 4, "crop": 48, "lr": 0.003, "val_fraction": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def platform(docker_platform):
    """The served platform with the torch image; tiles and a model that changes them lie below its data root."""
    need_images("torch")
    make_sample(docker_platform.folder / "data-root" / "tiles", TILES, SIZES, nodata=True, head_scale=0.2)
    return docker_platform


@pytest.fixture(scope="module")
def first(platform) -> tuple[Finished, Cut | None]:
    """The whole flow in containers, from the shell; one container that refines is killed in the middle."""
    asked = Asked(platform, DEPLOYMENT, REQUEST)
    cut = kill_in_the_middle(asked, str(platform.folder / "store"))
    return asked.finish(), cut


@pytest.fixture(scope="module")
def refined(platform, first) -> Folder:
    """What the containers made."""
    return Folder(platform.folder / "results" / "refined")


@pytest.fixture(scope="module")
def here(platform, tmp_path_factory) -> Folder:
    """The same request in a process, over a store of its own."""
    folder = tmp_path_factory.mktemp("here")
    return in_process(folder, platform.folder / "data-root", str(folder / "store"))[1]


@pytest.fixture(scope="module")
def elsewhere(platform, first) -> Finished:
    """The same tiles once more, into another folder."""
    return Asked(platform, DEPLOYMENT, REQUEST | {"output_dir": "elsewhere"}).finish()


def test_the_command_watches_the_flow_to_its_end(first):
    finished, _ = first
    assert finished.exit_code == 0, finished.flow.state.message
    assert finished.flow.state.name == "Completed", finished.flow.state.message


def test_every_step_ran_in_a_container_of_its_image(platform, first):
    lineage = first[0].lineage(platform)
    assert set(lineage) == STEPS
    for step, row in lineage.items():
        place, image = ("cpu-torch", "stagegate/torch:cpu") if step in TORCH else ("cpu", "stagegate/core:cpu")
        assert row["place"] == f"{place}, cpu", step
        assert {each["image"] for each in first[0].containers_of(step)} == {image}


def test_a_container_that_is_killed_is_replaced_and_no_tile_is_missing(platform, first, refined):
    finished, cut = first
    assert cut is not None
    assert 0 < cut.large_tiles < TILES // len(SIZES), "some large tiles were there, and some were not"
    attempts = {run.id: finished.containers[run.id] for run in infer_runs(platform, finished)}
    assert len(attempts) == SHARDS + 1
    (killed,) = attempts.pop(cut.run)
    assert (killed["id"], killed["exit_code"]) == (cut.container, 137)
    assert [[each["exit_code"] for each in starts] for starts in attempts.values()] == [[0]] * SHARDS
    assert (refined.summary["found"], refined.summary["done"]) == (TILES, TILES)
    assert len(refined.outputs()) == TILES


def test_a_process_of_this_machine_makes_the_same_tiles_of_the_same_inputs(refined, here):
    assert len(refined.identities()) == TILES
    assert refined.identities() == here.identities()
    assert furthest(refined, here) <= 1e-5


def test_the_dashboard_has_progress_tables_and_pictures(platform, first):
    found = artifacts(platform, first[0])
    kinds = {kind: [each for each in found if each.type == kind] for kind in ("progress", "table", "image")}
    assert kinds["progress"]
    assert {each.key.partition("-")[0] for each in kinds["table"]} == {"audit", "scores", "counts", "lineage"}
    assert [each.key.partition("-")[0] for each in kinds["image"]] == ["quicklook"] * REQUEST["quicklook"]
    (counts,) = [json.loads(each.data) for each in kinds["table"] if each.key.startswith("counts-")]
    assert {row["what"]: row["value"] for row in counts}["done"] == str(TILES)


def test_into_another_folder_every_step_is_cached_and_the_tiles_are_the_same(platform, elsewhere, refined):
    assert elsewhere.exit_code == 0, elsewhere.printed
    assert {step: row["status"] for step, row in elsewhere.lineage(platform).items()} == dict.fromkeys(STEPS, "cached")
    assert elsewhere.steps == {}
    there = Folder(platform.folder / "results" / "elsewhere")
    assert there.identities() == refined.identities()
    assert furthest(there, refined) == 0


def test_into_the_same_folder_every_tile_is_resumed(platform, refined, elsewhere):
    again = Asked(platform, DEPLOYMENT, REQUEST).finish()
    assert again.exit_code == 0, again.printed
    assert again.steps == {}
    assert {row["status"] for row in again.lineage(platform).values()} == {"cached"}
    assert (refined.summary["resumed"], refined.summary["done"]) == (TILES, 0)


def test_what_a_container_has_trained_refines_tiles(platform, tmp_path):
    trained = Asked(platform, "train-tiles/default", TRAINING).finish()
    assert trained.exit_code == 0, trained.printed
    assert trained.lineage(platform)["train-tiles"]["place"] == "cpu-torch, cpu"
    model = platform.folder / "results" / "model"
    request = {"checkpoint": str(model), "input_dir": str(platform.folder / "data-root" / "tiles")}
    _, made = in_process(tmp_path, Path("/"), str(tmp_path / "store"), {**REQUEST, **request, "reference_dir": None})
    assert made.summary["done"] == TILES
