"""B3, B4: tiles per second from files to files, beside a plain loop and beside the model alone."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.tiles_parts.arithmetic import SIDE_OF_MM, product
from benchmarks.tiles_parts.bare_workers import BareWorkers
from benchmarks.tiles_parts.files import Probe
from benchmarks.tiles_parts.ground import Engine, Ground
from benchmarks.tiles_parts.plain_loop import model_of, refine_plainly
from benchmarks.tiles_parts.race import Goal, Race
from tasks.tiles.precision import resolve
from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.settings import threads_for

SIDE = 120
SAME = 0.02  # between precisions, in reflectance


def b3(ground: Ground) -> None:
    """Our engine beside the plain loop."""
    for device in _devices():
        _beside_plain_loop(ground, device)


def b4(ground: Ground) -> None:
    """The engine beside as many bare copies of its model."""
    for device in _devices():
        _beside_model(ground, device)


def _beside_plain_loop(ground: Ground, device: str) -> None:
    """Both are loaded before the rounds begin; once more with their start."""
    count = ground.count(48, 8)
    inputs, precision = ground.inputs(count, SIDE), resolve("auto", device)
    began = time.perf_counter()
    model = model_of(ground.checkpoint, device)
    load_s = time.perf_counter() - began
    ours, theirs, cpu = [], [], ([], [])
    with Engine(ground.run(inputs, ground.folder, device=device)) as engine:
        title = (
            f"tiles/s from files to files, {_what(ground, count, device)}, {precision}, {engine.workers.size} workers"
        )
        goal = None if device != "cpu" else Goal(3.0 if precision == "bf16" else 1.3, at_least=True)
        race = Race(title, "tiles/s", f"plain loop, fp32, {torch.get_num_threads()} threads", goal)
        race.run(
            partial(_rate, count, lambda: engine.refine(_kept(ground, ours)), cpu[0]),
            partial(_rate, count, lambda: refine_plainly(model, inputs, _kept(ground, theirs), device), cpu[1]),
            ground.rounds,
        )
    race.tell(quick=ground.quick)
    mine, their = (1000 * min(spent) / count for spent in cpu)
    print(f"    CPU time of all processes and threads, best: ours {mine:.1f}, plain loop {their:.1f} ms per tile")
    if device == "cpu":
        gain = product(SIDE_OF_MM, precision)() / product(SIDE_OF_MM, "fp32")()
        print(f"    torch.mm in {precision} is {gain:.2f} times as fast as in fp32 here: what the precision gives")
    print(f"    largest difference of the outputs {_difference(ours[-1], theirs[-1]):.2g} (at most {SAME})")
    spent = count / _rate(count, lambda: refine_folder(ground.run(inputs, ground.output(), device=device)))
    loop_s = load_s + count / race.theirs[-1]
    print(f"    with start and load, once: ours {spent:.1f} s; plain loop {loop_s:.1f} s, its torch imported before")


def _beside_model(ground: Ground, device: str) -> None:
    on_cpu = device == "cpu"
    count = ground.count(96 if on_cpu else 4096, 8)
    run = ground.run(ground.inputs(count, SIDE), ground.folder, device=device, batch_size=4 if on_cpu else 16)
    with Engine(run) as engine, BareWorkers(engine.settings, engine.workers.size, SIDE) as bare:
        title = f"tiles/s from files to files, {_what(ground, count, device)}, {engine.workers.size} workers"
        limit, theirs = f"model only, {engine.workers.size} processes", partial(bare.rate, count)
        if not on_cpu:
            limit, theirs = f"lower of that and of {_threads()} I/O threads", partial(_lower, ground, bare, count)
        race = Race(title, "tiles/s", limit, Goal(0.90, at_least=True))
        race.run(partial(_rate, count, lambda: engine.refine(ground.output())), theirs, ground.rounds)
        race.tell(quick=ground.quick)


def _what(ground: Ground, count: int, device: str) -> str:
    return f"{count} tiles of {SIDE} px, {ground.variant}, {device}"


def _devices() -> Iterator[str]:
    yield "cpu"
    if torch.cuda.is_available():
        yield "cuda"
    else:
        print("  cuda: not run, torch sees no GPU")


def _rate(count: int, work: Callable[[], object], cpu: list[float] | None = None) -> float:
    start, before = time.perf_counter(), _cpu_s()
    work()
    spent = time.perf_counter() - start
    if cpu is not None:
        cpu.append(_cpu_s() - before)
    return count / spent


def _cpu_s() -> float:
    """Of this process and its children that live, all threads."""
    pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def _kept(ground: Ground, folders: list[Path]) -> Path:
    folders.append(ground.output())
    return folders[-1]


def _threads() -> int:
    return threads_for("cuda").each


def _lower(ground: Ground, bare: BareWorkers, count: int) -> float:
    """The model, or reading and writing on the threads that a GPU worker has."""
    return min(bare.rate(count), _threads() / Probe(ground, 64).both())


def _difference(ours: Path, theirs: Path) -> float:
    names = sorted(path.name for path in theirs.glob("*.npz"))
    return max(float(np.abs(np.load(ours / n)["opt_v2"] - np.load(theirs / n)["opt_v2"]).max()) for n in names)
