"""Write the artifact family of a run."""

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TilesConfig
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import (
    Audit,
    BaselineScores,
    Blueprint,
    Calibrated,
    Handoff,
    Inferred,
    Products,
    Scaled,
    Settings,
    Trained,
)
from tasks.tiles.flow.types import Collected, Judged, ModelRefs, Published


@step(title="export")
def export_subsidence(
    handoff: Handoff,
    audit: Audit,
    scaled: Scaled,
    settings: Settings,
    blueprint: Blueprint,
    trained: Trained,
    calibrated: Calibrated,
    inferred: Inferred,
    baselines: BaselineScores,
    truth_panel: ArtifactRef | None,
    here: Workspace,
) -> Products:
    """Forecasts, metrics, physics payload, plots and documents under their public names."""
    from tasks.subsidence.export import export_products
    from tasks.subsidence.products.assemble import Made, export_inputs

    made_by = Made(handoff, audit, scaled, settings, blueprint, trained, calibrated, inferred, baselines, truth_panel)
    inputs = export_inputs(made_by, here)
    done = export_products(inputs, here.scratch, tell=here.tell)
    files = {name: here.store.put_file(path) for name, path in done.files.items()}
    return Products(
        files={**inputs.earlier.files, **files},
        keys=done.keys,
        missing=done.missing,
        metrics={**done.metrics, **baselines.metrics},
        inspection=tuple(done.inspection),
        complete=done.complete,
    )


@step(title="export")
def export_tiles(run: Collected, model: ModelRefs, config: TilesConfig, judged: Judged, here: Workspace) -> Published:
    """Publish the set of tiles for the third stage."""
    from tasks.tiles.flow import tileset

    return tileset.export_tiles(run, model, config, judged, here)
