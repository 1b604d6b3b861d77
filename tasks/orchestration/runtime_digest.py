"""A digest of what a step runs on: Python, accelerator kind, versions of the packages its code imports."""

import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.orchestration.code_digest import third_party_imports

DEVICE = Path("/dev/nvidiactl")


@cache
def runtime_document(function: Callable, accelerator: str) -> dict:
    """What goes into the digest, readable; Python patch releases do not count, package releases do."""
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "accelerator": accelerator,
        "packages": {name: metadata.version(name) for name in sorted(_distributions(function))},
    }


def runtime_digest(function: Callable, accelerator: str) -> str:
    """sha256 of the runtime document in canonical JSON."""
    text = json.dumps(runtime_document(function, accelerator), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def accelerator_kind(pool: str, wanted: str) -> str:
    """`cuda` where a CUDA step finds a device that it may use, else `cpu`.

    wanted: required, preferred or none. Raises ConfigError where a required device is missing.
    """
    if not pool.startswith("cuda") or wanted == "none":
        return "cpu"
    if DEVICE.exists():
        return "cuda"
    if wanted == "required":
        raise ConfigError(
            "no GPU on this machine",
            where=f"pool {pool}",
            expected="a CUDA device",
            found=f"no {DEVICE}",
            remedy="Use --accelerator preferred to train on the CPU.",
        )
    return "cpu"


def _distributions(function: Callable) -> set[str]:
    known = _packages_distributions()
    return {dist for name in third_party_imports(function) for dist in known.get(name, ())}


@lru_cache(maxsize=1)
def _packages_distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
