"""Whether a trained model is worth promoting: it must beat doing nothing on scenes that it has not seen."""

import math
from typing import Any

from tasks.contracts.base import Frozen
from tasks.contracts.tile_errors import NotBetterThanIdentityError


class Verdict(Frozen):
    """Scores of the best epoch beside those of the baselines, on the validation scenes."""

    epoch: int | None  # counted from 0; None where no epoch gave a finite loss
    model: dict[str, float]
    identity: dict[str, float]
    unsharp: dict[str, float]

    @property
    def better(self) -> bool:
        """Whether the validation loss is below that of the tiles as they came."""
        return is_better(self.model.get("loss"), self.identity.get("loss"))

    @property
    def metrics(self) -> dict[str, Any]:
        """All scores for the checkpoint."""
        scores = self.model_dump(include={"model", "identity", "unsharp"})
        return {**scores, "better_than_identity": self.better, "warnings": list(self.warnings)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the loss alone does not show."""
        ours, same = self.model.get("psnr"), self.identity.get("psnr")
        if ours is None or same is None or ours >= same:
            return ()
        return (
            f"PSNR is {same - ours:.2f} dB below that of the input: the vegetation indices were bought with "
            "reflectance; look at dark pixels, such as clear water and shadow",
        )

    @property
    def text(self) -> str:
        """For example `loss 0.1021 (identity 0.1432, unsharp 0.1511), PSNR 36.02 dB (identity 35.10, unsharp …`."""
        shown = (("loss", "loss", ".4f", ""), ("PSNR", "psnr", ".2f", " dB"), ("NDVI RMSE", "ndvi_rmse", ".4f", ""))
        parts = []
        for title, name, form, unit in shown:
            ours, same, sharp = (_shown(side.get(name), form) for side in (self.model, self.identity, self.unsharp))
            parts.append(f"{title} {ours}{unit} (identity {same}, unsharp {sharp})")
        return ", ".join(parts)


def is_better(loss: float | None, reference: float | None) -> bool:
    """Whether a loss is finite and below a reference; anything finite is better than none."""
    if loss is None or not math.isfinite(loss):
        return False
    return reference is None or loss < reference


def require_better(verdict: Verdict, where: str) -> None:
    """Raise NotBetterThanIdentityError where the model, kept at `where`, never beat the identity."""
    if verdict.better:
        return
    raise NotBetterThanIdentityError(
        "never beat the identity on the validation scenes; it is kept and not promoted",
        where=where,
        expected=f"a validation loss below {_shown(verdict.identity.get('loss'), '.6f')}",
        found=_shown(verdict.model.get("loss"), ".6f"),
        remedy="Train for longer, lower the learning rate, or look at the targets.",
    )


def _shown(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)
