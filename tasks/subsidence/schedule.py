"""When what counts: every gate as a pure function of the step, so that any step can be redone.

physics      0 until the warm-up fraction of all planned steps, then linear to 1 over the ramp fraction
q, residual  always on, always off, or off for some epochs and then linear to 1; shortened alike where a training is so
             short that they would not be open by 60 % of its steps
offset       constant, or linear from start to end, or a table or list, per epoch or step
mv           0 during a delay, then linear to 1
"""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import active_gate

LATEST_FULL_STRENGTH = 0.6  # of the planned steps


@dataclass(frozen=True)
class Plan:
    """Planned length of a training."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """All planned steps."""
        return self.epochs * self.steps_per_epoch


Gate = Callable[[int], float]  # global step, from 0, to value


def gates(cfg, plan: Plan, *, physics: bool, consolidation: bool) -> dict[str, Gate]:
    """The value of every gate at any step. Without consolidation the residual is all there is, so it is always on.

    Raises ConfigError where physics would not reach full strength by 60 % of the steps, or a table is empty.
    """
    if not physics:
        return {"physics": _always(0.0), "q": _always(0.0), "subs_resid": _always(1.0), "offset": _always(1.0),
                "mv": _always(0.0)}  # fmt: skip
    return {
        "physics": physics_gate(plan, cfg["PHYSICS_WARMUP_FRACTION"], cfg["PHYSICS_RAMP_FRACTION"]),
        "q": _policy(cfg, "Q", plan),
        "subs_resid": _policy(cfg, "SUBS_RESID", plan) if consolidation else _always(1.0),
        "offset": _offset(cfg, plan),
        "mv": _mv(cfg, plan),
    }


def full_strength(gate: Gate, plan: Plan) -> int | None:
    """The first planned step at which a gate is 1, or None."""
    return next((step for step in range(plan.steps) if gate(step) >= 1.0), None)


def physics_gate(plan: Plan, warmup: float, ramp: float) -> Gate:
    """clip((step - w S) / (r S), 0, 1) with S the planned steps."""
    full = (warmup + ramp) * plan.steps
    if warmup + ramp > LATEST_FULL_STRENGTH + 1e-9:
        raise ConfigError(
            "physics reaches full strength too late",
            where="PHYSICS_WARMUP_FRACTION + PHYSICS_RAMP_FRACTION",
            expected=f"at most {LATEST_FULL_STRENGTH} of {plan.steps} steps",
            found=f"{warmup} + {ramp}, step {full:.0f}",
            remedy="Shorten the warm-up or the ramp, or train for more epochs.",
        )
    return _ramp(warmup * plan.steps, ramp * plan.steps)


def _always(value: float) -> Gate:
    return lambda step: value


def _ramp(start: float, length: float) -> Gate:
    """0 before start, 1 from start + length on."""

    def gate(step: int) -> float:
        if length <= 0:
            return float(step >= start)
        return min(max((step - start) / length, 0.0), 1.0)

    return gate


def _policy(cfg, name: str, plan: Plan) -> Gate:
    policy, warmup, ramp = active_gate(cfg, name)
    if policy == "warmup_off":
        shorter = min(1.0, LATEST_FULL_STRENGTH * plan.epochs / max(warmup + ramp, 1))
        return _ramp(shorter * warmup * plan.steps_per_epoch, shorter * ramp * plan.steps_per_epoch)
    return _always(1.0 if policy == "always_on" else 0.0)


def _mv(cfg, plan: Plan) -> Gate:
    epochs, steps = ([cfg[f"MV_{part}_{unit}"] for part in ("DELAY", "WARMUP")] for unit in ("EPOCHS", "STEPS"))
    in_steps = [count * plan.steps_per_epoch for count in epochs]
    if cfg["MV_SCHEDULE_UNIT"] == "step":
        in_steps = [given if asked is None else asked for given, asked in zip(in_steps, steps, strict=True)]
    return _ramp(*in_steps)


def _offset(cfg, plan: Plan) -> Gate:
    if not cfg["USE_LAMBDA_OFFSET_SCHEDULER"]:
        return _checked_offset(cfg, _always(cfg["LAMBDA_OFFSET"]), [cfg["LAMBDA_OFFSET"]])
    late = 1 if cfg["LAMBDA_OFFSET_WHEN"] == "end" else 0
    per_epoch = cfg["LAMBDA_OFFSET_UNIT"] == "epoch"

    def index(step: int) -> int:
        """Units begun, or (moving at the end of a unit) units finished: the first unit then keeps the first value."""
        return max((step // plan.steps_per_epoch if per_epoch else step) - late, 0)

    table = cfg["LAMBDA_OFFSET_SCHEDULE"]
    if table is not None:
        knots = offset_table(table)
        return _checked_offset(cfg, lambda step: _held(knots, index(step)), [value for _, value in knots])
    start, end, warmup = cfg["LAMBDA_OFFSET_START"], cfg["LAMBDA_OFFSET_END"], max(cfg["LAMBDA_OFFSET_WARMUP"], 0)
    line = _ramp(0, warmup)
    return _checked_offset(cfg, lambda step: start + (end - start) * line(index(step)), [start, end])


def offset_table(table: dict | list) -> list[tuple[int, float]]:
    """Knots (index, value) ascending from a table {index: value} or a list, whose places are the indices."""
    pairs = table.items() if isinstance(table, dict) else enumerate(table)
    knots = sorted((int(float(index)), float(value)) for index, value in pairs)
    if not knots:
        raise ConfigError("is empty", where="LAMBDA_OFFSET_SCHEDULE", expected="{index: value} or a list")
    return knots


def _held(knots: list[tuple[int, float]], index: int) -> float:
    """The value of the last knot at or before the index; before the first knot, the first value."""
    reached = [value for start, value in knots if start <= index]
    return reached[-1] if reached else knots[0][1]


def _checked_offset(cfg, gate: Gate, values: list[float]) -> Gate:
    if cfg["OFFSET_MODE"] == "mul" and min(values) <= 0:
        raise ConfigError("must be positive while OFFSET_MODE is mul", where="LAMBDA_OFFSET", found=min(values),
                          remedy="Switch physics off with PDE_MODE_CONFIG none, or use OFFSET_MODE log10.")  # fmt: skip
    return gate
