"""Checks of what the physics needs: units of time, numeric settings, drivers of the future, columns of the flavour."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.registry import Finding, Note, Outcome, Skip, check
from tasks.subsidence.handoff.georef import epsg_code
from tasks.subsidence.handoff.scaling_parts import time_unit

HELD_SHARE = 0.99
NO_PHYSICS = "HybridAttn-NoPhysics"
SMALLEST = {"dt_min_units": None, "cons_scale_floor": 0, "gw_scale_floor": 0}
EPSG_KEYS = ("coord_epsg_used", "coord_target_epsg", "coord_src_epsg")


@check("K-01", "fail", pub="y")
def settings_numeric(e: Evidence) -> Iterator[Outcome]:
    """The time unit is known; time step, floors and EPSG codes are numbers."""
    units = e.manifest.config.conventions.time_units
    try:
        time_unit(units)
    except HandshakeError as error:
        yield Finding(
            "manifest.json config.conventions.time_units",
            f"is {units!r}, which is no time unit",
            str(error.expected),
            repr(units),
            "Export with time in years.",
        )
    where = "manifest.json config.scaling_kwargs"
    for name, least in SMALLEST.items():
        value = getattr(e.manifest.scaling, name)
        if value is not None and not (_is_number(value) and (value > 0 or value == least)):
            wanted = "a number > 0" if least is None else "a number >= 0"
            yield Finding(f"{where}.{name}", f"is {value!r}", wanted, repr(value))
    for name in EPSG_KEYS:
        value = getattr(e.manifest.scaling, name)
        if value is not None and epsg_code(value) is None:
            yield Finding(f"{where}.{name}", f"is {value!r}", "a numeric EPSG code", repr(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@check("K-02", "warn", pub="-", reads="future")
def drivers_move_on(e: Evidence) -> Iterator[Outcome]:
    """Future drivers change over the horizon."""
    view = e.view("future")
    if view is None:
        return
    names, horizon = e.manifest.config.features.future, view.split.coords.shape[1]
    if view.split.future.shape[2] != len(names):
        yield Skip("future_inputs.npz 'future_features' does not match its names (S-03)")
        return
    if horizon < 2:
        yield Note("one step ahead: nothing to compare")
        return
    for column, name in enumerate(names):
        ahead = view.split.future[:, -horizon:, column]
        held = float((np.ptp(ahead, axis=1) == 0).mean())
        if held >= HELD_SHARE:
            yield Finding(
                f"future_inputs.npz 'future_features' {name}",
                f"is held at one value over the {horizon} forecast steps in {held:.0%} of windows",
                "a scenario that varies",
                "constant",
                "Forecasts assume this driver stays as it is; give a scenario for better ones.",
            )


@check("K-03", "fail", pub="raise/warn")
def flavour_has_columns(e: Evidence) -> Iterator[Outcome]:
    """The model flavour finds depth, surface elevation and thickness."""
    if e.model == NO_PHYSICS:
        yield Note(f"{NO_PHYSICS} needs none of them")
        return
    train = e.bundles["train_inputs"]
    config = e.manifest.config
    lacks = []
    if e.manifest.depth_index is None:
        lacks.append("a depth column (indices.gwl_dyn_index)")
    if e.manifest.z_surf_index is None and not config.conventions.use_head_proxy:
        lacks.append("a surface elevation (indices.z_surf_static_index, or use_head_proxy)")
    if train.problem is None and "H_field" not in train.arrays:
        lacks.append("thickness ('H_field')")
    if lacks:
        yield Finding(
            "handoff",
            f"lacks {', '.join(lacks)}, which {e.model or 'the physics'} needs",
            "depth, z_surf and thickness",
            "absent",
            f"Export them, or use --model {NO_PHYSICS}.",
        )
