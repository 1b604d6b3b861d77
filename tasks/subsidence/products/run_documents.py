"""Run manifest and training summary: the two documents by which outside readers find their way through a run folder.

All paths are names relative to the run folder; clock, host and device are added where the folder is written.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contracts.refs import ArtifactRef
from tasks.subsidence.products.export_inputs import ExportInputs
from tasks.subsidence.products.inspection import identifiability

STAGE = "stage-2-train"
QUOTED = ("TIME_STEPS", "FORECAST_HORIZON_YEARS", "MODE", "ATTENTION_LEVELS", "PDE_MODE_CONFIG", "QUANTILES")


def run_manifest(
    inputs: ExportInputs,
    *,
    files: Mapping[str, str],
    missing: Mapping[str, str],
    not_applicable: Mapping[str, str],
    complete: bool,
) -> dict[str, Any]:
    """Content of `P_run_manifest.json`; files: product key -> file name, missing: product -> reason."""
    sem, earlier = inputs.sem, inputs.earlier
    config = {key: earlier.config.get(key) for key in QUOTED}
    config |= {
        "TIME_STEPS": sem.time_steps,
        "FORECAST_HORIZON_YEARS": sem.horizon,
        "MODE": sem.mode,
        "scaling_kwargs": dict(sem.public),
        "identifiability_regime": earlier.config.get("IDENTIFIABILITY_REGIME"),
    }
    return {
        "stage": STAGE,
        "city": sem.city,
        "model": inputs.model,
        "config": config,
        "paths": paths(inputs),
        "artifacts": _artifacts(inputs, files),
        "stage1_manifest": {"path": earlier.stage1_manifest.name, "sha256": earlier.stage1_manifest.digest},
        "complete": complete,
        "missing": [{"name": name, "reason": reason} for name, reason in sorted(missing.items())],
        "not_applicable": dict(not_applicable),
        "georeference": sem.georeference,
        "intervals": _intervals(inputs),
        "evaluated_split": inputs.evaluation.split.name,
        "future": "written" if inputs.future else "none: the handoff holds no future inputs",
        "sha256": {name: ref.digest for name, ref in sorted(earlier.files.items())},
    }


def _intervals(inputs: ExportInputs) -> str:
    if len(inputs.evaluation.raw.levels) < 2:
        return "none"
    return "raw" if inputs.factors is None else "calibrated"


def training_summary(inputs: ExportInputs, inspection: list[dict[str, str]]) -> dict[str, Any]:
    """Content of `P_training_summary.json`: the core of the train step, joined with what is known only now."""
    sem, earlier = inputs.sem, inputs.earlier
    core = {key: value for key, value in earlier.training.items() if key not in ("paths", "timestamp")}
    outputs = {name: _described(ref) for name, ref in sorted(earlier.files.items())}
    return {
        **core,
        "city": sem.city,
        "model": inputs.model,
        "horizon": sem.horizon,
        "paths": paths(inputs),
        "sha256": {"inputs": {"stage1_manifest": earlier.stage1_manifest.digest}, "outputs": outputs},
        "versions": dict(earlier.versions),
        "reload_check": inputs.reload_check,
        "identifiability": identifiability(inputs),
        "inspection": inspection,
    }


def paths(inputs: ExportInputs) -> dict[str, str]:
    """Public path keys, relative to the run folder; a key is present only if its file is."""
    stem, horizon = inputs.prefix, inputs.sem.horizon
    named = {
        "weights_h5": f"{stem}_H{horizon}.weights.h5",
        "arch_json": f"{stem}_architecture.json",
        "csv_log": f"{stem}_train_log.csv",
        "best_keras": f"{stem}_H{horizon}_best.keras",
        "best_weights": f"{stem}_H{horizon}_best.weights.h5",
        "model_init_manifest": "model_init_manifest.json",
        "final_keras": f"{stem}_H{horizon}_final.keras",
    }
    return {"run_dir": ".", **{key: name for key, name in named.items() if name in inputs.earlier.files}}


def _artifacts(inputs: ExportInputs, files: Mapping[str, str]) -> dict[str, str]:
    """Key -> file name: the two public keys first, then every product and every file of earlier steps."""
    public = {
        "training_summary_json": f"{inputs.prefix}_training_summary.json",
        "train_log_csv": f"{inputs.prefix}_train_log.csv",
    }
    named = {**public, **dict(sorted(files.items()))}
    rest = [name for name in sorted(inputs.earlier.files) if name not in named.values()]
    return named | {_key(name): name for name in rest}


def _key(name: str) -> str:
    return name.lower().replace(".", "_").replace("-", "_")


def _described(ref: ArtifactRef) -> dict[str, Any]:
    return {"sha256": ref.digest, "bytes": ref.size}
