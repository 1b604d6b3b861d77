"""What is known of a training, in plain numbers: nothing in it depends on the machine or the clock."""

import math
from typing import Any

import keras
import tensorflow as tf

from tasks.subsidence.model import SubsidenceNetwork
from tasks.subsidence.network.engine import Options
from tasks.subsidence.network.session import Counters
from tasks.subsidence.schedule import Gate, Plan, full_strength


def summary(
    model: SubsidenceNetwork,
    counters: Counters,
    options: Options,
    plan: Plan,
    gates: dict[str, Gate],
    cfg,
    names: list[str],
) -> dict[str, Any]:
    """Core of the training summary; epochs are counted from 0. Values that are not finite become null."""
    sem, rows = model.semantics, counters.rows
    best = rows[counters.best_epoch] if counters.best_epoch is not None else None
    return {
        "city": sem.city,
        "model": model.manifest["model_class"],
        "horizon": sem.horizon,
        "best_epoch": counters.best_epoch,
        "metrics_at_best": _shown(best, names),
        "final_epoch_metrics": _shown(rows[-1] if rows else None, names),
        "epochs_run": counters.epoch,
        "epochs_planned": plan.epochs,
        "steps_per_epoch": plan.steps_per_epoch,
        "compile": {
            "optimizer": "Adam",
            "learning_rate": cfg["LEARNING_RATE"],
            "clip_global_norm": options.clip_norm,
            "step_multipliers": options.multipliers,
            "loss": "pinball",
            "loss_weights": {"subs_pred": 1.0, "gwl_pred": options.weights.gwl},
            "level_weights": {"subs_pred": list(options.weights.subsidence), "gwl_pred": list(options.weights.head)},
            "lambdas": options.weights.physics,
            "monitor": cfg["MONITOR"],
            "patience": cfg["PATIENCE"],
        },
        "hp_init": {
            **{name: value for name, value in model.manifest["config"].items() if name != "scaling_kwargs"},
            "batch_size": cfg["BATCH_SIZE"],
            "epochs": cfg["EPOCHS"],
            "origin_augment": cfg["ORIGIN_AUGMENT"],
            "neighbour_context": model.manifest["neighbour_context"],
            "protocol": model.manifest["protocol"],
        },
        "start": counters.start or {"init_from": "weights"},
        "seeds": dict.fromkeys(("python", "numpy", "tensorflow", "weights", "shuffle", "origins"), options.seed),
        "full_strength_at_step": {name: full_strength(gates[name], plan) for name in ("physics", "q", "subs_resid")},
        "gates_at_end": {name: float(gate.numpy()) for name, gate in model.gates.items()},
        "stop_reason": counters.stop_reason,
        "n_skipped": counters.skipped,
        "identifiability": None,
        # Told here: later steps may run where the framework is not installed.
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _shown(row: dict[str, float] | None, names: list[str]) -> dict[str, float | None]:
    if row is None:
        return {}
    return {name: row[name] if math.isfinite(row[name]) else None for name in names if name in row and name != "epoch"}
