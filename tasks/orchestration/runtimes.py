"""What a step runs on: Python and the versions of the packages its code imports, of this process or of an image."""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata

from tasks.contracts.base import Frozen
from tasks.orchestration.code_digest import third_party_imports

LABEL = "io.stagegate.runtime"  # an image's runtime, as JSON
# Steps of the pool `cpu` reach modules that could import these, and never do: their image does not have them.
_NOT_ON_CPU = frozenset({"tensorflow", "keras", "torch", "h5py", "safetensors"})


class Runtime(Frozen):
    """Of an image: Python `major.minor`, and the distributions with versions behind each import name of any step."""

    python: str
    packages: dict[str, dict[str, str]]


@cache
def this_runtime() -> Runtime:
    """The runtime of this process, as an image's label says it."""
    from tasks.orchestration.catalogue import steps

    wanted = frozenset().union(*(third_party_imports(step.function) for step in steps().values()))
    packages = {name: _versions_here(name) for name in sorted(wanted)}
    return Runtime(python=_python(), packages={name: versions for name, versions in packages.items() if versions})


def runtime_document(function: Callable, pool: str, accelerator: str, runtime: Runtime | None = None) -> dict:
    """What counts for a step, readable; Python patch releases do not count, package releases do.

    runtime: of the image that the step runs in; None for this process.
    """
    names = third_party_imports(function) - (_NOT_ON_CPU if pool == "cpu" else frozenset())
    found = [_versions_here(name) if runtime is None else runtime.packages.get(name, {}) for name in names]
    versions = {distribution: version for part in found for distribution, version in part.items()}
    return {
        "python": _python() if runtime is None else runtime.python,
        "accelerator": accelerator,
        "packages": dict(sorted(versions.items())),
    }


@cache
def runtime_digest(function: Callable, pool: str, accelerator: str) -> str:
    """sha256 of this process's runtime document in canonical JSON."""
    return digest_of(runtime_document(function, pool, accelerator))


def digest_of(document: dict) -> str:
    """sha256 of a runtime document in canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@cache
def _versions_here(name: str) -> dict[str, str]:
    distributions = _packages_distributions().get(name, ())
    return {_normalised(distribution): metadata.version(distribution) for distribution in sorted(distributions)}


@cache
def _packages_distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()  # installers disagree about the spelling


if __name__ == "__main__":
    print(this_runtime().model_dump_json())
