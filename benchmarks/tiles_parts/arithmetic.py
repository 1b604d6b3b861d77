"""B1, B2: how close the model comes to the matrix products it is made of, on one thread.

CPU time, so that waiting for a processor on a busy machine counts on neither side.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.tiles_parts.ground import HEAD_SCALE, SEED, Ground
from benchmarks.tiles_parts.race import Goal, Race
from tasks.tiles.checkpoint import fresh
from tasks.tiles.model import Batch, Refiner
from tasks.tiles.precision import global_settings, prepared, resolve

BATCH = 4
SIDE_OF_MM = 1024


def b1(ground: Ground) -> None:
    """bf16 at 224 px."""
    if resolve("auto", "cpu") != "bf16":
        print("  this CPU has no bf16: not run")
        return
    with global_settings("cpu", threads=1):
        _race(ground, "bf16", 224, Goal(0.60, at_least=True))


def b2(ground: Ground) -> None:
    """fp32 at 120 and 224 px, at the matrix precision that a worker sets."""
    with global_settings("cpu", threads=1) as matmul:
        print(f"  fp32 matrix precision: {matmul}")
        for side in (120, 224):
            _race(ground, "fp32", side, Goal(0.65, at_least=True))


def _race(ground: Ground, precision: str, side: int, goal: Goal) -> None:
    forward = Forward(prepared(fresh(ground.variant, seed=SEED, head_scale=HEAD_SCALE), precision), side)
    size = 128 if ground.quick else SIDE_OF_MM
    title = (
        f"model GFLOP/s, {ground.variant}, {precision}, batch {BATCH}, {side} px, 1 thread: {forward.gflop:.1f} GFLOP"
    )
    race = Race(title, "GFLOP/s", f"torch.mm {size}^3 {precision}", goal)
    race.run(forward, product(size, precision), ground.rounds).tell(quick=ground.quick)


@dataclass
class Forward:
    """One pass of the model on random tiles; a call gives GFLOP/s."""

    model: Refiner
    side: int

    def __post_init__(self) -> None:
        tiles = torch.rand(BATCH, 1, 4, self.side, self.side, generator=torch.Generator().manual_seed(SEED))
        self._batch = Batch.plain(tiles)
        # The count of the fused attention differs between devices; that of its two products does not.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            self.model(self._batch)
        self.gflop = counter.get_total_flops() / 1e9
        self()

    def __call__(self) -> float:
        with torch.inference_mode():
            return self.gflop / _cpu_s(lambda: self.model(self._batch), 0.5)


def product(size: int, precision: str) -> Callable[[], float]:
    """The limit: the same processor on plain matrix products."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = torch.Generator().manual_seed(SEED)
    left, right = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))

    def rate() -> float:
        with torch.inference_mode():
            return 2 * size**3 / 1e9 / _cpu_s(lambda: torch.mm(left, right), 0.5)

    rate()
    return rate


def _cpu_s(call: Callable[[], object], at_least_s: float) -> float:
    """CPU seconds of one call, of as many as fill the time."""
    calls, start = 0, time.process_time()
    while (spent := time.process_time() - start) < at_least_s:
        call()
        calls += 1
    return spent / calls
