"""A native checkpoint from the published weights of a Prithvi encoder; its head is new, so it is the identity."""

import os
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.checkpoint_document import refusal
from tasks.tiles.checkpoint_files import sha256_of
from tasks.tiles.variants import ModelConfig, model_config
from tasks.tiles.weights import State, check_fit, only_tensors, read_pickled, read_safetensors

_PREFIX, _INFIX = "encoder.", "_timm_module."
_NOT_ENCODER = re.compile(r"(^|\.)(decoder|mask_token$|pos_embed$)|_dec")
_COORDINATES = ("temporal_embed_enc.", "location_embed_enc.")
_PATCHES = "patch_embed.proj.weight"
_PRETRAIN_BANDS = 6
_WRAPPERS = ("model", "state_dict", "model_state_dict")


def import_backbone(
    weights: Path,
    sha256: str,
    variant: str,
    output: Path,
    *,
    licence: str = "not stated",
    num_frames: int = 1,
    seed: int = 42,
) -> str:
    """Write a native checkpoint with this backbone and a new head; the checkpoint's id.

    `sha256` is the digest that the supplier gives for the file. `.pt` and safetensors are read. Raises CheckpointError,
    and UnsafeCheckpointError for a file that would run code.
    """
    weights, config = Path(weights), model_config(variant, num_frames)
    _check_digest(weights, sha256)
    backbone = encoder_state(_read(weights), config, weights)
    model = fresh(variant, seed=seed, num_frames=num_frames)
    check_fit(backbone, {name: value.shape for name, value in model.backbone.state_dict().items()}, weights)
    model.backbone.load_state_dict({name: value.float() for name, value in backbone.items()}, strict=True)
    origin = {"file": weights.name, "sha256": sha256.lower(), "licence": licence}
    return save_checkpoint(output, model, {"origin": origin})


def encoder_state(state: State, config: ModelConfig, path: Path) -> State:
    """Tensors of the encoder under their native names, patches of the first four of six bands."""
    renamed: State = {}
    for key, value in state.items():
        name = key.replace(_INFIX, "").removeprefix(_PREFIX)
        if _NOT_ENCODER.search(name) or (name.startswith(_COORDINATES) and not config.coords):
            continue
        if name in renamed:
            raise refusal(path, "names a tensor twice", found=name)
        renamed[name] = _four_bands(value, config) if name == _PATCHES else value
    return renamed


def _four_bands(patches: Tensor, config: ModelConfig) -> Tensor:
    """(dim, 6, 1, p, p) to (dim, 4, 1, p, p); other shapes are left to the check."""
    return patches[:, : len(config.bands)] if patches.dim() == 5 and patches.shape[1] == _PRETRAIN_BANDS else patches


def _check_digest(weights: Path, sha256: str) -> None:
    if not os.path.isfile(weights):
        raise refusal(weights, "does not exist", expected="a file with weights")
    wanted, found = f"sha256 {sha256}", sha256_of(weights)
    if found != sha256.lower():
        remedy = "Load the file again from its supplier, or name the digest that the supplier gives."
        raise refusal(weights, "is not the file that was named", expected=wanted, found=found, remedy=remedy)


def _read(weights: Path) -> State:
    if weights.suffix == ".safetensors":
        return read_safetensors(weights)
    return only_tensors(_unwrapped(read_pickled(weights)), weights)


def _unwrapped(content: Any) -> Any:
    """The state dict in a file that keeps it beside other things."""
    inner = [content[key] for key in _WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
    return inner[0] if inner else content
