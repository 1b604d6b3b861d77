"""Checkpoints: read, build, save. torch is imported by what needs it, so that an identity can be read without."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.errors import DependencyError
from tasks.store.jsons import canonical_json
from tasks.tiles.checkpoint_document import (
    FORMAT,
    checked_document,
    checkpoint_id,
    config_of,
    document_of,
    refusal,
)
from tasks.tiles.checkpoint_files import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    CheckpointFiles,
    checkpoint_files,
    read_identity,
    write_at_once,
)
from tasks.tiles.variants import ModelConfig, model_config

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.tiles.model import Refiner

__all__ = ["Checkpoint", "build", "fresh", "load_checkpoint", "read_identity", "save_checkpoint"]

_PICKLED_KEYS = {"format", "config", "model_state_dict"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read; tensors of safetensors stay mapped to their file."""

    path: Path
    id: str
    config: ModelConfig
    document: dict[str, Any]
    state: "dict[str, Tensor]"


def load_checkpoint(path: Path, *, sha256: str | None = None) -> Checkpoint:
    """Read a folder, a `.safetensors` with its JSON, or a `.pt`.

    `sha256` must be the digest of the file with the weights, or the checkpoint's id. Raises CheckpointError, and
    UnsafeCheckpointError for a `.pt` that would run code.
    """
    check_installed()
    path = Path(path)
    identity, document = read_identity(path, sha256=sha256)
    files = checkpoint_files(path)
    document, state = _pickled(files, document) if files.config is None else (document, _mapped(files))
    return Checkpoint(path, identity, config_of(document, path), document, state)


def build(checkpoint: Checkpoint) -> "Refiner":
    """The model of a checkpoint, in fp32 and ready to refine. Raises CheckpointError where a tensor does not fit."""
    import torch

    from tasks.tiles.model import Refiner
    from tasks.tiles.weights import check_fit

    with torch.device("meta"):
        model = Refiner(checkpoint.config)
    check_fit(checkpoint.state, {name: value.shape for name, value in model.state_dict().items()}, checkpoint.path)
    model.load_state_dict({name: value.float() for name, value in checkpoint.state.items()}, strict=True, assign=True)
    return model.eval()


def fresh(variant: str | ModelConfig, *, seed: int, head_scale: float = 0.0, num_frames: int = 1) -> "Refiner":
    """A new model; with `head_scale` 0 it is the identity on reflectance in [0,1]."""
    check_installed()
    from tasks.tiles.initial import initial

    config = model_config(variant, num_frames) if isinstance(variant, str) else variant
    return initial(config, seed=seed, head_scale=head_scale)


def save_checkpoint(folder: Path, model: "Refiner", document_extra: dict[str, Any] | None = None) -> str:
    """Write `model.safetensors` and `config.json` into a folder, each at once; the checkpoint's id.

    `document_extra` may give `training` and `origin`. Equal weights give equal bytes.
    Raises StoreError where the folder cannot be written.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    state = {name: value.detach().cpu().float().contiguous() for name, value in model.state_dict().items()}
    digest = write_at_once(folder / WEIGHTS_NAME, lambda draft: save_file(state, draft))
    document = document_of(model.config, digest, document_extra or {})
    write_at_once(folder / CONFIG_NAME, lambda draft: draft.write_bytes(canonical_json(document)))
    return checkpoint_id(document)


def check_installed() -> None:
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        remedy = "Install the extra `torch` of this package."
        raise DependencyError("the model cannot be used", found=error, remedy=remedy) from error


def _mapped(files: CheckpointFiles) -> "dict[str, Tensor]":
    from tasks.tiles.weights import read_safetensors

    return read_safetensors(files.weights)


def _pickled(files: CheckpointFiles, identity: dict[str, Any]) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    from tasks.tiles.weights import only_tensors, read_pickled

    content, path = read_pickled(files.weights), files.weights
    if not isinstance(content, dict) or content.get("format") != FORMAT or not set(content) >= _PICKLED_KEYS:
        found = ", ".join(map(str, content))[:200] if isinstance(content, dict) else type(content).__name__
        expected = f"a dict of {', '.join(sorted(_PICKLED_KEYS))} with format '{FORMAT}'"
        remedy = "Name a checkpoint of this stage; backbone weights are taken by import-backbone."
        raise refusal(path, "is of another stage or program", expected=expected, found=found, remedy=remedy)
    document = content["config"] if isinstance(content["config"], dict) else {}
    document = checked_document({**document, **identity}, path)
    return document, only_tensors(content["model_state_dict"], path)
