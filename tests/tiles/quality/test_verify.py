"""A finished folder is hashed again: what is damaged, missing or uncommitted is named."""

import json
import os
import subprocess
import sys

import pytest

from tasks.contracts.tile_errors import OutputDirError
from tasks.tiles.verify import verify
from tests.tiles.quality.finished_folder import finished


@pytest.fixture
def output(tmp_path):
    return finished(tmp_path, sizes=(16,))[1]


def faults(output) -> dict[str, str]:
    return {tile.id: tile.state for tile in verify(output).faults}


def test_an_untouched_folder_is_intact(output):
    found = verify(output)
    assert found.intact and [tile.id for tile in found.tiles] == [f"tile_0000{i}" for i in range(4)]
    assert found.text == "4 of 4 tiles are intact"


def test_one_flipped_bit_is_damage(output):
    path = output / "tile_00002.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert faults(output) == {"tile_00002": "damaged"}
    assert verify(output).text.splitlines()[-1] == "3 of 4 tiles are intact"


def test_what_is_missing_is_named_by_what_is_left(output):
    (output / "tile_00000.npz").unlink()
    (output / "tile_00001.json").unlink()
    for kind in ("npz", "json"):
        (output / f"tile_00002.{kind}").unlink()
    assert faults(output) == {"tile_00000": "missing", "tile_00001": "no commit marker", "tile_00002": "missing"}


@pytest.mark.parametrize("text", ["{", "[]", '{"stage": "stage2_refined"}', '{"stage": "s", "processing": {}}'])
def test_a_sidecar_that_proves_nothing_is_a_fault(output, text):
    (output / "tile_00003.json").write_text(text)
    assert faults(output) == {"tile_00003": "sidecar damaged"}


def test_a_tile_that_failed_later_is_not_missing(output):
    for kind in ("npz", "json"):
        (output / f"tile_00001.{kind}").unlink()
    with (output / ".stagegate" / "manifest.jsonl").open("a") as manifest:
        manifest.write(json.dumps({"id": "tile_00001", "status": "failed"}) + "\n")
    assert verify(output).intact


def test_a_torn_manifest_is_a_fault_and_hides_no_other(output):
    with (output / ".stagegate" / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"id": "tile_')
    (output / "tile_00000.npz").write_bytes(b"")
    assert faults(output) == {".stagegate/manifest.jsonl": "damaged", "tile_00000": "damaged"}


def test_sub_folders_are_verified_and_the_private_one_is_not(output):
    (output / "aoi").mkdir()
    for kind in ("npz", "json"):
        os.replace(output / f"tile_00003.{kind}", output / "aoi" / f"tile_00003.{kind}")
    (output / ".stagegate" / "summary.json").write_text("{}")
    found = {tile.id: tile.state for tile in verify(output).tiles}
    assert found["aoi/tile_00003"] == "intact" and found["tile_00003"] == "missing"


def test_an_empty_folder_is_not_intact_and_no_folder_is_an_error(tmp_path):
    assert not verify(tmp_path).intact
    with pytest.raises(OutputDirError, match="nowhere"):
        verify(tmp_path / "nowhere")


def test_neither_torch_nor_prefect_is_imported(output):
    code = (
        "import sys; from pathlib import Path; from tasks.tiles.verify import verify;"
        f"assert verify(Path({str(output)!r})).intact; assert not {{'torch', 'prefect'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ, cwd=os.getcwd())
