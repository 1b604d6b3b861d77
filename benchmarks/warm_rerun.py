"""Warm against cold: the whole subsidence flow on a twin city, twice over one fresh store.

Prints seconds from the call of the first step to the end of the last one; start of process and server are left out.
The peer is the flow itself without its cache. Goal: the warm run takes at most 2 % of the cold one.

    python -m benchmarks.warm_rerun [--points 2000] [--epochs 20] [--warm 3]
"""

import argparse
import statistics
import tempfile

from tasks.cli import environment

GOAL = 0.02


def main() -> None:
    options = _options()
    environment.set_defaults()
    from prefect.testing.utilities import prefect_test_harness

    with tempfile.TemporaryDirectory() as folder, prefect_test_harness(server_startup_timeout=90):
        cold, hits = _run(folder, options)
        assert hits == 0, "the store was not fresh"
        warm = []
        for _ in range(options.warm):
            seconds, hits = _run(folder, options)
            warm.append(seconds)
    median = statistics.median(warm)
    print(f"cold, first to last step        {cold:8.2f} s")
    print(
        f"warm, median of {len(warm)}               {median:8.2f} s   "
        f"(min {min(warm):.2f}, max {max(warm):.2f}; {hits} steps cached)"
    )
    print(f"ratio warm / cold               {100 * median / cold:8.2f} %   goal <= {100 * GOAL:.0f} %")


def _run(folder: str, options: argparse.Namespace) -> tuple[float, int]:
    from flows.forecast_subsidence import forecast_subsidence
    from tasks.orchestration.run import Run, prepared
    from tasks.orchestration.settings import PlatformSettings
    from tasks.subsidence.request import SubsidenceRequest
    from tasks.subsidence.twin import TwinRequest

    run = Run(PlatformSettings(store=f"{folder}/store"), "")
    request = SubsidenceRequest(
        out=f"{folder}/runs", twin=TwinRequest(points=options.points), set=(f"EPOCHS={options.epochs}",)
    )
    with prepared(run):
        forecast_subsidence(request)
    return run.span_s(), run.cache_counts()["hits"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--warm", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
