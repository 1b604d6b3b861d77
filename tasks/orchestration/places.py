"""Where a step's body runs: its name, the kind of accelerator there, and what is installed there."""

from dataclasses import dataclass
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
