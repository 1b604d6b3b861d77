"""Audit a handoff before anything is built on it."""

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TileInput, TilesConfig
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import Audit, Handoff, LiveConfig, SplitRefs
from tasks.tiles.flow.types import Listed, ModelRefs, TilesAudit


@step(title="audit")
def audit_handshake(handoff: Handoff, live: LiveConfig, city: str | None, model: str | None, here: Workspace) -> Audit:
    """Run every check; the verdict lists every failure, not only the first."""
    from tasks.subsidence.handoff.bundles import has_split
    from tasks.subsidence.handshake import audit

    verdict, checks, report = audit(handoff, live, city, here.store, model=model)
    usable = [name for name in ("train", "val", "test", "future") if has_split(handoff, here.store, name)]
    return Audit(
        verdict=verdict,
        checks=tuple(checks),
        report=here.store.put_json(report, name="stage2_handshake_audit.json"),
        splits=SplitRefs(bundles=handoff.bundles).only(*usable),
    )


@step(title="handshake")
def audit_tiles(
    inputs: ArtifactRef,
    listed: Listed,
    model: ModelRefs,
    config: TilesConfig,
    scenes: tuple[TileInput, ...],
    here: Workspace,
) -> TilesAudit:
    """What is known of checkpoint, settings, headers and sidecars before any tile is refined."""
    from tasks.tiles.flow import audit

    return audit.audit_tiles(inputs, listed, model, config, here, scenes)
