"""Score every baseline on the rows that the model will be scored on."""

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, BaselineScores, Scaled, Settings, SplitRefs


@step(title="baselines", unkeyed=COSMETIC)
def score_baselines(
    parts: SplitRefs, scaled: Scaled, settings: Settings, truth_panel: ArtifactRef | None, here: Workspace
) -> BaselineScores:
    """Extrapolation, regression, boosting and interpolation, with conformal intervals; none can be switched off."""
    from tasks.subsidence import loading
    from tasks.subsidence.baselines import run
    from tasks.subsidence.build import quantile_levels

    sem, cfg = loading.semantics(scaled, here), loading.config(settings)
    split = {
        name: loading.split(parts, name, sem, here) for name in ("train", "val", "test", "future") if parts.has(name)
    }
    future = split.get("future")
    done = run(
        split["train"],
        split["val"],
        split.get("test", split["val"]),
        sem,
        future=future,
        future_truth=loading.future_truth(truth_panel, future, sem, here),
        levels=quantile_levels(cfg["QUANTILES"]),
        alpha=cfg["CALIBRATION_ALPHA"],
        draws=cfg["BOOTSTRAP_SAMPLES"],
        seed=cfg["SEED"],
    )
    return BaselineScores(report=here.store.put_json(done.report(), name="baselines.json"), metrics=done.metrics())
