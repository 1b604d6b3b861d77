"""Where a step's body runs: its name, the kind of accelerator there, and what is installed there."""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.orchestration.runtimes import Runtime

DEVICE = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class Place:
    """Decided before the cache key is made, because accelerator and versions are part of the key."""

    name: str
    accelerator: str  # cpu or cuda
    runtime: Runtime | None = None  # None: what is installed in this process

    def __str__(self) -> str:
        return f"{self.name}, {self.accelerator}"


def place_here(pool: str, wanted: str) -> Place:
    """This process. Raises ConfigError where a required device is missing."""
    return Place("this process", accelerator_here(pool, wanted))


def accelerator_here(pool: str, wanted: str) -> str:
    """`cuda` where a CUDA step finds a device that it may use, else `cpu`.

    wanted: required, preferred or none. Raises ConfigError where a required device is missing.
    """
    if not pool.startswith("cuda") or wanted == "none":
        return "cpu"
    lacks = _lacks(pool)
    if lacks is None:
        return "cuda"
    if wanted == "required":
        raise ConfigError(
            "no GPU can be used on this machine",
            where=f"pool {pool}",
            expected="a CUDA device and a framework built for it",
            found=lacks,
            remedy="Ask for a GPU without requiring one, and the CPU is used where there is none.",
        )
    return "cpu"


def _lacks(pool: str) -> str | None:
    """What is missing for a CUDA pool's steps to use a GPU here; None where nothing is."""
    if not DEVICE.exists():
        return f"no {DEVICE}"
    if pool == "cuda-tf" and _version("tensorflow-cpu"):
        return "tensorflow-cpu"
    if pool == "cuda-torch" and "+cpu" in _version("torch"):
        return f"torch {_version('torch')}"
    return None


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
