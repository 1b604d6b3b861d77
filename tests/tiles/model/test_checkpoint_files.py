"""Files of a checkpoint are found, compared with their digest, and identified without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.tile_errors import CheckpointError
from tasks.tiles.checkpoint import load_checkpoint, read_identity
from tests.tiles.model.pickled import write_pt
from tests.tiles.model.small_models import random_head


def test_weights_may_stand_beside_a_config_of_their_name(saved, tmp_path):
    (saved / "model.safetensors").rename(tmp_path / "field.safetensors")
    (saved / "config.json").rename(tmp_path / "field.json")
    assert load_checkpoint(tmp_path / "field.safetensors").config.variant == "nano"


def test_weights_in_a_folder_may_be_named_themselves(saved):
    assert load_checkpoint(saved / "model.safetensors").id == load_checkpoint(saved).id


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_truncated_weights_are_refused(saved, share):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match="does not hold the weights of its config") as caught:
        read_identity(saved)
    assert caught.value.exit_code == 2


def test_a_flipped_bit_is_noticed(saved):
    data = bytearray((saved / "model.safetensors").read_bytes())
    data[-100] ^= 1
    (saved / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="does not hold the weights of its config"):
        load_checkpoint(saved)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 3}', "\x00"])
def test_a_damaged_config_is_refused(saved, text):
    (saved / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"Error loading checkpoint: .*config\.json"):
        read_identity(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_half_a_checkpoint_is_refused(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"is not complete: expected a file {name}"):
        read_identity(saved)


@pytest.mark.parametrize("name", ["absent", "absent.pt", "absent.safetensors"])
def test_an_absent_checkpoint_is_refused(tmp_path, name):
    with pytest.raises(CheckpointError, match=rf"Error loading checkpoint: .*{name} does not exist"):
        load_checkpoint(tmp_path / name)


def test_a_file_of_another_kind_is_no_checkpoint(tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is no checkpoint: expected a folder, \.safetensors or \.pt"):
        load_checkpoint(tmp_path / "weights.h5")


@pytest.mark.parametrize("form", ["folder", "pt"])
def test_an_identity_is_read_without_torch(saved, tmp_path, form):
    path = saved if form == "folder" else write_pt(tmp_path / "model.pt", random_head())
    code = "import sys; from tasks.tiles.checkpoint import read_identity; print(read_identity(sys.argv[1])[0]); "
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load_checkpoint(path).id


def test_a_path_that_no_file_can_have_is_refused():
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(Path("x" * 5000))


def test_weights_may_be_read_by_whom_any_new_file_may(saved, tmp_path):
    (tmp_path / "any").touch()
    modes = {path.name: oct(path.stat().st_mode) for path in (saved / "model.safetensors", saved / "config.json")}
    assert modes == dict.fromkeys(modes, oct((tmp_path / "any").stat().st_mode))
