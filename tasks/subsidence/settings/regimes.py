"""Flavours and identifiability regimes: named layers of settings, and what they do not let a live value undo."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.subsidence.types import ConfigLayer

FLAVOURS: dict[str, dict[str, Any]] = {
    "GeoPriorSubsNet": {},
    "PoroElasticSubsNet": {
        "PDE_MODE_CONFIG": "consolidation",
        "GEOPRIOR_KAPPA_MODE": "bar",
        "PHYSICS_BOUNDS": {"K_min": 1e-8, "K_max": 1e-3},
        "LAMBDA_PRIOR": 5.0,
        "LAMBDA_SMOOTH": 1.0,
        "LAMBDA_MV": 0.1,
    },
    "HybridAttn-NoPhysics": {"PDE_MODE_CONFIG": "none"},
}

_ANCHORED = {
    "ALLOW_SUBS_RESIDUAL": False,
    "BOUNDS_LOSS_KIND": "barrier",
    "BOUNDS_BETA": 30.0,
    "BOUNDS_W": 2.0,
    "LAMBDA_BOUNDS": 10.0,
    "LAMBDA_PRIOR": 10.0,
    "LAMBDA_CONS": 50.0,
    "PHYSICS_WARMUP_FRACTION": 0.05,
    "PHYSICS_RAMP_FRACTION": 0.20,
}
REGIMES: dict[str, dict[str, Any]] = {
    "base": {
        "LAMBDA_BOUNDS": 1.0,
        "LAMBDA_PRIOR": 1.0,
        "LAMBDA_Q": 0.0,
        "LAMBDA_MV": 0.0,
        "BOUNDS_LOSS_KIND": "barrier",
    },
    "anchored": _ANCHORED,
    "closure_locked": {
        **_ANCHORED,
        "LAMBDA_PRIOR": 100.0,
        "PHYSICS_WARMUP_FRACTION": 0.0,
        "PHYSICS_RAMP_FRACTION": 0.15,
    },
    "data_relaxed": {
        "BOUNDS_LOSS_KIND": "residual",
        "LAMBDA_PRIOR": 0.0,
        "LAMBDA_CONS": 1.0,
        "LAMBDA_GW": 0.0,
        "PHYSICS_WARMUP_FRACTION": 0.3,
        "PHYSICS_RAMP_FRACTION": 0.3,
    },
}


@dataclass(frozen=True)
class Lock:
    """A value that belongs to what a flavour or regime is; a live value that breaks it is an error."""

    layer: str
    key: str
    holds: Callable[[Any], bool]
    expected: str
    reason: str


_CLOSED = "regime:closure_locked"
_FROZEN = "The closure is frozen (dlogtau is zero) in this regime; choose another IDENTIFIABILITY_REGIME to free it."
LOCKS = (
    Lock(_CLOSED, "LAMBDA_PRIOR", lambda value: value >= 100.0, "at least 100", _FROZEN),
    Lock(_CLOSED, "ALLOW_SUBS_RESIDUAL", lambda value: value is False, "false", _FROZEN),
    Lock(
        "flavour:PoroElasticSubsNet",
        "PDE_MODE_CONFIG",
        lambda value: value in ("consolidation", "none"),
        "consolidation or none",
        "This flavour has no groundwater equation; GeoPriorSubsNet has both.",
    ),
    Lock(
        "flavour:HybridAttn-NoPhysics",
        "PDE_MODE_CONFIG",
        lambda value: value == "none",
        "none",
        "This flavour has no physics; GeoPriorSubsNet has both equations.",
    ),
)


def named_layers(model: str, regime: str | None) -> tuple[ConfigLayer, ConfigLayer | None]:
    """The layers `flavour:...` and `regime:...`; the second is None where no regime is chosen."""
    flavour = ConfigLayer(source=f"flavour:{model}", values=FLAVOURS[model])
    return flavour, ConfigLayer(source=f"regime:{regime}", values=REGIMES[regime]) if regime else None


def check_locks(named: Iterable[ConfigLayer | None], live: Iterable[ConfigLayer]) -> None:
    """ConfigError where a live value undoes what the chosen flavour or regime stands for."""
    chosen = {layer.source for layer in named if layer}
    for lock in (lock for lock in LOCKS if lock.layer in chosen):
        for layer in live:
            if lock.key in layer.values and not lock.holds(layer.values[lock.key]):
                raise ConfigError(
                    f"contradicts {lock.layer}",
                    where=f"{layer.source} {lock.key}",
                    expected=lock.expected,
                    found=repr(layer.values[lock.key]),
                    remedy=lock.reason,
                )
