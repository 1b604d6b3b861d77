"""Train a refiner on pairs of tiles; resumable at every saved state, the best epoch chosen against doing nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from tasks.tiles.checkpoint import save_checkpoint
from tasks.tiles.model import Refiner
from tasks.tiles.pair import Pairs, remembered
from tasks.tiles.split import split_by_scene
from tasks.tiles.train_job import TrainJob
from tasks.tiles.trainer import Trainer
from tasks.tiles.verdict import Verdict, require_better

REMEMBERED_BYTES = 512 << 20


class Saved(Protocol):
    """Where states are put down; `tasks.store.progress.Progress` is one."""

    def save(self, files: dict[str, bytes]) -> None:
        """Make these files the newest."""

    def load(self) -> dict[str, bytes] | None:
        """The newest files, or None."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves; equal for equal inputs, and without any clock time."""

    model: Refiner  # with the best weights
    verdict: Verdict
    rows: list[dict[str, Any]]  # of the log, one per epoch
    document: dict[str, Any]  # the `training` block of the checkpoint


def train(
    job: TrainJob,
    pairs: Pairs,
    model: Refiner,
    progress: Saved,
    *,
    tell: Callable[[float, str], None] = lambda share, text: None,
    should_stop: Callable[[], bool] = lambda: False,
    telemetry: dict[str, Any] | None = None,
) -> Trained:
    """Train `model` in place, from saved progress where there is any.

    On CPU in fp32 the result is bit-equal to that of an uninterrupted training with the same threads. `telemetry` gets
    durations; `verdict.better` says whether the model is worth promoting. Raises InterruptedStepError within one batch
    of `should_stop`, and TrainingDivergedError after ten steps in a row without a finite loss; both leave progress
    behind.
    """
    with torch.random.fork_rng():
        torch.manual_seed(job.seed)
        split = split_by_scene(pairs.scenes, job.val_fraction, job.seed)
        pairs = remembered(pairs, REMEMBERED_BYTES)
        trainer = Trainer(job, pairs, split, model, progress, tell, should_stop, {} if telemetry is None else telemetry)
        trainer.run()
    verdict = trainer.verdict()
    trainer.state.use_best()
    return Trained(model.eval(), verdict, trainer.counters.rows, _document(trainer, verdict))


def keep(trained: Trained, folder: Path, origin: dict[str, Any]) -> str:
    """Write the checkpoint, then raise NotBetterThanIdentityError where it is not worth promoting; else its id."""
    identity = save_checkpoint(folder, trained.model, {"training": trained.document, "origin": origin})
    require_better(trained.verdict, str(folder))
    return identity


def _document(trainer: Trainer, verdict: Verdict) -> dict[str, Any]:
    pairs, split, counters = trainer.pairs, trainer.split, trainer.counters
    epochs = counters.epoch if counters.best_epoch is None else counters.best_epoch + 1
    return {
        "data": {
            "id": pairs.data_id,
            "kind": pairs.kind,
            "train_pairs": len(split.train),
            "val_pairs": len(split.val),
            "val_scenes": list(split.val_scenes),
            **pairs.record,
        },
        "oracle_strength": pairs.oracle_strength,
        "step": min(epochs * trainer.plan.steps_per_epoch, counters.step),
        "steps": counters.step,
        "skipped_steps": counters.skipped,
        "crop_px": trainer.batches.side,
        "learning": f"{len(trainer.state.weights)} of {len(list(trainer.model.parameters()))} tensors",
        "metrics": verdict.metrics,
        "promoted": verdict.better,
        "settings": trainer.job.model_dump(mode="json"),
    }
