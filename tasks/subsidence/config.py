"""The hybrid configuration: one table says who owns each setting, one function merges, one report says where from.

default < flavour < manifest < regime < file < env < set      merged keys, per sub-key
default < flavour < regime < file < env < set                 live keys
manifest; a different live value is an error                  manifest keys, and keys that must agree
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal, NamedTuple

from tasks.subsidence.settings.checks import check_gate, share_of_steps, steps_per_epoch
from tasks.subsidence.settings.key import Key, unknown_name
from tasks.subsidence.settings.layers import checked_layer, read_layers
from tasks.subsidence.settings.resolve import resolve
from tasks.subsidence.settings.table import OWNERSHIP, owner_of
from tasks.subsidence.types import LiveConfig

__all__ = [
    "OWNERSHIP",
    "Config",
    "Gate",
    "Key",
    "active_gate",
    "built_in",
    "check_gate",
    "checked_layer",
    "last_value",
    "owner_of",
    "read_layers",
    "resolve",
    "share_of_steps",
    "steps_per_epoch",
]


class Config:
    """Resolved values; item access is tracked, so that a test can name settings that nothing reads."""

    def __init__(self, values: dict[str, Any]):
        self._values = dict(values)
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise unknown_name(name, list(self._values), "resolved configuration")
        self._read.add(name)
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def read(self) -> frozenset[str]:
        """Names that have been read so far."""
        return frozenset(self._read)

    def values(self) -> dict[str, Any]:
        """A copy of everything, for writing down; does not count as reading."""
        return dict(self._values)


class Gate(NamedTuple):
    """A term that may be off at first: policy always_on, always_off or warmup_off, then epochs."""

    policy: str
    warmup_epochs: int
    ramp_epochs: int


def active_gate(cfg: Config | Mapping[str, Any], term: Literal["Q", "SUBS_RESID"]) -> Gate:
    """The gate of the forcing or of the settlement residual under the training strategy in force."""
    end = cfg["TRAINING_STRATEGY"].upper()
    return Gate(*(cfg[f"{term}_{part}_{end}"] for part in ("POLICY", "WARMUP_EPOCHS", "RAMP_EPOCHS")))


def last_value(live: LiveConfig, name: str) -> Any:
    """The value of a live setting before any handoff is known: of the last layer that has it, else the default."""
    given = [layer.values[name] for layer in live.layers if name in layer.values]
    return given[-1] if given else deepcopy(OWNERSHIP[name].default)


def built_in() -> dict[str, Any]:
    """The defaults of all live and merged keys, as they are without a handoff."""
    return {key.name: deepcopy(key.default) for key in OWNERSHIP.values() if key.owner in ("live", "merged")}
