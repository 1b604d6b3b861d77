"""How many worker processes fit, and what is done when memory runs out."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.tiles import OomEvent

FREE_SHARE = 0.7
PROCESS_BYTES = 400 << 20  # interpreter, torch and the buffers of one worker
_CGROUP = Path("/sys/fs/cgroup")
_OOM_NAMES = {"OutOfMemoryError", "MemoryError", "_ArrayMemoryError"}
_OOM_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, within the quota of its container."""
    allowed = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def free_bytes() -> int:
    """Memory that can still be had: of the machine, within the limit of the container."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    machine = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    limit, used = _number("memory.max"), _number("memory.current")
    return machine if limit is None or used is None else min(machine, max(0, limit - used))


def worker_count(model_bytes: int) -> int:
    """One worker for each CPU, as long as their models fit in FREE_SHARE of the free memory."""
    each = PROCESS_BYTES + model_bytes
    return max(1, min(usable_cpus(), int(FREE_SHARE * free_bytes() / each)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch, numpy or Python says that memory ran out."""
    if type(error).__name__ in _OOM_NAMES:
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _OOM_WORDS)


@dataclass
class Shrinking:
    """What one bucket has come to: it keeps the smaller batch and, once there, the CPU."""

    limit: int
    on_cpu: bool = False


@dataclass
class MemoryPolicy:
    """Halve the batch; at one tile move the bucket to the CPU; there, halve again and give the tile up at last."""

    batch_size: int
    device: str
    report: Callable[[OomEvent], None]
    _buckets: dict[tuple[int, int], Shrinking] = field(default_factory=dict)

    def bucket(self, padded: tuple[int, int]) -> Shrinking:
        """State of the tiles of one padded size."""
        return self._buckets.setdefault(padded, Shrinking(self.batch_size))

    def react(self, padded: tuple[int, int], tiles: tuple[str, ...], size: int) -> OomEvent:
        """Shrink the bucket after memory ran out on `size` tiles or windows at once; the event says how."""
        state = self.bucket(padded)
        device = "cpu" if state.on_cpu else self.device
        if size > 1:
            action, state.limit = "halve batch", min(state.limit, size // 2)
        elif device != "cpu":
            action, state.on_cpu, state.limit = "CPU fallback", True, self.batch_size
        else:
            action = "give up"
        event = OomEvent(action=action, device=device, batch_size=size, tiles=tiles)
        self.report(event)
        return event


def _cpu_quota() -> float | None:
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        quota, period = _number("cpu/cpu.cfs_quota_us"), _number("cpu/cpu.cfs_period_us")
        return quota / period if quota and period and quota > 0 else None


def _number(name: str) -> int | None:
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):  # no such limit here, or the word "max"
        return None
