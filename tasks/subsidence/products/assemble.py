"""Everything earlier steps have made, brought together for the export."""

from importlib import metadata
from typing import Any, NamedTuple

from tasks.contracts.refs import ArtifactRef
from tasks.store.workspace import Workspace
from tasks.subsidence import loading
from tasks.subsidence.calibrate import stats
from tasks.subsidence.forecast import file_stem
from tasks.subsidence.manifest import read_manifest
from tasks.subsidence.products.export_inputs import Earlier, ExportInputs
from tasks.subsidence.products.payload import PhysicsScalars
from tasks.subsidence.scoring.judging import Forecasts, forecasts, judge
from tasks.subsidence.scoring.protocol import protocol
from tasks.subsidence.semantics import Semantics
from tasks.subsidence.types import (
    Audit,
    BaselineScores,
    Blueprint,
    Calibrated,
    Handoff,
    Inferred,
    Scaled,
    Settings,
    Trained,
)

NAMED_VERSIONS = ("numpy", "pandas", "scikit-learn", "scipy")


class Made(NamedTuple):
    """The outputs of the steps before the export."""

    handoff: Handoff
    audit: Audit
    scaled: Scaled
    settings: Settings
    blueprint: Blueprint
    trained: Trained
    calibrated: Calibrated
    inferred: Inferred
    baselines: BaselineScores
    truth_panel: ArtifactRef | None


def export_inputs(made: Made, here: Workspace) -> ExportInputs:
    """One run, ready to be written down."""
    sem, cfg = loading.semantics(made.scaled, here), loading.config(made.settings)
    found = forecasts(made.audit.splits, sem, made.inferred, made.calibrated, made.truth_panel, here)
    baselines = here.store.get_json(made.baselines.report)
    known = here.store.get_json(made.inferred.scalars)
    physics = _fields(made.inferred.fields, here)
    holdout = read_manifest(made.handoff.ingested, here.store).config.holdout
    recorded = ((holdout.model_extra if holdout else None) or {}).get
    return ExportInputs(
        model=cfg["MODEL_NAME"],
        sem=sem,
        evaluation=found.evaluation,
        future=found.future,
        factors=found.factors.as_array(),
        future_factors=found.future_factors.as_array(),
        physics=physics,
        scalars=None if physics is None else _scalars(known["scalars"]),
        judged=judge(found.evaluation, sem, baselines, cfg),
        judged_future=judge(found.future, sem, baselines, cfg),
        baselines=baselines,
        protocol=protocol(
            holdout.strategy if holdout else None,
            split=made.inferred.evaluated_split,
            neighbour_context=cfg["NEIGHBOUR_CONTEXT"],
            horizon=sem.horizon,
            window_end_years=recorded("window_end_years"),
            temporal_shift=recorded("temporal_shift"),
        ),
        reload_max_abs_difference_m=made.calibrated.reload_max_abs_difference_m,
        earlier=_earlier(made, found, sem, here),
        identifiability=known["identifiability"],
        physics_future=_fields(made.inferred.future_fields, here),
    )


def _fields(ref: ArtifactRef | None, here: Workspace) -> dict[str, Any] | None:
    return None if ref is None else here.store.get_npz(ref)


def _scalars(known: dict[str, Any]) -> PhysicsScalars:
    names = PhysicsScalars.__dataclass_fields__
    return PhysicsScalars(
        **{**{key: value for key, value in known.items() if key in names}, "pde_modes": tuple(known["pde_modes"])}
    )


def _earlier(made: Made, found: Forecasts, sem: Semantics, here: Workspace) -> Earlier:
    manifest, training = _init_manifest(made, here), here.store.get_json(made.trained.summary)
    return Earlier(
        files=_files(made, sem, here.store.put_json(manifest, name="model_init_manifest.json")),
        stage1_manifest=made.handoff.ingested.manifest,
        train_log=here.store.get_bytes(made.trained.log),
        training=training,
        init_manifest=manifest,
        config=made.settings.values,
        calibration_stats=_calibration_stats(made, found, here),
        audit=here.store.get_json(made.audit.report),
        versions=_versions() | training["versions"],
    )


def _calibration_stats(made: Made, found: Forecasts, here: Workspace) -> dict[str, Any]:
    """Statistics of the evaluated rows, and under `calibration_rows` those of the rows that gave the factors.

    Validation rows are no fresh rows for their own factors, so no coverage band is judged on them.
    """
    forecast = found.evaluation
    evaluated = stats(
        forecast.raw,
        forecast.truth_m,
        found.factors,
        head=forecast.head_truth_m,
        groups_sha256=made.calibrated.groups_sha256,
        shared=made.calibrated.shared,
        calibration_rows=made.inferred.evaluated_split == "val",
        seed=loading.config(made.settings)["SEED"],
    )
    rows = here.store.get_json(made.calibrated.stats)
    own = {key: rows[key] for key in ("future_factors",) if key in rows}
    return evaluated | own | {"calibration_rows": rows}


def _init_manifest(made: Made, here: Workspace) -> dict[str, Any]:
    manifest = loading.init_manifest(made.blueprint, here)
    return manifest | {"weights": manifest["weights"] | {"sha256": made.trained.best_weights.digest}}


def _files(made: Made, sem: Semantics, init_manifest: ArtifactRef) -> dict[str, ArtifactRef]:
    stem = f"{file_stem(sem.city)}_{file_stem(made.settings.values['MODEL_NAME'])}"
    named = {
        "stage2_handshake_audit.json": made.audit.report,
        "config_resolved.json": made.settings.report,
        "scaling_kwargs.json": made.scaled.public,
        "model_init_manifest.json": init_manifest,
        f"{stem}_architecture.json": made.blueprint.architecture,
        f"{stem}_H{sem.horizon}_best.keras": made.trained.best_archive,
        f"{stem}_H{sem.horizon}_final.keras": made.trained.final_archive,
        f"{stem}_H{sem.horizon}_best.weights.h5": made.trained.best_weights,
        f"{stem}_H{sem.horizon}.weights.h5": made.trained.final_weights,
        f"{stem}_H{sem.horizon}_savedmodel.tar": made.trained.saved_model,
        f"{stem}_train_log.csv": made.trained.log,
        "interval_factors_80.npy": made.calibrated.factors_npy,
        "interval_factors_80_future.npy": made.calibrated.future_factors_npy,
    }
    return {name: ref.model_copy(update={"name": name}) for name, ref in named.items() if ref is not None}


def _versions() -> dict[str, str]:
    return {name: version for name in NAMED_VERSIONS if (version := _version(name))}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
