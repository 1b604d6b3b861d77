"""Reload the network and calibrate its intervals."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, Blueprint, Calibrated, Scaled, Settings, SplitRefs, Trained


@step(title="calibrate", pool="cuda-tf", unkeyed=COSMETIC)
def calibrate_subsidence(
    parts: SplitRefs, scaled: Scaled, blueprint: Blueprint, trained: Trained, settings: Settings, here: Workspace
) -> Calibrated:
    """Interval factors from validation places that did not choose the checkpoint; test rows are out of reach."""
    from tasks.subsidence import loading
    from tasks.subsidence.scoring.calibration import calibrate, npy
    from tasks.subsidence.settings import device

    cfg = loading.config(settings)
    device.configure(cfg, here)
    val = loading.split(parts, "val", loading.semantics(scaled, here), here)
    network = loading.network(blueprint, trained.best_weights, here)
    trained_prediction = loading.get_prediction(trained.val_prediction, here)
    done = calibrate(network, val, trained_prediction, cfg)
    known, future = npy(done.factors), npy(done.future_factors)
    put = here.store.put_bytes
    return Calibrated(
        factors=here.store.put_json(done.factors.model_dump(mode="json"), name="interval_factors.json"),
        factors_npy=None if known is None else put(known, name="interval_factors_80.npy"),
        future_factors=here.store.put_json(done.future_factors.model_dump(mode="json"), name="future_factors.json"),
        future_factors_npy=None if future is None else put(future, name="interval_factors_80_future.npy"),
        stats=here.store.put_json(done.stats, name="calibration.json"),
        groups_sha256=done.groups_sha256,
        shared=done.shared,
        reload_max_abs_difference_m=done.reload_max_abs_difference_m,
    )
