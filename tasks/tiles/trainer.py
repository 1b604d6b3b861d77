"""The training loop: steps of one epoch, validation after each, states that can be put down and taken up again."""

import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tasks.contracts.errors import InterruptedStepError
from tasks.contracts.tile_errors import TrainingDivergedError
from tasks.store.jsons import canonical_json
from tasks.tiles.losses.combined import TERMS, losses
from tasks.tiles.mixed import forward
from tasks.tiles.model import Refiner
from tasks.tiles.pair import Pairs
from tasks.tiles.schedule import plan, rate_factor
from tasks.tiles.split import Split
from tasks.tiles.train_batches import Batches
from tasks.tiles.train_job import TrainJob
from tasks.tiles.train_state import Counters, TrainState
from tasks.tiles.trainable import free_names, freeze_others, groups
from tasks.tiles.validation import SCORES, Judge, Stopped
from tasks.tiles.verdict import Verdict, is_better

MOST_SKIPPED_IN_A_ROW = 10
TELL_S = 10.0  # within an epoch
BACKUP_S = 600.0  # within an epoch
NOT_OF_THE_RESULT = ("device", "precision")  # a state may go on elsewhere


class Trainer:
    """The loop and what it needs."""

    def __init__(
        self,
        job: TrainJob,
        pairs: Pairs,
        split: Split,
        model: Refiner,
        progress: Any,
        tell: Callable[[float, str], None],
        should_stop: Callable[[], bool],
        telemetry: dict[str, Any],
    ):
        self.job, self.pairs, self.split, self.progress = job, pairs, split, progress
        self.should_stop, self.telemetry, self._tell = should_stop, telemetry, tell
        identity = _identity(job, pairs, model)
        self.model = model.to(job.device)
        self.batches = Batches(pairs, split.train, job)
        self.plan = plan(job, len(split.train))
        self.judge = Judge(pairs, split.val, job.batch_size, should_stop)
        weights = freeze_others(model, free_names(model, job.unfreeze_blocks))
        self.optimizer = torch.optim.AdamW(groups(weights, job), weight_decay=job.weight_decay)
        self.scaler = torch.amp.GradScaler(torch.device(job.device).type, enabled=job.precision == "fp16")
        self.state = TrainState(weights, self.optimizer, self.scaler, identity)
        self._told = self._saved = time.monotonic()

    @property
    def counters(self) -> Counters:
        """Where the training stands."""
        return self.state.counters

    def run(self) -> None:
        """Everything that is left to do. Raises InterruptedStepError after a signal, with the state put down."""
        saved = self.progress.load()
        if saved is not None:
            self.state.restore(saved)
        try:
            self._epochs()
        except Stopped:
            self._interrupt()

    def _epochs(self) -> None:
        idle = self.judge.baselines["identity"].get("loss", math.nan)
        train, val, scenes = (len(part) for part in (self.split.train, self.split.val, self.split.val_scenes))
        self.tell(
            f"{train} pairs to train on, {val} pairs of other scenes ({scenes}) to judge by, {self.plan.steps} steps "
            f"of {self.job.batch_size}; loss without refinement {idle:.4f}"
        )
        while self.counters.epoch < self.plan.epochs:
            began = time.monotonic()
            while self.counters.batch < self.plan.batches(self.counters.epoch):
                self._step()
            self._close(began)

    def verdict(self) -> Verdict:
        """The best epoch beside the baselines."""
        return Verdict(epoch=self.counters.best_epoch, model=self.counters.best, **self.judge.baselines)

    def tell(self, text: str) -> None:
        """One line for people, with the share that is done."""
        self._told = time.monotonic()
        self._tell(min(self.counters.step / self.plan.steps, 1.0), text)

    def _step(self) -> None:
        counters = self.counters
        if self.should_stop():
            raise Stopped
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_rate"] * rate_factor(counters.step, self.plan)
        examples = self.batches(counters.epoch, counters.batch, counters.step).to(self.job.device)
        refined = forward(self.model, examples.batch, self.job.precision)
        values = losses(refined, examples.target, examples.valid)
        learned = self._learn(values["loss"])
        counters.batch, counters.step = counters.batch + 1, counters.step + 1
        self._count(values, learned)

    def _learn(self, loss: Tensor) -> bool:
        """One step of the optimizer, unless loss or gradient is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(loss.item()):
            return False
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.state.weights.values(), self.job.clip_norm)
        if not (self.scaler.is_enabled() or math.isfinite(norm.item())):
            return False
        self.scaler.step(self.optimizer)  # leaves the step out itself where fp16 has overflowed
        self.scaler.update()
        return True

    def _count(self, values: dict[str, Tensor], learned: bool) -> None:
        counters = self.counters
        if learned:
            counters.skipped_in_a_row = 0
            for name, value in {**values, "count": torch.ones(())}.items():
                counters.sums[name] = counters.sums.get(name, 0.0) + value.item()
        else:
            counters.skipped, counters.skipped_in_a_row = counters.skipped + 1, counters.skipped_in_a_row + 1
            self.tell(f"step {counters.step}: the loss is not finite, the step is left out")
        if counters.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            self._give_up()
        now = time.monotonic()
        if now - self._saved >= BACKUP_S:
            self._save()
        if now - self._told >= TELL_S:
            self.tell(f"step {counters.step}/{self.plan.steps}: loss {values['loss'].item():.4f}")

    def _close(self, began: float) -> None:
        """Validation where it is due, log row, choice of the best, saved state."""
        counters, due = self.counters, self.plan.judged(self.counters.epoch)
        scores = self.judge(self.model, self.job.device, self.job.precision) if due else {}
        if is_better(scores.get("loss"), counters.best.get("loss")):
            self.state.keep_best(scores)
        row = self._row(scores)
        counters.rows.append(row)
        counters.epoch, counters.batch, counters.sums = counters.epoch + 1, 0, {}
        seconds = time.monotonic() - began
        self.telemetry.setdefault("train", []).append({"epoch": row["epoch"], "seconds": seconds})
        if due or time.monotonic() - self._told >= TELL_S:
            self.tell(self._epoch_line(row, scores, seconds))
        self._save()

    def _row(self, scores: dict[str, float]) -> dict[str, Any]:
        """Every column in every row; None where nothing is known."""
        counters = self.counters
        count = counters.sums.get("count", 0.0)
        return {
            "epoch": counters.epoch,
            "step": counters.step,
            "lr": self.job.lr * rate_factor(counters.step - 1, self.plan),
            **{name: counters.sums[name] / count if count else None for name in ("loss", *TERMS)},
            **{f"val_{name}": _finite(scores.get(name)) for name in SCORES},
            "skipped_steps": counters.skipped,
        }

    def _epoch_line(self, row: dict[str, Any], scores: dict[str, float], seconds: float) -> str:
        left = seconds * (self.plan.epochs - self.counters.epoch)
        judged = Verdict(epoch=row["epoch"], model=scores, **self.judge.baselines).text if scores else "not judged"
        loss = "none" if row["loss"] is None else f"{row['loss']:.4f}"
        head = f"epoch {self.counters.epoch}/{self.plan.epochs}: training loss {loss}"
        return f"{head}; on other scenes {judged}; {seconds:.1f} s, {left:.0f} s left"

    def _save(self) -> None:
        self.progress.save(self.state.files())
        self._saved = time.monotonic()

    def _interrupt(self) -> None:
        self._save()
        raise InterruptedStepError(
            "a signal stopped the training",
            where=f"epoch {self.counters.epoch}, step {self.counters.step}",
            remedy="Run the same request again with --resume; it continues from here.",
        )

    def _give_up(self) -> None:
        self._save()  # steps that were left out changed nothing: these are the last good weights
        raise TrainingDivergedError(
            "the loss or its gradient is not finite",
            where=f"training step {self.counters.step}",
            expected="finite numbers",
            found=f"{self.counters.skipped_in_a_row} unusable steps in a row",
            remedy="The last good weights are kept. Lower --lr, or look at the tiles and targets.",
        )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _identity(job: TrainJob, pairs: Pairs, model: Refiner) -> str:
    """sha256 over settings, pairs and starting weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
    settings = job.model_dump(mode="json", exclude=set(NOT_OF_THE_RESULT))
    document = {"settings": settings, "data": pairs.data_id, "start": digest.hexdigest(),
                "model": model.config.model_dump(mode="json")}  # fmt: skip
    return hashlib.sha256(canonical_json(document)).hexdigest()
