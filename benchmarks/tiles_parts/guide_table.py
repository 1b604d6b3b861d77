"""Tiles per second and memory by batch size, as the guide lists them for other machines; of this one only."""

import resource
import time
from contextlib import ExitStack

import torch

from benchmarks.tiles_parts.ground import Ground
from tasks.tiles.checkpoint import build, load_checkpoint
from tasks.tiles.memory import usable_cpus
from tasks.tiles.model import Batch
from tasks.tiles.precision import global_settings, prepared, resolve


def table(ground: Ground) -> None:
    """The model alone on one thread, or on the GPU."""
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        precision = resolve("auto", device)
        place = f"one thread of {usable_cpus()} CPUs" if device == "cpu" else torch.cuda.get_device_name(0)
        print(f"  {ground.variant}, {precision}, model alone, {place}")
        print(f"    {'batch':>5} {'120 px tiles/s':>15} {'224 px tiles/s':>15} {'memory, MB':>11}")
        with ExitStack() as stack:
            stack.enter_context(global_settings(device, threads=1 if device == "cpu" else None))
            stack.enter_context(torch.inference_mode())
            model = prepared(build(load_checkpoint(ground.checkpoint)), precision).to(device)
            for size in (1, 4) if ground.quick else (1, 4, 8, 16):
                rates = [_rate(model, size, side, device) for side in (120, 224)]
                print(f"    {size:5} {rates[0]:15.2f} {rates[1]:15.2f} {_memory_mb(device):11.0f}")


def _rate(model, size: int, side: int, device: str) -> float:
    batch = Batch.plain(torch.rand(size, 1, 4, side, side)).to(device)
    model(batch)
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.5:
        model(batch).cpu()
        calls += 1
    return calls * size / (time.perf_counter() - start)


def _memory_mb(device: str) -> float:
    """The most that was needed until now."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return torch.cuda.max_memory_allocated() / 1e6
