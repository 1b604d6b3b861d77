"""Write the registry entry of a complete run. Its name is bound when the run is published, which is never cached."""

from tasks.orchestration.code_digest import code_digest
from tasks.orchestration.step import step
from tasks.steps.train import train_subsidence
from tasks.store.workspace import Workspace
from tasks.subsidence.types import (
    Blueprint,
    Calibrated,
    Handoff,
    Products,
    Registered,
    Scaled,
    Settings,
    Trained,
    Verdict,
)


@step(title="register")
def register_subsidence(
    handoff: Handoff,
    settings: Settings,
    scaled: Scaled,
    blueprint: Blueprint,
    trained: Trained,
    calibrated: Calibrated,
    products: Products,
    verdict: Verdict,
    here: Workspace,
) -> Registered:
    """References, role and lineage; an incomplete run is not registered."""
    from tasks.registry.entries import put_entry
    from tasks.subsidence.loading import init_manifest
    from tasks.subsidence.register import entry

    if not products.complete:
        return Registered(entry=None, artifact_hash=None, role=None, reason="the run is incomplete")
    init = init_manifest(blueprint, here)
    component = {"factory": init["model_class"], "parameters": init["config"], "physics": init["physics"]}
    manifest = entry(
        handoff,
        settings,
        scaled,
        blueprint,
        trained,
        calibrated,
        products,
        verdict,
        code_digest=code_digest(train_subsidence.function),
        component=component,
    )
    ref = put_entry(manifest, here.store)
    return Registered(entry=ref, artifact_hash=manifest.artifact_hash(), role=manifest.role, reason="complete")
