"""Train one network and hand over everything that is known of it, as bytes that are equal for equal inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tasks.store.workspace import Workspace
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.handoff.groups import take
from tasks.subsidence.infer import predict
from tasks.subsidence.model import architecture
from tasks.subsidence.network.checkpoints import archive_bytes, put_values, weights_bytes
from tasks.subsidence.network.logbook import columns, log_bytes
from tasks.subsidence.network.summary import summary
from tasks.subsidence.network.trainer import Trainer


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves: bytes that are equal for equal inputs."""

    best_weights: bytes  # .weights.h5
    final_weights: bytes
    best_archive: bytes  # .keras, for outside tools
    final_archive: bytes
    log: bytes  # CSV
    architecture: dict[str, Any]
    summary: dict[str, Any]
    val_prediction: Prediction  # of the best weights on all validation rows, for the reload check


def train(
    train_split: Split,
    val_split: Split,
    select_idx: np.ndarray,
    init_manifest: dict[str, Any],
    cfg,
    here: Workspace,
    *,
    init_from: Path | None = None,
) -> TrainResult:
    """Train one network; splits are SI, `select_idx` the validation rows that may choose the checkpoint.

    `init_from` are weights to start from instead of least squares. Saved progress is continued; on CPU with one thread
    the result is then bit-equal to an uninterrupted training. Raises InterruptedStepError within one batch of a signal
    and NonFiniteLossError after more than three unusable steps in a row; both leave progress behind.
    """
    _fix_randomness(cfg["SEED"])
    trainer = Trainer(train_split, take(val_split, select_idx), init_manifest, cfg, here)
    trainer.begin(init_from)
    trainer.run()
    return _result(trainer, val_split)


def _fix_randomness(seed: int) -> None:
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _result(trainer: Trainer, val_split: Split) -> TrainResult:
    """Bytes of the final and of the best weights; the model ends up with the best ones."""
    model, session, scratch = trainer.model, trainer.session, trainer.here.scratch
    final = (weights_bytes(model, scratch), archive_bytes(model, scratch))
    if session.best is not None:
        put_values(model, session.best)
    counters, cfg = session.counters, trainer.cfg
    extra = tuple(name for name in trainer.engine.train_names if name.startswith(("grad_norm_", "q_m")))
    names = columns(extra, cfg["TRACK_AUX_METRICS"])
    return TrainResult(
        best_weights=weights_bytes(model, scratch),
        final_weights=final[0],
        best_archive=archive_bytes(model, scratch),
        final_archive=final[1],
        log=log_bytes(counters.rows, names),
        architecture=architecture(model.manifest, model.bank_rows),
        summary=summary(model, counters, trainer.options, trainer.plan, trainer.gates, cfg, names),
        val_prediction=predict(model, val_split),
    )
