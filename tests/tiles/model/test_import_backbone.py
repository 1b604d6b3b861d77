"""Published weights of both generations become native checkpoints, which are the identity at first."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tasks.contracts.errors import UnsafeCheckpointError
from tasks.contracts.tile_errors import CheckpointError
from tasks.tiles import import_backbone as module
from tasks.tiles.backbone import Backbone
from tasks.tiles.checkpoint import build, load_checkpoint
from tasks.tiles.checkpoint_files import sha256_of
from tasks.tiles.import_backbone import import_backbone
from tests.tiles.model.pickled import write_code
from tests.tiles.model.small_models import batch, config

DECODER = ("decoder_embed.weight", "decoder_blocks.0.norm1.weight", "decoder_norm.bias", "decoder_pred.weight",
           "decoder_pos_embed", "mask_token")  # fmt: skip


@pytest.fixture(autouse=True)
def small_variants(monkeypatch):
    """Variants of all kinds with the sizes of nano, so that files of theirs are small."""
    nano = {"dim": 64, "depth": 2, "heads": 4, "head": config().head}
    monkeypatch.setattr(module, "model_config", lambda name, frames: config(name, **nano, num_frames=frames))
    monkeypatch.setattr(module, "fresh", lambda name, *, seed, num_frames: fresh_small(name, nano, seed, num_frames))


def fresh_small(name, sizes, seed, num_frames):
    from tasks.tiles.checkpoint import fresh

    return fresh(config(name, **sizes, num_frames=num_frames), seed=seed)


def encoder(name: str = "v1_100") -> dict:
    """Random tensors of a six-band encoder under their published names."""
    generator = torch.Generator().manual_seed(11)
    six = Backbone(config(name, dim=64, depth=2, heads=4), 6)
    return {key: torch.randn(value.shape, generator=generator) for key, value in six.state_dict().items()}


def first_generation(state: dict) -> dict:
    """One flat state dict with position codes and decoder."""
    return {"pos_embed": torch.zeros(1, 589, 64), **state, **{key: torch.zeros(3) for key in DECODER}}


def second_generation(state: dict) -> dict:
    """Encoder and decoder under prefixes, coordinate scales on both sides."""
    inside = {f"encoder.{key}": value for key, value in {"pos_embed": torch.zeros(1), **state}.items()}
    scales = {f"encoder.{kind}_embed_enc.scale": torch.full((1,), 0.3) for kind in ("temporal", "location")}
    decoder = {f"decoder.{key}": torch.zeros(3) for key in (*DECODER, "temporal_embed_dec.scale")}
    return {**scales, **inside, **decoder}


def with_infix(state: dict) -> dict:
    """As a wrapped module names its tensors."""
    return {key.replace("encoder.", "encoder._timm_module."): value for key, value in state.items()}


def imported(path: Path, variant: str, output: Path, **options):
    import_backbone(path, sha256_of(path), variant, output, **options)
    return build(load_checkpoint(output))


def assert_holds(model, state: dict) -> None:
    """The backbone has the file's tensors, with the first four bands of the patches."""
    for name, value in model.backbone.state_dict().items():
        expected = state[name][:, :4] if name == "patch_embed.proj.weight" else state[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("variant", "arranged"),
    [
        ("v1_100", first_generation),
        ("v2_300", second_generation),
        ("v2_300_tl", second_generation),
        ("v2_300_tl", lambda state: with_infix(second_generation(state))),
    ],
)
def test_files_of_both_generations_are_taken(tmp_path, variant, arranged, suffix):
    state, path = encoder(variant), tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pt" else save_file)(arranged(state), path)
    model = imported(path, variant, tmp_path / "out")
    assert_holds(model, state)
    given = batch(32)
    with torch.inference_mode():
        assert torch.equal(model.refine(given), given.tiles[:, -1])


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state_dict"])
def test_a_state_dict_may_lie_beside_other_things(tmp_path, wrapper):
    torch.save({wrapper: first_generation(encoder()), "epoch": 3}, tmp_path / "weights.pt")
    assert_holds(imported(tmp_path / "weights.pt", "v1_100", tmp_path / "out"), encoder())


def test_the_origin_is_written_down(tmp_path):
    save_file(encoder(), tmp_path / "weights.safetensors")
    imported(tmp_path / "weights.safetensors", "v1_100", tmp_path / "out", licence="Apache-2.0", num_frames=2)
    document = json.loads((tmp_path / "out" / "config.json").read_text())
    digest = sha256_of(tmp_path / "weights.safetensors")
    assert document["origin"] == {"file": "weights.safetensors", "sha256": digest, "licence": "Apache-2.0"}
    assert (document["variant"], document["num_frames"]) == ("v1_100", 2)


def test_other_weights_make_another_checkpoint(tmp_path):
    ids = []
    for shift in (0.0, 0.1):
        save_file({key: value + shift for key, value in encoder().items()}, tmp_path / "weights.safetensors")
        digest = sha256_of(tmp_path / "weights.safetensors")
        ids.append(import_backbone(tmp_path / "weights.safetensors", digest, "v1_100", tmp_path / "out"))
    assert ids[0] != ids[1]


def test_another_digest_than_the_named_one_writes_nothing(tmp_path):
    save_file(encoder(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"is not the file that was named: expected sha256 0{64}"):
        import_backbone(tmp_path / "weights.safetensors", "0" * 64, "v1_100", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pt does not exist"):
        import_backbone(tmp_path / "absent.pt", "0" * 64, "v1_100", tmp_path / "out")


@pytest.mark.parametrize(
    ("variant", "change", "message"),
    [
        ("v1_100", lambda state: state.pop("norm.weight"), r"1 missing \(norm\.weight\)"),
        ("v1_100", lambda state: state.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        ("v2_300_tl", lambda state: state.pop("location_embed_enc.scale"), r"1 missing \(location_embed_enc\.scale\)"),
        ("v2_600", lambda state: None, r"1 other shape \(patch_embed\.proj\.weight .*not \(64, 4, 1, 14, 14\)"),
        ("v1_100", lambda state: state.update({"encoder.norm.bias": torch.zeros(64)}), "names a tensor twice"),
    ],
)
def test_what_does_not_fit_the_variant_is_refused(tmp_path, variant, change, message):
    state = encoder(variant if variant != "v2_600" else "v2_300")
    change(state)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=message):
        imported(tmp_path / "weights.safetensors", variant, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_runs_code_is_refused_before_it_runs(tmp_path):
    path = write_code(tmp_path / "weights.pt", tmp_path / "code ran", "zip")
    with pytest.raises(UnsafeCheckpointError):
        import_backbone(path, sha256_of(path), "v1_100", tmp_path / "out")
    assert not (tmp_path / "code ran").exists()
