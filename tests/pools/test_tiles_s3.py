"""The deployed refinement over a store on S3: a killed container, another machine, and the same tiles."""

import pytest

from tasks.tiles.sample import make_sample
from tests.engines.docker_platform import need_images
from tests.pools.conftest import BUCKET
from tests.pools.runs import Asked
from tests.pools.tile_runs import (
    REQUEST,
    SHARDS,
    SIZES,
    TILES,
    Folder,
    furthest,
    in_process,
    infer_runs,
    kill_in_the_middle,
)

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1500)]
STORE = f"s3://{BUCKET}/store"


@pytest.fixture(scope="module")
def first(platform_on_s3):
    """The flow over the bucket, one container killed in the middle: (finished, what was killed)."""
    need_images("torch")
    make_sample(platform_on_s3.folder / "data-root" / "tiles", TILES, SIZES, nodata=True, head_scale=0.2)
    asked = Asked(platform_on_s3, "refine-tiles/default", REQUEST)
    cut = kill_in_the_middle(asked, STORE)
    return asked.finish(), cut


@pytest.fixture(scope="module")
def refined(platform_on_s3, first) -> Folder:
    """What the containers made."""
    return Folder(platform_on_s3.folder / "results" / "refined")


def test_a_container_is_killed_and_the_run_completes(platform_on_s3, first, refined):
    finished, cut = first
    assert finished.exit_code == 0, finished.flow.state.message
    assert cut is not None
    assert len(infer_runs(platform_on_s3, finished)) == SHARDS + 1
    assert refined.summary["done"] == TILES
    assert not (platform_on_s3.folder / "store").exists()


def test_a_process_over_a_folder_makes_the_same_tiles(platform_on_s3, refined, tmp_path):
    _, here = in_process(tmp_path, platform_on_s3.folder / "data-root", str(tmp_path / "store"))
    assert refined.identities() == here.identities()
    assert furthest(refined, here) <= 1e-5


def test_a_process_over_the_bucket_takes_every_step_from_it(platform_on_s3, first, refined, tmp_path):
    answer, there = in_process(tmp_path, platform_on_s3.folder / "data-root", STORE)
    steps = 5 + SHARDS
    assert answer["cache"] == {"hits": steps, "misses": 0, "steps": steps}
    assert furthest(there, refined) == 0
