"""Ask the oracle."""

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import (
    Audit,
    BaselineScores,
    Calibrated,
    Inferred,
    Scaled,
    Settings,
    Verdict,
)


@step(title="oracle")
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
    from tasks.subsidence.analytic import ANALYTIC_LIMITS, analytic_checks
    from tasks.subsidence.evaluate import Estimate, evaluate
    from tasks.subsidence.judging import forecasts, judge

    sem, cfg = loading.semantics(scaled, here), loading.config(settings)
    found = forecasts(audit.splits, sem, inferred, calibrated, truth_panel, here)
    report = here.store.get_json(baselines.report)
    named = {name: part for name, part in (("test", found.evaluation), ("future", found.future)) if part is not None}
    judged = {name: judge(part, sem, report, cfg) for name, part in named.items()}
    fields = None if inferred.fields is None else here.store.get_npz(inferred.fields)
    document, metrics = evaluate(
        sem,
        named,
        estimate=None if fields is None else Estimate(fields, found.evaluation),
        truth=None if truth_fields is None else here.store.get_npz(truth_fields),
        skill={name: part.skill for name, part in judged.items() if part is not None},
        checks=analytic_checks(quick=True),
        limits=ANALYTIC_LIMITS,
        alpha=cfg["CALIBRATION_ALPHA"],
    )
    return Verdict(
        evidence=document["evidence"],
        report=here.store.put_json(document, name="oracle_evaluation.json"),
        metrics=metrics,
    )
