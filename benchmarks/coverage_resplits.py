"""Calibrated coverage over re-splits of one twin city: does an 80 % interval hold 80 % of places it has not seen?

Every re-split prepares the same panel with another split seed, trains, calibrates on its own validation places and
scores its own test places. The peer in each row is the mean-rate extrapolation with conformal intervals, same rows.
Goal: mean coverage within 0.78-0.82.

    python -m benchmarks.coverage_resplits [--splits 20] [--points 2000] [--epochs 20]
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from tasks.cli import environment
from tasks.store.workspace import Workspace

GOAL = (0.78, 0.82)


def main() -> None:
    options = _options()
    environment.set_defaults()
    rows = []
    for seed in range(options.splits):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_one(Path(folder), seed, options))
        coverage, width, mae, peer, peer_mae = rows[-1]
        print(
            f"split {seed:2d}  coverage {coverage:.3f}  width {width:5.2f} mm  MAE {mae:5.2f} mm   "
            f"mean rate: coverage {peer:.3f}  MAE {peer_mae:5.2f} mm",
            flush=True,
        )
    mean = statistics.mean(row[0] for row in rows)
    error = statistics.stdev(row[0] for row in rows) / len(rows) ** 0.5 if len(rows) > 1 else float("nan")
    print(
        f"mean coverage {mean:.4f} +- {error:.4f} (standard error), goal {GOAL[0]}-{GOAL[1]}: "
        f"{'reached' if GOAL[0] <= mean <= GOAL[1] else 'not reached'}"
    )
    print(f"mean rate     {statistics.mean(row[3] for row in rows):.4f}")


def _one(folder: Path, seed: int, options: argparse.Namespace) -> tuple[float, float, float, float, float]:
    from tasks.steps.audit_handshake import audit_handshake
    from tasks.steps.build import build_subsidence
    from tasks.steps.calibrate import calibrate_subsidence
    from tasks.steps.finalize_scaling import finalize_scaling
    from tasks.steps.infer import infer_subsidence
    from tasks.steps.load_manifest import load_manifest
    from tasks.steps.resolve_config import resolve_config
    from tasks.steps.score_baselines import score_baselines
    from tasks.steps.train import train_subsidence
    from tasks.subsidence.ingest import ingest_handoff
    from tasks.subsidence.loading import config, semantics
    from tasks.subsidence.scoring.judging import forecasts, judge
    from tasks.subsidence.settings.layers import read_layers

    here = workspace(folder)
    live = read_layers(sets=[f"EPOCHS={options.epochs}", "BOOTSTRAP_SAMPLES=20"])
    source = ingest_handoff(_resplit(folder, seed, options.points), here.store)
    handoff = load_manifest.function(source, here)
    data = audit_handshake.function(handoff, live, None, None, here).splits
    settings = resolve_config.function(source.manifest, live, None, None, seed, here)
    scaled = finalize_scaling.function(source.sidecars(), data.only("train", "future"), settings, here)
    blueprint = build_subsidence.function(data.only("train"), scaled, settings, here)
    trained = train_subsidence.function(data.only("train", "val"), scaled, blueprint, settings, None, here)
    calibrated = calibrate_subsidence.function(data.only("val"), scaled, blueprint, trained, settings, here)
    inferred = infer_subsidence.function(data.only("test"), scaled, blueprint, trained, settings, here)
    baselines = score_baselines.function(data, scaled, settings, None, here)
    sem, cfg = semantics(scaled, here), config(settings)
    found = forecasts(data.only("test"), sem, inferred, calibrated, None, here)
    own = judge(found.evaluation, sem, here.store.get_json(baselines.report), cfg).best["overall"]
    peer = {name: baselines.metrics[f"baselines.mean_rate.test.{name}"] for name in ("coverage80", "mae_mm")}
    return own["coverage80"], own["width80_mm"], own["mae_mm"], peer["coverage80"], peer["mae_mm"]


def _resplit(folder: Path, seed: int, points: int) -> Path:
    """One twin city, always the same, divided by this seed."""
    from tasks.subsidence.prepare import prepare
    from tasks.subsidence.stage1.prepare_types import PrepareOptions
    from tasks.subsidence.stage1.publish import csv_bytes
    from tasks.subsidence.twin import TWIN_EPSG, TwinRequest, simulate

    request = TwinRequest(points=points)
    panel = folder / "panel.csv"
    panel.write_bytes(csv_bytes(simulate(request).panel))
    options = PrepareOptions(city=request.city, epsg=TWIN_EPSG, train_end_year=request.last_train_year, seed=seed)
    return prepare(panel, folder / "handoff", options).manifest


def workspace(folder: Path) -> Workspace:
    """A store and a scratch folder of their own."""
    from tasks.store.blobs import Store
    from tasks.store.progress import Progress

    store = Store(folder / "store")
    scratch = folder / "scratch"
    scratch.mkdir()
    return Workspace(store, scratch, Progress(store.root, "train"), lambda *_: None, lambda: False, "cpu", {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
