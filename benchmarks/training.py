r"""Training with both equations against training without physics, on the same handoff, epochs and batch, in turn.

Each training runs in a process of its own, so that peak memory is its own; prints first epoch (with tracing), median
later step, whole step and peak memory, and the ratios with physics / without. Goals: step ratio <= 1.3 (must <= 2),
whole training <= 150 s and <= 2 GiB on two cores. Without --manifest a twin city is used.

    python -m benchmarks.training [--epochs 20] [--pairs 3] \
        [--manifest ../shared/data/subsidence/zhongshan/manifest.json]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.coverage_resplits import workspace
from tasks.cli import environment

MODELS = ("GeoPriorSubsNet", "HybridAttn-NoPhysics")
ROWS = {
    "first_epoch_s": "first epoch, s",
    "step_ms": "later step, ms",
    "total_s": "whole training, s",
    "peak_mib": "peak memory, MiB",
}


def main() -> None:
    options = _options()
    environment.set_defaults()
    if options.child:
        print(json.dumps(_train(options.child, options)))
        return
    found = {model: [] for model in MODELS}
    for _ in range(options.pairs):
        for model in MODELS:
            found[model].append(_child(model))
    print(f"{'':22}{'with physics':>16}{'without':>16}{'ratio':>9}   (medians of {options.pairs} pairs)")
    for key, title in ROWS.items():
        a, b = (statistics.median(row[key] for row in found[model]) for model in MODELS)
        print(f"{title:22}{a:16.1f}{b:16.1f}{a / b:9.2f}")


def _child(model: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.training", "--child", model, *sys.argv[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _train(model: str, options: argparse.Namespace) -> dict:
    from tasks.steps.audit_handshake import audit_handshake
    from tasks.steps.build import build_subsidence
    from tasks.steps.finalize_scaling import finalize_scaling
    from tasks.steps.load_manifest import load_manifest
    from tasks.steps.resolve_config import resolve_config
    from tasks.steps.train import train_subsidence
    from tasks.subsidence.manifest import ingest_handoff
    from tasks.subsidence.settings.layers import read_layers
    from tasks.subsidence.twin import TwinRequest, write_twin

    with tempfile.TemporaryDirectory() as folder:
        here = workspace(Path(folder))
        manifest = options.manifest or write_twin(TwinRequest(), Path(folder) / "twin").manifest
        live = read_layers(sets=[f"EPOCHS={options.epochs}", f"PATIENCE={options.epochs}"])
        source = ingest_handoff(Path(manifest), here.store)
        data = audit_handshake.function(load_manifest.function(source, here), live, None, model, here).splits
        settings = resolve_config.function(source.manifest, live, None, model, None, here)
        scaled = finalize_scaling.function(source.sidecars(), data.only("train", "future"), settings, here)
        blueprint = build_subsidence.function(data.only("train"), scaled, settings, here)
        began = time.monotonic()
        trained = train_subsidence.function(data.only("train", "val"), scaled, blueprint, settings, None, here)
        total = time.monotonic() - began
        steps = here.store.get_json(trained.summary)["steps_per_epoch"]
    seconds = [row["seconds"] for row in here.telemetry["train"]]
    return {
        "first_epoch_s": seconds[0],
        "step_ms": 1000 * statistics.median(seconds[1:]) / steps,
        "total_s": total,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--manifest")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--child", choices=MODELS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
