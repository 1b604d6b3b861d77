"""What a training starts from: a model and the arithmetic that it uses."""

from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import Precision
from tasks.tiles.checkpoint import build, fresh, load_checkpoint
from tasks.tiles.model import Refiner
from tasks.tiles.precision import Ran, resolve
from tasks.tiles.trainable import LEARN_WHOLLY


def starting_model(
    variant: str, backbone: Path | None, *, seed: int, unfreeze_blocks: int
) -> tuple[Refiner, dict[str, Any]]:
    """The model of a checkpoint or a new one, and the origin of its backbone.

    Raises ConfigError where the checkpoint is of another variant, or where blocks would stay random for ever.
    """
    if backbone is not None:
        checkpoint = load_checkpoint(backbone)
        if checkpoint.config.variant != variant:
            remedy = "Give the variant of the checkpoint, or another checkpoint."
            found = checkpoint.config.variant
            raise ConfigError(
                "is of another variant", where=str(backbone), expected=variant, found=found, remedy=remedy
            )
        return build(checkpoint), dict(checkpoint.document.get("origin", {}))
    model = fresh(variant, seed=seed)
    if variant not in LEARN_WHOLLY and unfreeze_blocks < model.config.depth:
        raise ConfigError(
            "needs trained weights, since most of its blocks do not learn",
            where=f"variant {variant}",
            expected=f"--backbone, or --unfreeze_blocks {model.config.depth}",
            remedy="Make a checkpoint of public weights with import-backbone.",
        )
    return model, {"file": None, "seed": seed}


def training_precision(requested: Precision, device: str) -> Ran:
    """What runs: on a CPU fp32 unless bf16 is asked for, so that a resumed training is equal to the bit."""
    if device == "cpu" and requested == "auto":
        return "fp32"
    if device == "cpu" and requested == "fp16":
        raise ConfigError("fp16 does not train on a CPU", where="--precision", expected="fp32, bf16 or auto")
    return resolve(requested, device)
