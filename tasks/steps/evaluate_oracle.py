"""Ask the oracle."""

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TileInput, TilesConfig
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import (
    COSMETIC,
    Audit,
    BaselineScores,
    Calibrated,
    Inferred,
    Scaled,
    Settings,
    Verdict,
)
from tasks.tiles.flow.types import Collected, Judged, JudgedScene, SceneForm


@step(title="oracle", pool="cuda-tf", unkeyed=COSMETIC)
def evaluate_subsidence(
    audit: Audit,
    scaled: Scaled,
    settings: Settings,
    calibrated: Calibrated,
    inferred: Inferred,
    baselines: BaselineScores,
    truth_panel: ArtifactRef | None,
    truth_fields: ArtifactRef | None,
    here: Workspace,
) -> Verdict:
    """Known ground on a twin city, skill elsewhere; closed-form checks of the operators in every run."""
    from tasks.subsidence import loading
    from tasks.subsidence.evaluate import Estimate, evaluate
    from tasks.subsidence.ground.analytic import LIMITS
    from tasks.subsidence.operators import analytic_checks
    from tasks.subsidence.scoring.judging import forecasts, judge
    from tasks.subsidence.settings import device

    sem, cfg = loading.semantics(scaled, here), loading.config(settings)
    device.configure(cfg, here)
    found = forecasts(audit.splits, sem, inferred, calibrated, truth_panel, here)
    report = here.store.get_json(baselines.report)
    named = {
        name: part
        for name, part in ((inferred.evaluated_split, found.evaluation), ("future", found.future))
        if part is not None
    }
    judged = {name: judge(part, sem, report, cfg) for name, part in named.items()}
    fields = inferred.future_fields or inferred.fields  # the future windows cover every place
    at = found.future if inferred.future_fields else found.evaluation
    document, metrics = evaluate(
        sem,
        named,
        estimate=None if fields is None else Estimate(here.store.get_npz(fields), at),
        truth=None if truth_fields is None else here.store.get_npz(truth_fields),
        skill={name: part.skill for name, part in judged.items() if part is not None},
        checks=analytic_checks(quick=True),
        limits=LIMITS,
        alpha=cfg["CALIBRATION_ALPHA"],
    )
    return Verdict(
        evidence=document["evidence"],
        report=here.store.put_json(document, name="oracle_evaluation.json"),
        metrics=metrics,
    )


@step(title="evaluate")
def evaluate_tiles(run: Collected, strength: str, quicklook: int, config: TilesConfig, here: Workspace) -> Judged:
    """What was preserved, what changed, and how far it is from references; with pictures."""
    from tasks.tiles.flow import judged

    return judged.evaluate_tiles(run, strength, quicklook, config, here)


@step(title="evaluate scene", pool="cuda-torch")  # for rasterio, which only the image with torch has
def evaluate_scene(
    scene: TileInput, output: ArtifactRef, config: TilesConfig, form: SceneForm, here: Workspace
) -> JudgedScene:
    """The figures of one refined scene, read row by row."""
    from tasks.tiles.flow import judged_scene

    return judged_scene.judge_scene(scene, output, config, form, here)
