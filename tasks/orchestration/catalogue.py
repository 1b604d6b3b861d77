"""Every step there is, by name."""

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from tasks.contracts.errors import ConfigError

if TYPE_CHECKING:
    from tasks.orchestration.step import Step


@cache
def steps() -> dict[str, "Step"]:
    """Name → step, of every module in `tasks.steps`."""
    from tasks.orchestration.step import Step

    package = importlib.import_module("tasks.steps")
    modules = [importlib.import_module(f"tasks.steps.{info.name}") for info in pkgutil.iter_modules(package.__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Step)]
    return {step.name: step for step in sorted(found, key=lambda step: step.name)}


def find_step(name: str) -> "Step":
    """The step of a name. Raises ConfigError for a name that this code does not know."""
    known = steps()
    if name not in known:
        raise ConfigError(
            "step is unknown",
            found=name,
            expected=f"one of {', '.join(known)}",
            remedy="Build the images and the deployments from the same revision as the flow.",
        )
    return known[name]
