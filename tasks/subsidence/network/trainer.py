"""The training loop: epochs over compiled steps, resumable at every backup, checkpoint chosen by data scores alone."""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.errors import InterruptedStepError, NonFiniteLossError
from tasks.store.workspace import Workspace
from tasks.subsidence.arrays import Split
from tasks.subsidence.infer import load
from tasks.subsidence.losses import loss_weights, millimetres
from tasks.subsidence.model import rebuild
from tasks.subsidence.network.datasets import EpochSource, batches, carried
from tasks.subsidence.network.engine import Arrays, Engine, Options, tensors
from tasks.subsidence.network.logbook import GATE_COLUMNS, Means
from tasks.subsidence.network.origins import stored_windows
from tasks.subsidence.network.session import Session
from tasks.subsidence.network.start import add_neighbours, bank_rows, fit_linear, fit_trust, initialise, take_over
from tasks.subsidence.schedule import Plan, gates

BACKUP_STEPS = 200
MOST_SKIPPED_IN_A_ROW = 3
VAL_BATCH = 512
# Least squares has put the linear maps where they belong; full steps of mini-batches would only shake them. What is
# learned from a handful of years leaves them slowly; fields of place have far to go.
STEP_MULTIPLIERS = {"everywhere": 0.02, "in_years": 0.02, "in_space": 0.02, "from_features": 0.2, "fields": 3.0}


