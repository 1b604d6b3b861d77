"""The registry entry of a trained forecaster: what it is, what it was made of, what it must be judged against."""

from typing import Any

from tasks.contracts.errors import IncompleteRunError
from tasks.registry.manifest import ArtifactManifest
from tasks.subsidence.types import Blueprint, Calibrated, Handoff, Products, Scaled, Settings, Trained, Verdict

TRANSITION, STEP = "L3_L4", 5
SEED_STREAMS = ("weights", "shuffle", "origins", "bootstrap")


def entry(
    handoff: Handoff,
    settings: Settings,
    scaled: Scaled,
    blueprint: Blueprint,
    trained: Trained,
    calibrated: Calibrated,
    products: Products,
    verdict: Verdict,
    *,
    code_digest: str,
    component: dict[str, Any],
) -> ArtifactManifest:
    """The manifest of a complete run. Raises IncompleteRunError for one that lacks a product."""
    if not products.complete:
        raise IncompleteRunError(
            "run is incomplete and is not registered",
            where=handoff.city,
            expected="every product",
            found=", ".join(sorted(products.missing)),
            remedy="Mend the cause and run again.",
        )
    blobs = {
        "weights": trained.best_weights,
        "init_manifest": blueprint.init_manifest,
        "semantics": scaled.semantics,
        "interval_factors": calibrated.factors,
        "future_factors": calibrated.future_factors,
        "config": settings.report,
    }
    data = {name: ref.digest for name, ref in handoff.bundles.items()} | {"manifest": handoff.ingested.manifest.digest}
    return ArtifactManifest(
        kind="trained_model",
        workload="subsidence",
        domain=handoff.city,
        role="predictor",
        cycle_step=STEP,
        l_transition=TRANSITION,
        component=component,
        code_digest=code_digest,
        parents={},
        oracle_slots=("twin_city",) if verdict.evidence == "physics_derived" else ("baselines",),
        data=data,
        blobs=blobs,
        rng={"seed": settings.values["SEED"], "streams": list(SEED_STREAMS)},
    )
