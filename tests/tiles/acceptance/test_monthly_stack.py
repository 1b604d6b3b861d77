"""Twelve real monthly composites, two of them all fill, through a whole run."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.cut_stack import cut_stack
from tasks.tiles.folder_run import FolderRun
from tasks.tiles.refine_folder import refine_folder
from tests.tiles.engine.cases import errors, manifest, names, output
from tests.tiles.files.test_real_stack import STACK, months, needs_real

pytestmark = needs_real


def write_numbers(folder: Path) -> None:
    """Digital numbers as they are in the file, with the fill named in the sidecars."""
    folder.mkdir()
    for month, (npz, sidecar) in months().items():
        (folder / f"{month}.npz").write_bytes(npz)
        (folder / f"{month}.json").write_bytes(sidecar)


@pytest.fixture(scope="module", params=["cut", "digital numbers"])
def refined(request, tmp_path_factory):
    """(output folder, summary) of the stack as `cut` writes it, and as digital numbers with nodata and a scale."""
    top = tmp_path_factory.mktemp("stack")
    if request.param == "cut":
        cut_stack(STACK, top / "in")
    else:
        write_numbers(top / "in")
    save_checkpoint(top / "checkpoint", fresh("nano", seed=1, head_scale=0.3))
    config = TilesConfig(scale=None if request.param == "cut" else 10_000.0)
    run = FolderRun(str(top / "checkpoint"), str(top / "in"), str(top / "out"), config=config, workers=1)
    return top / "out", refine_folder(run)


def by_month(lines: dict[str, dict]) -> dict[str, dict]:
    return {name[-7:]: line for name, line in lines.items()}


def test_ten_months_are_done_and_exactly_two_fail(refined):
    folder, summary = refined
    assert (summary.found, summary.done, summary.failed, summary.exit_code) == (12, 10, 2, 1)
    failed = {month: line["error"] for month, line in by_month(errors(folder)).items()}
    assert failed == {"2020-12": "TileEmptyError", "2021-01": "TileEmptyError"}
    assert len(names(folder, ".npz")) == len(names(folder, ".json")) == 10


def test_tiles_of_100_px_are_padded_to_112_and_come_back_whole(refined):
    folder, summary = refined
    assert summary.buckets == {"112x112": 12}
    for name in names(folder, ".npz"):
        values = output(folder, name)
        assert (values.shape, values.dtype) == ((4, 100, 100), np.float32)
        assert values.min() >= 0 and values.max() <= 1
        assert json.loads((folder / f"{name}.json").read_text())["processing"]["padded_to"] == [112, 112]


def test_only_may_holds_clipped_samples(refined):
    lines = by_month(manifest(refined[0]))
    clipped = {
        month: round(line["clipped_fraction"] * 4 * 100 * 100) for month, line in lines.items() if line["output"]
    }
    assert {month: count for month, count in clipped.items() if count} == {"2021-05": 11}


def test_months_come_from_the_time_axis_and_the_biome_is_the_default(refined):
    for name in names(refined[0], ".json"):
        sidecar = json.loads((refined[0] / f"{name}.json").read_text())
        assert (sidecar["month"], sidecar["biome_code"]) == (int(name[-2:]), 0)
        assert sidecar["processing"]["defaults_used"] == ["biome_code"]