class Trainer:
    """The loop and what it needs: a model, its windows of every epoch, its gates, and the session that can be saved."""

    def __init__(self, train_split: Split, select: Split, manifest: dict[str, Any], cfg, here: Workspace):
        self.cfg, self.here, self.manifest, self.train = cfg, here, manifest, train_split
        self.model = rebuild(manifest, bank_rows(manifest, train_split))
        sem, known_until = self.model.semantics, float(train_split.coords[:, :, 0].max())
        self.source = EpochSource(
            train_split, sem, share=cfg["ORIGIN_AUGMENT"], seed=cfg["SEED"], known_until=known_until
        )
        self.select = stored_windows(select, sem, known_until)
        self.options = _options(self.model.levels, cfg)
        self.engine = Engine(self.model, self.options, stored_windows(train_split, sem, known_until))
        self.session = Session(self.engine)
        self.plan = Plan(cfg["EPOCHS"], -(-len(train_split) // cfg["BATCH_SIZE"]))
        spec = self.model.spec
        self.gates = gates(cfg, self.plan, physics=spec.active, consolidation=spec.consolidation)
        self.set_gates: dict[str, float] = {}

    def begin(self, init_from: Path | None) -> None:
        """Saved progress, given weights, or an untrained network at its start."""
        saved = self.here.progress.load()
        if saved is not None:
            self.session.restore(saved)
            self.here.telemetry["train"] = self.session.counters.telemetry
        elif init_from is not None:
            effects = take_over(self.model, load(self.manifest, init_from), self.train)
            self.session.counters.year_effects = carried(effects).tolist()
        else:
            counters = self.session.counters
            started = initialise(self.model, self.train)
            tuned, effects = fit_linear(self.model, self.train)
            counters.start, counters.year_effects = {**started, **tuned.to_json()}, carried(effects).tolist()
        self._use_year_effects()

    def _use_year_effects(self) -> None:
        effects = self.session.counters.year_effects
        if effects is not None:
            self.source.year_effects = np.array(effects) * self.model.sigma.T

    def run(self) -> None:
        """All epochs that are left."""
        counters = self.session.counters
        self.val_arrays = tensors(add_neighbours(self.model, self.select))
        while counters.epoch < self.plan.epochs and counters.stop_reason is None:
            self._epoch()
        counters.stop_reason = counters.stop_reason or "all_epochs"

    def _epoch(self) -> None:
        counters, began = self.session.counters, time.monotonic()
        if counters.batch == 0 and self._gate_has_opened():
            fit_trust(self.model, self.train)
        windows = add_neighbours(self.model, self.source.windows(counters.epoch))
        arrays = tensors(windows)
        rows, present = batches(self.source.order(counters.epoch), self.cfg["BATCH_SIZE"])
        while counters.batch < len(rows):
            self._step(arrays, rows[counters.batch], present[counters.batch])
        self._close(time.monotonic() - began)

    def _gate_has_opened(self) -> bool:
        """Whether this is the first epoch that starts with the data path fully on beside physics."""
        step, gate = self.session.counters.step, self.gates["subs_resid"]
        before = gate(step - self.plan.steps_per_epoch) if step else 0.0
        return self.model.spec.consolidation and gate(step) >= 1.0 > before

    def _step(self, arrays: Arrays, rows: np.ndarray, present: np.ndarray) -> None:
        counters = self.session.counters
        if self.here.stopping():
            self._interrupt()
        self._apply_gates(counters.step)
        values = self.engine.train_step(arrays, rows, present, counters.step, self.cfg["LEARNING_RATE"])
        self.session.means.add(self.engine.train_names, values)
        counters.batch, counters.step = counters.batch + 1, counters.step + 1
        self._count_skipped(values[self.engine.train_names.index("skipped_steps")] > 0)
        if self.cfg["DEBUG"] and counters.step % 20 == 0:
            self._tell(f"step {counters.step}: loss {values[0]:.4f}")
        if counters.step % BACKUP_STEPS == 0:
            self._save()

    def _apply_gates(self, step: int) -> None:
        for name, gate in self.gates.items():
            value = gate(step)
            if self.set_gates.get(name) != value:
                if self.cfg["VERBOSE"] >= 2 and value in (0.0, 1.0):
                    self._tell(f"step {step}: {name} gate {value:g}")
                self.model.gates[name].assign(value)
                self.set_gates[name] = value

    def _count_skipped(self, skipped: bool) -> None:
        counters = self.session.counters
        counters.skipped += int(skipped)
        counters.skipped_in_a_row = counters.skipped_in_a_row + 1 if skipped else 0
        if counters.skipped_in_a_row > MOST_SKIPPED_IN_A_ROW:
            self._save()  # without a reason to stop: the same request goes on from here, and meets the same trouble
            raise NonFiniteLossError(
                "the loss or its gradient is not finite",
                where=f"training step {counters.step}",
                expected="finite numbers",
                found=f"{counters.skipped_in_a_row} unusable steps in a row",
                remedy="The last good weights are kept. Lower LEARNING_RATE, or look at the inputs.",
            )

    def _interrupt(self) -> None:
        self._save()
        counters = self.session.counters
        raise InterruptedStepError(
            "a signal stopped the training",
            where=f"epoch {counters.epoch}, step {counters.step}",
            remedy="Run the same request again; it continues from here.",
        )

    def _save(self) -> None:
        self.here.progress.save(self.session.files())

    def _close(self, seconds: float) -> None:
        """Validation, log row, checkpoint choice, backup."""
        counters = self.session.counters
        row = {"epoch": counters.epoch, **self.session.means.result(), **self._gate_values()}
        row |= {f"val_{name}": value for name, value in (self._validate() | self._gate_values()).items()}
        row["lr"] = self.cfg["LEARNING_RATE"]
        monitored = row[self.cfg["MONITOR"]]
        self.session.close_epoch(row, monitored, self.cfg["PATIENCE"])
        rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        counters.telemetry.append({"epoch": row["epoch"], "seconds": seconds, "rss_mib": rss_mib})
        self.here.telemetry["train"] = counters.telemetry
        self._report(row, seconds)
        self._save()

    def _validate(self) -> dict[str, float]:
        means = Means()
        for rows, present in zip(*batches(np.arange(len(self.select)), min(VAL_BATCH, len(self.select))), strict=True):
            values = self.engine.val_step(self.val_arrays, rows, present)
            means.add(self.engine.val_names, values)
        return means.result()

    def _gate_values(self) -> dict[str, float]:
        names = {**GATE_COLUMNS, "physics_gate": "physics"}
        return {column: float(self.model.gates[name].numpy()) for column, name in names.items()}

    def _report(self, row: dict[str, float], seconds: float) -> None:
        counters = self.session.counters
        left = (self.plan.epochs - counters.epoch) * seconds
        best = "" if counters.best_epoch is None else f", best epoch {counters.best_epoch}"
        if self.cfg["VERBOSE"] >= 1:
            self._tell(
                f"epoch {counters.epoch}/{self.plan.epochs}: loss {row['loss']:.4f}, validation CRPS "
                f"{millimetres(row['val_crps_subs'])}, MAE {millimetres(row['val_subs_pred_mae_q50'])}{best}, "
                f"{seconds:.1f} s, {left:.0f} s left"
            )

    def _tell(self, text: str) -> None:
        self.here.tell(min(self.session.counters.step / self.plan.steps, 1.0), text)


def _options(levels: tuple[float, ...], cfg) -> Options:
    return Options(
        weights=loss_weights(levels, cfg),
        clip_norm=float(cfg["CLIP_GLOBAL_NORM"]),
        multipliers={
            "log_mv": float(cfg["MV_LR_MULT"]),
            "log_kappa": float(cfg["KAPPA_LR_MULT"]),
            **STEP_MULTIPLIERS,
        },
        seed=int(cfg["SEED"]),
        debug_gradients=bool(cfg["DEBUG_PHYSICS_GRADS"]),
        log_forcing=bool(cfg["LOG_Q_DIAGNOSTICS"]),
    )
