"""Forecast with a registered model."""

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, Audit, BaselineScores, Scaled, Settings, Transferred


@step(title="forecast", pool="cuda-tf", unkeyed=COSMETIC)
def apply_subsidence(
    audit: Audit,
    scaled: Scaled,
    settings: Settings,
    baselines: BaselineScores,
    blobs: dict[str, ArtifactRef],
    truth_panel: ArtifactRef | None,
    here: Workspace,
) -> Transferred:
    """Forecasts of the test and future windows of another handoff, scored where truth is known."""
    from tasks.subsidence import infer, loading
    from tasks.subsidence.apply import METHOD, knows_the_place, rebased, scores, tables
    from tasks.subsidence.calibrate import Factors
    from tasks.subsidence.settings import device

    device.configure(loading.config(settings), here)
    sem = loading.semantics(scaled, here)
    network = infer.load(here.store.get_json(blobs["init_manifest"]), here.store.fetch(blobs["weights"], here.scratch))
    infer.check_fits(network, sem)
    trained_on = network.semantics
    same_years = sem.train_end_year == trained_on.train_end_year
    files, metrics = {}, {}
    for name in ("test", "future"):
        if audit.splits.has(name):
            split = loading.split(audit.splits, name, sem, here)
            truth = loading.future_truth(truth_panel, split, sem, here) if name == "future" else None
            moved = rebased(split, sem, trained_on)
            known = name != "future" and same_years and knows_the_place(moved, sem, trained_on)
            factors = here.store.get_bytes(blobs["interval_factors" if known else "future_factors"])
            factors = Factors.model_validate_json(factors)
            raw = infer.predict(network, moved, hide_years=not known)
            made, forecast = tables(split, raw, factors, sem, model=network.manifest["model_class"], truth=truth)
            files |= {file: here.store.put_bytes(data, name=file) for file, data in made.items()}
            metrics |= scores(forecast, sem, factors.alpha)
    metrics |= baselines.metrics
    document = {"method": METHOD, "trained_on": trained_on.city, "applied_to": sem.city, "metrics": metrics}
    files["transfer.json"] = here.store.put_json(document, name="transfer.json")
    return Transferred(files=files, metrics=metrics, trained_on=trained_on.city)
