"""What must hold between settings, and the conversions that need more than one of them."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from tasks.contracts.errors import ConfigError

FULL_STRENGTH_BY = 0.60  # share of the steps
LIMITED = ("K", "Ss", "tau", "H", "Ka", "Sa")


def steps_per_epoch(windows: int, batch_size: int) -> int:
    """Steps of one pass: the last partial batch is padded and counts."""
    return math.ceil(windows / batch_size)


def share_of_steps(steps: int, total_steps: int) -> float:
    """A number of steps as a share of the planned ones."""
    return steps / total_steps


def check_gate(warmup_fraction: float, ramp_fraction: float, total_steps: int | None = None) -> None:
    """ConfigError unless physics reaches full strength at or before 60 % of the planned steps."""
    reached = warmup_fraction + ramp_fraction
    if reached <= FULL_STRENGTH_BY + 1e-9:
        return
    planned = f" (step {reached * total_steps:.0f} of {total_steps})" if total_steps else ""
    raise ConfigError(
        "physics would reach full strength too late",
        where="PHYSICS_WARMUP_FRACTION + PHYSICS_RAMP_FRACTION",
        expected=f"at most {FULL_STRENGTH_BY:.2f} of the steps",
        found=f"{warmup_fraction:g} + {ramp_fraction:g} = {reached:g}{planned}",
        remedy="Shorten the warm-up or the ramp, or train for more epochs.",
    )


def check_together(values: Mapping[str, Any]) -> None:
    """ConfigError for values that are fine one by one but not together."""
    _check_levels(values["QUANTILES"])
    _check_bounds(values["PHYSICS_BOUNDS"])
    _check_weights(values)
    _check_offset(values)
    _check_scales(values["SCALES"])


def _check_levels(levels: list[float] | None) -> None:
    if levels is None:
        return
    wanted = "sorted levels inside (0, 1) that contain 0.5, or null"
    inside = all(0.0 < level < 1.0 for level in levels)
    rising = all(low < high for low, high in pairwise(levels))
    if not (inside and rising and 0.5 in levels):
        raise ConfigError("are no quantile levels", where="QUANTILES", expected=wanted, found=levels)


def _check_bounds(bounds: Mapping[str, float]) -> None:
    for name in LIMITED:
        low, high = bounds[f"{name}_min"], bounds[f"{name}_max"]
        if not low < high:
            raise ConfigError(
                "the lower limit must lie below the upper one",
                where="PHYSICS_BOUNDS",
                expected=f"{name}_min < {name}_max",
                found=f"{low:g} and {high:g}",
            )


def _check_weights(values: Mapping[str, Any]) -> None:
    levels = [f"{level:g}" for level in values["QUANTILES"] or [0.5]]
    for name in ("SUBS_WEIGHTS", "GWL_WEIGHTS"):
        strange = sorted(set(values[name]) - set(levels))
        if strange:
            raise ConfigError(
                "weighs levels that are not in QUANTILES",
                where=name,
                expected=f"levels {levels}",
                found=strange,
                remedy="Drop them, or add them to QUANTILES.",
            )


def _check_offset(values: Mapping[str, Any]) -> None:
    """A plain multiplier must be positive; an exponent of ten must stay small enough for one."""
    table = values["LAMBDA_OFFSET_SCHEDULE"]
    offsets = {name: values[name] for name in ("LAMBDA_OFFSET", "LAMBDA_OFFSET_START", "LAMBDA_OFFSET_END")}
    listed = dict(enumerate(table)) if isinstance(table, list) else table or {}
    offsets |= {f"LAMBDA_OFFSET_SCHEDULE[{index}]": value for index, value in listed.items()}
    mode = values["OFFSET_MODE"]
    expected = {"mul": "more than 0", "log10": "[-12, 6]"}[mode]
    for name, value in offsets.items():
        if not (value > 0 if mode == "mul" else -12 <= value <= 6):
            what = f"is out of range while OFFSET_MODE is {mode}"
            raise ConfigError(what, where=name, expected=expected, found=value)


def _check_scales(scales: list[int]) -> None:
    if not scales or len(set(scales)) != len(scales):
        raise ConfigError("must name each scale once", where="SCALES", expected="distinct whole numbers", found=scales)
