"""Checkpoints come back as they were saved; what does not fit is refused with what is wrong."""

import subprocess
import sys
from hashlib import sha256

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.contracts.errors import StoreError, UnsafeCheckpointError
from tasks.contracts.tile_errors import CheckpointError
from tasks.tiles.checkpoint import build, fresh, load_checkpoint, read_identity, save_checkpoint
from tasks.tiles.checkpoint_files import sha256_of
from tasks.tiles.variants import model_config
from tests.tiles.model.pickled import write_code, write_pt
from tests.tiles.model.small_models import batch, config, edit_config, random_head, residual


def rewrite(folder, state):
    """Write other weights, and their digest into the config."""
    save_file(state, folder / "model.safetensors")
    edit_config(folder, weights_sha256=sha256_of(folder / "model.safetensors"))


def test_a_native_checkpoint_comes_back_bit_for_bit(saved):
    read, given = build(load_checkpoint(saved)), batch(40)
    assert read.config == model_config("nano")
    assert not read.training
    assert torch.equal(residual(read, given), residual(random_head(), given))


@pytest.mark.parametrize("variant", ["v1_100", "v2_600_tl"])
def test_sizes_and_statistics_come_from_the_checkpoint(tmp_path, variant):
    small = config(variant, dim=64, depth=1, heads=4, num_frames=3, head=model_config("nano").head)
    save_checkpoint(tmp_path, fresh(small, seed=3))
    read = build(load_checkpoint(tmp_path))
    assert read.config == small
    assert (read.backbone.patch, read.head.patch, read.config.coords) == (small.patch, small.patch, small.coords)


def test_names_are_those_of_the_format(saved):
    names = set(load_file(saved / "model.safetensors"))
    assert {name.split(".")[0] for name in names} == {"backbone", "cond", "head"}
    assert not any("pos_embed" in name for name in names)
    assert {"backbone.cls_token", "backbone.patch_embed.proj.weight", "backbone.blocks.0.attn.qkv.bias"} <= names
    assert {"backbone.blocks.1.mlp.fc1.weight", "backbone.blocks.0.norm1.bias", "backbone.norm.weight"} <= names


def test_coordinate_scales_have_the_published_names():
    names = set(fresh(config("nano", coords=True), seed=1).backbone.state_dict())
    assert {"temporal_embed_enc.scale", "location_embed_enc.scale"} <= names


def test_equal_models_have_one_id_and_any_change_another(tmp_path):
    ids = [
        save_checkpoint(tmp_path / "a", fresh("nano", seed=1)),
        save_checkpoint(tmp_path / "b", fresh("nano", seed=1)),
        save_checkpoint(tmp_path / "c", fresh("nano", seed=2)),
        save_checkpoint(tmp_path / "d", fresh("nano", seed=1), {"training": {"step": 1}}),
        save_checkpoint(tmp_path / "e", fresh("nano", seed=1, num_frames=2)),
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert load_checkpoint(tmp_path / "d").id == ids[3]


def test_saving_over_the_weights_in_use_harms_neither(saved):
    model, given = build(load_checkpoint(saved)), batch(32)
    before = residual(model, given)
    save_checkpoint(saved, random_head(seed=9))
    assert torch.equal(residual(model, given), before)
    assert torch.equal(residual(build(load_checkpoint(saved)), given), residual(random_head(seed=9), given))
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not write it"):
        save_checkpoint(tmp_path / "file" / "checkpoint", random_head())


def test_a_pt_gives_the_same_model(tmp_path):
    path, given = write_pt(tmp_path / "model.pt", random_head()), batch(32)
    checkpoint = load_checkpoint(path)
    assert torch.equal(residual(build(checkpoint), given), residual(random_head(), given))
    assert checkpoint.document["weights_sha256"] == sha256(path.read_bytes()).hexdigest()
    assert checkpoint.id == read_identity(path)[0]


def test_a_pt_that_runs_code_is_refused_before_it_runs(tmp_path):
    path = write_code(tmp_path / "model.pt", tmp_path / "code ran", "zip")
    with pytest.raises(UnsafeCheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "code ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "stage1-sar2opt"}, "is of another stage or program: expected a dict of"),
        ({"config": None}, "describes no model"),
        ({"config": {"variant": torch.zeros(1)}}, "describes no model"),
        ({"model_state_dict": {"a": 3}}, "values that are no tensors: found a"),
        ({"model_state_dict": {}}, "holds no state dict"),
    ],
)
def test_a_pt_of_another_content_is_refused(tmp_path, changes, message):
    write_pt(tmp_path / "model.pt", random_head(), **changes)
    with pytest.raises(CheckpointError, match=rf"Error loading checkpoint: .*model\.pt {message}|{message}"):
        load_checkpoint(tmp_path / "model.pt")


def test_a_digest_that_was_named_must_match(saved):
    weights = sha256_of(saved / "model.safetensors")
    identity = load_checkpoint(saved, sha256=weights).id
    assert load_checkpoint(saved, sha256=weights.upper()).id == load_checkpoint(saved, sha256=identity).id == identity
    with pytest.raises(
        CheckpointError, match=r"is not the one that was named: expected sha256 0{64}, found " + weights
    ):
        load_checkpoint(saved, sha256="0" * 64)


def test_weights_that_do_not_fit_their_config_are_named(saved):
    edit_config(saved, depth=3)
    with pytest.raises(CheckpointError, match=r"State dict mismatch: found 12 missing \(backbone\.blocks\.2\.attn"):
        build(load_checkpoint(saved))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("head.inlet.bias"), r"1 missing \(head\.inlet\.bias\)"),
        (lambda state: state.update(pos_embed=torch.zeros(1)), r"1 unexpected \(pos_embed\)"),
        (
            lambda state: state.update({"head.inlet.bias": torch.zeros(31)}),
            r"1 other shape \(head\.inlet\.bias \(31,\)",
        ),
        (lambda state: state.update({"head.inlet.bias": torch.zeros(32, dtype=torch.int8)}), "1 no plain floats"),
    ],
)
def test_every_load_is_strict(saved, change, message):
    state = load_file(saved / "model.safetensors")
    change(state)
    rewrite(saved, state)
    with pytest.raises(CheckpointError, match=rf"Error loading checkpoint: .* State dict mismatch: found .*{message}"):
        build(load_checkpoint(saved))


def test_weights_kept_in_half_precision_are_widened(saved):
    rewrite(saved, {name: value.half() for name, value in load_file(saved / "model.safetensors").items()})
    assert {value.dtype for value in build(load_checkpoint(saved)).state_dict().values()} == {torch.float32}


def test_without_torch_the_remedy_is_named(saved):
    code = "import sys; sys.modules['torch'] = None; from tasks.tiles.checkpoint import load_checkpoint as load; "
    code += "load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True)
    assert "DependencyError: the model cannot be used" in done.stderr
    assert "Install the extra `torch`" in done.stderr
