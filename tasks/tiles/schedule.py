"""How long a training is and how large its steps are, as pure functions of the step, so that any step can be redone."""

import math
from dataclasses import dataclass

from tasks.tiles.train_job import TrainJob


@dataclass(frozen=True)
class Plan:
    """Planned length of a training."""

    steps: int
    steps_per_epoch: int
    warmup_steps: int
    epochs_per_validation: int = 1

    @property
    def epochs(self) -> int:
        """Epochs begun; the last one may be cut short."""
        return -(-self.steps // self.steps_per_epoch)

    def batches(self, epoch: int) -> int:
        """Batches of one epoch, counted from 0."""
        return min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch)

    def judged(self, epoch: int) -> bool:
        """Whether validation follows an epoch."""
        return (epoch + 1) % self.epochs_per_validation == 0 or epoch + 1 == self.epochs


def plan(job: TrainJob, training_pairs: int) -> Plan:
    """Every epoch shows each pair at least once."""
    per_epoch = -(-training_pairs // job.batch_size)
    steps = job.steps or job.epochs * per_epoch
    return Plan(steps, per_epoch, math.ceil(job.warmup * steps), -(-job.validate_steps // per_epoch))


def rate_factor(step: int, plan: Plan) -> float:
    """Multiplier of both learning rates at a step from 0: linear up to 1 over the warm-up, then half a cosine to 0."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(plan.steps - plan.warmup_steps, 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
