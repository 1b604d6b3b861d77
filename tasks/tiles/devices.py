"""Where a run computes and with how many processes, found out without importing torch."""

import logging
import os
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.tiles.checkpoint_files import checkpoint_files
from tasks.tiles.memory import worker_count

log = logging.getLogger(__name__)
_DEVICES = Path("/dev")


def gpu_count() -> int:
    """NVIDIA GPUs that this process may see."""
    there = len(list(_DEVICES.glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    return min(there, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def starting_device(requested: str, required: bool) -> str:
    """The device to try: the CPU where there is no GPU at all. Raises ConfigError where the GPU is required."""
    if requested == "cpu" or gpu_count():
        return requested
    if required:
        remedy = "Leave --require_device out to run on the CPU."
        raise ConfigError("there is no such device", where=f"device {requested}", remedy=remedy)
    log.warning("no usable device %s; continuing on the CPU", requested)
    return "cpu"


def worker_number(asked: int | None, device: str, model_bytes: int, batches: int) -> int:
    """Processes for a run: as asked; else one per GPU, or per CPU as memory allows; never more than batches."""
    if asked is None and device.startswith("cuda"):
        asked = gpu_count() if device == "cuda" else 1
    return max(1, min(batches, worker_count(model_bytes) if asked is None else asked))


def model_bytes(checkpoint: Path) -> int:
    """Of the weights in memory; half as much again for the copy in another precision."""
    size = checkpoint_files(checkpoint).weights.stat().st_size
    return size + size // 2
