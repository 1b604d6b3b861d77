"""B5: how much of a flow run is spent outside its steps. In this process, on a server that runs already."""

import time
from pathlib import Path

from benchmarks.tiles_parts.ground import Ground
from tasks.cli import environment

GOAL = 0.02
AT_LEAST_S = 120.0
Spans = list[tuple[float, float]]


def b5(ground: Ground) -> None:
    """The flow once over new tiles, then once more over the finished folder."""
    environment.set_defaults()
    from prefect.testing.utilities import prefect_test_harness

    count = ground.count(4096, 8)
    inputs, output = ground.inputs(count), ground.output()
    with prefect_test_harness(server_startup_timeout=90):
        _flow(ground, ground.inputs(1), ground.output())
        _tell(ground, count, *_flow(ground, inputs, output))
        again, *_ = _flow(ground, inputs, output)
    print(f"    the same flow over the finished folder: {again:.1f} s")


def _tell(ground: Ground, count: int, wall: float, steps: float, shards: float, by_step: dict[str, float]) -> None:
    print(f"  flow over {count} tiles of 120 px, {ground.variant}")
    print(f"    whole {wall:.1f} s, its steps {steps:.1f} s, the shards in them {shards:.1f} s")
    if wall < AT_LEAST_S:
        print(f"    fewer than {AT_LEAST_S:.0f} s of work: too short to judge, use --tiles with a larger number")
    for name, within in (("all steps", steps), ("the shards (with listing, audit, quality, pictures)", shards)):
        share = 1 - within / wall
        verdict = "" if ground.quick else f": {'met' if share < GOAL else 'MISSED'}"
        print(f"    outside {name:52} {100 * share:6.2f} %   goal < {100 * GOAL:.0f} %{verdict}")
    print("    " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in by_step.items()), flush=True)


def _flow(ground: Ground, inputs: Path, output: Path) -> tuple[float, float, float, dict[str, float]]:
    """Seconds of the flow, of its steps, of the shards within them, and of each step."""
    from flows.refine_tiles import refine_tiles
    from tasks.orchestration.run import Run, prepared
    from tasks.orchestration.settings import PlatformSettings
    from tasks.tiles.flow import refined
    from tasks.tiles.request import RefineRequest

    request = RefineRequest(
        checkpoint=str(ground.checkpoint), input_dir=str(inputs), output_dir=str(output), device="cpu"
    )
    run, spans, shard = Run(PlatformSettings(store=str(ground.folder / "store")), ""), [], refined.refine_shard
    refined.refine_shard = _timed(shard, spans)
    try:
        with prepared(run):
            began = time.monotonic()
            refine_tiles(request)
            wall = time.monotonic() - began
    finally:
        refined.refine_shard = shard
    by_step: dict[str, float] = {}
    for step in run.steps:
        by_step[step.step] = by_step.get(step.step, 0.0) + step.seconds
    return wall, _length(run.clock), _length(spans), by_step


def _timed(shard, spans: Spans):
    def timed(*args, **kwargs):
        began = time.monotonic()
        try:
            return shard(*args, **kwargs)
        finally:
            spans.append((began, time.monotonic()))

    return timed


def _length(spans: Spans) -> float:
    return sum(end - began for began, end in spans)
